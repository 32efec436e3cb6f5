"""`ape dtn ask`, `ask-many` and `answer`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Network
from .json_rules import text_of
from .shell import CUSTOMER, CUSTOMER_ADDRESS, Done

MAX_COST = "max cost  0.25 USDT, plus gas"


@pytest.fixture
def answered(network: Network) -> Done:
    """A request with a new session."""
    before = network.held_by(CUSTOMER_ADDRESS)
    with network.answering():
        done = network.dtn("ask", "What is it?", "--account", CUSTOMER, "-y", "--json")
    assert done.code == 0
    assert network.held_by(CUSTOMER_ADDRESS) == before - int(done.json["cost"]["units"])
    return done


@pytest.fixture
def opened(network: Network) -> str:
    """An open session of the customer, with 25 USDT."""
    done = network.dtn("session", "start", "25", "--account", CUSTOMER, "-y", "--json")
    return str(done.json["session"])


def test_the_answer_as_json(answered: Done) -> None:
    assert answered.json["answer"] == "You asked: What is it?"
    assert text_of(answered.json["cost"]) == "0.00256 USDT"


def test_the_rest_is_refunded(answered: Done) -> None:
    assert answered.json["refund"]["units"] == str(250_000 - int(answered.json["cost"]["units"]))


def test_the_max_cost_is_shown_before_anything_is_sent(answered: Done) -> None:
    shown, _, afterwards = answered.err.partition(MAX_COST)

    assert "Session" not in shown
    assert f"Session {answered.json['session']} is open with 0.25 USDT." in afterwards


def test_another_process_reads_the_same_answer(network: Network, answered: Done) -> None:
    done = network.dtn("answer", answered.json["request"], "--json")

    assert done.code == 0
    assert done.json == {
        key: value for key, value in answered.json.items() if key not in ("session", "refund")
    }


def test_on_a_session_only_the_answer_is_printed(network: Network, opened: str) -> None:
    with network.answering():
        done = network.dtn("ask", "Hello?", "--session", opened, "--account", CUSTOMER, "-y")

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert f"session {opened}, which has 25.00 USDT" in done.err
    assert MAX_COST in done.err
    assert "It cost 0.00256 USDT." in done.err
    shown = network.dtn("session", "show", opened, "--json")
    assert text_of(shown.json["balance"]) == "24.99744 USDT"


def test_on_a_new_session_only_the_answer_is_printed(reference: Network) -> None:
    options = ("--max-cost", "0.1", "--deposit", "2", "--fee-per-byte", "0", "--account", CUSTOMER)

    with reference.answering():
        done = reference.dtn("ask", "Hello?", *options, "-y")

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert "max cost  0.10 USDT, plus gas" in done.err
    assert "a new session with 2.00 USDT; the rest is refunded" in done.err
    assert done.err.endswith("is closed. Refunded: 2.00 USDT.\n")


def test_the_answer_command_prints_the_answer_alone(reference: Network) -> None:
    with reference.answering():
        kept = reference.dtn("ask", "Hello?", "--keep", "--account", CUSTOMER, "-y", "--json")

    done = reference.dtn("answer", kept.json["request"])

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert "refund" not in kept.json


def test_prompts_with_placeholders_are_lines_of_one_prompt(reference: Network) -> None:
    lines = ("Is {0:address} older than {1:uint8}?", "Say {2}.")
    values = ("--value", CUSTOMER_ADDRESS.lower(), "--value", "26", "--value", "yes")

    with reference.answering():
        done = reference.dtn("ask", *lines, *values, "--account", CUSTOMER, "-y")

    assert (done.code, done.out) == (
        0,
        f"You asked: Is {CUSTOMER_ADDRESS} older than 26? Say yes.\n",
    )


def test_session_zero_opens_a_new_session(network: Network) -> None:
    own = ("--session", "0", "--account", CUSTOMER, "-y", "--json")

    with network.answering():
        done = network.dtn("ask", "Hello?", *own)

    assert done.code == 0
    assert "refund" in done.json


def test_the_answer_is_written_to_a_file(reference: Network, tmp_path: Path) -> None:
    file = tmp_path / "answer.txt"

    with reference.answering():
        done = reference.dtn("ask", "Hello?", "-o", str(file), "--account", CUSTOMER, "-y")

    assert (done.code, done.out) == (0, f"Written to {file}: 17 bytes.\n")
    assert file.read_text() == "You asked: Hello?"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--aggregation", "vote"), "cannot_complete"),
        (("--redundancy", "2"), "cannot_complete"),
        (("--namespace", "trust.no.body"), "cannot_complete"),
        (("--request-limit", "0.1"), "over_limit"),
        (("--fee-per-byte", "1"), "fee_too_high"),
        (("--input", "size=5"), "invalid_call"),
    ],
)
def test_a_refused_request_sends_nothing(
    network: Network, options: tuple[str, ...], code: str
) -> None:
    before = network.chain.nonce(CUSTOMER_ADDRESS)

    done = network.dtn("ask", "Hello?", *options, "--account", CUSTOMER, "-y", "--json")

    assert done.error["code"] == code
    assert network.chain.nonce(CUSTOMER_ADDRESS) == before


def test_a_node_without_a_store_fails_over_ipfs(reference: Network) -> None:
    with reference.answering():
        done = reference.dtn("ask", "Hello?", "--ipfs", "--account", CUSTOMER, "-y", "--json")

    assert (done.code, done.error["code"]) == (6, "node_failure")
    assert "stores nothing on IPFS" in done.error["reason"]


def test_many_prompts_are_answered_in_order(network: Network, opened: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"What is {place}?" for place in range(20)) + "\n\n")
    mine = ("--session", opened, "--account", CUSTOMER)

    with network.answering():
        done = network.dtn("ask-many", str(prompts), *mine, "-y", "--json")

    assert done.code == 0
    assert [answer["answer"] for answer in done.json["answers"]] == [
        f"You asked: What is {place}?" for place in range(20)
    ]
    assert len({answer["request"] for answer in done.json["answers"]}) == 20
    assert "max cost  5.00 USDT for 20 requests, plus gas" in done.err


def test_many_prompts_without_answers_can_be_read_later(network: Network, opened: str) -> None:
    mine = ("--session", opened, "--account", CUSTOMER, "-y", "--json")

    done = network.dtn("ask-many", "-", *mine, "--timeout", "0.2", answers="One?\nTwo?\n")

    assert done.code == 5
    assert [unanswered["error"]["code"] for unanswered in done.json["answers"]] == [
        "request_pending"
    ] * 2
    unanswered = done.json["answers"]
    with network.answering():
        answers = [network.dtn("answer", sent["request"]) for sent in unanswered]
    for sent, later in zip(unanswered, answers, strict=True):
        assert (later.code, later.out) == (0, f"You asked: {sent['prompt']}\n")
