"""Reverts as errors: one class per cause, on both variants, at every way to call."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from ape.exceptions import ApeException
from eth_abi import encode

from ape_dtn import DtnError, DtnSession, Token, artifacts, errors
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.chain.reverts import REASON
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork, Variant, fund
from ape_dtn.errors import (
    CallbackGasMissing,
    ContractReverted,
    InsufficientFunds,
    ModelNotFound,
    NothingDeposited,
    NotSessionOwner,
    RequestPending,
    SessionAlreadyClosed,
    SessionNotFound,
)
from ape_dtn.network import reverts, sessions
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.reverts import ErrorContext
from ape_dtn.types.abi import Error, Function
from ape_dtn.types.amount import Amount
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from tests.conftest import Cast, on_reference
from tests.sdk.conftest import Respond

ENOUGH_GAS = 1_000_000
UNKNOWN = 2**64
NO_ADDRESS = "0x" + "00" * 20

Attempt = Callable[..., Any]
Refused = Callable[..., DtnError]


def called(network: LocalNetwork, account: Any, to: str, about: ErrorContext, *call: Any) -> None:
    """Fails in a view call."""
    function, *args = call
    asked = reads.Call(to, function, tuple(args), sender=str(account.address))
    network.ai.read_one(asked, about)


def estimated(
    network: LocalNetwork, account: Any, to: str, about: ErrorContext, *call: Any
) -> None:
    """Fails when the gas of a transaction is estimated."""
    transactions.send(network.ai.provider, account, contract_call(to, *call), about)


def mined(network: LocalNetwork, account: Any, to: str, about: ErrorContext, *call: Any) -> None:
    """Fails when a transaction with a fixed gas limit is mined."""
    transaction = contract_call(to, *call, gas_limit=ENOUGH_GAS)
    transactions.send(network.ai.provider, account, transaction, about)


@pytest.fixture(params=[called, estimated, mined], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Attempt:
    found: Attempt = request.param
    return found


@pytest.fixture
def refused(network: LocalNetwork, way: Attempt) -> Refused:
    """Calls a contract in each way, and returns the error with its revert."""

    def refused(
        kind: type[DtnError],
        account: Any,
        *call: Any,
        to: str | None = None,
        session: int | None = None,
        about: ErrorContext = reverts.NO_CONTEXT,
    ) -> DtnError:
        ai = network.ai
        explained = (
            nullcontext()
            if session is None
            else sessions.explained(ai, session, str(account.address))
        )
        nonce = account.nonce
        with pytest.raises(DtnError) as raised, explained:
            way(network, account, to or ai.router, about, *call)
        assert type(raised.value) is kind
        assert raised.value.revert is not None
        transaction = raised.value.revert.transaction
        if way is mined:
            assert transaction is not None
            receipt = rpc.result(ai.provider, "eth_getTransactionReceipt", [transaction])
            assert as_int(receipt["status"]) == 0
        else:
            assert transaction is None
            assert account.nonce == nonce
        return raised.value

    return refused


def asking(
    session_id: int,
    model: str = NODE_MODELS[0],
    most: int = 1_000_000,
    callback_gas: int = 0,
    target: str = NO_ADDRESS,
) -> tuple[Any, ...]:
    """An unvalidated call of ``router.request``."""
    return (
        Router.request,
        session_id,
        id_of(model, "model"),
        ((), [id_of(NODE, "node")], 1, 8, 0),
        (encode(["string[]"], [["Hello?"]]), b"", 1, 10, 10, most),
        (b"\0" * 4, b"\0" * 4, target),
        NO_ADDRESS,
        callback_gas,
    )


def name_of(err: DtnError) -> str:
    assert err.revert is not None
    return err.revert.name or str(err.revert)


def test_closing_a_session_of_another_owner(
    refused: Refused, funded: DtnSession, cast: Cast, variant: Variant
) -> None:
    err = refused(
        NotSessionOwner, cast.stranger, Router.close_user_session, funded.id, session=funded.id
    )

    assert err.fields == {
        "session_id": funded.id,
        "owner": cast.customer.address,
        "caller": cast.stranger.address,
    }
    names = {Variant.REFERENCE: "SessionNotFound", Variant.LIVE: "Unauthorized"}
    assert name_of(err) == names[variant]


def test_closing_an_unknown_session(refused: Refused, cast: Cast) -> None:
    err = refused(
        SessionNotFound, cast.customer, Router.close_user_session, UNKNOWN, session=UNKNOWN
    )

    assert err.fields == {"session_id": UNKNOWN}


def test_closing_a_closed_session(
    refused: Refused, closed: DtnSession, cast: Cast, variant: Variant
) -> None:
    err = refused(
        SessionAlreadyClosed,
        cast.customer,
        Router.close_user_session,
        closed.id,
        session=closed.id,
    )

    assert err.fields == {"session_id": closed.id}
    names = {Variant.REFERENCE: "SessionAlreadyClosed", Variant.LIVE: "Unauthorized"}
    assert name_of(err) == names[variant]


def test_requesting_on_a_session_of_another_owner(
    refused: Refused, funded: DtnSession, cast: Cast, variant: Variant
) -> None:
    err = refused(NotSessionOwner, cast.stranger, *asking(funded.id), session=funded.id)

    assert err.fields["owner"] == cast.customer.address
    names = {Variant.REFERENCE: "SessionNotFound", Variant.LIVE: "Error"}
    assert name_of(err) == names[variant]


def test_requesting_on_an_unknown_session(refused: Refused, cast: Cast) -> None:
    refused(SessionNotFound, cast.customer, *asking(UNKNOWN), session=UNKNOWN)


def test_requesting_on_a_closed_session(refused: Refused, closed: DtnSession, cast: Cast) -> None:
    refused(SessionAlreadyClosed, cast.customer, *asking(closed.id), session=closed.id)


def test_an_unusable_session_is_known_from_the_revert_alone(
    refused: Refused, funded: DtnSession, cast: Cast
) -> None:
    """Both variants give the same class without further calls."""
    about = ErrorContext(session_id=funded.id)

    for call in (asking(funded.id), (Router.close_user_session, funded.id)):
        err = refused(SessionNotFound, cast.stranger, *call, about=about)
        assert err.fields == {"session_id": funded.id}


def test_requesting_an_unknown_model(refused: Refused, funded: DtnSession, cast: Cast) -> None:
    name = "model.nobody.nothing"

    err = refused(
        ModelNotFound, cast.customer, *asking(funded.id, model=name), about=ErrorContext(model=name)
    )

    assert err.fields == {"model": name}
    assert str(err.revert) == "Model does not exist"


def test_sending_too_little_for_the_callback(
    refused: Refused, funded: DtnSession, cast: Cast
) -> None:
    refused(CallbackGasMissing, cast.customer, *asking(funded.id, callback_gas=1))


def test_starting_without_a_deposit(refused: Refused, cast: Cast) -> None:
    err = refused(NothingDeposited, cast.customer, Router.start_user_session)

    assert name_of(err) == "InvalidAmount"


@on_reference
def test_requesting_more_than_the_balance_of_a_session(
    refused: Refused, funded: DtnSession, cast: Cast
) -> None:
    err = refused(InsufficientFunds, cast.customer, *asking(funded.id, most=25_000_001))

    assert name_of(err) == "InsufficientFunds"
    assert err.fields == {"required": "25000001", "available": "25000000"}


def test_transferring_more_than_the_account_has(
    network: LocalNetwork, refused: Refused, cast: Cast
) -> None:
    code = artifacts.creation_code("TestToken", "Test Dollar", "USDC", 6)
    usdc = transactions.create(network.ai.provider, cast.owner, code)
    fund(network.ai.provider, cast.owner, usdc, str(cast.customer.address), 5)

    err = refused(
        InsufficientFunds, cast.customer, ERC20.transfer, cast.stranger.address, 7, to=usdc
    )

    assert err.fields == {"required": "7", "available": "5"}
    assert str(cast.customer.address) in err.message
    assert name_of(err) == "ERC20InsufficientBalance"


def test_fetching_a_missing_answer(refused: Refused, cast: Cast) -> None:
    request_id = b"\5" * 32

    err = refused(
        RequestPending,
        cast.customer,
        Router.fetch_response,
        request_id,
        about=ErrorContext(request_id="0x" + request_id.hex()),
    )

    assert err.request_id == "0x" + request_id.hex()
    assert str(err.revert) == "Request not completed"


def test_a_panic_keeps_its_code(network: LocalNetwork, refused: Refused, cast: Cast) -> None:
    """USDT has no custom errors: a low balance is an arithmetic overflow."""
    err = refused(
        ContractReverted, cast.customer, ERC20.transfer, cast.stranger.address, 2**200,
        to=network.token,
    )  # fmt: skip

    assert err.revert is not None
    assert (err.revert.name, err.revert.fields) == ("Panic", {"code": 0x11})
    assert err.message == "The contract reverted: Panic(code=17)"


def test_a_reason_without_a_class_keeps_its_text(
    refused: Refused, funded: DtnSession, cast: Cast
) -> None:
    request_id = id_of(funded.request("Hello?").id, "request")
    answer = (request_id, 1, "", b"", bytes(32), 0, 0)

    err = refused(ContractReverted, cast.stranger, Router.respond_to_request, *answer)

    assert err.fields == {"reason": "Not the node worker"}
    assert err.message == "The contract reverted: Not the node worker"


def test_answering_an_unknown_request(refused: Refused, cast: Cast, variant: Variant) -> None:
    answer = (bytes(32), 1, "", b"", bytes(32), 0, 0)

    err = refused(ContractReverted, cast.stranger, Router.respond_to_request, *answer)

    reasons = {
        Variant.REFERENCE: f"RequestNotFound(requestId=0x{bytes(32).hex()})",
        Variant.LIVE: "Not the node worker",
    }
    assert err.fields == {"reason": reasons[variant]}


@on_reference
@pytest.mark.parametrize("target", ["fee_token", "session_manager"])
def test_a_callback_to_the_network_itself(
    network: LocalNetwork, refused: Refused, funded: DtnSession, cast: Cast, target: str
) -> None:
    """These contracts trust calls of the router."""
    address = getattr(network.ai.contracts(), target)

    err = refused(ContractReverted, cast.customer, *asking(funded.id, target=address))

    assert err.fields == {"reason": f"CallbackTargetNotAllowed(target={address})"}


def test_an_unknown_error_keeps_its_data(
    network: LocalNetwork, refused: Refused, cast: Cast
) -> None:
    transfer_ownership = Function("transferOwnership(address)")
    unknown = Error("OwnableUnauthorizedAccount(address account)")
    stranger = str(cast.stranger.address)

    err = refused(ContractReverted, cast.stranger, transfer_ownership, stranger)

    assert err.revert is not None
    assert err.revert.data == unknown.selector + encode(["address"], [stranger])
    assert (err.revert.name, err.revert.fields) == ("", {})
    assert err.message == f"The contract reverted: 0x{err.revert.data.hex()}"


def test_a_revert_without_data_is_reported(refused: Refused, cast: Cast) -> None:
    err = refused(ContractReverted, cast.customer, Function("thereIsNoSuchFunction()"))

    assert err.revert is not None
    assert err.revert.data == b""


def test_a_transaction_that_runs_out_of_gas_is_reported(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    transaction = contract_call(network.ai.router, *asking(funded.id), gas_limit=60_000)

    with pytest.raises(ContractReverted, match=r"transaction 0x[0-9a-f]{64} failed") as raised:
        transactions.send(network.ai.provider, cast.customer, transaction, reverts.NO_CONTEXT)

    assert raised.value.revert is not None
    assert str(raised.value.revert.transaction) in raised.value.message


def test_charging_a_closed_session(funded: DtnSession, respond: Respond, variant: Variant) -> None:
    """The error comes from the session manager, which may be behind the called contract."""
    request = funded.request("Hello?")
    funded.close(force=True)

    with pytest.raises(SessionNotFound) as raised:
        respond(request)

    assert raised.value.session_id == funded.id
    names = {Variant.REFERENCE: "SessionAlreadyClosed", Variant.LIVE: "InvalidSession"}
    assert name_of(raised.value) == names[variant]


def test_errors_have_the_original_as_their_cause(funded: DtnSession, cast: Cast) -> None:
    stranger = str(cast.stranger.address)
    transaction = contract_call(funded.ai.router, Router.close_user_session, funded.id)

    with (
        pytest.raises(NotSessionOwner) as raised,
        sessions.explained(funded.ai, funded.id, stranger),
    ):
        transactions.send(funded.ai.provider, cast.stranger, transaction, reverts.NO_CONTEXT)

    assert isinstance(raised.value.__cause__, SessionNotFound)
    assert raised.value.revert is raised.value.__cause__.revert


@pytest.mark.parametrize("error", [SessionManager.insufficient_balance, ERC20.insufficient_balance])
def test_every_revert_for_lack_of_funds_is_insufficient_funds(error: Error) -> None:
    values = ["0x" + "11" * 20 if kind == "address" else 5 for kind, _, _ in error.fields]
    data = error.selector + encode([kind for kind, _, _ in error.fields], values)

    assert type(reverts.to_error(reverts.decode(data))) is InsufficientFunds


@pytest.mark.parametrize(
    "data",
    [b"\1", b"\1\2\3\4", SessionManager.invalid_session.selector + b"\1", REASON.selector],
)
def test_any_revert_data_is_decoded_or_kept(data: bytes) -> None:
    """Another contract's error may share a selector with ours, and have other fields."""
    err = reverts.to_error(reverts.decode(data, "execution reverted"))

    assert err.revert is not None
    assert err.revert.data == data
    json.dumps(to_json(err))


