"""``ape dtn session history`` and ``report``: what was charged for what, and whether fairly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import dtn_command, say, table, working
from ape_dtn.types.errors import BadInput

if TYPE_CHECKING:
    from ape_dtn.billing.history import History


# What an amount is, depending on what happened.
_AMOUNTS = ("deposited", "charged", "refunded")

_file = click.Path(dir_okay=False, path_type=Path)


@dtn_command("history")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with more columns.")
@click.argument("session_id", type=int, metavar="ID")
def history(session_id: int, as_csv: bool, router: str | None) -> dict[str, Any]:
    """List what happened on session ID, open or closed.

    Every request, answer, charge, callback and refund, from the chain's events.
    """
    found = _read(session_id, router)
    if as_csv:
        say(found.csv().rstrip("\n"))
    else:
        _show(found)
    return found.as_dict()


@dtn_command("report")
@click.option("--html", "html_file", type=_file, help="Write the bill as a web page.")
@click.option("--csv", "csv_file", type=_file, help="Write what happened as CSV.")
@click.argument("session_id", type=int, metavar="ID")
def report(
    session_id: int, html_file: Path | None, csv_file: Path | None, router: str | None
) -> dict[str, Any]:
    """Audit what session ID was charged.

    Each charge is recomputed from the bytes on the chain and the fees that were offered; nodes that
    took more are named, and the sums are compared with the balance.
    """
    from ape_dtn.billing.audit import audits

    found = _read(session_id, router)
    for audited in audits(found):
        _show_audit(audited)
    _show_left_out(found)
    for file, written in ((html_file, found.html), (csv_file, found.csv)):
        if file:
            _write(file, written())
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
            next((row[each] for each in _AMOUNTS if row[each] is not None), None),
            row["balance"],
            "; ".join(each for each in (row["verdict"], row["note"]) if each),
        ]
        for row in rows(found)
    ]
    table(
        f"Session {found.session_id} (times in UTC)",
        ["time", "event", "request", "node", "status", "amount", "balance", "note"],
        [["" if cell is None else str(cell) for cell in row] for row in shown],
    )
    _show_left_out(found)


def _show_audit(audited: Any) -> None:
    from ape_dtn.billing.audit import remarks

    session = audited.session
    say(f"Session {session.id} of {session.owner}")
    for remark in remarks(audited):
        say(f"{'WARNING: ' if remark.is_wrong else ''}{remark.text}")
    if audited.nodes:
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
                for node in audited.nodes
            ],
        )


def _show_left_out(found: History) -> None:
    from ape_dtn.billing.audit import LEFT_OUT

    if found.left_out:
        say(f"WARNING: {LEFT_OUT} {', '.join(found.left_out)}")
    if found.unplaced:
        ids = ", ".join(each.id for each in found.unplaced)
        say(f"WARNING: Requests of sessions that are left out: {ids}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as err:
        raise BadInput(f"{file} cannot be written: {err.strerror}.") from err
    say(f"Written: {file}")
