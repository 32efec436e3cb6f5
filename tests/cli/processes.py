"""The table of all commands: each runs at least once as a process of its own.

Most tests run commands in their own process. Only a separate process shows that a command runs
alone, exits with the right code, and prints one JSON document and nothing else.
"""

from __future__ import annotations

from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER

# Arguments besides --json, and the exit code. SESSION is an open session, REQUEST an answered
# request of it, PROMPTS a file with a prompt.
TRIED: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    ("info",): ((), 0),
    ("models",): ((), 0),
    ("nodes",): ((), 0),
    ("node", "register"): (
        ("node.tester.first", "--account", STRANGER, "-y"),
        0,
    ),
    ("node", "models"): (("node.local.echo",), 0),
    ("node", "status"): (("node.local.echo",), 0),
    ("session", "list"): (("--account", CUSTOMER), 0),
    ("session", "show"): (("SESSION",), 0),
    ("session", "close"): (("SESSION", "--account", CUSTOMER, "-y"), 0),
    ("session", "history"): (("SESSION",), 0),
    ("session", "report"): (("SESSION",), 0),
    ("quote",): (("Hello?", "--session", "SESSION"), 0),
    ("ask-many",): (
        ("PROMPTS", "--session", "SESSION", "--timeout", "0", "--account", CUSTOMER, "-y"),
        5,
    ),
    ("answer",): (("REQUEST",), 0),
    ("resume",): (("--account", CUSTOMER, "-y"), 0),
    ("journal", "list"): (("--account", CUSTOMER), 0),
    ("journal", "cancel"): (("unknown", "--account", CUSTOMER, "-y"), 2),
    ("rescue",): (("--owner", CUSTOMER_ADDRESS), 0),
}

# The tests that run the other commands as processes.
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("session", "start"): "tests.cli.test_keyfile.test_the_passphrase_is_missed_by_its_name",
    ("ask",): "tests.cli.test_journal.test_budgets_hold_over_all_processes",
    ("watch",): "tests.cli.test_watch.test_answers_are_lines_as_they_come_until_ctrl_c",
    ("node", "serve"): "tests.cli.test_node.test_a_node_is_registered_served_and_paid",
    ("deploy",): "tests.cli.test_deploy.test_nothing_is_deployed_to_an_anvil_that_ends_with_it",
    ("demo",): "tests.cli.test_demo.test_it_tells_the_whole_story_and_nothing_of_its_anvil",
    ("devnet",): "tests.cli.test_devnet.test_it_goes_on_where_it_was_left_also_when_killed",
    ("rehearse",): "tests.rehearsal.test_command.test_json_output",
    ("deployment", "status"): "tests.deployment.test_deploying.is_complete",
    (
        "deployment",
        "accept",
    ): "tests.deployment.test_deploying.test_a_deployment_costs_its_estimate_and_is_sent_once",
    ("deployment", "sources"): "tests.deployment.test_handing_over.listed",
    ("init",): "tests.scaffold.test_project.test_init_needs_no_network",
    ("generate",): "tests.scaffold.test_project.test_generate_needs_no_network_with_the_api",
}
