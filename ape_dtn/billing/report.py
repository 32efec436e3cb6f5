"""Exports a bill as plain data, CSV and a pandas DataFrame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from ape_dtn.billing.audit import UNANSWERED, Audit, audits, judge
from ape_dtn.billing.statement import (
    Moment,
    RequestHistory,
    Response,
    SessionHistory,
    State,
    Statement,
)
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.serialization import SCHEMA_VERSION, to_json

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # untyped


# The columns of a row, in order.
COLUMNS = (
    "time",
    "block",
    "transaction",
    "session",
    "manager",
    "event",  # opened, request, answer, callback, charge or closed
    "request",
    "account",  # the session's owner, the request's user, or the account that was paid
    "model",
    "node",
    "status",
    "bytes_asked",
    "bytes_answered",
    "deposited",
    "charged",
    "refunded",
    "fair",
    "overcharged",
    "verdict",
    "balance",  # after the event
    "token",
    "note",
)
_WHOLE_NUMBERS = ("block", "bytes_asked", "bytes_answered")

# First characters of a cell that a spreadsheet runs as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@")

_MOST_SHOWN = 200


def rows(history: Statement) -> list[dict[str, Any]]:
    """One row for each event, in the order of the chain, with the columns of ``COLUMNS``.

    Values are times, texts that are :func:`plain`, integers, amounts or None.
    """
    known = {request.id for request, _ in history.requests}
    found = [row for session in history.sessions for row in _session_rows(session, known)]
    found += [row for request in history.unplaced for row in _request_rows(request)]
    found.sort(key=lambda pair: pair[0].order)
    empty = dict.fromkeys(COLUMNS)
    return [
        {
            **empty,
            "time": at.time,
            "block": at.block,
            "transaction": at.transaction,
            "session": str(history.session_id),
            **{
                name: plain(value) if isinstance(value, str) else value
                for name, value in fields.items()
            },
        }
        for at, fields in found
    ]


def plain(text: str) -> str:
    """Untrusted text as one printable line of at most 200 characters."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= _MOST_SHOWN else shown[: _MOST_SHOWN - 1] + "…"


