"""A copy of the connected chain, that is changed in its place.

The copy is an Anvil of its own that reads from the chain's endpoint what it does not have, and
sends it nothing. Ape's in-process chain cannot be copied: it is changed itself, and set back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_ethereum.provider import Web3Provider
from eth_utils import to_checksum_address
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import ContractReverted, NoMoneyForGas, RpcRefused, TransactionPending
from ape_dtn.devnet import anvil
from ape_dtn.devnet.errors import CannotFork
from ape_dtn.network import reverts
from ape_dtn.types.errors import DtnError
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import Failure, as_bytes, as_int
from ape_dtn.types.transactions import Receipt, Transaction
from ape_dtn.types.waiting import POLICY, Deadline

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# What an account is given that has less, in wei.
PURSE = 10**19

# Anvil's options: any account sends, without a key; and nothing is kept of what it has read, since
# it would take another local chain of the same number for this one.
OPTIONS = ("--auto-impersonate", "--no-storage-caching")


class Discreet(HTTPProvider):
    """A connection whose errors hold no more of the chain's own endpoint than its host.

    What the copy cannot read from there, it tells with the whole URL, and keys stand in that.
    """

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Asks one thing."""
        response = super().make_request(method, params)
        _hide_secrets(response)
        return response

    def make_batch_request(self, batch: Any) -> Any:
        """Asks many things at once."""
        found = super().make_batch_request(batch)
        for each in found if isinstance(found, list) else [found]:
            _hide_secrets(each)
        return found


def _hide_secrets(response: Any) -> None:
    error = response.get("error") if isinstance(response, dict) else None
    if isinstance(error, dict):
        error["message"] = hide_secrets(str(error.get("message", "")))


class ForkProvider(Web3Provider):
    """A connection to the copy, under the name of the network that it was made from.

    Ape's own connect to where the environment says, which may be the chain itself.
    """

    def connect(self) -> None:
        """Connects to the URL in the settings."""
        # The copy may have to ask the chain's endpoint many times for one answer.
        kwargs = {"timeout": POLICY.fork_answer}
        self._web3 = Web3(Discreet(self.provider_settings["url"], request_kwargs=kwargs))

    def disconnect(self) -> None:
        """Leaves it."""
        self._web3 = None


@dataclass(frozen=True)
class Mined:
    """A transaction that is in a block of the copy.

    Attributes:
        receipt: Its receipt.
        failure: Why it failed; None where it did not.
    """

    receipt: Receipt
    failure: DtnError | None


