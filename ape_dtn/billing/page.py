"""Renders a bill as one self-contained web page, without scripts, fonts or requests.

``page.html.template`` is its frame, ``page.css`` its style. The chart is an SVG image that is
stretched to the page's width, with labels outside it, so that lines and text keep their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template

from ape_dtn.billing.audit import LEFT_OUT, UNANSWERED, Audit, Verdict, audits, judge, remarks
from ape_dtn.billing.report import plain, rows
from ape_dtn.billing.statement import Moment, RequestHistory, Statement
from ape_dtn.types.amount import Amount

# The chart's view box.
_WIDTH, _HEIGHT = 1000, 1000

_TIME = "%Y-%m-%d %H:%M:%S"

# The columns of the table of all events.
_SHOWN = (
    *("time", "event", "request", "account", "node", "status", "deposited", "charged", "refunded"),
    *("balance", "fair", "verdict", "block", "transaction", "manager", "note"),
)


def html(history: Statement) -> str:
    """The page: for each session its figures, remarks, a chart and tables. Times are in UTC.

    Every text of the chain is escaped, and the page's policy forbids scripts and requests.
    """
    folder = files("ape_dtn.billing")
    header = (
        f'<p class="quiet">{_text(history.network)}, as of block {history.as_of.block},\n'
        f"{_time(history.as_of.time)} UTC</p>\n"
        f'<p class="quiet">Router <code>{_text(history.router)}</code></p>'
    )
    sections = [
        header,
        *(_section(audit, history) for audit in audits(history)),
        _left_out(history),
        _events(history),
    ]
    return Template((folder / "page.html.template").read_text("utf-8")).substitute(
        title=f"Session {history.session_id}",
        style=(folder / "page.css").read_text("utf-8"),
        sections="\n".join(sections),
    )


def _section(audit: Audit, history: Statement) -> str:
    session = audit.session
    heading = (
        f"<h2>Session manager <code>{_text(session.manager)}</code></h2>"
        if len(history.sessions) > 1
        else ""
    )
    return f"""<section>
{heading}
<p class="quiet">Owner <code>{_text(session.owner)}</code></p>
{_figures(audit)}
{_remarks(audit)}
{_chart(audit, history.as_of)}
{_nodes(audit)}
{_requests(session.requests, f"Requests, in {_text(session.token.unit)}")}
</section>"""


def _figures(audit: Audit) -> str:
    session = audit.session
    kept = ("Left", session.balance) if session.refund is None else ("Refunded", session.refund)
    figures = [("Opened with", session.opened_with), ("Charged", session.charged), kept]
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{_text(amount)}</dd></div>" for name, amount in figures
    )
    bad = ' class="bad"' if audit.overcharged else ""
    return (
        f"<dl>{shown}<div><dt>Overcharged</dt><dd{bad}>{_text(audit.overcharged)}</dd></div>"
        f"<div><dt>Requests</dt><dd>{len(session.requests)}</dd></div></dl>"
    )


def _remarks(audit: Audit) -> str:
    return "".join(
        f'<p class="note{" bad" if remark.is_wrong else ""}">{_text(remark.text)}</p>'
        for remark in remarks(audit)
    )


def _chart(audit: Audit, as_of: Moment) -> str:
    """The sum of charges over time, and how much of it is above the fair charges."""
    session = audit.session
    if not session.charges:
        return ""
    over = {
        finding.response.charge: finding.overcharge.units
        for finding in audit.findings
        if finding.overcharge
    }
    start, end = session.opened.time, (session.closed or as_of).time
    seconds = max(int((end - start).total_seconds()), 1)
    top = max(session.charged.units, 1)
    fair, charged, dots = [(0, 0)], [(0, 0)], []
    for charge in session.charges:
        x = int((charge.at.time - start).total_seconds()) * _WIDTH // seconds
        excess = over.get(charge, 0)
        charged.append((x, charged[-1][1] + charge.amount.units))
        fair.append((x, fair[-1][1] + charge.amount.units - excess))
        label = f"{charge.at.time:{_TIME}}: {charge.amount}" + (", overcharged" if excess else "")
        css_class = "dot over" if excess else "dot"
        y = _height(charged[-1][1], top)
        dots.append(
            f'<path class="{css_class}" d="M{x} {y}h0"><title>{_text(label)}</title></path>'
        )
    ticks = (4, 3, 2, 1, 0)
    scale = "".join(f"<span>{_text(session.token.units(top * tick // 4))}</span>" for tick in ticks)
    grid = "".join(f"M0 {_height(tick, 4)}H{_WIDTH}" for tick in ticks)
    under_fair, under_all = (f"{_steps(line, top)}V{_HEIGHT}H0Z" for line in (fair, charged))
    return f"""<figure>
