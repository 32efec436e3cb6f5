"""The conformance tests against a network that is deployed already."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .conftest import Network
from .shell import CUSTOMER, FOUNDRY, STRANGER, Done, Shell

REPOSITORY = Path(__file__).parents[2]
PASSPHRASE = "on these tests alone"


def conform(network: Network, shell: Shell, *options: str, **target: str) -> Done:
    file = shell.folder / "target.yaml"
    facts = {"router": network.router, "token": network.token, "node": network.node}
    described = {**facts, "timeout": "20", **target}
    file.write_text("".join(f'{name}: "{value}"\n' for name, value in described.items()))
    tests = ("ape", "test", "tests/conformance", "-p", "no:cacheprovider", "-q", "--tb=no")
    given = ("--dtn-target", str(file), "--network", FOUNDRY)
    return shell.run(*tests, *given, *options, folder=REPOSITORY)


def test_a_network_with_a_running_node(reference: Network) -> None:
    # A remote chain cannot be reverted, and the node that serves it does not expect that either.
    isolation = "--disable-isolation"

    with reference.answering():
        done = conform(reference, reference.shell, isolation, customer=CUSTOMER, stranger=STRANGER)

    assert done.code == 0, done.out
    assert re.search(r"\d+ passed, 1 skipped", done.out)


def test_a_network_whose_worker_is_an_account_of_the_tests(live: Network, cast: Any) -> None:
    keys = {"customer": cast.customer, "stranger": cast.stranger, "worker": cast.worker}
    for name, account in keys.items():
        live.shell.keep_key(name, account.private_key.removeprefix("0x"), PASSPHRASE)
    passphrases = {f"APE_ACCOUNTS_{name}_PASSPHRASE": PASSPHRASE for name in keys}

    done = conform(live, live.shell.having(**passphrases), **{key: key for key in keys})

    assert done.code == 0, done.out
    assert re.search(r"\d+ passed", done.out)
    assert "skipped" not in done.out
