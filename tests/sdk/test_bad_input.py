"""Invalid input is refused before anything is sent, with an error that says why."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ape_accounts.accounts import KeyfileAccount
from eth_account import Account

from ape_dtn import DtnAi, DtnRequest, DtnSession, Token
from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.reads import Call, read_one
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import (
    ChainUnreachable,
    DtnError,
    EmptyPrompt,
    InsufficientFunds,
    InvalidAmount,
    InvalidCall,
    InvalidName,
    ModelNotFound,
    NoAccount,
    NoContractAtAddress,
    NodeNotFound,
    NodeUnavailable,
    NoMoneyForGas,
    NotSessionOwner,
    RequestNotFound,
    SessionAlreadyClosed,
    SessionNotFound,
    SigningDeclined,
    TooManyDecimals,
    UnknownChain,
    WrongChain,
    WrongToken,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, NodeManager
from ape_dtn.network.deployments import PUBLIC
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from benchmarks.chain import connected_to, own_anvil
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast

UNKNOWN = 2**64
NOWHERE = "0x" + "00" * 19 + "99"
IMAGE = "model.system.openai-gpt-image-1"


def refused(kind: type[DtnError], attempt: Callable[[], Any], message: str) -> Any:
    """Checks that an attempt fails with exactly this class and message."""
    with pytest.raises(kind) as raised:
        attempt()
    assert type(raised.value) is kind
    assert raised.value.message == message
    return raised.value


# Deposits.


@pytest.mark.parametrize(
    ("amount", "kind", "message"),
    [
        ("0", InvalidAmount, "'0' is not an amount: it must be more than zero."),
        ("-1", InvalidAmount, "'-1' is not an amount: it must be more than zero."),
        (
            "0.0000001",
            TooManyDecimals,
            "'0.0000001' is not an amount: USDT has 6 digits after the point.",
        ),
        ("25 DAI", WrongToken, "'25 DAI' is not an amount: this network is paid in USDT."),
        (
            Token(NOWHERE, "USDT", 6).units(5),
            WrongToken,
            "'0.000005 USDT' is not an amount: this network is paid in USDT.",
        ),
        (25, InvalidAmount, """'25' is not an amount: write "25 USDT" or Decimal("25")."""),
        ("much", InvalidAmount, """'much' is not an amount: write it as "25.00 USDT"."""),
    ],
)
def test_an_invalid_deposit_is_refused(
    network: LocalNetwork,
    cast: Cast,
    nothing_moves: None,
    amount: Any,
    kind: type[DtnError],
    message: str,
) -> None:
    refused(kind, lambda: DtnSession.start(amount, cast.customer, network.ai), message)


def test_a_deposit_of_more_than_the_account_has(
    network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    err = refused(
        InsufficientFunds,
        lambda: DtnSession.start("1000.000001", cast.customer, network.ai),
        f"Insufficient funds: {cast.customer.address} has 1000.00 USDT, "
        "and 1000.000001 USDT is needed.",
    )

    assert (str(err.available), str(err.required)) == ("1000.00 USDT", "1000.000001 USDT")


# Sessions.


@pytest.mark.parametrize("operation", ["load", "close", "request", "draft", "balance", "owner"])
def test_an_unknown_session(
    network: LocalNetwork, cast: Cast, nothing_moves: None, operation: str
) -> None:
    session = DtnSession(network.ai, UNKNOWN, cast.customer)
    attempts: dict[str, Callable[[], Any]] = {
        "load": lambda: DtnSession.load(UNKNOWN, ai=network.ai),
        "close": session.close,
        "request": lambda: session.request("Hello?"),
        "draft": lambda: session.draft("Hello?"),
        "balance": lambda: session.balance,
        "owner": lambda: session.owner,
    }

    err = refused(SessionNotFound, attempts[operation], f"Session {UNKNOWN} not found.")

    assert err.session_id == UNKNOWN


@pytest.mark.parametrize("session_id", [0, -1, 2**256])
def test_a_session_id_out_of_range(
    network: LocalNetwork, nothing_moves: None, session_id: int
) -> None:
    refused(
        SessionNotFound,
        lambda: DtnSession.load(session_id, ai=network.ai),
        f"Session {session_id} not found.",
    )


@pytest.mark.parametrize("operation", ["close", "request"])
def test_a_session_of_another_account(
    funded: DtnSession, cast: Cast, nothing_moves: None, operation: str
) -> None:
    attempts: dict[str, Callable[[], Any]] = {
        "close": lambda: funded.close(cast.stranger),
        "request": lambda: funded.request("Hello?", account=cast.stranger),
    }

    err = refused(
        NotSessionOwner,
        attempts[operation],
        f"Session {funded.id} belongs to {cast.customer.address}, not to {cast.stranger.address}.",
    )

    assert (err.owner, err.caller) == (cast.customer.address, cast.stranger.address)


@pytest.mark.parametrize("operation", ["close", "request", "load"])
def test_a_closed_session(closed: DtnSession, nothing_moves: None, operation: str) -> None:
    attempts: dict[str, Callable[[], Any]] = {
        "close": closed.close,
        "request": lambda: closed.request("Hello?"),
        "load": lambda: DtnSession.load(closed.id, ai=closed.ai),
    }

    refused(SessionAlreadyClosed, attempts[operation], f"Session {closed.id} is already closed.")


@pytest.mark.parametrize("operation", ["close", "request", "draft"])
def test_no_account_to_sign(funded: DtnSession, nothing_moves: None, operation: str) -> None:
    nobodys = DtnSession.load(funded.id, ai=funded.ai)
    attempts: dict[str, Callable[[], Any]] = {
        "close": nobodys.close,
        "request": lambda: nobodys.request("Hello?"),
        "draft": lambda: nobodys.draft("Hello?"),
    }

    refused(
        NoAccount,
        attempts[operation],
        "No account was given to sign the transaction.",
    )


# Requests.


@pytest.mark.parametrize("prompt", ["", "  \n", [], ["", " "]])
def test_an_empty_prompt(funded: DtnSession, nothing_moves: None, prompt: Any) -> None:
    refused(
        EmptyPrompt,
        lambda: funded.request(prompt),
        "The prompt is empty. It would cost money and have no useful answer.",
    )


def test_an_unknown_model(funded: DtnSession, nothing_moves: None) -> None:
    name = "model.nobody.nothing"

    refused(
        ModelNotFound,
        lambda: funded.request("Hello?", model=name),
        f"Model {name} is not registered on this network.",
    )


def test_an_unknown_node(funded: DtnSession, nothing_moves: None) -> None:
    name = "node.nobody.nothing"

    refused(
        NodeNotFound,
        lambda: funded.request("Hello?", nodes=[NODE, name]),
        f"Node {name} is not registered on this network.",
    )


@pytest.mark.parametrize(
    ("options", "kind", "name"),
    [
        ({"model": "gpt-5"}, "model", "gpt-5"),
        ({"nodes": ["local.echo"]}, "node", "local.echo"),
        ({"nodes": [IMAGE]}, "node", IMAGE),
    ],
)
def test_invalid_names(
    funded: DtnSession, nothing_moves: None, options: Any, kind: str, name: str
) -> None:
    with pytest.raises(InvalidName, match=f"'{name}' is not a valid {kind} name"):
        funded.request("Hello?", **options)


@pytest.fixture
def switched_off(network: LocalNetwork, cast: Cast) -> None:
    manager, node_id = network.ai.contracts().node_manager, network.node.id
    switch_off = contract_call(manager, NodeManager.set_node_status, node_id, False)
    transactions.send(network.ai.provider, cast.owner, switch_off, reverts.NO_CONTEXT)


def test_an_inactive_node(funded: DtnSession, switched_off: None, nothing_moves: None) -> None:
    refused(
        NodeUnavailable,
        lambda: funded.request("Hello?", nodes=[NODE]),
        f"Node {NODE} cannot answer: it is inactive.",
    )


def test_no_active_node(funded: DtnSession, switched_off: None, nothing_moves: None) -> None:
    refused(
        NodeNotFound,
        lambda: funded.request("Hello?"),
        "No active node serves model.system.openai-gpt-5-nano: nobody could answer.",
    )


def test_a_node_that_does_not_serve_the_model(funded: DtnSession, nothing_moves: None) -> None:
    refused(
        NodeUnavailable,
        lambda: funded.request("A cat", 64, 64, model=IMAGE, nodes=[NODE]),
        f"Node {NODE} cannot answer: it does not serve {IMAGE}.",
    )


def test_a_model_that_no_node_serves(funded: DtnSession, nothing_moves: None) -> None:
    refused(
        NodeNotFound,
        lambda: funded.request("A cat", 64, 64, model=IMAGE),
        f"No active node serves {IMAGE}: nobody could answer.",
    )


def test_a_model_with_more_inputs_than_a_prompt(
    network: LocalNetwork, funded: DtnSession, cast: Cast, nothing_moves: None
) -> None:
    ai = network.ai
    serve = contract_call(
        ai.contracts().node_manager,
        NodeManager.set_node_models,
        network.node.id,
        [ai.model(IMAGE).id],
    )
    transactions.send(ai.provider, cast.owner, serve, reverts.NO_CONTEXT)

    refused(
        InvalidCall,
        lambda: funded.request("A cat", model=IMAGE),
        "The inputs do not fit 'string[], uint64, uint64 -> bytes': "
        "it takes 3 (prompt, width, height), and 1 are given.",
    )


def test_a_max_cost_above_the_balance(funded: DtnSession, nothing_moves: None) -> None:
    refused(
        InsufficientFunds,
        lambda: funded.request("Hello?", max_cost="25.000001"),
        f"Insufficient funds: session {funded.id} has 25.00 USDT, and 25.000001 USDT is needed.",
    )


@pytest.mark.parametrize("option", ["fee_per_byte", "max_cost"])
@pytest.mark.parametrize(
    ("amount", "kind"),
    [
        ("-1", InvalidAmount),
        ("1e-5", InvalidAmount),
        ("0.0000001", TooManyDecimals),
        ("1 DAI", WrongToken),
        (0.1, InvalidAmount),
        (10, InvalidAmount),
    ],
)
def test_invalid_prices(
    funded: DtnSession, nothing_moves: None, option: str, amount: Any, kind: type[DtnError]
) -> None:
    options: Any = {option: amount}

    with pytest.raises(kind):
        funded.request("Hello?", **options)


def test_a_max_cost_of_zero(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(InvalidAmount, match="more than zero"):
        funded.request("Hello?", max_cost="0")


def test_an_unknown_request(network: LocalNetwork, nothing_moves: None) -> None:
    request_id = "0x" + "5e" * 32

    refused(
        RequestNotFound,
        lambda: DtnRequest.load(request_id, network.ai),
        f"Request {request_id} not found.",
    )


def test_an_invalid_request_id(network: LocalNetwork, nothing_moves: None) -> None:
    with pytest.raises(InvalidName, match="'7' is not a valid request name"):
        DtnRequest.load("7", network.ai)


# Networks.


def test_the_router_of_another_network(nothing_moves: None) -> None:
    router = PUBLIC[8453].router

    err = refused(
        WrongChain,
        lambda: DtnAi(router),
        "Connected to chain 31337, not to chain 8453: "
        f"{router} is the router of chain 8453.",
    )  # fmt: skip

    assert (err.expected, err.actual) == (8453, 31337)


@pytest.mark.parametrize("operation", ["start", "claim", "list", "load", "models", "nodes"])
def test_no_code_where_the_router_should_be(
    cast: Cast, nothing_moves: None, operation: str
) -> None:
    ai = DtnAi(NOWHERE)
    attempts: dict[str, Callable[[], Any]] = {
        "start": lambda: DtnSession.start("1", cast.customer, ai),
        "claim": lambda: DtnSession.claim(cast.customer, ai),
        "list": lambda: DtnSession.list(cast.customer, ai),
        "load": lambda: DtnSession.load(1, ai=ai),
        "models": ai.models,
        "nodes": ai.nodes,
    }

    err = refused(
        NoContractAtAddress,
        attempts[operation],
        f"There is no router at {NOWHERE} on this chain.",
    )

    assert (err.address, err.expected) == (NOWHERE, "router")


def test_another_contract_where_the_router_should_be(
    network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    with pytest.raises(DtnError) as raised:
        DtnSession.start("1", cast.customer, DtnAi(network.token))

    assert raised.value.code in {"no_contract_at_address", "contract_reverted"}


def test_no_code_where_a_number_is_asked_for(network: LocalNetwork, cast: Cast) -> None:
    """Ape lets eth_abi decode 0 from empty data, which would pass for a balance of zero."""
    call = Call(NOWHERE, ERC20.balance_of, (str(cast.customer.address),), "fee token")

    refused(
        NoContractAtAddress,
        lambda: read_one(network.ai.provider, call),
        f"There is no fee token at {NOWHERE} on this chain.",
    )


def test_an_unknown_chain(nothing_moves: None) -> None:
    with own_anvil("--timestamp", "1700000000") as url, connected_to(url):
        err = refused(
            UnknownChain,
            DtnAi,
            "No router is known for chain 31337. "
            "Known are: base:mainnet (8453), ethereum:sepolia (11155111).",
        )

    assert err.chain_id == 31337


def test_a_chain_that_changed_during_the_connection(
    network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    provider = network.ai.provider
    rpc.result(provider, "anvil_setChainId", [1])
    try:
        refused(
            WrongChain,
            lambda: DtnSession.start("1", cast.customer, network.ai),
            "Connected to chain 1, not to chain 31337: "
            "the endpoint serves another chain than the selected network.",
        )
    finally:
        rpc.result(provider, "anvil_setChainId", [31337])


@pytest.mark.parametrize("operation", ["start", "close"])
def test_an_unreachable_chain(
    network: LocalNetwork, funded: DtnSession, cast: Cast, nothing_moves: None, operation: str
) -> None:
    proxy = RpcCounter(str(network.ai.provider.http_uri))
    with proxy, connected_to(f"{proxy.url}/v2/secret-key?token=secret") as provider:
        ai = DtnAi(network.ai.router, provider)
        theirs = DtnSession(ai, funded.id, cast.customer)
        attempts: dict[str, Callable[[], Any]] = {
            "start": lambda: DtnSession.start("1", cast.customer, ai),
            "close": theirs.close,
        }
        proxy.stop()

        with pytest.raises(ChainUnreachable) as raised:
            attempts[operation]()

    assert raised.value.endpoint == proxy.url
    assert raised.value.message.startswith(f"The chain's RPC at {proxy.url} did not answer")
    assert "secret" not in json.dumps(to_json(raised.value))


# Accounts.


@pytest.mark.parametrize("balance", [0, 10**9])
def test_an_account_that_cannot_pay_for_gas(
    network: LocalNetwork, cast: Cast, nothing_moves: None, balance: int
) -> None:
    account = cast.customer
    rpc.result(network.ai.provider, "anvil_setBalance", [str(account.address), hex(balance)])

    with pytest.raises(NoMoneyForGas) as raised:
        DtnSession.start("1", account, network.ai)

    assert raised.value.account == account.address
    assert raised.value.available.units == balance
    assert raised.value.message.startswith(f"Account {account.address} has {balance} wei")


@pytest.fixture
def careful(cast: Cast, tmp_path: Path) -> KeyfileAccount:
    """The customer's account as a key file, which prompts before it signs."""
    key = tmp_path / "careful.json"
    encrypted = Account.encrypt(cast.customer.private_key, "open sesame", "pbkdf2", 1000)
    key.write_text(json.dumps(encrypted))
    account = KeyfileAccount(keyfile_path=key)
    account.unlock("open sesame")
    assert account.address == cast.customer.address
    return account


@pytest.mark.parametrize("said", ["n\n", "y\nn\n"], ids=["at once", "when asked again"])
def test_an_account_that_declines_to_sign(
    network: LocalNetwork,
    careful: KeyfileAccount,
    nothing_moves: None,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    """Nothing is sent before everything is signed: no deposit without a start."""
    monkeypatch.setattr("sys.stdin", io.StringIO(said))

    refused(
        SigningDeclined,
        lambda: DtnSession.start("1", careful, network.ai),
        f"Account {careful.address} did not sign. Nothing was sent.",
    )
