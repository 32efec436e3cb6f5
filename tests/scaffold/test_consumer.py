"""Generated contracts and clients make identical requests, and the contract keeps its promises."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Callback, DtnRequest, DtnSession, Prompt
from ape_dtn.chain import reads, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork
from ape_dtn.errors import BackendFailed, ContractReverted, DtnError
from ape_dtn.network.abi import ERC20, ModelManager, NodeManager, Router
from ape_dtn.network.requests import Record
from ape_dtn.node.node import DtnNode
from ape_dtn.scaffold import python, solidity
from ape_dtn.scaffold.consumer import Consumer, consumer
from ape_dtn.types.abi import Function
from ape_dtn.types.ids import id_of
from ape_dtn.types.model import TEXT_SPECS, Api
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from tests.conftest import Cast
from tests.contracts.conftest import Net

from .compiling import creation_codes

MODEL = "model.system.openai-gpt-5-nano"
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
DEPOSIT, MAX_COST, GAS = 1_000_000, 100_000, 1_000_000

UNKNOWN, AWAITED, ANSWERED, FAILED = range(4)  # the contract's `State`
STATE_OF = Function("stateOf(bytes32)", "uint8")
OPEN, CLOSE = Function("open(uint256)"), Function("close(address)")
SWEEP, COLLECT = Function("sweep(address,address)"), Function("collect(bytes32)")
ON_ANSWER = Function("onAnswer(bytes32)")
SESSION_ID = Function("sessionId()", "uint256")
AGE_ASK = Function("ask(address,uint8)")


@dataclass(frozen=True)
class Case:
    """A request to make from a contract, a client and the SDK.

    Attributes:
        specs: The model's API.
        lines: The prompt.
        values: The values of its placeholders, by index; None for an unused index.
        others: The model's other inputs.
        answer: The node's answer.
    """

    specs: str
    lines: tuple[str, ...]
    values: tuple[Any, ...]
    others: tuple[Any, ...]
    answer: Any

    @property
    def arguments(self) -> list[Any]:
        return [value for value in (*self.values, *self.others) if value is not None]

    @property
    def inputs(self) -> list[Any]:
        """The inputs for the SDK. In all cases, the prompt comes first."""
        return [Prompt(self.lines, *self.values), *self.others]

    def consumer(self, name: str, model: str) -> Consumer:
        return consumer(name, model, Api("", self.specs, ""), self.lines)


CASES = {
    "Text": Case(
        TEXT_SPECS,
        ('Is "{0:address}" older than\n{1:uint8}? \\ 日本 \u202e', "{0:address}, {3}"),
        (OWNER, 26, None, "Ünï {text}"),
        (),
        "Yes. " * 30,
    ),
    "Image": Case(
        "string[], uint64, uint64 -> bytes",
        ("A {0:bytes} of {1:bytes4} in {2:bool}",),
        (b"\x00\xff" * 20, b"abcd", True),
        (640, 480),
        b"\x89PNG" * 20,
    ),
    "Lists": Case(
        "string, bytes32[2][], string[2] -> string[]",
        ("{0:int8[]} {1:uint256[3]} {2:string[]}",),
        ([-1, 127], [1, 2, 2**256 - 1], ["a", ""]),
        ([[b"\x01" * 32, b"\x02" * 32]], ["x", "y"]),
        ("one", "two" * 20),
    ),
    "Number": Case("string -> int256", ("How many?",), (), (), -5),
}


@contextmanager
def reverts_with(signature: str, *args: Any) -> Iterator[None]:
    """Asserts that the contract reverts with exactly this error."""
    with pytest.raises(ContractReverted) as error:
        yield
    assert error.value.revert is not None
    assert error.value.revert.data == Function(signature).encode(*args)


class Deployed:
    def __init__(self, network: LocalNetwork, cast: Cast, code: bytes) -> None:
        self.ai, self.cast, self.owner = network.ai, cast, cast.customer
        self.provider, self.token = network.ai.provider, network.token
        code += encode(
            ["address", "string", "uint256", "uint256"], [self.ai.router, NODE, 1, MAX_COST]
        )
        self.address = transactions.create(self.provider, self.owner, code)

    def send(self, function: Function, *args: Any, sender: Any = None, value: int = 0) -> Any:
        transaction = contract_call(self.address, function, *args, value=value)
        return transactions.send(self.provider, sender or self.owner, transaction)

    def read(self, function: Function, *args: Any) -> Any:
        return reads.read_one(self.provider, Call(self.address, function, args))

    def open(self, units: int = DEPOSIT) -> None:
        approve = contract_call(
            self.token, Function("approve(address,uint256)"), self.address, units
        )
        transactions.send(self.provider, self.owner, approve)
        self.send(OPEN, units)

    def ask(self, function: Function, *values: Any, gas: int = GAS) -> bytes:
        receipt = self.send(function, *values, value=gas)
        (created,) = Router.request_created.find(receipt.logs, self.ai.router)
        return bytes(created["requestId"])

    def state_of(self, request_id: bytes) -> int:
        return int(self.read(STATE_OF, request_id))

    def answer_of(self, request_id: bytes, output: str) -> Any:
        return self.read(Function("answerOf(bytes32)", output), request_id)

    def balance_of(self, account: Any) -> int:
        address = account if isinstance(account, str) else str(account.address)
        return int(reads.read_one(self.provider, Call(self.token, ERC20.balance_of, (address,))))


FAILING_TOKEN = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

contract FailingToken {
    function balanceOf(address) external pure returns (uint256) {
        return 1;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}
"""