def csv_text(history: Statement) -> str:
    """The :func:`rows` as CSV, with amounts as decimals.

    A text of a node that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    # Every cell is quoted, for programs that split at semicolons too.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in row.values()] for row in rows(history))
    return text.getvalue()


def dataframe(history: Statement) -> DataFrame:
    """The :func:`rows` as a DataFrame, with amounts as exact decimals in whole tokens."""
    import pandas

    exact = [
        [value.decimal if isinstance(value, Amount) else value for value in row.values()]
        for row in rows(history)
    ]
    # By default pandas turns integers into floats in columns with missing values.
    frame = pandas.DataFrame(exact, columns=list(COLUMNS), dtype=object)
    frame["time"] = pandas.to_datetime(frame["time"], utc=True)
    return frame.astype(dict.fromkeys(_WHOLE_NUMBERS, "Int64"))


def as_dict(history: Statement) -> dict[str, Any]:
    """The whole history and its audit, by the rules of :mod:`ape_dtn.types.serialization`."""
    document: dict[str, Any] = to_json(
        {
            "schema_version": SCHEMA_VERSION,
            "network": history.network,
            "router": history.router,
            "session": history.session_id,
            "as_of": _moment_fields(history.as_of),
            "sessions": [_session_fields(audit) for audit in audits(history)],
            "left_out": history.left_out,
            "unplaced": [_request_fields(request, None) for request in history.unplaced],
        }
    )
    return document


# Rows with their positions on the chain, for sorting.
_Rows = Iterator[tuple[Moment, dict[str, Any]]]


def _session_rows(session: SessionHistory, known: set[str]) -> _Rows:
    opened = {
        "event": "opened",
        "account": session.owner,
        "deposited": session.opened_with,
        "balance": session.opened_with,
    }
    found: list[tuple[Moment, dict[str, Any]]] = [(session.opened, opened)]
    for request in session.requests:
        found += _request_rows(request)
    for charge in session.other_charges:
        if charge.request_id not in known:
            charged = {
                "event": "charge",
                "request": charge.request_id,
                "account": charge.to,
                "charged": charge.amount,
                "balance": charge.left,
                "note": "the endpoint did not return its request",
            }
            found.append((charge.at, charged))
    if session.closed:
        closed = {
            "event": "closed",
            "account": session.owner,
            "refunded": session.refund,
            "balance": session.token.units(0),
        }
        found.append((session.closed, closed))
    own = {"manager": session.manager, "token": session.token.symbol}
    for at, fields in found:
        yield at, {**own, **fields}


def _request_rows(request: RequestHistory) -> _Rows:
    record = request.record
    asked = {
        "event": "request",
        "request": request.id,
        "account": request.user,
        "model": request.model or None,
        "status": request.state.value,
        "bytes_asked": record.bytes_asked if record else None,
        "note": UNANSWERED[State.REPLACED] if request.state is State.REPLACED else None,
    }
    yield request.at, asked
    for response in request.responses:
        yield response.at, _answer_row(request, response)
    last = request.responses[-1] if request.responses else None
    if last and last.charge and record and record.has_callback and not request.is_open:
        failed = last.callback_error
        yield (
            last.at,
            {
                "event": "callback",
                "request": request.id,
                "account": record.callback_target,
                "status": "called" if failed is None else "reverted",
                "note": failed,
            },
        )


def _answer_row(request: RequestHistory, response: Response) -> dict[str, Any]:
    finding, charge = judge(request, response), response.charge
    # The session that paid, which need not be the one that sent the request.
    payer = {"manager": charge.manager, "token": charge.amount.token.symbol} if charge else {}
    return {
        **payer,
        "event": "answer",
        "request": request.id,
        "account": charge.to if charge else None,
        "model": request.model or None,
        "node": response.node,
        "status": response.status.name.lower(),
        "bytes_asked": request.record.bytes_asked if request.record else None,
        "bytes_answered": response.bytes_answered,
        "charged": charge.amount if charge else None,
        "fair": finding.fair,
        "overcharged": finding.overcharge,
        "verdict": finding.verdict.value,
        "balance": charge.left if charge else None,
        "note": response.message or finding.why_not or None,
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Amount):
        return f"{value.decimal:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    in_half_width = normalize("NFKC", text).lstrip()
    return f"'{text}" if in_half_width.startswith(_FORMULA_STARTS) else text


def _moment_fields(moment: Moment) -> dict[str, Any]:
    return {"time": moment.time, "block": moment.block, "transaction": moment.transaction}


def _session_fields(audit: Audit) -> dict[str, Any]:
    session = audit.session
    return {
        "id": session.id,
        "manager": session.manager,
        "is_current": session.is_current,
        "owner": session.owner,
        "opened": _moment_fields(session.opened),
        "opened_with": session.opened_with,
        "charged": session.charged,
        "balance": session.balance,
        "closed": _moment_fields(session.closed) if session.closed else None,
        "refund": session.refund,
        "difference": audit.difference,
        "overcharged": audit.overcharged,
        "not_judged": audit.not_judged,
        "nodes": audit.nodes,
        "requests": [_request_fields(request, session.token) for request in session.requests],
        "other_charges": [
            {
                "amount": charge.amount,
                "to": charge.to,
                "request": charge.request_id,
                "at": _moment_fields(charge.at),
            }
            for charge in session.other_charges
        ],
    }


def _request_fields(request: RequestHistory, token: Token | None) -> dict[str, Any]:
    record = request.record
    return {
        "id": request.id,
        "user": request.user,
        "at": _moment_fields(request.at),
        "state": request.state,
        "model": request.model or None,
        "model_id": record.model_id if record else None,
        "may_still_cost": _amount(request.units_open, token),
        "asked": record
        and {
            "call_type": record.call_type,
            "bytes_asked": record.bytes_asked,
            "fee_per_byte_asked": _amount(record.fee_per_byte_asked, token),
            "fee_per_byte_answered": _amount(record.fee_per_byte_answered, token),
            "max_cost": _amount(record.max_cost, token),
            "callback": record.callback_target if record.has_callback else None,
        },
        "responses": [_response_fields(request, response) for response in request.responses],
    }


def _response_fields(request: RequestHistory, response: Response) -> dict[str, Any]:
    finding, charge = judge(request, response), response.charge
    return {
        "node": response.node,
        "node_id": response.node_id,
        "at": _moment_fields(response.at),
        "status": response.status,
        "message": response.message,
        "bytes_answered": response.bytes_answered,
        "charged": charge.amount if charge else None,
        "paid_to": charge.to if charge else None,
        "fair": finding.fair,
        "overcharged": finding.overcharge,
        "verdict": finding.verdict,
        "why_not": finding.why_not or None,
        "callback_error": response.callback_error,
    }


def _amount(units: int, token: Token | None) -> Any:
    """Units of a session's token as an amount; None if the session is not known."""
    return token.units(units) if token else {"units": str(units), "value": None, "token": None}
