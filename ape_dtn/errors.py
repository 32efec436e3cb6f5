"""Everything that can go wrong, one class a cause.

All of it descends from :class:`DtnError`, which descends from Ape's own root, so that the command
line prints it as a clean error. The same classes are raised on every behaviour of the network, for
what is refused before sending, for what fails at gas estimation and for what fails once mined.

``code`` names the cause for machines, ``exit_code`` is what ``ape dtn`` exits with, and ``hint``
says what mends it. Where a contract reverted, ``revert`` holds its decoded error and raw data.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from ape.exceptions import ApeException

if TYPE_CHECKING:
    from ape_dtn.amount import Amount
    from ape_dtn.chain.reverts import Revert
    from ape_dtn.chain.sends import Receipt

# Exit codes. 1 is left to what nobody foresaw, and 2 is also what click uses for wrong usage.
BAD_INPUT = 2
NO_NETWORK = 3
REFUSED = 4
NO_ANSWER_YET = 5
NODE_FAILED = 6
UNKNOWN_OUTCOME = 7


class DtnError(ApeException):
    """The root of all errors of this package."""

    exit_code: ClassVar[int] = 1
    hint: str | None = None
    revert: Revert | None = None
    # Of transactions that belong together, the receipts of those that succeeded before this.
    before: tuple[Receipt, ...] = ()

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.__dict__.update(fields)

    @property
    def code(self) -> str:
        """The cause, for machines: ``SessionNotFound`` becomes ``session_not_found``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data: code, message, hint, the typed fields and the revert."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            **self.fields,
            "revert": self.revert.as_dict() if self.revert else None,
        }


# What the user typed.


class BadInput(DtnError):
    """Something given is wrong in itself, whatever the chain holds."""

    exit_code = BAD_INPUT


class InvalidAmount(BadInput):
    """An amount that is no amount: zero, negative, not a number, or of a type that is ambiguous."""

    value: str
    reason: str

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"'{value}' is not an amount: {reason}.", value=str(value), reason=reason)


class TooManyDecimals(InvalidAmount):
    """An amount with more digits than its token has."""

    def __init__(self, value: object, symbol: str, decimals: int) -> None:
        super().__init__(value, f"{symbol} has {decimals} digits after the point")


class KeyReused(BadInput):
    """An idempotency key that stands for something else already. Nothing was sent."""

    key: str

    def __init__(self, key: str, kind: str) -> None:
        super().__init__(
            f"The idempotency key '{key}' was given to another {kind} before.", key=key
        )
        self.hint = (
            "Use a new key for each thing that is to happen once. `ape dtn journal --all` shows "
            "what it stands for."
        )


class WrongToken(InvalidAmount):
    """An amount in a token that the network is not paid with."""

    def __init__(self, value: object, symbol: str) -> None:
        super().__init__(value, f"this network is paid in {symbol}")


class FeeTooHigh(InvalidAmount):
    """A fee per byte at which the question alone would cost more than the answer may."""

    def __init__(self, fee: Amount, asked: Amount, most: Amount) -> None:
        super().__init__(
            fee, f"at this fee per byte the question alone costs {asked}, and the cap is {most}"
        )
        token = fee.token
        self.hint = (
            f"{token.symbol} has {token.decimals} decimals. Amounts are in whole tokens, as in "
            f'"0.00001 {token.symbol}", not in its smallest units.'
        )


class EmptyPrompt(BadInput):
    """A prompt without a single character."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty: it would be paid for and answer nothing.")


class InvalidPrompt(BadInput):
    """A prompt whose placeholders and values do not fit each other."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The prompt cannot be read by a node: {reason}.", reason=reason)
        self.hint = 'Give the values: Prompt("Is {0:address} older than {1:uint8}?", owner, 26).'


class InvalidName(BadInput):
    """A model, node or id that is neither a full name nor 32 bytes."""

    name: str

    def __init__(self, name: object, kind: str, example: str) -> None:
        super().__init__(
            f"'{name}' names no {kind}: write it as in '{example}', or give the 32-byte id.",
            name=str(name),
        )