<figcaption><b>Spending over time</b><span class="key">Charged</span>
{'<span class="key over">Overcharged</span>' if over else ""}</figcaption>
<div class="plot">
<div class="scale">{scale}</div>
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"
aria-label="{_text(session.charged)} charged from {start:{_TIME}} to {end:{_TIME}}">
<path class="grid" d="{grid}"/>
<path class="area" d="{under_fair}"/>
<path class="area over" fill-rule="evenodd" d="{under_all}{under_fair}"/>
<path class="steps" d="{_steps(charged, top)}"/>
{"".join(dots)}
</svg>
<div class="span">{_time(start)}{_time(end)}</div>
</div>
</figure>"""


def _steps(points: Sequence[tuple[int, int]], top: int) -> str:
    """A path that rises at each point and continues to the right edge."""
    return f"M0 {_HEIGHT}" + "".join(f"H{x}V{_height(y, top)}" for x, y in points) + f"H{_WIDTH}"


def _height(units: int, top: int) -> int:
    return _HEIGHT - units * _HEIGHT // top


def _nodes(audit: Audit) -> str:
    return _table(
        f"Nodes, in {_text(audit.session.token.unit)}",
        ["Node", "#Responses", "#Charged", "#Overcharged", "#Not judged"],
        [
            [
                _id(node.node),
                str(node.responses),
                _number(node.charged),
                f'<b class="bad">{_number(node.overcharged)}</b>' if node.overcharged else "",
                str(node.not_judged or ""),
            ]
            for node in audit.nodes
        ],
    )


def _requests(requests: Sequence[RequestHistory], title: str) -> str:
    return _table(
        title,
        ["Asked", "Request", "Model", "Status", "Node", "#Bytes", "#Charged", "#Fair", "Note"],
        [row for request in requests for row in _request_rows(request)],
    )


def _request_rows(request: RequestHistory) -> list[list[str]]:
    """A row for each response; one row for a request without any."""
    status = _text(request.state.value)
    asked = [_time(request.at.time), _id(request.id), _text(request.model)]
    if not request.responses:
        return [
            [*asked, status, "", _bytes(request, None), "", "", _text(UNANSWERED[request.state])]
        ]
    found = []
    for response in request.responses:
        finding = judge(request, response)
        charged = _number(response.charge.amount if response.charge else None)
        is_over = finding.verdict is Verdict.OVERCHARGED
        notes = [
            response.message,
            finding.why_not,
            finding.verdict.value if finding.fair and finding.verdict is not Verdict.FAIR else "",
            f"callback reverted: {response.callback_error}" if response.callback_error else "",
        ]
        found.append(
            [
                *asked,
                status,
                _id(response.node),
                _bytes(request, response.bytes_answered),
                f'<b class="bad">{charged}</b>' if is_over else charged,
                _number(finding.fair),
                "; ".join(_text(note) for note in notes if note),
            ]
        )
    return found


def _bytes(request: RequestHistory, answered: int | None) -> str:
    asked = request.record.bytes_asked if request.record else "?"
    return f"{asked} + {'?' if answered is None else answered}" if request.responses else str(asked)


def _left_out(history: Statement) -> str:
    """Contracts that may be impostors, and requests that belong to no known session."""
    if not (history.left_out or history.unplaced):
        return ""
    addresses = ", ".join(f"<code>{_text(address)}</code>" for address in history.left_out)
    note = f'<p class="note bad">{LEFT_OUT} {addresses}</p>' if history.left_out else ""
    return note + _requests(history.unplaced, "Requests of sessions that are left out")


def _events(history: Statement) -> str:
    cells = [[_cell(row[name]) for name in _SHOWN] for row in rows(history)]
    table = _table("", _SHOWN, cells, is_wide=True)
    return f"<details><summary>Everything that happened</summary>{table}</details>"


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return _time(value)
    return "" if value is None else _id(str(value))


def _table(
    title: str, columns: Sequence[str], cells: Iterable[Sequence[str]], is_wide: bool = False
) -> str:
    """A table, whose rows are cards on narrow screens. # marks columns of numbers."""

    def attributes(column: str) -> str:
        css_class = ' class="number"' if column.startswith("#") else ""
        return f'{css_class} data-name="{column.lstrip("#")}"'

    body = "".join(
        "<tr>"
        + "".join(
            f"<td{attributes(column)}>{cell}</td>"
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    if not body:
        return ""
    head = "".join(f"<th{attributes(column)}>{column.lstrip('#')}</th>" for column in columns)
    heading = f"<h2>{title}</h2>" if title else ""
    css_class = "card" if is_wide else "card cards"
    return (
        f'{heading}<div class="{css_class}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _id(value: str) -> str:
    """A shortened id with the whole id in its title; a name as it is."""
    if not value.startswith("0x"):
        return _text(value)
    return f'<code title="{_text(value)}">{_text(value[:8])}…{_text(value[-4:])}</code>'


def _number(amount: Amount | None) -> str:
    """An amount without its unit, which the heading has."""
    return _text(str(amount).removesuffix(f" {amount.token.unit}")) if amount is not None else ""


def _text(value: object) -> str:
    return escape(plain(str(value)))


def _time(time: datetime) -> str:
    return f"<time>{time:{_TIME}}</time>"
