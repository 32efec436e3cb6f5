"""What the network's contracts refuse, and what is not on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from ape_dtn.types.errors import (
    NO_ANSWER_YET,
    UNKNOWN_OUTCOME,
    BadInput,
    DtnError,
    NoNetwork,
    Refused,
)

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount


class NotNodeOwner(BadInput):
    """An account that does not own what it wants to change: a node, or the name of its user."""

    def __init__(self, what: str, owner: str, account: str) -> None:
        super().__init__(f"{what} belongs to {owner}, and not to {account}.", owner=owner)
        self.hint = "Sign with its owner's account: --account ALIAS."


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
            "Pass the router (--router ADDRESS), set `dtn: routers:` in ape-config.yaml, "
            "or run a network of your own: `ape dtn devnet`."
        )


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


class NodesNotListed(Refused):
    """More nodes serve a model than the endpoint lists: anybody can register some."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            f"So many nodes serve {model} that the endpoint does not list them.", model=model
        )
        self.hint = "Name those that you trust: --node, nodes=[…], or `dtn: nodes:`."


class RequestNotFound(Refused):
    """There is no request of this id."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Request {request_id} not found.", request_id=request_id)


class CallbackGasMissing(Refused):
    """A request carried less coin than its callback may use of gas."""

    def __init__(self) -> None:
        super().__init__("The request must carry at least as many wei as its callback gas.")


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
        max_cost: The cap of one response.
    """

    fee_per_byte_asked: str
    fee_per_byte_answered: str
    max_cost: str


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
            known.append(_describe_offer(offer))
        if nodes is not None:
            known += [_describe_node(node) for node in nodes] or ["No node may answer it."]
        super().__init__(
            " ".join(known), request_id=request_id, waited=waited, nodes=nodes, offer=offer
        )
        self.hint = f"Ask for it again: `ape dtn answer {request_id}`."


def _describe_offer(offer: Offer) -> str:
    asked, answered = offer["fee_per_byte_asked"], offer["fee_per_byte_answered"]
    fees = f"{asked} a byte"
    if asked != answered:
        fees = f"{asked} a byte asked and {answered} a byte answered"
    return f"It offers {fees}, and {offer['max_cost']} at most."


def _describe_node(node: NodeState) -> str:
    active = "is active" if node["is_active"] else "is not active"
    serves = "serves the model" if node["serves_model"] else "does not serve the model"
    if node["answers"] is None:
        lately = "what it answered lately is not known"
    elif node["last_answer"] is None:
        lately = "it answered nothing lately"
    else:
        lately = f"its last answer came {node['last_answer']} seconds ago"
    return f"{node['node']} {active} and {serves}; {lately}."