class InvalidAddress(BadInput):
    """Something that is no address, where one is wanted."""

    def __init__(self, value: object) -> None:
        super().__init__(f"'{value}' is not an address.", value=str(value))


class InvalidCall(BadInput):
    """Inputs that do not fit the types of the model's API."""

    specs: str

    def __init__(self, specs: str, reason: str) -> None:
        super().__init__(f"The inputs do not fit '{specs}': {reason}.", specs=specs)


class NobodyTrusted(BadInput):
    """No nodes were named on a public network, where anybody can register one."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            "No trusted nodes are named. On a public network anybody can register a node, answer "
            "first, and take as much as the answer may cost.",
            model=model,
        )
        self.hint = (
            f"Choose among `ape dtn nodes --model {model}`, then name them with --node, or under "
            "`dtn: nodes:` in ape-config.yaml."
        )


class InvalidCursor(BadInput):
    """A saved cursor that is none, or that of another network."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The cursor cannot be resumed from: {reason}.", reason=reason)
        self.hint = "Begin anew without it; what was seen before will come again."


class InvalidCid(BadInput):
    """A content identifier that is none, or of a kind that cannot be checked."""

    cid: str

    def __init__(self, cid: str, reason: str) -> None:
        super().__init__(f"'{cid}' is no usable content identifier: {reason}.", cid=cid)


class BackendFailed(DtnError):
    """A node's backend has no answer. What it says goes to whoever asked, as a FAILURE."""


class BackendUnavailable(BackendFailed):
    """A node's backend could not be reached, or is busy: it may have an answer later."""


class JournalUnusable(DtnError):
    """The journal cannot be read or written, and nothing is sent without it."""

    exit_code = REFUSED
    path: str | None
    reason: str

    def __init__(self, path: str | None, reason: str) -> None:
        where = f" at {path}" if path else ""
        super().__init__(f"The journal{where} cannot be used: {reason}.", path=path, reason=reason)
        self.hint = (
            "Nothing that moves money is sent before it is written there. Look at the disk; "
            "APE_DATA_FOLDER says where it is."
        )


class InvalidOption(BadInput):
    """An option of a request, or several together, that mean nothing."""

    option: str
    reason: str

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"'{option}' cannot be so: {reason}.", option=option, reason=reason)


class NoAccount(BadInput):
    """Something was to be signed, and nobody was named to sign it."""

    def __init__(self) -> None:
        super().__init__("This sends a transaction, and no account is given to sign it.")
        self.hint = "Pass account=…, or --account ALIAS on the command line."


# The chain and the contracts.


class NoNetwork(DtnError):
    """The contracts cannot be reached where they were looked for."""

    exit_code = NO_NETWORK


class NotConnected(NoNetwork):
    """Ape is not connected to any network."""

    def __init__(self) -> None:
        super().__init__("Ape is not connected to a network.")
        self.hint = "Use `with networks.parse_network_choice('base:mainnet:node'):`, or --network."


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
        self.hint = "Check the address in --network or ape-config.yaml, then run it again."


class RpcRefused(NoNetwork):
    """The node of the chain refused a request that is not about a contract."""

    method: str
    reason: str

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC refused {method}: {reason}", method=method, reason=reason
        )


class TransactionRefused(RpcRefused):
    """The node of the chain did not take a transaction. Nothing was sent."""