@dataclass(frozen=True)
class Fork:
    """The copy.

    Attributes:
        provider: The connection to it.
        tells_traces: Whether it tells what a transaction did inside.
    """

    provider: ProviderAPI
    tells_traces: bool

    @property
    def block(self) -> int:
        """Its latest block."""
        return as_int(rpc.result(self.provider, "eth_blockNumber", []))

    def send(
        self,
        sender: str,
        transaction: Transaction,
        about: reverts.ErrorContext = reverts.NO_CONTEXT,
    ) -> Mined:
        """Sends a transaction as anybody, and waits until it is mined.

        Raises:
            DtnError: It would fail, by its estimate. It was not sent.
            NoMoneyForGas: The sender cannot pay for its value and gas. It was not sent.
            CannotFork: The in-process chain has no key of the sender's.
        """
        self._check_can_send(sender)
        call = transaction.as_call(sender)
        price, balance, estimate = rpc.ask(
            self.provider,
            [
                ("eth_gasPrice", []),
                ("eth_getBalance", [sender, "latest"]),
                ("eth_estimateGas", [call]),
            ],
        )
        price, balance = as_int(rpc.expect(price)), as_int(rpc.expect(balance))
        if transaction.value > balance:
            raise NoMoneyForGas(sender, transaction.value, balance)
        if transaction.gas_limit is not None:
            gas = transaction.gas_limit
        elif isinstance(estimate, Failure):
            raise reverts.failure_error(estimate, about)
        else:
            gas = transaction.limit_for(as_int(estimate))
        if transaction.value + gas * price > balance:
            raise NoMoneyForGas(sender, transaction.value + gas * price, balance)
        sending = {**call, "gas": hex(gas), "gasPrice": hex(price)}
        (sent,) = rpc.ask(self.provider, [("eth_sendTransaction", [sending])])
        if isinstance(sent, Failure):
            if sent.data is not None:  # the in-process chain mines nothing that fails
                raise reverts.failure_error(sent, about)
            raise RpcRefused(sent.method, sent.message)
        return self._mined("0x" + as_bytes(sent).hex(), {**call, "gas": hex(gas)}, about)

    def fund(self, account: str) -> None:
        """Sees to it that an account can pay for gas, which is no part of its rehearsal."""
        held = as_int(rpc.result(self.provider, "eth_getBalance", [account, "latest"]))
        if held >= PURSE:
            return
        if self.tells_traces:
            rpc.result(self.provider, "anvil_setBalance", [account, hex(PURSE)])
            return
        # A contract that gives all it has to the account, and is gone: no account can refuse that.
        (rich, *_) = rpc.result(self.provider, "eth_accounts", [])
        self.send(str(rich), Transaction(None, bytes.fromhex(f"73{account[2:]}ff"), PURSE))

    def trace(self, transaction: str) -> dict[str, Any]:
        """The outermost call of a transaction, with all that it called, as geth's tracer tells."""
        tracer = {"tracer": "callTracer"}
        found: dict[str, Any] = rpc.result(
            self.provider, "debug_traceTransaction", [transaction, tracer]
        )
        return found

    def changes(self, transaction: str) -> dict[str, Any]:
        """What a transaction changed: ``pre`` and ``post``, by address, as geth's tracer tells."""
        tracer = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        found: dict[str, Any] = rpc.result(
            self.provider, "debug_traceTransaction", [transaction, tracer]
        )
        return found

    def _check_can_send(self, sender: str) -> None:
        if self.tells_traces:
            return
        held = [str(each).lower() for each in rpc.result(self.provider, "eth_accounts", [])]
        if sender.lower() not in held:
            raise CannotFork(f"in this process, nobody can send as {sender}")

    def _mined(self, transaction: str, call: dict[str, Any], about: reverts.ErrorContext) -> Mined:
        deadline = Deadline(POLICY.fork_answer)
        while (
            raw := rpc.result(self.provider, "eth_getTransactionReceipt", [transaction])
        ) is None:
            if deadline.is_over:
                raise TransactionPending(transaction)
            deadline.sleep(POLICY.fork_poll)
        receipt = Receipt(
            transaction=transaction,
            block_number=as_int(raw["blockNumber"]),
            gas_used=as_int(raw["gasUsed"]),
            gas_price=as_int(raw.get("effectiveGasPrice") or 0),
            logs=tuple(reads.to_log(log) for log in raw["logs"]),
            contract=to_checksum_address(made) if (made := raw.get("contractAddress")) else None,
        )
        succeeded = as_int(raw["status"]) == 1
        return Mined(receipt, None if succeeded else self._why(receipt, call, about))

    def _why(self, receipt: Receipt, call: dict[str, Any], about: reverts.ErrorContext) -> DtnError:
        """What it failed by, by calling it once more on the state before."""
        before = hex(receipt.block_number - 1)
        (answer,) = rpc.ask(self.provider, [("eth_call", [call, before])])
        if not isinstance(answer, Failure):
            return ContractReverted("it gave no reason")
        if answer.data is None:  # such as running out of gas
            return ContractReverted(answer.message)
        return reverts.failure_error(answer, about)


@contextmanager
def forked(provider: ProviderAPI) -> Iterator[Fork]:
    """A copy of a chain as it is now, until the context ends. Nothing is sent to the chain itself.

    Raises:
        CannotFork: The connection to the chain is not one that Anvil can make.
        AnvilMissing, AnvilFailed: There is no Anvil, or it could not read from the chain.
    """
    if _is_in_process(provider):
        with _set_back(provider):
            yield Fork(provider, tells_traces=False)
        return
    url = provider.http_uri
    if not url:
        raise CannotFork(f"{provider.name} is not connected to it over HTTP")
    with anvil.running(anvil.free_port(), "--fork-url", url, *OPTIONS) as chain:
        copy = ForkProvider(
            name="rehearsal", network=provider.network, provider_settings={"url": chain.url}
        )
        copy.connect()
        # As on public chains: blocks of one second would share request ids.
        rpc.result(copy, "anvil_setBlockTimestampInterval", [1])
        try:
            yield Fork(copy, tells_traces=True)
        finally:
            copy.disconnect()


def _is_in_process(provider: ProviderAPI) -> bool:
    from web3.providers.eth_tester import EthereumTesterProvider

    web3 = getattr(provider, "web3", None)
    return web3 is not None and isinstance(web3.provider, EthereumTesterProvider)


@contextmanager
def _set_back(provider: Any) -> Iterator[None]:
    """Takes back what happens to Ape's in-process chain."""
    before = provider.snapshot()
    try:
        yield
    finally:
        provider.restore(before)
