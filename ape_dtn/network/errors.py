"""Errors of the network's contracts: refusals, and missing sessions, models, nodes and requests."""

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
    """The account does not own the node, or the name of the node's user."""

    def __init__(self, what: str, owner: str, account: str) -> None:
        super().__init__(f"{what} belongs to {owner}, not to {account}.", owner=owner)
        self.hint = "Sign with the owner's account: pass `account`."


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
        self.hint = "Pass `router`, or set `dtn: routers:` in ape-config.yaml."


class SessionNotFound(Refused):
    """No session of this id that the caller may use exists."""

    session_id: int | None

    def __init__(self, session_id: int | None, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"Session {session_id} not found.", session_id=session_id, **fields
        )
        self.hint = "List the open sessions of an account: DtnSession.list(account)."


class SessionAlreadyClosed(SessionNotFound):
    """The session is closed: its balance was refunded, and it takes no requests."""

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
    """The balance of a session or an account is too low."""

    required: Amount | str
    available: Amount | str

    def __init__(self, where: str, required: Amount | int, available: Amount | int) -> None:
        super().__init__(
            f"Insufficient funds: {where} has {available}, and {required} is needed.",
            required=_amount(required),
            available=_amount(available),
        )


class NothingDeposited(Refused):
    """A session start found no deposit at the fee target."""

    def __init__(self) -> None:
        super().__init__("Nothing is deposited: no tokens are waiting for a session.")
        self.hint = "Start a session with a deposit: `DtnSession.start(amount, account)`."


class DepositTaken(Refused):
    """Another account started a session with the deposit."""

    deposit: Amount
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
        by = taken_by or "another account"
        where = f" in transaction {taken_in}" if taken_in else ""
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was taken by {by}{where}: a "
            "session was started with it before yours.",
            deposit=deposit,
            transaction=transaction,
            taken_by=taken_by,
            taken_in=taken_in,
            session_id=session_id,
        )
        self.hint = (
            "The deposit cannot be recovered. Start later sessions without `unsafe_two_step`."
        )


class DepositWaiting(DtnError):
    """A deposit was sent, but no session was started with it."""

    exit_code = UNKNOWN_OUTCOME

    def __init__(self, deposit: Amount, transaction: str) -> None:
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was sent, and no session was "
            "started with it. It goes to the next account that starts a session.",
            deposit=deposit,
            transaction=transaction,
        )
        self.hint = "Start a session now: `DtnSession.claim(account)`."


class DepositTaxed(Refused):
    """The session would hold less than its deposit: the token takes a fee. Nothing was paid."""

    deposit: Amount | str
    balance: Amount | str

    def __init__(self, deposit: Amount | int, balance: Amount | int) -> None:
        super().__init__(
            f"The session would hold only {balance} of the deposit of {deposit}: the token takes a "
            "fee on transfers. Nothing was paid.",
            deposit=_amount(deposit),
            balance=_amount(balance),
        )


class PaymentRefused(Refused):
    """The fee token refused to transfer the deposit to the client. Nothing was paid."""

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token refused the payment: {reason}.", reason=reason)
        self.hint = "Repeat the call to sign again, or pass `method=allowance`."


class TokenPaused(PaymentRefused):
    """The fee token is paused by its issuer: nobody can transfer it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.hint = "Wait until the token's issuer allows transfers again, then repeat the call."


class AccountBlocked(PaymentRefused):
    """The fee token's issuer has blocked an account: it cannot send or receive the token."""

    account: str | None

    def __init__(self, reason: str, account: str | None = None) -> None:
        super().__init__(reason)
        self.account = self.fields["account"] = account
        who = f"account {account}" if account else "the sender or the receiver"
        self.hint = f"The token's issuer has blocked {who}. Use another account, or ask the issuer."


class NotClientOwner(Refused):
    """The caller of a client contract is not its owner."""

    caller: str

    def __init__(self, caller: str) -> None:
        super().__init__(f"{caller} does not own the client contract.", caller=caller)


class ModelNotFound(Refused):
    """The model is not registered."""

    model: str | None

    def __init__(self, model: str | None) -> None:
        super().__init__(f"Model {model or ''} is not registered on this network.", model=model)
        self.hint = "List the models: DtnAi().models()."


class NodeNotFound(Refused):
    """The node is not registered, or no node serves the model."""

    node: str | None

    def __init__(self, node: str | None, message: str | None = None) -> None:
        super().__init__(message or f"Node {node} is not registered on this network.", node=node)
        self.hint = "List the nodes: DtnAi().nodes()."


class NodesNotListed(Refused):
    """The endpoint cannot list all nodes of a model. Any account can register nodes."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            f"Too many nodes serve {model} for the endpoint to list them.", model=model
        )
        self.hint = (
            "Name the nodes that you trust in `nodes`, or under `dtn: nodes:` in ape-config.yaml."
        )


class RequestNotFound(Refused):
    """No request of this id exists."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Request {request_id} not found.", request_id=request_id)


class CallbackGasMissing(Refused):
    """The value of a request, in wei, is less than its callback gas."""

    def __init__(self) -> None:
        super().__init__("The request must carry at least as many wei as its callback gas.")


# Requests without an answer.


class NodeState(TypedDict):
    """State of a node that may answer a request.

    Attributes:
        node: Its name, or its id if the name is unknown.
        is_active: Whether it is registered and active.
        serves_model: Whether it serves the request's model.
        answers: Number of its recent answers; None if the endpoint does not serve their logs.
        last_answer: Age of its last recent answer at the latest block, in seconds; None if it has
            none.
    """

    node: str
    is_active: bool
    serves_model: bool
    answers: int | None
    last_answer: int | None


class Offer(TypedDict):
    """The fees that a request offers.

    Attributes:
        fee_per_byte_asked: Fee for each byte of the request.
        fee_per_byte_answered: Fee for each byte of the response.
        max_cost: Maximum cost of one response.
    """

    fee_per_byte_asked: Amount
    fee_per_byte_answered: Amount
    max_cost: Amount


class RequestPending(DtnError):
    """The request has no answer yet. It stays open, and its answer can be read later by its id.

    After a wait, ``nodes`` has the nodes that may answer, and ``offer`` the offered fees. Each is
    None if it could not be read.
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
        self.hint = f"Wait for it again: `DtnRequest.load('{request_id}').wait()`."


def _amount(amount: Amount | int) -> Amount | str:
    """An amount; units of an unknown token as text, since JSON readers may round them."""
    return str(amount) if isinstance(amount, int) else amount


def _describe_offer(offer: Offer) -> str:
    asked, answered = offer["fee_per_byte_asked"], offer["fee_per_byte_answered"]
    fees = f"{asked} a byte"
    if asked != answered:
        fees = f"{asked} a byte of the request and {answered} a byte of the answer"
    return f"It offers {fees}, and {offer['max_cost']} at most."


def _describe_node(node: NodeState) -> str:
    active = "is active" if node["is_active"] else "is not active"
    serves = "serves the model" if node["serves_model"] else "does not serve the model"
    if node["answers"] is None:
        recent = "its recent answers are unknown"
    elif node["last_answer"] is None:
        recent = "it has no recent answers"
    else:
        recent = f"its last answer came {node['last_answer']} seconds ago"
    return f"{node['node']} {active} and {serves}; {recent}."
