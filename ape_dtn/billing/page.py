"""A bill as one web page that needs nothing else: no script, no font, no network.

The chart is drawn here. It is stretched to the page's width while its lines keep theirs, and its
labels are text of the page: so it is sharp and readable at any size, and follows light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from ape_dtn.billing.audit import LEFT_OUT, UNANSWERED, Audit, Verdict, audits, judge, remarks
from ape_dtn.billing.report import plain, rows
from ape_dtn.billing.statement import Moment, RequestHistory, Statement
from ape_dtn.types.amount import Amount

# The chart's own units, before it is stretched.
_WIDTH, _HEIGHT = 1000, 1000

# Nothing may be loaded and nothing may run, whatever a node's message holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_TIME = "%Y-%m-%d %H:%M:%S"

# The columns of the table of everything.
_SHOWN = (
    *("time", "event", "request", "account", "node", "status", "deposited", "charged", "refunded"),
    *("balance", "fair", "verdict", "block", "transaction", "manager", "note"),
)

_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #16191d; --quiet: #5d6673; --line: #e1e5ea;
  --accent: #2563eb; --wash: #2563eb26; --bad: #c62828; --bad-wash: #c6282829;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #181c22; --ink: #e7eaee; --quiet: #98a2b0; --line: #2a3038;
    --accent: #6ea0ff; --wash: #6ea0ff2e; --bad: #ff7b72; --bad-wash: #ff7b7238;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 1200px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 40px 0 12px; font-size: 18px; }
p { margin: 6px 0; }
.quiet, dt, figcaption, th { color: var(--quiet); }
code { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl {
  display: grid; gap: 12px; margin: 24px 0 0;
  grid-template-columns: repeat(auto-fit, minmax(170px, 1fr));
}
dl > div, figure, .card {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px;
}
dt { font-size: 13px; }
dd { margin: 2px 0 0; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; }
.note { margin: 12px 0 0; padding: 10px 16px; border-left: 4px solid var(--line); }
.note.bad { border-color: var(--bad); background: var(--bad-wash); }
.bad { color: var(--bad); }
.note.bad { color: inherit; }
figure { margin: 24px 0 0; }
figcaption { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-bottom: 12px; }
figcaption b { color: var(--ink); margin-right: auto; }
.key::before {
  content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 7px;
  border-radius: 3px; background: var(--accent);
}
.key.over::before { background: var(--bad); }
.plot { display: grid; grid-template-columns: auto 1fr; gap: 6px 10px; font-size: 12px; }
.plot svg {
  width: 100%; height: 240px; overflow: visible; border-bottom: 1px solid var(--line);
}
.scale, .span { display: flex; justify-content: space-between; color: var(--quiet); }
.scale { flex-direction: column; text-align: right; font-variant-numeric: tabular-nums; }
.scale span { line-height: 0; }
.span { grid-column: 2; gap: 16px; }
.span time:last-child { text-align: right; }
path, line { fill: none; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); }
.area { fill: var(--wash); }
.area.over { fill: var(--bad-wash); }
.steps { stroke: var(--accent); stroke-width: 2; }
.dot { stroke: var(--accent); stroke-width: 8; stroke-linecap: round; }
.dot.over { stroke: var(--bad); }
.card { padding: 0; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; }
.number { font-variant-numeric: tabular-nums; }
th { font-size: 12px; font-weight: 500; text-align: left; white-space: nowrap; }
th, td { padding: 9px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.cards code, .cards time { white-space: nowrap; }
details { margin-top: 40px; }
summary { cursor: pointer; font-size: 18px; font-weight: 600; margin-bottom: 12px; }
details td { white-space: nowrap; font-size: 13px; }
td:last-child { overflow-wrap: anywhere; min-width: 110px; }
details td:last-child { white-space: normal; min-width: 220px; }
@media (max-width: 640px) {
  main { padding-top: 24px; }
  dl { grid-template-columns: 1fr 1fr; }
  dd { font-size: 16px; }
  .cards thead { display: none; }
  .cards tr { display: block; padding: 10px 14px; border-bottom: 1px solid var(--line); }
  .cards tr:last-child { border-bottom: 0; }
  .cards td { display: flex; gap: 16px; padding: 3px 0; border: 0; text-align: right; }
  .cards td::before { content: attr(data-name); margin-right: auto; color: var(--quiet); }
  .cards td:empty { display: none; }
}
"""