@pytest.fixture(scope="module")
def codes() -> dict[str, bytes]:
    consumers = [case.consumer(name, model_of(name)) for name, case in CASES.items()]
    consumers.append(consumer("AgeCheck", MODEL, Api("", TEXT_SPECS, ""), AGES))
    sources = {f"{item.name}.sol": solidity.contract(item) for item in consumers}
    return creation_codes({**sources, "FailingToken.sol": FAILING_TOKEN})


AGES = ["Is {0:address} older than {1:uint8}?"]


def model_of(name: str) -> str:
    return f"model.system.{name.lower()}"


@pytest.fixture
def age_check(network: LocalNetwork, cast: Cast, codes: dict[str, bytes]) -> Deployed:
    return Deployed(network, cast, codes["AgeCheck"])


def register(network: LocalNetwork, cast: Cast, name: str, specs: str) -> None:
    """Register a model of this name, and let the node serve it."""
    ai, manager = network.ai, network.ai.contracts().model_manager
    api = ("api.system", name.lower(), specs, "")
    model = ("model.system", name.lower(), f"api.system.{name.lower()}")
    served = [id_of(model_name, "model") for model_name in (*NODE_MODELS, model_of(name))]
    node_manager, set_models = ai.contracts().node_manager, NodeManager.set_node_models
    for transaction in (
        contract_call(manager, ModelManager.register_model_api, *api),
        contract_call(manager, ModelManager.register_model, *model),
        contract_call(node_manager, set_models, network.node.id, served),
    ):
        transactions.send(ai.provider, cast.owner, transaction)


def import_source(source: str, name: str, folder: Path) -> ModuleType:
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CASES)
def test_contract_client_and_sdk_make_the_same_request(
    network: LocalNetwork, cast: Cast, codes: dict[str, bytes], name: str, tmp_path: Path
) -> None:
    case, model = CASES[name], model_of(name)
    api = Api("", case.specs, "")
    register(network, cast, name, case.specs)
    node = DtnNode(network.ai, NODE, cast.worker, lambda _: case.answer)
    generated = case.consumer(name, model)

    contract = Deployed(network, cast, codes[name])
    contract.open()
    function = Function(f"ask({','.join(parameter.kind for parameter in generated.parameters)})")
    by_contract = contract.ask(function, *case.arguments)

    session = DtnSession.start("1.00", cast.customer, network.ai)
    module = import_source(python.client(generated), f"generated_{name.lower()}", tmp_path)
    by_client: DtnRequest = getattr(module, name)(session).request(*case.arguments)
    by_sdk = session.request(*case.inputs, model=model)

    def encoded(request: DtnRequest) -> tuple[bytes, bytes]:
        record: Record = request.record
        return record.call, record.extra_params

    in_contract = DtnRequest(network.ai, by_contract)
    assert encoded(in_contract) == encoded(by_client) == encoded(by_sdk)
    prompt = list(case.lines) if api.inputs[0] == "string[]" else case.lines[0]
    assert encoded(in_contract)[0] == api.encode(prompt, *case.others)
    assert encoded(in_contract)[1] == Prompt(case.lines, *case.values).extra_params

    node.answer_pending()
    assert contract.answer_of(by_contract, api.output) == case.answer
    assert by_client.answer().value == case.answer


