"""Clients and delegates: their addresses, creation and signatures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.chain import rpc, transactions
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import DtnError
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, Client, Router, SessionManager
from ape_dtn.types.abi import Error, Event, Function, Log
from ape_dtn.types.rpc import as_bytes, as_int
from ape_dtn.types.transactions import Receipt, Transaction

from .conftest import Ask, Net, address, pay_in

# On Base, Sepolia, Anvil and most other chains: salt and creation code in, a contract out.
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
SALT = b"\0" * 32

APPROVE = Function("approve(address,uint256)")
ALLOWANCE = Function("allowance(address,address)", "uint256")
PERMIT = Function("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")
RECEIVE_AUTHORIZED = Function(
    "receiveWithAuthorization"
    "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
BEHAVE = Function("behave(uint8,address)")
FAITHFUL, TAXED, REFUSING, PRETENDING = range(4)

PART = "(address,uint256,bytes)[]"
REHEARSE = Function(f"rehearse({PART},bool)")
ACT = Function(f"act({PART})")
PLAYED = Event("Played(address indexed caller, bool ok, bytes data)")

BLACKLIST = Function("blacklist(address)")

FOREVER = 2**48
NONCE = b"\x07" * 32
NO_SIGNATURE = (27, b"\0" * 32, b"\0" * 32)


# Where they are.


def created_at(code: bytes) -> str:
    """Address of a contract that the deployment proxy creates (EIP-1014)."""
    deployer = bytes.fromhex(DEPLOYER[2:])
    return to_checksum_address(keccak(b"\xff" + deployer + SALT + keccak(code))[12:])


IMPLEMENTATION_CODE = artifacts.creation_code("DtnClient")
DELEGATE_CODE = artifacts.creation_code("DtnDelegate")
IMPLEMENTATION = created_at(IMPLEMENTATION_CODE)
DELEGATE = created_at(DELEGATE_CODE)


def runtime_code(owner: str) -> bytes:
    """Code of a client: runs the implementation, and ends with the owner."""
    before, after = "363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3"
    return bytes.fromhex(before + IMPLEMENTATION[2:] + after + owner[2:])


def client_code(owner: str) -> bytes:
    """Creation code of the client of an owner."""
    runtime = runtime_code(owner)
    return bytes.fromhex(f"61{len(runtime):04x}3d81600a3d39f3") + runtime


def client_address(owner: str) -> str:
    """Address of the client of an owner, also before it is created."""
    return created_at(client_code(owner))


def create(net: Net, account: Any, code: bytes) -> Receipt:
    """Creates a contract through the deployment proxy, sent by any account."""
    transaction = Transaction(DEPLOYER, SALT + code)
    return transactions.send(net.provider, account, transaction, reverts.NO_CONTEXT)


def code_at(net: Net, contract: str) -> bytes:
    return bytes(as_bytes(rpc.result(net.provider, "eth_getCode", [contract, "latest"])))


# What is signed.


@dataclass(frozen=True)
class Signature:
    v: int
    r: bytes
    s: bytes

    @property
    def arguments(self) -> tuple[int, bytes, bytes]:
        return (self.v, self.r, self.s)

    @property
    def packed(self) -> bytes:
        return self.r + self.s + bytes([self.v])


def sign(account: Any, message: Any) -> Signature:
    signed = account.sign_message(message)
    return Signature(signed.v, *(bytes(part).rjust(32, b"\0") for part in (signed.r, signed.s)))


def sign_for_token(net: Net, signer: Any, kind: str, fields: str, *values: Any) -> Signature:
    """Signature for a fee token like USDC."""
    declared = [
        dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")
    ]
    domain = {
        "name": "Test USD Coin",
        "version": "2",
        "chainId": net.provider.chain_id,
        "verifyingContract": net.contracts.fee_token,
    }
    message = dict(zip((field["name"] for field in declared), values, strict=True))
    return sign(signer, encode_typed_data(domain, {kind: declared}, message))


def sign_permit(
    net: Net, signer: Any, spender: str, units: int, deadline: int = FOREVER, owner: Any = None
) -> Signature:
    """EIP-2612 permit with the account's next nonce."""
    of = address(owner or signer)
    nonce = net.read(net.contracts.fee_token, Function("nonces(address)", "uint256"), of)
    fields = "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"
    return sign_for_token(net, signer, "Permit", fields, of, spender, units, nonce, deadline)