class UnknownChain(NoNetwork):
    """No router is known for the connected chain."""

    chain_id: int
    known: dict[int, str]

    def __init__(self, chain_id: int, known: dict[int, str]) -> None:
        listed = ", ".join(f"{name} ({known_id})" for known_id, name in sorted(known.items()))
        super().__init__(
            f"No router is known for chain {chain_id}. Known are: {listed}.",
            chain_id=chain_id,
            known=known,
        )
        self.hint = (
            "Pass the router (--ai ADDRESS), set `dtn: routers:` in ape-config.yaml, "
            "or deploy a network of your own: `ape dtn deploy`."
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
        self.hint = "Choose the network with --network; Anvil's is ethereum:local:foundry."


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
        self.hint = "Check the address and the network; `ape dtn info` shows what is in use."


# What the contracts refuse.


class Refused(DtnError):
    """The contracts, or we in their place, refuse to do it."""

    exit_code = REFUSED


class ContractReverted(Refused):
    """A contract reverted for a reason that has no class of its own; see ``revert``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The contract reverted: {reason}", reason=reason)


class SessionNotFound(Refused):
    """There is no session of this id that the caller may use."""

    session_id: int | None

    def __init__(self, session_id: int | None, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"Session {session_id} not found.", session_id=session_id, **fields
        )
        self.hint = "List your open sessions: `ape dtn session list`."


class SessionAlreadyClosed(SessionNotFound):
    """The session was closed before. Nothing is left in it, and nothing can be asked on it."""

    def __init__(self, session_id: int | None) -> None:
        super().__init__(session_id, f"Session {session_id} is already closed.")


class NotSessionOwner(SessionNotFound):
    """The session belongs to a different account."""

    owner: str
    caller: str

    def __init__(self, session_id: int, owner: str, caller: str) -> None:
        super().__init__(
            session_id,
            f"Session {session_id} belongs to {owner}, not to {caller}.",
            owner=owner,
            caller=caller,
        )


class InsufficientFunds(Refused):
    """There is less than is needed, in a session or in an account."""

    required: str
    available: str

    def __init__(self, where: str, required: Amount | int, available: Amount | int) -> None:
        super().__init__(
            f"Insufficient funds: {where} has {available}, and {required} is needed.",
            required=str(required),
            available=str(available),
        )


class NothingDeposited(Refused):
    """A session was started, and no deposit is waiting at the fee target."""

    def __init__(self) -> None:
        super().__init__("Nothing is deposited: no tokens are waiting for a session.")
        self.hint = "Start one with its deposit: `ape dtn session start AMOUNT`."


class DepositTaken(Refused):
    """Somebody else started a session with the deposit before its sender did."""

    deposit: str
    transaction: str
    taken_by: str | None
    taken_in: str | None
    session_id: int | None

    def __init__(
        self,
        deposit: Amount,
        transaction: str,
        taken_by: str | None = None,
        taken_in: str | None = None,
        session_id: int | None = None,
    ) -> None:
        by, where = taken_by or "another account", f" in transaction {taken_in}" if taken_in else ""
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was taken by {by}{where}: a "
            "session was started with it before your own was.",
            deposit=str(deposit),
            transaction=transaction,
            taken_by=taken_by,
            taken_in=taken_in,
            session_id=session_id,
        )
        self.hint = "It cannot be taken back. Leave out --unsafe-two-step the next time."


class DepositWaiting(DtnError):
    """A deposit was sent, and the session was not started with it."""

    exit_code = UNKNOWN_OUTCOME

    def __init__(self, deposit: Amount, transaction: str) -> None:
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was sent, and no session was "
            "started with it. Whoever starts one next owns it.",
            deposit=str(deposit),
            transaction=transaction,
        )
        self.hint = "Start one at once: `ape dtn resume`, or `ape dtn session start --claim`."


class UnsafeDeposit(Refused):
    """A deposit that anybody could take was about to be sent on a public network."""

    def __init__(self) -> None:
        super().__init__(
            "On a public network, whoever calls startUserSession first owns your deposit: between "
            "the transfer and the start, which are two transactions, anybody can take it."
        )
        self.hint = (
            "Leave out --method two-step to have both done in one transaction, or accept the risk: "
            "--unsafe-two-step."
        )


class DepositTaxed(Refused):
    """A session would hold less than was paid for it. Nothing was paid."""

    deposit: str
    balance: str

    def __init__(self, deposit: Amount | int, balance: Amount | int) -> None:
        super().__init__(
            f"The session would hold {balance} of the {deposit} that are paid for it: the token "
            "keeps a part of each transfer. Nothing was paid.",
            deposit=str(deposit),
            balance=str(balance),
        )


class PaymentRefused(Refused):
    """The fee token does not let the client take the deposit. Nothing was paid."""

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token refuses the payment: {reason}.", reason=reason)
        self.hint = "Run it again to sign anew, or choose --method allowance."


class NotClientOwner(Refused):
    """A client contract was called by somebody else than its owner."""

    caller: str

    def __init__(self, caller: str) -> None:
        super().__init__(f"The client is not that of {caller}.", caller=caller)


class MethodUnavailable(Refused):
    """A session cannot be started in the way that was asked for, or in none that is safe."""

    reasons: dict[str, str]

    def __init__(self, reasons: dict[str, str]) -> None:
        listed = "; ".join(f"{method}: {why}" for method, why in reasons.items())
        super().__init__(
            f"There is no way to deposit and start in one transaction here. {listed}."
            if len(reasons) > 1
            else f"A session cannot be started so: {listed}.",
            reasons=reasons,
        )
        self.hint = (
            "Choose another --method, or start the session from another account."
            if len(reasons) == 1
            else "Use another account, or accept that anybody can take the deposit: "
            "--unsafe-two-step."
        )


class RequestsPending(Refused):
    """A session was to be closed while requests of it have no answer, which would never come."""

    session_id: int
    requests: list[str]

    def __init__(self, session_id: int, requests: list[str]) -> None:
        super().__init__(
            f"{len(requests)} of the requests of session {session_id} have no answer yet, and "
            f"would never get one: {', '.join(requests)}.",
            session_id=session_id,
            requests=requests,
        )
        self.hint = (
            f"Wait for them, as with `ape dtn answer {requests[0]}`, or close it all the same: "
            "--force."
        )


class ConsentMissing(Refused):
    """A session was to be started with what waits, which may be somebody else's."""

    def __init__(self) -> None:
        super().__init__(
            "A session started now takes all that waits at the fee target, and the chain does not "
            "say whose that is: some of it may be somebody else's."
        )
        self.hint = "Take it all the same: claim=True, or --claim."


class NoRemedy(Refused):
    """Nothing can be done about it from here."""

    about: str

    def __init__(self, about: str) -> None:
        super().__init__(f"Nothing can be done about {about} from here.", about=about)
        self.hint = "What it is, and who could help: `ape dtn rescue`."


class NoEffect(DtnError):
    """A transaction succeeded and did not do what it was sent for."""

    exit_code = UNKNOWN_OUTCOME
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(
            f"Transaction {transaction} succeeded and did nothing: what it called is not the "
            "contract that it should be.",
            transaction=transaction,
        )
        self.hint = "Look at what is in use: `ape dtn info`."


class ModelNotFound(Refused):
    """No model of this name is registered."""

    model: str | None

    def __init__(self, model: str | None) -> None:
        super().__init__(f"Model {model or ''} is not registered on this network.", model=model)
        self.hint = "List the models: `ape dtn models`."


class NodeNotFound(Refused):
    """No node of this name is registered, or none serves the model."""

    node: str | None

    def __init__(self, node: str | None, message: str | None = None) -> None:
        super().__init__(message or f"Node {node} is not registered on this network.", node=node)
        self.hint = "List the nodes: `ape dtn nodes`."


class CannotComplete(Refused):
    """A request that the deployment accepts, is paid gas for, and never completes."""

    reason: str

    def __init__(self, reason: str, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"The request could never complete: {reason}.", reason=reason, **fields
        )
        self.hint = "To send it all the same: may_never_complete=True, or --may-never-complete."


class NodeUnavailable(CannotComplete):
    """A node that could never answer: it is switched off, or does not serve the model."""

    node: str

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason, f"Node {node} cannot answer: {reason}.", node=node)
        self.hint = f"List the nodes and what they serve: `ape dtn nodes`. {self.hint}"