def test_a_client_waits_for_the_answer(network: LocalNetwork, cast: Cast, tmp_path: Path) -> None:
    generated = consumer("AgeCheck", MODEL, Api("", TEXT_SPECS, ""), AGES, ["owner", "maximumAge"])
    module = import_source(python.client(generated), "generated_age_check", tmp_path)
    session = DtnSession.start("1.00", cast.customer, network.ai)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(module.AgeCheck(session).ask(owner=OWNER, maximum_age=26, timeout=30))

    thread = Thread(target=ask)
    thread.start()
    while thread.is_alive():
        network.node.answer_pending()
        thread.join(0.1)

    assert answers == [f"You asked: Is {OWNER} older than 26?"]


# The contract's other functions.


def test_a_request_needs_a_session(age_check: Deployed) -> None:
    with reverts_with("NoSession()"):
        age_check.ask(AGE_ASK, OWNER, 26)


def test_a_session_is_opened_in_one_transaction(age_check: Deployed) -> None:
    before = age_check.balance_of(age_check.owner)

    age_check.open()

    session = DtnSession.load(age_check.read(SESSION_ID), ai=age_check.ai)
    assert (session.owner, session.balance.units) == (age_check.address, DEPOSIT)
    assert before - age_check.balance_of(age_check.owner) == DEPOSIT
    with reverts_with("SessionOpen(uint256)", session.id):
        age_check.send(OPEN, 1)


def test_an_unapproved_deposit_opens_no_session(age_check: Deployed) -> None:
    with pytest.raises(DtnError):
        age_check.send(OPEN, DEPOSIT)

    assert age_check.read(SESSION_ID) == 0


def test_a_failure_is_recorded(age_check: Deployed, network: LocalNetwork, cast: Cast) -> None:
    def out_of_order(_: object) -> str:
        raise BackendFailed("Out of order")

    age_check.open()
    request = age_check.ask(AGE_ASK, OWNER, 26)
    DtnNode(network.ai, NODE, cast.worker, out_of_order).answer_pending()

    assert age_check.state_of(request) == FAILED
    with reverts_with("NoAnswer(bytes32,uint8)", request, FAILED):
        age_check.answer_of(request, "string")


def test_an_answer_can_be_collected_after_a_failed_callback(
    age_check: Deployed, network: LocalNetwork, cast: Cast
) -> None:
    age_check.open()
    request = age_check.ask(AGE_ASK, OWNER, 26, gas=10_000)
    network.node.answer_pending()
    assert age_check.state_of(request) == AWAITED

    with reverts_with("OnlyOwner(address)", str(cast.stranger.address)):
        age_check.send(COLLECT, request, sender=cast.stranger)
    age_check.send(COLLECT, request)

    assert age_check.answer_of(request, "string") == f"You asked: Is {OWNER} older than 26?"
    with reverts_with("NotAwaited(bytes32)", request):
        age_check.send(COLLECT, request)


def test_an_undecodable_answer_is_not_stored(
    age_check: Deployed, network: LocalNetwork, cast: Cast
) -> None:
    age_check.open()
    request = age_check.ask(AGE_ASK, OWNER, 26)
    garbage = (request, 1, "", b"\xff" * 40, network.node.id, 0, 0)
    transactions.send(
        network.ai.provider,
        cast.worker,
        contract_call(network.ai.router, Router.respond_to_request, *garbage),
    )

    assert age_check.state_of(request) == AWAITED


def test_only_the_owner_can_call(age_check: Deployed, cast: Cast) -> None:
    age_check.open()
    to = str(cast.stranger.address)
    for function, arguments in (
        (OPEN, (1,)),
        (AGE_ASK, (OWNER, 26)),
        (CLOSE, (to,)),
        (SWEEP, (age_check.token, to)),
        (COLLECT, (b"\0" * 32,)),
    ):
        with reverts_with("OnlyOwner(address)", to):
            age_check.send(function, *arguments, sender=cast.stranger)