def sign_authorization(
    net: Net, signer: Any, payee: str, units: int, nonce: bytes, before: int = FOREVER
) -> Signature:
    """EIP-3009 authorization that only its payee can use, valid from now on."""
    fields = (
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    )
    values = (address(signer), payee, units, 0, before, nonce)
    return sign_for_token(net, signer, "ReceiveWithAuthorization", fields, *values)


def sign_delegation(net: Net, signer: Any, nonce: int, to: str = DELEGATE) -> Any:
    """EIP-7702 authorization of an account to run this code."""
    authorization = {"chainId": net.provider.chain_id, "address": to, "nonce": nonce}
    return Account.from_key(signer.private_key).sign_authorization(authorization)


def send_with_delegations(
    net: Net, sender: Any, to: str, data: bytes, *delegations: Any, gas: int = 2_000_000
) -> Any:
    """Sends a transaction of type 4 and returns its receipt."""
    transaction = {
        "type": 4,
        "chainId": net.provider.chain_id,
        "nonce": nonce_of(net, sender),
        "to": to,
        "data": "0x" + data.hex(),
        "value": 0,
        "gas": gas,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 0,
        "accessList": [],
        "authorizationList": list(delegations),
    }
    signed = Account.from_key(sender.private_key).sign_transaction(transaction)
    raw = "0x" + bytes(signed.raw_transaction).hex()
    sent = rpc.result(net.provider, "eth_sendRawTransaction", [raw])
    deadline = time.monotonic() + 60
    while not (receipt := rpc.result(net.provider, "eth_getTransactionReceipt", [sent])):
        assert time.monotonic() < deadline, "the transaction is not mined"
        time.sleep(0.02)
    return receipt


def set_delegate(net: Net, account: Any, to: str = DELEGATE) -> None:
    """Delegates an account to this code, or ends it for the zero address."""
    delegation = sign_delegation(net, account, nonce_of(net, account) + 1, to)
    send_with_delegations(net, account, address(account), b"", delegation)


def nonce_of(net: Net, account: Any) -> int:
    params = [address(account), "latest"]
    return as_int(rpc.result(net.provider, "eth_getTransactionCount", params))


# Reverts, and the contents of receipts.


REASON = Error("Error(string reason)")


def error_data(error: Error | str, *values: Any) -> bytes:
    """Revert data of a custom error or of a reason."""
    if isinstance(error, str):
        return error_data(REASON, error)
    return error.selector + encode([kind for kind, _, _ in error.fields], values)


@contextmanager
def reverted(error: Error | str, *values: Any) -> Iterator[None]:
    """Passes if a contract reverts with exactly this."""
    with pytest.raises(DtnError) as raised:
        yield
    assert raised.value.revert is not None, raised.value
    expected = error_data(error, *values).hex()
    assert raised.value.revert.data.hex() == expected, str(raised.value.revert)


def started(receipt: Receipt) -> int:
    """Session that a transaction started."""
    (opened,) = SessionManager.session_started.find(receipt.logs)
    return int(opened["sessionId"])


def requested(logs: Sequence[Log]) -> list[dict[str, Any]]:
    """Events of the requests in these logs."""
    return Router.request_created.find(logs)


def played(receipt: Receipt) -> list[tuple[str, bool, str]]:
    """Scripted calls that were made: caller, success and data."""
    found = PLAYED.find(receipt.logs)
    return [(call["caller"], call["ok"], call["data"].hex()) for call in found]


# What is done with them.


