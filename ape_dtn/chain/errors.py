"""Errors of the chain and of its endpoint."""

from __future__ import annotations

from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import UNKNOWN_OUTCOME, DtnError, NoNetwork, Refused
from ape_dtn.types.rpc import Failure, Refusal

# Native currencies have different names, but the same smallest unit.
WEI = Token("0x0000000000000000000000000000000000000000", "wei", 0)


class NotConnected(NoNetwork):
    """Ape is not connected to any network."""

    def __init__(self) -> None:
        super().__init__("Ape is not connected to a network.")
        self.hint = "Connect: `with networks.parse_network_choice('base:mainnet:node'):`."


class ChainUnreachable(NoNetwork):
    """The RPC endpoint did not answer, or its answer is not JSON-RPC."""

    retryable = True
    endpoint: str
    reason: str
    retry_after: float | None = None

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC at {endpoint} did not answer: {reason}",
            endpoint=endpoint,
            reason=reason,
        )
        self.hint = "Check the address of the endpoint in ape-config.yaml, then try again."


class RpcRefused(NoNetwork):
    """The RPC endpoint refused a request, for a reason that is not a contract's.

    ``refusal`` is the kind of refusal, and ``retry_after`` the delay that the endpoint asks for, in
    seconds.
    """

    method: str
    reason: str
    refusal: Refusal = Refusal.REFUSED
    retry_after: float | None = None

    def __init__(self, method: str, reason: str, refusal: Refusal = Refusal.REFUSED) -> None:
        super().__init__(
            f"The chain's RPC refused {method}: {reason}", method=method, reason=reason
        )
        self.refusal = refusal
        self.retryable = refusal.is_passing
        self.hint = _HINTS.get(refusal)

    @classmethod
    def of(cls, failure: Failure) -> RpcRefused:
        """The error for a failed request."""
        error = cls(failure.method, failure.message, failure.refusal)
        error.retry_after = failure.retry_after
        return error


_HINTS = {
    Refusal.WAIT: "The endpoint is rate limited or busy: try again later.",
    Refusal.BEHIND: "The endpoint lags behind the chain: try again.",
    Refusal.PRUNED: "The endpoint has pruned these blocks: use an archive node.",
    Refusal.UNSUPPORTED: "The endpoint does not support this method: use another endpoint.",
    Refusal.DENIED: "Check the API key of the endpoint.",
}


class TransactionRefused(RpcRefused):
    """The endpoint rejected a signed transaction.

    It may still be mined: another node may have it, or the endpoint may have accepted it after all.
    """

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    transaction: str | None

    def __init__(self, method: str, reason: str, transaction: str | None = None) -> None:
        super().__init__(method, reason)
        self.retryable = False
        self.transaction = self.fields["transaction"] = transaction
        if transaction is not None:
            self.hint = (
                f"Transaction {transaction} is signed and may still be mined: look it up before "
                "you repeat the call."
            )


class WrongChain(NoNetwork):
    """The connected chain is not the expected one."""

    expected: int
    actual: int

    def __init__(self, expected: int, actual: int, reason: str) -> None:
        super().__init__(
            f"Connected to chain {actual}, not to chain {expected}: {reason}.",
            expected=expected,
            actual=actual,
        )
        self.hint = "Connect to the right network; that of Anvil is ethereum:local:foundry."


class NotLocal(NoNetwork):
    """The test fixtures deploy a network, and the connected chain is not a local one."""

    network: str

    def __init__(self, network: str) -> None:
        super().__init__(
            f"The fixtures deploy a network, and {network} is not a local chain.",
            network=network,
        )
        self.hint = "Run the tests on a local network, such as ethereum:local:foundry."


class NoContractAtAddress(NoNetwork):
    """No contract, or another contract, is at an address."""

    address: str
    expected: str

    def __init__(self, address: str, expected: str) -> None:
        super().__init__(
            f"There is no {expected} at {address} on this chain.",
            address=address,
            expected=expected,
        )
        self.hint = "Check the address and the network that Ape is connected to."