class OverLimit(Refused):
    """It could cost more than a limit that was set allows. Nothing was sent."""

    limit: str
    required: str

    def __init__(self, what: str, limit: Amount, required: Amount, setting: str) -> None:
        super().__init__(
            f"{what} could cost {required}, and its limit is {limit}.",
            limit=str(limit),
            required=str(required),
        )
        self.hint = f"Ask for less, or raise `{setting}`."


class RequestNotFound(Refused):
    """There is no request of this id."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Request {request_id} not found.", request_id=request_id)


class RequestReplaced(Refused):
    """Another request got the same id in the same block, and the network forgot this one."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"Request {request_id} shares its id with another one of the same block: the network "
            "keeps the later one only.",
            request_id=request_id,
        )
        self.hint = "Leave out `user`: each request then gets one, and an id, of its own."


class CallbackGasMissing(Refused):
    """A request carried less coin than its callback may use of gas."""

    def __init__(self) -> None:
        super().__init__("The request must carry at least as many wei as its callback gas.")


class NoMoneyForGas(Refused):
    """The account's coin does not cover a transaction's value and gas."""

    account: str

    def __init__(self, account: str, required: int, available: int) -> None:
        super().__init__(
            f"Account {account} has {available} wei, and the transaction may cost {required} wei.",
            account=account,
            required=required,
            available=available,
        )