class Owned:
    """Contract that owns sessions for an owner: a client, or an account with the delegate."""

    def __init__(self, net: Net, at: str, owner: Any) -> None:
        self.net, self.address, self.owner = net, at, owner

    def call(self, function: Function, *args: Any, by: Any = None, **options: Any) -> Receipt:
        return self.net.send(by or self.owner, self.address, function, *args, **options)

    def read(self, function: Function, *args: Any) -> Any:
        return self.net.read(self.address, function, *args)

    def approve(self, units: int) -> None:
        """Sets its allowance for the owner's tokens."""
        self.net.send(self.owner, self.net.contracts.fee_token, APPROVE, self.address, units)

    def start(self, units: int) -> int:
        return started(self.call(Client.start, self.net.router, units))

    def ask(self, session_id: int, **changes: Any) -> bytes:
        """Sends one request and returns its id, by its event."""
        ask = Ask(**changes)
        value = ask.callback_gas if ask.value is None else ask.value
        receipt = self.call(Client.request, *self.one(session_id, ask), value=value)
        (created,) = requested(receipt.logs)
        return bytes(created["requestId"])

    def ask_many(self, session_id: int, *asks: Ask) -> list[bytes]:
        """Sends a batch and returns the ids in order."""
        value = sum(ask.callback_gas for ask in asks)
        receipt = self.call(Client.request_many, *self.many(session_id, *asks), value=value)
        return [event["requestId"] for event in requested(receipt.logs)]

    def close(self, session_id: int) -> Receipt:
        return self.call(Client.close, self.net.router, session_id)

    def one(self, session_id: int, ask: Ask) -> tuple[Any, ...]:
        """Arguments of ``request``."""
        session, model, routing, asked, callback, _, gas = ask.arguments(session_id)
        return (self.net.router, session, model, routing, asked, callback, gas)

    def many(self, session_id: int, *asks: Ask) -> tuple[Any, ...]:
        """Arguments of ``requestMany``; all requests have the options of the first."""
        router, session, model, routing, _, callback, gas = self.one(session_id, asks[0])
        asked = [self.one(session_id, ask)[4] for ask in asks]
        return (router, session, model, routing, asked, callback, gas)


class ScriptedContract:
    """A contract that makes scripted calls, on request and whenever it is called."""

    def __init__(self, net: Net, project: Any) -> None:
        self.net = net
        self.address = str(project.ScriptedContract.deploy(sender=net.cast.owner).address)

    def rehearse(self, *part: tuple[str, Function, tuple[Any, ...]], insists: bool = False) -> None:
        self.net.send(self.net.cast.stranger, self.address, REHEARSE, self._calls(part), insists)

    def act(self, *part: tuple[str, Function, tuple[Any, ...]]) -> Any:
        return self.net.send(self.net.cast.stranger, self.address, ACT, self._calls(part))

    def _calls(self, part: Any) -> list[tuple[str, int, bytes]]:
        return [(to, 0, function.encode(*args)) for to, function, args in part]


def new_client(net: Net, owner: Any, creator: Any = None) -> Owned:
    """Creates the client of an owner."""
    create(net, creator or owner, client_code(address(owner)))
    return Owned(net, client_address(address(owner)), owner)


def pay_with(net: Net, variant: Variant, token: str) -> str:
    """Makes this the fee token. Customer and stranger get 1,000 tokens."""
    pay_in(net, variant, token)
    for account in (net.cast.customer, net.cast.stranger):
        net.fund(account, 1_000_000_000)
    return token


def give(net: Net, account: Any, to: str, wei: int) -> None:
    transactions.send(net.provider, account, Transaction(to, b"", wei))


def decoded(error: Error, data: bytes) -> list[Any]:
    assert data[:4] == error.selector
    return list(error.decode(data[4:]).values())


# The functions that only the owner of a client may call.
CHANGES = [
    "start",
    "startWithPermit",
    "startWithAuthorization",
    "startFromHere",
    "request",
    "requestMany",
    "close",
    "closeMany",
    "closeTo",
    "sweep",
    "sweepTo",
    "execute",
]


each_change = pytest.mark.parametrize("change", CHANGES)


def every_change(client: Owned) -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """A call of each function that is not a view."""
    router, token = client.net.router, client.net.contracts.fee_token
    ask = Ask()
    return {
        "start": (Client.start, (router, 1)),
        "startWithPermit": (Client.start_with_permit, (router, 1, FOREVER, *NO_SIGNATURE)),
        "startWithAuthorization": (
            Client.start_with_authorization,
            (router, 1, 0, FOREVER, NONCE, *NO_SIGNATURE),
        ),
        "startFromHere": (Client.start_from_here, (router, 1)),
        "request": (Client.request, client.one(1, ask)),
        "requestMany": (Client.request_many, client.many(1, ask, ask)),
        "close": (Client.close, (router, 1)),
        "closeMany": (Client.close_many, (router, [1])),
        "closeTo": (Client.close_to, (router, [1], client.net.cast.stranger.address)),
        "sweep": (Client.sweep, (token,)),
        "sweepTo": (Client.sweep_to, (token, client.net.cast.stranger.address, 1)),
        "execute": (
            Client.execute,
            (token, 0, ERC20.transfer.encode(client.net.cast.stranger.address, 1)),
        ),
    }
