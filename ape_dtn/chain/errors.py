"""Errors of the chain and of its endpoint."""

from __future__ import annotations

from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import UNKNOWN_OUTCOME, DtnError, NoNetwork, Refused

# Not every chain's currency has a name here, but its smallest unit has.
WEI = Token("0x0000000000000000000000000000000000000000", "wei", 0)


class NotConnected(NoNetwork):
    """Ape is not connected to any network."""

    def __init__(self) -> None:
        super().__init__("Ape is not connected to a network.")
        self.hint = "Connect: `with networks.parse_network_choice('base:mainnet:node'):`."


class ChainUnreachable(NoNetwork):
    """The node of the chain did not answer, or answered something that is no JSON-RPC."""

    endpoint: str
    reason: str

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC at {endpoint} did not answer: {reason}",
            endpoint=endpoint,
            reason=reason,
        )
        self.hint = "Check the address of the endpoint in ape-config.yaml, then try again."


class RpcRefused(NoNetwork):
    """The node of the chain refused a request that is not about a contract."""

    method: str
    reason: str

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC refused {method}: {reason}", method=method, reason=reason
        )


class TransactionRefused(RpcRefused):
    """The node of the chain did not take a transaction that is signed.

    It can still be mined: another node may have it, or this one may have taken it all the same.
    """

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    transaction: str | None

    def __init__(self, method: str, reason: str, transaction: str | None = None) -> None:
        super().__init__(method, reason)
        self.transaction = self.fields["transaction"] = transaction
        if transaction is not None:
            self.hint = (
                f"Transaction {transaction} is signed and may still be mined: look it up before "
                "you repeat the call."
            )


class WrongChain(NoNetwork):
    """The connected chain is not the one that was meant."""

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
    """The test fixtures deploy a network, and the connected chain is not one's own."""

    network: str

    def __init__(self, network: str) -> None:
        super().__init__(
            f"The fixtures deploy a network of their own, and {network} is no local chain.",
            network=network,
        )
        self.hint = "Run the tests on a local network, such as ethereum:local:foundry."


class NoContractAtAddress(NoNetwork):
    """There is no code at an address, or none that answers as the contract would."""

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
    """A contract reverted for a reason that has no class of its own; see ``revert``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The contract reverted: {reason}", reason=reason)


class NoMoneyForGas(Refused):
    """The account's coin does not cover a transaction's value and gas."""

    account: str
    required: Amount
    available: Amount

    def __init__(self, account: str, required: int, available: int) -> None:
        super().__init__(
            f"Account {account} has {available} wei, and the transaction may cost {required} wei.",
            account=account,
            required=WEI.units(required),
            available=WEI.units(available),
        )


class SigningDeclined(Refused):
    """The account did not sign, and nothing was sent for want of it."""

    def __init__(self, account: str, what: str | None = None) -> None:
        signed = f" {what}" if what else ""
        sent = "" if what else " Nothing was sent."
        super().__init__(f"Account {account} did not sign{signed}.{sent}", account=account)
        if what:
            self.hint = (
                "Ape asks for this signature on a terminal only. Without one, pass another method."
            )


class OwnersMissing(Refused):
    """A Safe wants the signatures of more owners than there are accounts of. Nothing was sent."""

    safe: str
    required: int
    available: list[str]

    def __init__(self, safe: str, required: int, available: list[str]) -> None:
        super().__init__(
            f"Safe {safe} wants {required} of its owners to sign, and the accounts of "
            f"{len(available)} are here. Nothing was signed, proposed or sent.",
            safe=safe,
            required=required,
            available=available,
        )
        self.hint = "Add the accounts of more of its owners: `ape accounts import ALIAS`."


class PartlySent(DtnError):
    """Of transactions that belong together only the first ones could be sent."""

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    sent: list[str]

    def __init__(self, sent: list[str], reason: str) -> None:
        super().__init__(
            f"Sent was {', '.join(sent)}, and what belongs to it was not: {reason}", sent=sent
        )
        self.hint = "What was sent may be mined: look it up before you repeat the call."


class TransactionPending(DtnError):
    """A transaction was sent, and it is not known yet what became of it."""

    exit_code = UNKNOWN_OUTCOME
    is_resumable = False  # True for transactions that the journal has
    transactions: list[str]

    def __init__(self, *transactions: str) -> None:
        super().__init__(
            f"Sent, and not known to be confirmed yet: transaction {', '.join(transactions)}.",
            transactions=list(transactions),
        )
        self.hint = "It may still be mined: look it up before you repeat the call."