class ContractReverted(Refused):
    """A contract reverted for a reason without a class of its own; see ``revert``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The contract reverted: {reason}", reason=reason)


class NoMoneyForGas(Refused):
    """The account's native currency does not cover a transaction's value and gas."""

    account: str
    required: Amount
    available: Amount

    def __init__(self, account: str, required: int, available: int) -> None:
        super().__init__(
            f"Account {account} has {available} wei, and the transaction can cost {required} wei.",
            account=account,
            required=WEI.units(required),
            available=WEI.units(available),
        )


class GasTooExpensive(Refused):
    """The gas price, or the gas cost of an operation, exceeds its ceiling. Nothing was sent."""

    price: int
    ceiling: int
    chain_id: int

    def __init__(self, what: str, price: int, ceiling: int, chain_id: int) -> None:
        super().__init__(
            f"The endpoint's price for {what} is {price} wei. The ceiling on chain {chain_id} is "
            f"{ceiling} wei. Nothing was sent.",
            price=price,
            ceiling=ceiling,
            chain_id=chain_id,
        )
        self.hint = (
            "If gas is that expensive now, raise `gas_price_limit` or `gas_cost_limit` under "
            "`dtn:` in ape-config.yaml. If not, use another endpoint."
        )


class TransactionTooLarge(Refused):
    """A transaction needs more gas than the chain allows for one. Nothing was sent."""

    gas: int
    ceiling: int
    fitting_bytes: int

    def __init__(self, gas: int, ceiling: int, size: int) -> None:
        fitting = size * ceiling // max(gas, 1)
        super().__init__(
            f"The transaction needs {gas} gas, and the limit is {ceiling}: about {fitting} of its "
            f"{size} bytes fit. Nothing was sent.",
            gas=gas,
            ceiling=ceiling,
            fitting_bytes=fitting,
        )
        self.hint = "Split it into several transactions, or use IPFS for long content."


class SigningDeclined(Refused):
    """The account did not sign. Nothing that needs this signature was sent."""

    def __init__(self, account: str, what: str | None = None, reason: str | None = None) -> None:
        signed = f" {what}" if what else ""
        why = f": {reason}" if reason else ""
        sent = "" if what else " Nothing was sent."
        super().__init__(f"Account {account} did not sign{signed}{why}.{sent}", account=account)
        if what:
            self.hint = (
                "Ape asks for this signature on a terminal only, and not every device signs it. "
                "Without it, pass another method, such as 'allowance'."
            )


class OwnersMissing(Refused):
    """Ape has the accounts of too few owners of a Safe. Nothing was sent."""

    safe: str
    required: int
    available: list[str]

    def __init__(self, safe: str, required: int, available: list[str]) -> None:
        super().__init__(
            f"Safe {safe} needs the signatures of {required} owners, and Ape has the accounts of "
            f"{len(available)}. Nothing was signed, proposed or sent.",
            safe=safe,
            required=required,
            available=available,
        )
        self.hint = "Add the accounts of more of its owners: `ape accounts import ALIAS`."


class PartlySent(DtnError):
    """Only the first of several related transactions could be sent."""

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    sent: list[str]

    def __init__(self, sent: list[str], reason: str) -> None:
        super().__init__(
            f"Sent {', '.join(sent)}, but not the transactions that follow: {reason}", sent=sent
        )
        self.hint = "What was sent may be mined: look it up before you repeat the call."


class TransactionPending(DtnError):
    """A transaction was sent, and its outcome is not known yet."""

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    transactions: list[str]

    def __init__(self, *transactions: str) -> None:
        super().__init__(
            f"Sent, but not confirmed yet: transaction {', '.join(transactions)}.",
            transactions=list(transactions),
        )
        self.hint = "It may still be mined: look it up before you repeat the call."
