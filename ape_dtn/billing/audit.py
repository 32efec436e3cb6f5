"""Audits a bill: recomputes each charge from the actual sizes and the request's fees.

A node reports the sizes that it is paid for, and the contracts do not check them. They only limit
a charge to ``totalFeePerRes`` and to the session's balance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ape_dtn.billing.statement import RequestHistory, Response, SessionHistory, State, Statement
from ape_dtn.network.requests import Record
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType, Status

# `Router.FAILURE_FEE_PER_BYTE`: the price of a byte in a failure, in units of the fee token.
FAILURE_FEE_PER_BYTE = 1


# Why a request has no answer.
UNANSWERED = {
    State.PENDING: "it may still be answered",
    State.STRANDED: "its session is closed, or its session manager was replaced",
    State.REPLACED: "another request has replaced it under the same id",
}

LEFT_OUT = (
    "The endpoint no longer has the blocks that tell whether these contracts were the router's "
    "session manager. Their events about this session are left out:"
)


class Verdict(Enum):
    """How a charge compares with the fair one."""

    FAIR = "fair"
    OVERCHARGED = "overcharged"
    CHARGED_LESS = "charged less"
    BALANCE_SHORT = "balance was short"
    """The charge is below the fair one, because the session's balance was too low."""
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """The audit of one response.

    Attributes:
        request: The request.
        response: The response.
        verdict: How its charge compares.
        fair: The fair charge; None if it is not known.
        why_not: Why the response is not judged; empty if it is.
    """

    request: RequestHistory
    response: Response
    verdict: Verdict
    fair: Amount | None = None
    why_not: str = ""

    @property
    def overcharge(self) -> Amount | None:
        """What was charged above the fair charge; None if that is not known."""
        charge = self.response.charge
        if self.fair is None or charge is None:
            return None
        return charge.amount.token.units(max((charge.amount - self.fair).units, 0))


@dataclass(frozen=True)
class Remark:
    """A remark about a bill, and whether it reports a problem."""

    text: str
    is_wrong: bool = False


@dataclass(frozen=True)
class NodeBill:
    """What one node was paid by a session.

    Attributes:
        node: Its name, or its id if the name is not known.
        responses: How many responses it sent.
        charged: What it was paid.
        overcharged: How much of that is above the fair charges.
        not_judged: How many of its responses are not judged.
    """

    node: str
    responses: int
    charged: Amount
    overcharged: Amount
    not_judged: int


@dataclass(frozen=True)
class Audit:
    """The audit of a session.

    Attributes:
        session: The session.
        findings: One for each response.
        nodes: One for each node that responded.
        overcharged: What all nodes charged above the fair charges.
        difference: The deposit, less all charges, less the balance or refund. It is zero unless the
            endpoint withholds events, or the contracts lose money.
    """

    session: SessionHistory
    findings: tuple[Finding, ...]
    nodes: tuple[NodeBill, ...]
    overcharged: Amount
    difference: Amount

    @property
    def not_judged(self) -> int:
        """How many responses are not judged."""
        return sum(finding.verdict is Verdict.NOT_JUDGED for finding in self.findings)


def audits(history: Statement) -> list[Audit]:
    """Audits each session of a history, with all responses that it paid for."""
    paid: dict[str, list[Finding]] = {session.manager: [] for session in history.sessions}
    for request, manager in history.requests:
        for response in request.responses:
            payer = response.charge.manager if response.charge else manager
            if payer is not None:
                paid[payer].append(judge(request, response))
    return [_audit(session, paid[session.manager]) for session in history.sessions]


def _audit(session: SessionHistory, findings: list[Finding]) -> Audit:
    by_node: dict[str, list[Finding]] = {}
    for finding in findings:
        by_node.setdefault(finding.response.node, []).append(finding)
    kept = session.balance if session.refund is None else session.refund
    return Audit(
        session=session,
        findings=tuple(findings),
        nodes=tuple(_node_bill(node, found, session) for node, found in by_node.items()),
        overcharged=_total(session, (finding.overcharge for finding in findings)),
        difference=session.opened_with - session.charged - kept,
    )