def test_callbacks_are_accepted_only_from_the_network_for_own_requests(
    age_check: Deployed, network: LocalNetwork, cast: Cast
) -> None:
    age_check.open()
    request = age_check.ask(AGE_ASK, OWNER, 26)
    with reverts_with("Error(string)", "Only Dtn can call this function"):
        age_check.send(ON_ANSWER, request)

    # A stranger's request that names this contract as its callback target.
    foreign = DtnSession.start("1.00", cast.stranger, network.ai).request(
        "Transfer all?",
        callback=Callback(age_check.address, "onAnswer(bytes32)", "onFailure(bytes32)", GAS),
    )
    network.node.answer_pending()

    error = foreign.answer().callback_error
    assert error is not None
    assert Function("NotAwaited(bytes32)").encode(bytes.fromhex(foreign.id[2:])).hex() in str(
        to_json(error)
    )
    assert age_check.state_of(bytes.fromhex(foreign.id[2:])) == UNKNOWN
    assert age_check.state_of(request) == ANSWERED


def test_requests_in_one_block_have_different_ids(
    age_check: Deployed, network: LocalNetwork, cast: Cast
) -> None:
    age_check.open()
    asks = [(age_check.owner, age_check.address, AGE_ASK, (OWNER, age)) for age in (1, 2)]
    receipts = Net(network, cast).send_in_one_block(*asks)
    network.node.answer_pending()

    logs = [reads.to_log(log) for receipt in receipts for log in receipt["logs"]]
    first, second = (event["requestId"] for event in Router.request_created.find(logs))
    for request in (first, second):
        age_check.send(COLLECT, request)
    assert age_check.answer_of(first, "string") == f"You asked: Is {OWNER} older than 1?"
    assert age_check.answer_of(second, "string") == f"You asked: Is {OWNER} older than 2?"
    user = DtnRequest(network.ai, second).record.user
    assert user[:26].lower() == str(age_check.owner.address)[:26].lower()


def test_closing_refunds_to_the_given_recipient(
    age_check: Deployed, network: LocalNetwork, cast: Cast
) -> None:
    age_check.open()
    request = age_check.ask(AGE_ASK, OWNER, 26)
    network.node.answer_pending()
    cost = DtnRequest(network.ai, request).cost().units
    before = age_check.balance_of(cast.stranger)

    with reverts_with("NoRecipient()"):
        age_check.send(CLOSE, "0x" + "00" * 20)
    age_check.send(CLOSE, str(cast.stranger.address))

    assert age_check.balance_of(cast.stranger) - before == DEPOSIT - cost
    assert cost > 0
    assert age_check.read(SESSION_ID) == 0
    with reverts_with("NoSession()"):
        age_check.send(CLOSE, str(cast.stranger.address))
    age_check.open()
    assert age_check.read(SESSION_ID) != 0


def test_tokens_can_be_swept(age_check: Deployed, cast: Cast) -> None:
    transfer = contract_call(age_check.token, ERC20.transfer, age_check.address, 5)
    transactions.send(age_check.provider, cast.stranger, transfer)
    before = age_check.balance_of(cast.customer)

    age_check.send(SWEEP, age_check.token, str(cast.customer.address))

    assert (age_check.balance_of(age_check.address), age_check.balance_of(cast.customer)) == (
        0,
        before + 5,
    )


def test_a_failed_transfer_reverts(
    age_check: Deployed, codes: dict[str, bytes], cast: Cast
) -> None:
    token = transactions.create(age_check.provider, cast.owner, codes["FailingToken"])

    with reverts_with("TokenRefused(address,bytes)", token, encode(["bool"], [False])):
        age_check.send(SWEEP, token, str(cast.customer.address))


def test_tokens_that_return_a_bool_work(
    usdc_network: LocalNetwork, cast: Cast, codes: dict[str, bytes]
) -> None:
    contract = Deployed(usdc_network, cast, codes["AgeCheck"])
    contract.open()
    contract.send(CLOSE, str(cast.customer.address))

    assert contract.balance_of(cast.customer) == 1_000_000_000