def html(history: Statement) -> str:
    """The page: for each session its figures, what is wrong, a chart, and what happened, in UTC."""
    title = f"Session {history.session_id}"
    sections = "".join(_section(each, history) for each in audits(history))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="quiet">{_text(history.network)}, as of block {history.as_of.block},
{_time(history.as_of.time)} UTC</p>
<p class="quiet">Router <code>{_text(history.router)}</code></p>
{sections}
{_left_out(history)}
{_everything(history)}
</main>
</body>
</html>
"""


def _section(audited: Audit, history: Statement) -> str:
    session = audited.session
    which = (
        f"<h2>Session manager <code>{_text(session.manager)}</code></h2>"
        if len(history.sessions) > 1
        else ""
    )
    return f"""<section>
{which}
<p class="quiet">Owner <code>{_text(session.owner)}</code></p>
{_figures(audited)}
{_remarks(audited)}
{_chart(audited, history.as_of)}
{_nodes(audited)}
{_requests(session.requests, f"Requests, in {_text(session.token.symbol)}")}
</section>"""


def _figures(audited: Audit) -> str:
    session = audited.session
    kept = ("Left", session.balance) if session.refund is None else ("Refunded", session.refund)
    figures = [("Opened with", session.opened_with), ("Charged", session.charged), kept]
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{_text(amount)}</dd></div>" for name, amount in figures
    )
    bad = ' class="bad"' if audited.overcharged else ""
    return (
        f"<dl>{shown}<div><dt>Overcharged</dt><dd{bad}>{_text(audited.overcharged)}</dd></div>"
        f"<div><dt>Requests</dt><dd>{len(session.requests)}</dd></div></dl>"
    )


def _remarks(audited: Audit) -> str:
    return "".join(
        f'<p class="note{" bad" if remark.is_wrong else ""}">{_text(remark.text)}</p>'
        for remark in remarks(audited)
    )


def _chart(audited: Audit, as_of: Moment) -> str:
    """What was charged so far, over time, and how much of it is beyond the fair."""
    session = audited.session
    if not session.charges:
        return ""
    over = {
        finding.response.charge: finding.overcharge.units
        for finding in audited.findings
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
        told = f"{charge.at.time:{_TIME}}: {charge.amount}" + (", overcharged" if excess else "")
        kind = "dot over" if excess else "dot"
        y = _height(charged[-1][1], top)
        dots.append(f'<path class="{kind}" d="M{x} {y}h0"><title>{_text(told)}</title></path>')
    ticks = (4, 3, 2, 1, 0)
    scale = "".join(f"<span>{_text(session.token.units(top * tick // 4))}</span>" for tick in ticks)
    grid = "".join(f"M0 {_height(tick, 4)}H{_WIDTH}" for tick in ticks)
    under_fair, under_all = (f"{_steps(each, top)}V{_HEIGHT}H0Z" for each in (fair, charged))
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
    """A line that rises at each point, and goes on to the right edge."""
    return f"M0 {_HEIGHT}" + "".join(f"H{x}V{_height(y, top)}" for x, y in points) + f"H{_WIDTH}"


def _height(units: int, top: int) -> int:
    return _HEIGHT - units * _HEIGHT // top


def _nodes(audited: Audit) -> str:
    return _table(
        f"Nodes, in {_text(audited.session.token.symbol)}",
        ["Node", "#Responses", "#Charged", "#Overcharged", "#Not judged"],
        [
            [
                _id(node.node),
                str(node.responses),
                _number(node.charged),
                f'<b class="bad">{_number(node.overcharged)}</b>' if node.overcharged else "",
                str(node.not_judged or ""),
            ]
            for node in audited.nodes
        ],
    )


def _requests(requests: Sequence[RequestHistory], title: str) -> str:
    return _table(
        title,
        ["Asked", "Request", "Model", "Status", "Node", "#Bytes", "#Charged", "#Fair", "Note"],
        [row for request in requests for row in _request_rows(request)],
    )


def _request_rows(request: RequestHistory) -> list[list[str]]:
    """One for each response, or one without any."""
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
        said = [
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
                "; ".join(_text(each) for each in said if each),
            ]
        )
    return found


def _bytes(request: RequestHistory, answered: int | None) -> str:
    asked = request.record.bytes_asked if request.record else "?"
    return f"{asked} + {'?' if answered is None else answered}" if request.responses else str(asked)


def _left_out(history: Statement) -> str:
    """What could not be told apart from a lie, and what therefore is nobody's."""
    if not (history.left_out or history.unplaced):
        return ""
    names = ", ".join(f"<code>{_text(each)}</code>" for each in history.left_out)
    told = f'<p class="note bad">{LEFT_OUT} {names}</p>' if history.left_out else ""
    return told + _requests(history.unplaced, "Requests of sessions that are left out")


def _everything(history: Statement) -> str:
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
    """A table, which on a phone is a card for each row unless it is wide; # marks numbers."""

    def attributes(column: str) -> str:
        kind = ' class="number"' if column.startswith("#") else ""
        return f'{kind} data-name="{column.lstrip("#")}"'

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
    kind = "card" if is_wide else "card cards"
    return (
        f'{heading}<div class="{kind}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _id(value: str) -> str:
    """An id cut short, with all of it to be seen and copied from its title; a name as it is."""
    if not value.startswith("0x"):
        return _text(value)
    return f'<code title="{_text(value)}">{_text(value[:8])}…{_text(value[-4:])}</code>'


def _number(amount: Amount | None) -> str:
    """An amount where the unit is said in the heading."""
    return _text(str(amount).removesuffix(f" {amount.token.symbol}")) if amount is not None else ""


def _text(value: object) -> str:
    return escape(plain(str(value)))


def _time(time: datetime) -> str:
    return f"<time>{time:{_TIME}}</time>"
