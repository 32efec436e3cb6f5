"""A fork of the connected chain for one rehearsal.

The fork is a separate Anvil that reads missing state from the chain's endpoint, and sends it no
transactions. Ape's in-process chain cannot be forked: it is used directly, and reverted afterwards.
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
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import Failure, as_bytes, as_int
from ape_dtn.types.transactions import Receipt, Transaction

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# The wei that an account needs for gas.
GAS_FUNDS = 10**19

# Any account can send without a key. Anvil caches nothing: its cache is by chain id, and another
# local chain may have the same id.
OPTIONS = ("--auto-impersonate", "--no-storage-caching")


class RedactingProvider(HTTPProvider):
    """An HTTP provider that hides secrets in error messages.

    When Anvil fails to read from the chain's endpoint, its error shows the endpoint's URL, which
    may contain an API key.
    """

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Send one request."""
        response = super().make_request(method, params)
        _hide_secrets(response)
        return response

    def make_batch_request(self, batch: Any) -> Any:
        """Send several requests in one HTTP request."""
        responses = super().make_batch_request(batch)
        for response in responses if isinstance(responses, list) else [responses]:
            _hide_secrets(response)
        return responses


def _hide_secrets(response: Any) -> None:
    error = response.get("error") if isinstance(response, dict) else None
    if isinstance(error, dict):
        error["message"] = hide_secrets(str(error.get("message", "")))


class ForkProvider(Web3Provider):
    """A connection to the fork that has the network name of the original.

    Ape's own providers would connect to the URL in the environment, which may be the original.
    """

    def connect(self) -> None:
        """Connect to the URL in the provider settings."""
        # One request to the fork may need many requests to the chain's endpoint.
        kwargs = {"timeout": POLICY.fork_answer}
        self._web3 = Web3(RedactingProvider(self.provider_settings["url"], request_kwargs=kwargs))

    def disconnect(self) -> None:
        """Drop the connection."""
        self._web3 = None


@dataclass(frozen=True)
class Mined:
    """A transaction in a block of the fork. ``failure`` is why it reverted, if it did."""

    receipt: Receipt
    failure: DtnError | None


@dataclass(frozen=True)
class Fork:
    """The fork. ``has_traces`` is False for the in-process chain, which cannot trace."""

    provider: ProviderAPI
    has_traces: bool

    @property
    def block(self) -> int:
        """The number of the latest block."""
        return as_int(rpc.result(self.provider, "eth_blockNumber", []))

    def send(
        self,
        sender: str,
        transaction: Transaction,
        context: reverts.ErrorContext = reverts.NO_CONTEXT,
    ) -> Mined:
        """Send a transaction from any account, and wait until it is mined.

        Raises:
            DtnError: Its gas estimate reverts. It was not sent.
            NoMoneyForGas: The sender cannot pay for the value and the gas. It was not sent.
            CannotFork: The in-process chain does not have the sender's key.
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
            raise reverts.failure_error(estimate, context)
        else:
            gas = transaction.limit_for(as_int(estimate))
        if transaction.value + gas * price > balance:
            raise NoMoneyForGas(sender, transaction.value + gas * price, balance)
        request = {**call, "gas": hex(gas), "gasPrice": hex(price)}
        (sent,) = rpc.ask(self.provider, [("eth_sendTransaction", [request])])
        if isinstance(sent, Failure):
            if sent.data is not None:  # the in-process chain mines no failing transaction
                raise reverts.failure_error(sent, context)
            raise RpcRefused(sent.method, sent.message)
        return self._mined("0x" + as_bytes(sent).hex(), {**call, "gas": hex(gas)}, context)

    def fund(self, account: str) -> None:
        """Make sure that an account can pay for gas."""
        balance = as_int(rpc.result(self.provider, "eth_getBalance", [account, "latest"]))
        if balance >= GAS_FUNDS:
            return
        if self.has_traces:
            rpc.result(self.provider, "anvil_setBalance", [account, hex(GAS_FUNDS)])
            return
        # Create a contract that self-destructs in favour of the account, which cannot refuse that.
        (rich, *_) = rpc.result(self.provider, "eth_accounts", [])
        code = bytes.fromhex(f"73{account[2:]}ff")
        self.send(str(rich), Transaction(None, code, GAS_FUNDS))

    def trace(self, transaction: str) -> dict[str, Any]:
        """Return the outermost call of a transaction with all its calls (geth's callTracer)."""
        tracer = {"tracer": "callTracer"}
        frame: dict[str, Any] = rpc.result(
            self.provider, "debug_traceTransaction", [transaction, tracer]
        )
        return frame

    def changes(self, transaction: str) -> dict[str, Any]:
        """Return ``pre`` and ``post`` state by address (geth's prestateTracer, diff mode)."""
        tracer = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        states: dict[str, Any] = rpc.result(
            self.provider, "debug_traceTransaction", [transaction, tracer]
        )
        return states

    def _check_can_send(self, sender: str) -> None:
        if self.has_traces:
            return
        accounts = rpc.result(self.provider, "eth_accounts", [])
        if sender.lower() not in [str(account).lower() for account in accounts]:
            raise CannotFork(f"the in-process chain has no key of {sender}")

    def _mined(
        self, transaction: str, call: dict[str, Any], context: reverts.ErrorContext
    ) -> Mined:
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
            contract=to_checksum_address(created)
            if (created := raw.get("contractAddress"))
            else None,
        )
        succeeded = as_int(raw["status"]) == 1
        return Mined(receipt, None if succeeded else self._revert(receipt, call, context))

    def _revert(
        self, receipt: Receipt, call: dict[str, Any], context: reverts.ErrorContext
    ) -> DtnError:
        """Call a failed transaction again on the state before it, to get its revert."""
        before = hex(receipt.block_number - 1)
        (answer,) = rpc.ask(self.provider, [("eth_call", [call, before])])
        if not isinstance(answer, Failure):
            return ContractReverted("it gave no reason")
        if answer.data is None:  # for example, out of gas
            return ContractReverted(answer.message)
        return reverts.failure_error(answer, context)


@contextmanager
def forked(provider: ProviderAPI) -> Iterator[Fork]:
    """Fork a chain at its latest block, until the context ends.

    Raises:
        CannotFork: The chain is not connected over HTTP.
        AnvilMissing, AnvilFailed: Anvil is not installed, or cannot read from the chain.
    """
    if _is_in_process(provider):
        with _reverted(provider):
            yield Fork(provider, has_traces=False)
        return
    url = provider.http_uri
    if not url:
        raise CannotFork(f"{provider.name} is not connected over HTTP")
    with anvil.running(anvil.free_port(), "--fork-url", url, *OPTIONS) as chain:
        connection = ForkProvider(
            name="rehearsal", network=provider.network, provider_settings={"url": chain.url}
        )
        connection.connect()
        # Blocks with the same timestamp would share request ids.
        rpc.result(connection, "anvil_setBlockTimestampInterval", [1])
        try:
            yield Fork(connection, has_traces=True)
        finally:
            connection.disconnect()


def _is_in_process(provider: ProviderAPI) -> bool:
    from web3.providers.eth_tester import EthereumTesterProvider

    web3 = getattr(provider, "web3", None)
    return web3 is not None and isinstance(web3.provider, EthereumTesterProvider)


@contextmanager
def _reverted(provider: Any) -> Iterator[None]:
    """Revert Ape's in-process chain when the context ends."""
    snapshot = provider.snapshot()
    try:
        yield
    finally:
        provider.restore(snapshot)
