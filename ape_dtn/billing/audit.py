"""Whether a bill is fair: each charge recomputed from the real bytes and the fees offered.

The node itself states the sizes that it is paid for, and the contracts believe it. They only hold
it to ``totalFeePerRes``, and to what the session has left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ape_dtn.billing.statement import RequestHistory, Response, SessionHistory, State, Statement
from ape_dtn.network.requests import Record
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType, Status

# `Router.FAILURE_FEE_PER_BYTE`: what a byte costs in a failure, in units of the fee token.
FAILURE_FEE_PER_BYTE = 1


# Why a request has no answer.
UNANSWERED = {
    State.PENDING: "it may still be answered",
    State.STRANDED: "no session is left that could pay for it",
    State.REPLACED: "another request took its id",
}

LEFT_OUT = (
    "The chain's endpoint does not know any more whether these contracts were the session manager "
    "once. What they say of this session is left out:"
)


class Verdict(Enum):
    """What a charge is, compared with the fair one."""

    FAIR = "fair"
    OVERCHARGED = "overcharged"
    CHARGED_LESS = "charged less"
    BALANCE_SHORT = "balance was short"
    """It would have been more: the session had no more left."""
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """What the audit says of one response.

    Attributes:
        request: The request.
        response: The response.
        verdict: How its charge compares.
        fair: What it may have cost; None where nobody can tell.
        why_not: Why it cannot be judged, where it cannot.
    """

    request: RequestHistory
    response: Response
    verdict: Verdict
    fair: Amount | None = None
    why_not: str = ""

    @property
    def overcharge(self) -> Amount | None:
        """What was charged beyond the fair; None where nobody can tell."""
        charge = self.response.charge
        if self.fair is None or charge is None:
            return None
        return charge.amount.token.units(max((charge.amount - self.fair).units, 0))


@dataclass(frozen=True)
class Remark:
    """A sentence about a bill, and whether it tells of something that is wrong."""

    text: str
    is_wrong: bool = False


@dataclass(frozen=True)
class NodeBill:
    """What one node did for a session, and took for it.

    Attributes:
        node: Its name, or its id where the name is not known.
        responses: How often it responded.
        charged: What it was paid.
        overcharged: How much of that is beyond the fair.
        not_judged: How many of its responses cannot be judged.
    """

    node: str
    responses: int
    charged: Amount
    overcharged: Amount
    not_judged: int

    def as_dict(self) -> dict[str, Any]:
        """The node's bill as plain data."""
        return {
            "node": self.node,
            "responses": self.responses,
            "charged": self.charged.as_dict(),
            "overcharged": self.overcharged.as_dict(),
            "not_judged": self.not_judged,
        }


@dataclass(frozen=True)
class Audit:
    """What the audit says of a session.

    Attributes:
        session: The session.
        findings: One for each response.
        nodes: One for each node that responded.
        overcharged: What all nodes together took beyond the fair.
        difference: What was deposited, less what was charged, less what is left or came back. It
            is zero, unless the chain's endpoint withholds events or the contracts lose money.
    """

    session: SessionHistory
    findings: tuple[Finding, ...]
    nodes: tuple[NodeBill, ...]
    overcharged: Amount
    difference: Amount

    @property
    def not_judged(self) -> int:
        """How many responses cannot be judged."""
        return sum(each.verdict is Verdict.NOT_JUDGED for each in self.findings)


def audits(history: Statement) -> list[Audit]:
    """Audits each session of a history, for all the responses that it paid."""
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
        overcharged=_total(session, (each.overcharge for each in findings)),
        difference=session.opened_with - session.charged - kept,
    )


def remarks(audited: Audit) -> list[Remark]:
    """What is to be said of a session, the money first."""
    session, requests = audited.session, audited.session.requests
    kept = ("left", session.balance) if session.refund is None else ("refunded", session.refund)
    sums = f"opened with {session.opened_with}, charged {session.charged}, {kept[0]} {kept[1]}"
    elsewhere = session.token.units(sum(each.amount.units for each in session.other_charges))
    verdicts = Counter(finding.verdict for finding in audited.findings)
    short, less = verdicts[Verdict.BALANCE_SHORT], verdicts[Verdict.CHARGED_LESS]
    why_not = Counter(finding.why_not for finding in audited.findings if finding.why_not)
    states = Counter(request.state for request in requests)
    stranded, replaced = states[State.STRANDED], states[State.REPLACED]
    reverted = sum(bool(each.callback_error) for request in requests for each in request.responses)
    told: list[tuple[object, str, bool]] = [
        (audited.difference, f"{audited.difference} is not accounted for: {sums}.", True),
        (not audited.difference, f"It adds up: {sums}.", False),
        *(
            (
                node.overcharged,
                f"{node.node} took {node.overcharged} more than its answers may cost.",
                True,
            )
            for node in audited.nodes
        ),
        (elsewhere, f"{elsewhere} was charged for requests that were not made on it.", True),
        (
            session.balance and not session.is_current,
            "The router has another session manager now: what is left cannot be refunded.",
            True,
        ),
        (short, f"Paid less, since the session had no more: {_count(short, 'answer')}.", False),
        (less, f"Charged less than they may cost: {_count(less, 'answer')}.", False),
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
            f"Never to be answered: {_count(stranded, 'request')}; {UNANSWERED[State.STRANDED]}.",
            True,
        ),
        (replaced, f"Lost: {_count(replaced, 'request')}; {UNANSWERED[State.REPLACED]}.", True),
        (reverted, f"Reverted: {_count(reverted, 'callback')}; the answers are there.", True),
    ]
    return [Remark(text, is_wrong) for applies, text, is_wrong in told if applies]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def judge(request: RequestHistory, response: Response) -> Finding:
    """Compares what a response was charged with what it may have cost."""
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
    """What a response may cost, in units of the fee token (``Router._charge``)."""
    if status is Status.SUCCESS:
        asked = record.bytes_asked * record.fee_per_byte_asked
        fee = asked + bytes_answered * record.fee_per_byte_answered
    else:
        fee = (record.bytes_asked + bytes_answered) * FAILURE_FEE_PER_BYTE
    return min(fee, record.max_cost)


def _why_not(request: RequestHistory, response: Response) -> str:
    record = request.record
    if record is None:
        return "another request took its id, and the network forgot what it was"
    if response.charge is None:
        return "the chain's endpoint shows no charge for it"
    if response.bytes_answered is not None:
        return ""
    if record.call_type is CallType.IPFS and record.response:
        return "over IPFS, the chain does not know its size"
    return "the network did not keep what it said"


def _node_bill(node: str, findings: list[Finding], session: SessionHistory) -> NodeBill:
    charges = (each.response.charge for each in findings)
    return NodeBill(
        node=node,
        responses=len(findings),
        charged=_total(session, (charge.amount for charge in charges if charge)),
        overcharged=_total(session, (each.overcharge for each in findings)),
        not_judged=sum(each.verdict is Verdict.NOT_JUDGED for each in findings),
    )


def _total(session: SessionHistory, amounts: Iterable[Amount | None]) -> Amount:
    return session.token.units(sum(amount.units for amount in amounts if amount))
