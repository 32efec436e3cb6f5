"""Recognises entries of the journal that cannot be read, so that the others still can."""

from __future__ import annotations

from typing import Any

from ape_dtn.journal.errors import JournalUnusable

# Patterns of texts with other characters than digits, and than those of addresses and names.
_DIGITS = "'*[^0-9]*'"
_NAME = "'*[^0-9a-zA-Z: _-]*'"


def field(column: str, path: str = "") -> str:
    """SQL for a field of a JSON column; null where the column is not JSON.

    Args:
        column: The column.
        path: The field's JSON path; a parameter of the statement by default.
    """
    value = f"'{path}'" if path else "?"
    return f"case when json_valid({column}) then json_extract({column}, {value}) end"


def may_be(column: str) -> str:
    """SQL for whether a column has a value, given as a parameter, or one that cannot be read."""
    name = "" if column == "key" else f" or {column} glob {_NAME}"
    return f"({column} = ? or typeof({column}) not in ('text', 'null'){name})"


def _type(column: str, path: str = "$") -> str:
    return f"case when json_valid({column}) then json_type({column}, '{path}') end"


# Of transactions: whether one can be read.
READABLE_SIGNED = (
    "(typeof(hash) = 'text' and typeof(sender) = 'text' and typeof(nonce) = 'integer'"
    " and typeof(raw) = 'text' and nonce >= 0"
    " and (raw = '' or (raw glob '0x*' and substr(raw, 3) not glob '*[^0-9a-fA-F]*')))"
)

# Of entries: the first column that cannot be read; null where all can.
_NAMES = " ".join(
    f"when typeof({name}) != 'text' or {name} glob {_NAME} then '{name}'"
    for name in ("chain", "router", "account", "kind")
)
COLUMN = f"""case
    {_NAMES}
    when typeof(key) not in ('text', 'null') then 'key'
    when typeof(worker) not in ('text', 'null') then 'worker'
    when state not in ('open', 'done', 'void') then 'state'
    when {_type("meant")} is not 'object' then 'meant'
    when ifnull({field("meant", "$.session")}, '0') glob {_DIGITS} then 'meant.session'
    when {_type("details")} is not 'object' then 'details'
    when ifnull({_type("details", "$.from_block")}, 'integer') != 'integer'
        then 'details.from_block'
    when ifnull({_type("details", "$.handed_over")}, 'null') not in ('integer', 'null')
        then 'details.handed_over'
    when outcome is not null and {_type("outcome")} is not 'object' then 'outcome'
    when state = 'done' and ifnull({field("outcome", "$.block")}, '?') glob {_DIGITS}
        then 'outcome.block'
    when state = 'done' and {_type("outcome", "$.transaction")} is not 'text'
        then 'outcome.transaction'
    when day not glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' then 'day'
    when (cost is null) != (token is null) or (cost is null) != (session is null)
        or ifnull(cost, '0') glob {_DIGITS} or ifnull(length(cost), 1) not between 1 and 78
        then 'cost'
    when typeof(token) not in ('text', 'null') or token glob {_NAME} then 'token'
    when ifnull(session, '0') glob {_DIGITS} then 'session'
    when exists (select 1 from transactions where entry = entries.id and not {READABLE_SIGNED})
        then 'transactions'
end"""


class Fields(dict[str, Any]):
    """The fields of a JSON column, of which a missing one is a :class:`JournalUnusable`."""

    def __init__(self, entry: int, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self._entry = entry

    def __missing__(self, name: str) -> Any:
        reason = f"entry {self._entry} lacks the field '{name}'"
        raise JournalUnusable(None, reason, is_damaged=True)


def read_text(raw: bytes) -> str | bytes:
    """Decodes a text of the file; what is not UTF-8 stays bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
