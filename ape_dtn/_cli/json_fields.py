"""Domain objects as JSON, where the JSON's fields differ from the object's.

The values stay as they are: :mod:`ape_dtn._cli.json_output` converts amounts, times and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ape_dtn.client.watch import Outcome
    from ape_dtn.journal.store import Entry
    from ape_dtn.node.events import Event
    from ape_dtn.rehearsal.report import RehearsalResult, RehearsedRequest, Step
    from ape_dtn.requests.gas import Gas
    from ape_dtn.requests.quote import Quote
    from ape_dtn.rescue.finding import Finding
    from ape_dtn.types.amount import Amount, Token
    from ape_dtn.types.answer import Answer
    from ape_dtn.types.ids import Names


def answer_fields(answer: Answer, names: Names) -> dict[str, Any]:
    """An answer, with the name of its node, or the node's id where no name is known."""
    return {
        "request": answer.request_id,
        "answer": answer.text,
        "node": names.of(bytes.fromhex(answer.node.removeprefix("0x"))),
        "node_id": answer.node,
        "cid": answer.cid,
        "callback_error": answer.callback_error,
    }


def outcome_fields(outcome: Outcome, names: Names) -> dict[str, Any]:
    """An answer, or the error in its place, with the transaction that settled the request."""
    from ape_dtn.types.answer import Answer

    if isinstance(outcome.result, Answer):
        found = answer_fields(outcome.result, names)
    else:
        found = {"request": outcome.request.id, "error": outcome.result}
    return {**found, "transaction": outcome.transaction}


def quote_fields(quote: Quote) -> dict[str, Any]:
    """A quote, with what follows from it."""
    return {
        "model": quote.model,
        "call_type": quote.call_type,
        "problem": quote.problem,
        "bytes_asked": quote.bytes_asked,
        "bytes_answered": quote.bytes_answered,
        "basis": quote.basis,
        "answers_seen": quote.answers_seen,
        "fee_per_byte": quote.fee_per_byte,
        "expected": quote.expected,
        "max_cost": quote.max_cost,
        "gas": _gas_fields(quote.gas) if quote.gas else None,
        "why_no_gas": quote.why_no_gas,
        "session": quote.session_id,
        "balance": quote.balance,
        "suffices": quote.suffices,
        # As text: with a large balance and a low max cost, the number may exceed 2^53.
        "requests_at_max_cost": _text(quote.requests_at_max_cost),
        "over_limit": quote.over_limit,
    }


def _gas_fields(gas: Gas) -> dict[str, Any]:
    return {
        "used": gas.used,
        "limit": gas.limit,
        "price": gas.currency.units(gas.prices.now),
        "max_price": gas.currency.units(gas.prices.max_fee),
        "callback": gas.currency.units(gas.value),
        "data_fee": gas.currency.units(gas.data_fee),
        "expected": gas.expected,
        "max_cost": gas.max_cost,
    }


def finding_fields(finding: Finding) -> dict[str, Any]:
    """Something that `ape dtn rescue` has found."""
    return {
        "kind": finding.kind,
        "amount": finding.amount,
        "explanation": finding.explanation,
        "remedy": finding.remedy,
        "holder": finding.holder,
        "session": finding.session_id,
        "request": finding.request_id,
        "contract": finding.contract,
        "transaction": finding.transaction,
        "requests": finding.requests,
    }


def rehearsal_fields(rehearsed: RehearsalResult) -> dict[str, Any]:
    """The result of a rehearsal."""
    return {
        "network": rehearsed.network,
        "block": rehearsed.block,
        "transaction": _step_fields(rehearsed.transaction),
        "requests": [_asked_fields(request) for request in rehearsed.requests],
        "max_cost": rehearsed.max_cost,
        "charged": rehearsed.charged,
        "failures": rehearsed.failures,
    }


def _asked_fields(request: RehearsedRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "depth": request.depth,
        "session": request.session_id,
        "model": request.model,
        "text": request.text,
        "max_cost": request.max_cost,
        "charged": request.charged,
        "node": request.node,
        "status": request.status,
        "answer": request.answer,
        "response": _step_fields(request.response) if request.response else None,
        "callback": request.callback,
        "failure": request.failure,
    }


def _step_fields(step: Step) -> dict[str, Any]:
    return vars(step)


def entry_fields(entry: Entry, token: Token | None) -> dict[str, Any]:
    """An entry of the journal.

    Signed transactions are left out, since anybody who has one can broadcast it.

    Args:
        entry: The entry.
        token: The token of the amounts in its outcome; None if it has none.
    """
    intent = dict(entry.payload)
    if "session" in intent:
        intent["session"] = int(intent["session"])
    if "deposit" in intent:
        from ape_dtn.funding.bare_deposit import deposit_of

        intent = {"deposit": deposit_of(entry)}
    return {
        "id": entry.id,
        "kind": entry.kind,
        "key": entry.key,
        "state": entry.state,
        "intent": intent,
        "outcome": typed_outcome(entry.outcome, token) if entry.outcome else None,
        "transactions": [signed.hash for signed in entry.signed],
    }


def typed_outcome(outcome: Mapping[str, Any], token: Token | None) -> dict[str, Any]:
    """The outcome of an entry, which the journal keeps as text, with typed values."""
    found: dict[str, Any] = dict(outcome)
    for name in ("session", "block"):
        if found.get(name) is not None:
            found[name] = int(found[name])
    for name in ("balance", "refund"):
        if found.get(name) is not None and token is not None:
            found[name] = token.units(int(found[name]))
    return found


def event_fields(event: Event, token: Token, native: Token) -> dict[str, Any]:
    """An event of a node.

    Args:
        event: The event.
        token: The fee token, which the node earns.
        native: The native currency, which it pays for gas with.
    """
    fields = dict(event.fields)
    for name, currency in (("earned", token), ("gas", native)):
        if name in fields:
            fields[name] = currency.units(fields[name])
    time = datetime.fromtimestamp(round(event.time, 3), timezone.utc)
    return {"event": event.kind, "time": time, **fields}


def token_fields(token: Token) -> dict[str, Any]:
    """A token, as the chain describes it."""
    return asdict(token)


def session_fields(session: int, owner: str, balance: Amount) -> dict[str, Any]:
    """An open session."""
    return {"session": session, "owner": owner, "balance": balance}


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