def remarks(audit: Audit) -> list[Remark]:
    """Sentences about a session: first about its money, then about its requests."""
    session, requests = audit.session, audit.session.requests
    kept = ("left", session.balance) if session.refund is None else ("refunded", session.refund)
    sums = f"opened with {session.opened_with}, charged {session.charged}, {kept[0]} {kept[1]}"
    elsewhere = session.token.units(sum(charge.amount.units for charge in session.other_charges))
    verdicts = Counter(finding.verdict for finding in audit.findings)
    short, less = verdicts[Verdict.BALANCE_SHORT], verdicts[Verdict.CHARGED_LESS]
    why_not = Counter(finding.why_not for finding in audit.findings if finding.why_not)
    states = Counter(request.state for request in requests)
    stranded, replaced = states[State.STRANDED], states[State.REPLACED]
    reverted = sum(
        bool(response.callback_error) for request in requests for response in request.responses
    )
    candidates: list[tuple[object, str, bool]] = [
        (audit.difference, f"{audit.difference} is not accounted for: {sums}.", True),
        (not audit.difference, f"It adds up: {sums}.", False),
        *(
            (
                node.overcharged,
                f"{node.node} charged {node.overcharged} more than its answers may cost.",
                True,
            )
            for node in audit.nodes
        ),
        (elsewhere, f"{elsewhere} was charged for requests of other sessions.", True),
        (
            session.balance and not session.is_current,
            "The router has replaced the session manager: the balance cannot be refunded.",
            True,
        ),
        (
            short,
            f"Charged less for lack of balance: {_count(short, 'answer')}.",
            False,
        ),
        (less, f"Charged less than the fair charge: {_count(less, 'answer')}.", False),
        *(
            (count, f"Not judged: {_count(count, 'answer')}; {why}.", False)
            for why, count in why_not.items()
        ),
        (
            states[State.PENDING],
            f"Open: {_count(states[State.PENDING], 'request')}, which may still cost "
            f"{session.may_still_cost}.",
            False,
        ),
        (
            stranded,
            f"Will never be answered: {_count(stranded, 'request')}; {UNANSWERED[State.STRANDED]}.",
            True,
        ),
        (replaced, f"Lost: {_count(replaced, 'request')}; {UNANSWERED[State.REPLACED]}.", True),
        (reverted, f"Reverted: {_count(reverted, 'callback')}; the answers are recorded.", True),
    ]
    return [Remark(text, is_wrong) for applies, text, is_wrong in candidates if applies]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def judge(request: RequestHistory, response: Response) -> Finding:
    """Compares the charge of a response with the fair charge."""
    why_not = _why_not(request, response)
    if why_not:
        return Finding(request, response, Verdict.NOT_JUDGED, why_not=why_not)
    assert request.record
    assert response.charge
    assert response.bytes_answered is not None
    charge = response.charge
    units = fair_units(request.record, response.status, response.bytes_answered)
    fair = charge.amount.token.units(units)
    if charge.amount > fair:
        verdict = Verdict.OVERCHARGED
    elif charge.amount == fair:
        verdict = Verdict.FAIR
    else:
        verdict = Verdict.CHARGED_LESS if charge.left else Verdict.BALANCE_SHORT
    return Finding(request, response, verdict, fair)


def fair_units(record: Record, status: Status, bytes_answered: int) -> int:
    """The fair charge of a response, in units of the fee token (``Router._charge``)."""
    if status is Status.SUCCESS:
        asked = record.bytes_asked * record.fee_per_byte_asked
        fee = asked + bytes_answered * record.fee_per_byte_answered
    else:
        fee = (record.bytes_asked + bytes_answered) * FAILURE_FEE_PER_BYTE
    return min(fee, record.max_cost)


def _why_not(request: RequestHistory, response: Response) -> str:
    record = request.record
    if record is None:
        return "another request has replaced it, and the router no longer has its fees"
    if response.charge is None:
        return "the endpoint did not return its charge"
    if response.bytes_answered is not None:
        return ""
    if record.call_type is CallType.IPFS and record.response:
        return "it is on IPFS, and the chain does not have its size"
    return "the router did not keep the response"


def _node_bill(node: str, findings: list[Finding], session: SessionHistory) -> NodeBill:
    charges = (finding.response.charge for finding in findings)
    return NodeBill(
        node=node,
        responses=len(findings),
        charged=_total(session, (charge.amount for charge in charges if charge)),
        overcharged=_total(session, (finding.overcharge for finding in findings)),
        not_judged=sum(finding.verdict is Verdict.NOT_JUDGED for finding in findings),
    )


def _total(session: SessionHistory, amounts: Iterable[Amount | None]) -> Amount:
    return session.token.units(sum(amount.units for amount in amounts if amount))
