"""The example contracts, on both variants and with both kinds of token."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.deployment.assemble import NODE, LocalNetwork, Variant
from ape_dtn.errors import (
    ContractReverted,
    DtnError,
    NothingDeposited,
    RequestPending,
    SessionNotFound,
)
from ape_dtn.network.abi import Router
from ape_dtn.types.abi import Function
from tests.conftest import Cast

from .conftest import FAILURE, NOBODY, SET_MANAGERS, Net, address, raw, refused, replace_sessions

EXAMPLES = [
    "StartSession",
    "SafeStart",
    "CloseSession",
    "RestartSession",
    "ReuseSession",
    "ValidateSession",
    "AutomaticSession",
    "UpgradeableConsumer",
]
WITH_START = [name for name in EXAMPLES if name not in ("ValidateSession", "AutomaticSession")]
WITH_CALLBACK = ["ReuseSession", "UpgradeableConsumer"]

MODEL_NAME = "model.system.openai-gpt-5-nano"
FEE, MOST = 2, 2_000
DEPOSIT = 5_000
CALLBACK_GAS = 200_000

ASK = Function("ask(string)")
START = Function("start()")
CLOSE = Function("close()")
WITHDRAW = Function("withdraw()")


class Example:
    """An example contract that the customer owns."""

    def __init__(self, net: Net, project: Any, name: str) -> None:
        self.net, self.name, self.owner = net, name, net.cast.customer
        arguments = (net.router, MODEL_NAME, NODE, FEE, MOST)
        contract = getattr(project, name)
        if name == "UpgradeableConsumer":
            implementation = contract.deploy(sender=self.owner).address
            initialize = Function("initialize(address,address,string,string,uint256,uint256)")
            data = initialize.encode(address(self.owner), *arguments)
            self.views = contract.at(net.create("DtnProxy", implementation, data))
        else:
            self.views = contract.deploy(*arguments, sender=self.owner)
        self.address = str(self.views.address)

    def send(self, function: Function, *args: Any, sender: Any = None, value: int = 0) -> Any:
        return self.net.send(sender or self.owner, self.address, function, *args, value=value)

    def begin(self, units: int = DEPOSIT) -> None:
        """Funds the contract, and starts a session unless the first request does."""
        self.net.fund(self.address, units)
        if self.name in WITH_START:
            self.send(START)

    def ask(self, prompt: str = "Hello?") -> bytes:
        self.send(ASK, prompt, value=CALLBACK_GAS if self.name in WITH_CALLBACK else 0)
        return self.request

    @property
    def request(self) -> bytes:
        return bytes(self.views.requestId())

    @property
    def session(self) -> int:
        return int(self.views.sessionId())

    @property
    def answer(self) -> str:
        return str(self.views.answer())

    @property
    def held(self) -> int:
        return self.net.held(self.address)


@pytest.fixture
def example(net: Net, project: Any, request: pytest.FixtureRequest) -> Example:
    return Example(net, project, request.param)


on_live = pytest.mark.parametrize("variant", [Variant.LIVE], indirect=True)


def examples(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", names, indirect=True)


# What they have in common.


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_session_from_start_to_withdrawal(
    any_net: Net, cast: Cast, variant: Variant, project: Any, name: str
) -> None:
    if (name, variant) == ("AutomaticSession", Variant.LIVE):
        name = "ValidateSession"  # its refusal there is a separate test, below
    example, before = Example(any_net, project, name), any_net.held(cast.customer)

    example.begin()
    example.ask("Hello?")
    assert any_net.session(example.session) == (example.address, DEPOSIT)
    any_net.node.answer_pending()
    assert example.answer == "You asked: Hello?"
    left = any_net.balance(example.session)
    assert DEPOSIT - MOST <= left < DEPOSIT

    example.send(CLOSE)
    assert (example.session, example.held) == (0, left)
    example.send(WITHDRAW)
    assert any_net.held(cast.customer) - before == left
    assert any_net.held_by_network == 0


@examples(*EXAMPLES)
def test_strangers_can_do_nothing(example: Example, cast: Cast) -> None:
    example.net.fund(example.address, DEPOSIT)
    refusal = raw("OwnableUnauthorizedAccount(address)", cast.stranger.address)
    calls: list[tuple[Any, ...]] = [(ASK, "Hello?"), (CLOSE,), (WITHDRAW,)]
    calls += [(START,)] if example.name in WITH_START else []

    for call in calls:
        with refused(ContractReverted, refusal):
            example.send(*call, sender=cast.stranger)


@examples(*WITH_START)
def test_a_start_needs_tokens(example: Example) -> None:
    kind: type[DtnError] = NothingDeposited
    revert = "InvalidAmount()"
    if example.name == "SafeStart":
        kind = ContractReverted
        revert = raw("StartFailed(bytes)", bytes.fromhex("2c5211c6"))  # InvalidAmount()

    with refused(kind, revert):
        example.send(START)


@examples(*[name for name in WITH_START if name != "RestartSession"])
def test_a_start_does_not_forget_an_open_session(example: Example) -> None:
    example.begin()
    example.net.fund(example.address, DEPOSIT)

    with refused(ContractReverted, raw("SessionOpen(uint256)", example.session)):
        example.send(START)


@examples("StartSession", "ValidateSession")
def test_a_pending_request_has_no_answer(example: Example) -> None:
    example.begin()
    request = example.ask()

    with refused(RequestPending, "Request not completed"):
        example.net.read(example.address, Function("answer()", "string"))
    assert request


@examples("StartSession")
def test_a_failure_is_no_answer(example: Example) -> None:
    example.begin()
    example.net.reply(example.ask(), status=FAILURE, message="No.")

    with refused(ContractReverted, raw("RequestFailed(string)", "No.")):
        example.net.read(example.address, Function("answer()", "string"))


# Each one's own.


def test_automatic_session_starts_one_with_the_first_request_alone(
    reference: Net, project: Any
) -> None:
    example = Example(reference, project, "AutomaticSession")
    example.begin()

    example.ask()
    first = example.session
    example.ask()

    assert first != 0
    assert example.session == first
    assert reference.session(first) == (example.address, DEPOSIT)


def test_automatic_session_is_refused_by_the_deployed_network(deployed: Net, project: Any) -> None:
    example = Example(deployed, project, "AutomaticSession")
    example.begin()

    with refused(SessionNotFound, "Session not related to the user"):
        example.ask()

    assert (example.session, example.held) == (0, DEPOSIT)
    assert deployed.held_by_network == 0


def test_safe_start_reverts_with_the_reason_and_keeps_its_tokens(
    deployed: Net, reference: Net, project: Any, cast: Cast
) -> None:
    net, contracts = deployed, deployed.contracts
    # A session manager that accepts starts from another router only.
    initialization = Function("initialize(address,address,address)").encode(
        cast.owner.address, contracts.fee_token, reference.router
    )
    other = net.create("DtnProxy", net.create("LiveSessionManager"), initialization)
    managers = (contracts.node_manager, other, contracts.model_manager)
    net.send(cast.owner, net.router, SET_MANAGERS, *managers)
    example = Example(net, project, "SafeStart")
    net.fund(example.address, DEPOSIT)

    unauthorized = Function("Unauthorized(address,address)").encode(net.router, reference.router)
    with refused(ContractReverted, raw("StartFailed(bytes)", unauthorized)):
        example.send(START)

    assert (example.session, example.held) == (0, DEPOSIT)


@examples("CloseSession")
def test_close_session_closes_once_and_does_nothing_more(example: Example) -> None:
    example.begin()

    example.send(CLOSE)
    example.send(CLOSE)

    assert (example.session, example.held) == (0, DEPOSIT)


@examples("RestartSession")
def test_restart_session_adds_received_tokens_to_the_refund(example: Example) -> None:
    example.begin()
    first = example.session
    example.net.fund(example.address, 300)

    example.send(START)

    assert example.session != first
    assert example.net.session(first) == (NOBODY, 0)
    assert example.net.session(example.session) == (example.address, DEPOSIT + 300)


@examples("ReuseSession")
def test_reuse_session_stores_every_answer_by_request(example: Example) -> None:
    example.begin()
    first, second = example.ask("One?"), example.ask("Two?")
    example.net.node.answer_pending()

    assert [bytes(id) for id in example.views.requestIds()] == [first, second]
    assert example.views.answers(first) == "You asked: One?"
    assert example.views.answers(second) == "You asked: Two?"


@examples("ReuseSession")
def test_reuse_session_stores_the_reason_of_a_failure(example: Example) -> None:
    example.begin()
    request = example.ask()

    example.net.reply(request, status=FAILURE, message="No.")

    assert example.views.failures(request) == "No."
    assert example.views.answers(request) == ""


@examples("UpgradeableConsumer")
def test_upgradeable_consumer_stores_the_reason_of_a_failure(example: Example) -> None:
    example.begin()

    example.net.reply(example.ask(), status=FAILURE, message="No.")

    assert (example.views.failure(), example.answer) == ("No.", "")


@examples("UpgradeableConsumer")
def test_upgradeable_consumer_ignores_answers_to_earlier_requests(example: Example) -> None:
    example.begin()
    first, second = example.ask("One?"), example.ask("Two?")

    example.net.reply(second, response=encode(["string"], ["two"]))
    example.net.reply(first, response=encode(["string"], ["one"]))

    assert example.answer == "two"


@examples(*WITH_CALLBACK)
@pytest.mark.parametrize("length", [0, 1, 31, 32, 200, 1_000])
def test_the_gas_that_the_examples_name_is_enough(example: Example, length: int) -> None:
    example.begin()
    words = -(-length // 32)
    example.send(ASK, "Hello?", value=50_000 + 25_000 * words)

    response = encode(["string"], ["a" * length])
    # Not estimated: the estimate would find the gas with which the callback fails.
    receipt = example.net.reply(example.request, response=response, gas_limit=5_000_000)

    assert not Router.success_callback_failed.find(receipt.logs)


@examples("ReuseSession")
def test_with_too_little_gas_the_answer_can_still_be_read(example: Example) -> None:
    example.begin()
    example.send(ASK, "Hello?", value=10_000)

    receipt = example.net.reply(example.request)

    assert Router.success_callback_failed.find(receipt.logs)
    assert example.views.answers(example.request) == ""
    assert example.answer == "Hi."


@pytest.mark.parametrize(
    ("which", "succeed"), [(Variant.LIVE, [1, 0]), (Variant.REFERENCE, [1, 1])]
)
def test_reuse_session_never_replaces_a_request(
    local_networks: dict[Variant, LocalNetwork],
    cast: Cast,
    project: Any,
    which: Variant,
    succeed: list[int],
) -> None:
    net = Net(local_networks[which], cast)
    example = Example(net, project, "ReuseSession")
    example.begin()

    receipts = net.send_in_one_block(
        (cast.customer, example.address, ASK, ("first",)),
        (cast.customer, example.address, ASK, ("second",)),
    )

    assert [int(receipt["status"], 16) for receipt in receipts] == succeed
    call = encode(["string[]"], [["first"]])
    assert net.record(bytes(example.views.requestIds()[0]))[5][0] == call


@examples("ValidateSession")
def test_validate_session_starts_when_there_is_none(example: Example) -> None:
    example.begin()
    assert not example.views.hasSession()

    example.ask()
    first = example.session
    example.ask()

    assert example.views.hasSession()
    assert example.session == first


@examples("ValidateSession")
@on_live
def test_validate_session_starts_another_behind_a_new_session_manager(example: Example) -> None:
    example.begin()
    example.ask()
    replace_sessions(example.net)
    assert not example.views.hasSession()

    example.net.fund(example.address, 3_000)
    example.ask()

    assert example.net.session(example.session) == (example.address, 3_000)


@examples("StartSession")
def test_a_contract_owns_the_sessions_that_it_starts(example: Example) -> None:
    example.begin()
    net, owner = example.net, example.owner

    with pytest.raises(SessionNotFound):
        net.ask(owner, example.session)
    with pytest.raises(SessionNotFound):
        net.close(owner, example.session)

    assert net.session(example.session) == (example.address, DEPOSIT)


@examples("ReuseSession", "UpgradeableConsumer")
def test_the_local_node_leaves_the_callback_its_gas(example: Example) -> None:
    example.begin(100_000)
    example.send(ASK, "a" * 1_000, value=50_000 + 25_000 * 33)
    example.net.node.answer_pending()

    got = (
        example.views.answers(example.request) if example.name == "ReuseSession" else example.answer
    )
    assert len(got) > 1_000
