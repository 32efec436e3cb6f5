"""``ape dtn session history`` and ``report``: the events of a session, and an audit of its bill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import dtn_command
from ape_dtn._cli.screen import say, table, working
from ape_dtn.types.errors import BadInput

if TYPE_CHECKING:
    from ape_dtn.billing.audit import Audit
    from ape_dtn.billing.history import History


# The amount of a row is in the column of its kind.
_AMOUNTS = ("deposited", "charged", "refunded")

_file = click.Path(dir_okay=False, path_type=Path)


@dtn_command("history")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, which has more columns.")
@click.argument("session_id", type=int, metavar="ID")
def history(session_id: int, as_csv: bool, router: str | None) -> dict[str, Any]:
    """List the events of session ID, open or closed.

    Deposits, requests, answers, charges, callbacks and refunds, as the chain recorded them.
    """
    found = _read(session_id, router)
    if as_csv:
        say(found.csv().rstrip("\n"))
    else:
        _show(found)
    return found.as_dict()


@dtn_command("report")
@click.option("--html", "html_file", type=_file, help="Write the bill to this file, as a web page.")
@click.option("--csv", "csv_file", type=_file, help="Write the events to this file, as CSV.")
@click.argument("session_id", type=int, metavar="ID")
def report(
    session_id: int, html_file: Path | None, csv_file: Path | None, router: str | None
) -> dict[str, Any]:
    """Audit the charges of session ID.

    Recomputes each charge from the bytes on the chain and the fee offered, names the nodes that
    overcharged, and compares the sums with the balance.
    """
    from ape_dtn.billing.audit import audits

    found = _read(session_id, router)
    for audit in audits(found):
        _show_audit(audit)
    _show_left_out(found)
    for file, render in ((html_file, found.html), (csv_file, found.csv)):
        if file:
            _write(file, render())
    return found.as_dict()


def _read(session_id: int, router: str | None) -> History:
    from ape_dtn.billing.history import history
    from ape_dtn.client.ai import DtnAi

    ai = DtnAi(router)
    with working("Reading the session's events"):
        return history(ai, session_id)


def _show(found: History) -> None:
    from ape_dtn.billing.report import rows

    shown = [
        [
            f"{row['time']:%Y-%m-%d %H:%M:%S}",
            row["event"],
            row["request"],
            row["node"],
            row["status"],
            next((row[name] for name in _AMOUNTS if row[name] is not None), None),
            row["balance"],
            "; ".join(text for text in (row["verdict"], row["note"]) if text),
        ]
        for row in rows(found)
    ]
    table(
        f"Session {found.session_id} (times in UTC)",
        ["time", "event", "request", "node", "status", "amount", "balance", "note"],
        [["" if cell is None else str(cell) for cell in row] for row in shown],
    )
    _show_left_out(found)


def _show_audit(audit: Audit) -> None:
    from ape_dtn.billing.audit import remarks

    session = audit.session
    say(f"Session {session.id} of {session.owner}")
    for remark in remarks(audit):
        say(f"{'WARNING: ' if remark.is_wrong else ''}{remark.text}")
    if audit.nodes:
        table(
            "By node",
            ["node", "responses", "charged", "overcharged", "not judged"],
            [
                [
                    node.node,
                    str(node.responses),
                    str(node.charged),
                    str(node.overcharged),
                    str(node.not_judged),
                ]
                for node in audit.nodes
            ],
        )


def _show_left_out(found: History) -> None:
    from ape_dtn.billing.audit import LEFT_OUT

    if found.left_out:
        say(f"WARNING: {LEFT_OUT} {', '.join(found.left_out)}")
    if found.unplaced:
        ids = ", ".join(request.id for request in found.unplaced)
        say(f"WARNING: Requests of sessions that are left out: {ids}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as err:
        raise BadInput(f"{file} cannot be written: {err.strerror}.") from err
    say(f"Written: {file}")