# Every error class, with arguments.

TOKEN = Token("0x" + "11" * 20, "USDT", 6)
SAMPLES: dict[type, Any] = {
    int: 7,
    str: "something else",
    float: 1.5,
    object: object(),
    Amount: TOKEN.units(5),
    list: ["0x" + "22" * 32],
    dict: {8453: "base:mainnet"},
}


def classes(root: type[DtnError] = DtnError) -> Iterator[type[DtnError]]:
    for kind in root.__subclasses__():
        if kind.__name__ in errors.__all__:  # the commands have some of their own
            yield kind
            yield from classes(kind)


PUBLIC = [getattr(errors, name) for name in errors.__all__]
CLASSES = sorted(set(classes()), key=lambda kind: kind.__name__)


def made(kind: type[DtnError]) -> DtnError:
    """An error of a class, with an argument for each annotation."""
    arguments = []
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            annotation = str(parameter.annotation)
            word = re.split(r"[\[ |]", annotation)[0]
            (sample,) = (value for key, value in SAMPLES.items() if key.__name__ == word)
            arguments.append(sample)
    return kind(*arguments)


def test_all_error_classes_are_found() -> None:
    defined = {value for value in PUBLIC if inspect.isclass(value)}

    assert {kind for kind in defined if issubclass(kind, DtnError)} == {DtnError, *CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_plain_data(kind: type[DtnError]) -> None:
    err = made(kind)
    err.revert = reverts.decode(SessionManager.invalid_amount.selector, transaction="0x" + "3" * 64)

    data = json.loads(json.dumps(to_json(err)))

    assert data.keys() >= {"code", "message", "hint", "revert", *err.fields}
    assert (data["code"], data["message"], data["hint"]) == (err.code, err.message, err.hint)
    assert data["revert"]["name"] == "InvalidAmount"
    assert data["revert"]["data"] == "0x" + SessionManager.invalid_amount.selector.hex()


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_an_ape_exception_with_a_message(kind: type[DtnError]) -> None:
    err = made(kind)

    assert isinstance(err, ApeException)
    assert str(err) == err.message
    assert len(err.message) > 10
    assert err.__doc__
    assert err.__doc__ != DtnError.__doc__


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_code_and_an_exit_code(kind: type[DtnError]) -> None:
    err = made(kind)

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", err.code)
    assert err.code.replace("_", "") == kind.__name__.lower()
    assert 2 <= err.exit_code <= 7


def test_codes_are_different() -> None:
    assert len({made(kind).code for kind in CLASSES}) == len(CLASSES)