class SigningDeclined(Refused):
    """The account did not sign, and nothing was sent for want of it."""

    def __init__(self, account: str, what: str | None = None) -> None:
        signed = f" {what}" if what else ""
        sent = "" if what else " Nothing was sent."
        super().__init__(f"Account {account} did not sign{signed}.{sent}", account=account)
        if what:
            self.hint = "Ape asks for this on a terminal alone. Without one, take another --method."


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


# What came, or did not come, afterwards.


class NodeState(TypedDict):
    """What is known of a node that may answer a request.

    Attributes:
        node: Its name, or its id where the name is not known.
        is_active: Whether it is registered and switched on.
        serves_model: Whether it serves the model that was asked.
        answers: How many answers it gave lately; None where the endpoint does not tell.
        last_answer: How many seconds before the latest block its last one of these came; None where
            there is none.
    """

    node: str
    is_active: bool
    serves_model: bool
    answers: int | None
    last_answer: int | None


class Offer(TypedDict):
    """What a request offers, as text with the token's unit.

    Attributes:
        fee_per_byte_asked: For each byte of the request.
        fee_per_byte_answered: For each byte of the response.
        most_it_may_cost: The cap of one response.
    """

    fee_per_byte_asked: str
    fee_per_byte_answered: str
    most_it_may_cost: str


class RequestPending(DtnError):
    """The request has no answer yet. It stays open, and can be asked for again by its id.

    After a wait it says what is known: ``nodes``, those that may answer, and ``offer``, what they
    are offered; None where that could not be read.
    """

    exit_code = NO_ANSWER_YET
    request_id: str | None
    waited: float | None
    nodes: list[NodeState] | None
    offer: Offer | None

    def __init__(
        self,
        request_id: str | None,
        waited: float | None = None,
        nodes: list[NodeState] | None = None,
        offer: Offer | None = None,
    ) -> None:
        after = f" after {waited:g} seconds" if waited is not None else ""
        known = [f"Request {request_id} has no answer{after}."]
        if offer is not None:
            known.append(_told_offer(offer))
        if nodes is not None:
            known += [_told_node(node) for node in nodes] or ["No node may answer it."]
        super().__init__(
            " ".join(known), request_id=request_id, waited=waited, nodes=nodes, offer=offer
        )
        self.hint = f"Ask for it again: `ape dtn answer {request_id}`."


def _told_offer(offer: Offer) -> str:
    asked, answered = offer["fee_per_byte_asked"], offer["fee_per_byte_answered"]
    fees = f"{asked} a byte"
    if asked != answered:
        fees = f"{asked} a byte asked and {answered} a byte answered"
    return f"It offers {fees}, and {offer['most_it_may_cost']} at most."


def _told_node(node: NodeState) -> str:
    active = "is active" if node["is_active"] else "is not active"
    serves = "serves the model" if node["serves_model"] else "does not serve the model"
    if node["answers"] is None:
        lately = "what it answered lately is not known"
    elif node["last_answer"] is None:
        lately = "it answered nothing lately"
    else:
        lately = f"its last answer came {node['last_answer']} seconds ago"
    return f"{node['node']} {active} and {serves}; {lately}."


class RequestStranded(RequestPending):
    """The request will never be answered: its session was closed before a node could be paid."""

    exit_code = REFUSED
    session_id: int

    def __init__(self, request_id: str, session_id: int) -> None:
        super().__init__(request_id)
        self.message = (
            f"Request {request_id} will never be answered: session {session_id}, which was to pay "
            "for it, is closed."
        )
        self.args = (self.message,)
        self.fields = {"request_id": request_id, "session_id": session_id}
        self.session_id = session_id
        self.hint = "Ask again on an open session."


class CallbackFailed(DtnError):
    """The answer came, and the callback that was to take it reverted. See ``revert``."""

    exit_code = NODE_FAILED
    request_id: str
    target: str
    reason: str

    def __init__(self, request_id: str, target: str, reason: str) -> None:
        super().__init__(
            f"The callback of request {request_id} to {target} reverted: {reason}. The answer is "
            "recorded all the same.",
            request_id=request_id,
            target=target,
            reason=reason,
        )
        self.hint = f"Read the answer: `ape dtn answer {request_id}`."


class ContentUnavailable(DtnError):
    """No gateway gave the content of an answer that travels over IPFS."""

    exit_code = NO_ANSWER_YET
    cid: str
    reasons: dict[str, str]

    def __init__(self, cid: str, reasons: dict[str, str]) -> None:
        told = "; ".join(f"{gateway}: {reason}" for gateway, reason in reasons.items())
        super().__init__(
            f"No gateway gave the content {cid}: {told or 'none is configured'}.",
            cid=cid,
            reasons=reasons,
        )
        self.hint = "Try again later, or name other gateways under `dtn: ipfs_gateways:`."


class WrongContent(ContentUnavailable):
    """What the gateways gave is not what the identifier stands for. It is never returned."""

    exit_code = NODE_FAILED


class ContentTooLarge(ContentUnavailable):
    """The content is larger than the limit."""

    exit_code = REFUSED

    def __init__(self, cid: str, limit: int) -> None:
        super().__init__(cid, {})
        self.message = f"The content {cid} is larger than {limit} bytes."
        self.args = (self.message,)
        self.fields["limit"] = self.limit = limit
        self.hint = "Raise `dtn: ipfs_limit:` if you want it all the same."


class NodeFailure(DtnError):
    """The node answered that it failed. ``reason`` holds its own message.

    ``callback_error`` says why the request's callback, which was to be told of it, reverted.
    """

    exit_code = NODE_FAILED
    request_id: str
    reason: str

    def __init__(
        self, request_id: str, reason: str, callback_error: CallbackFailed | None = None
    ) -> None:
        explained = (
            " (the node could not decode the call by the model's API)"
            if reason.startswith("P0011")
            else ""
        )
        super().__init__(
            f"The node failed: {reason or 'it gave no reason'}{explained}.",
            request_id=request_id,
            reason=reason,
        )
        self.callback_error = callback_error

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data, with that of the callback."""
        callback = self.callback_error.as_dict() if self.callback_error else None
        return {**super().as_dict(), "callback_error": callback}


class UndecodableAnswer(DtnError):
    """The answer is not of the model's output type. ``data`` holds it as it came."""

    exit_code = NODE_FAILED

    def __init__(self, request_id: str, output: str, data: str) -> None:
        super().__init__(
            f"The answer to request {request_id} is not a '{output}'.",
            request_id=request_id,
            output=output,
            data=data,
        )


class PartlySent(DtnError):
    """Of transactions that belong together only the first ones could be sent."""

    exit_code = UNKNOWN_OUTCOME
    sent: list[str]

    def __init__(self, sent: list[str], reason: str) -> None:
        super().__init__(
            f"Sent was {', '.join(sent)}, and what belongs to it was not: {reason}", sent=sent
        )
        self.hint = (
            "Do not send it again: `ape dtn resume` looks at the chain, and sends only what has "
            "not happened."
        )


class TransactionPending(DtnError):
    """A transaction was sent, and it is not known yet what became of it."""

    exit_code = UNKNOWN_OUTCOME
    transactions: list[str]

    def __init__(self, *transactions: str) -> None:
        super().__init__(
            f"Sent, and not known to be confirmed yet: transaction {', '.join(transactions)}.",
            transactions=list(transactions),
        )
        self.hint = (
            "Do not send it again: `ape dtn resume` looks at the chain, and sends only what has "
            "not happened."
        )
