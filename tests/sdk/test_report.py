"""Exports of a bill. Untrusted text is harmless in each format."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from eth_abi import encode

from ape_dtn import Callback, DtnSession, Status
from ape_dtn.billing.audit import audits, remarks
from ape_dtn.billing.history import History, history
from ape_dtn.billing.report import COLUMNS, plain, rows
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.types.serialization import to_json

from .browser import Page, opened
from .conftest import Respond

HOSTILE = (
    '=HYPERLINK("http://evil.example";"x")<script>document.title="evil"</script>\x1b[31m\u202e'
)
SHOWN = '=HYPERLINK("http://evil.example";"x")<script>document.title="evil"</script>�[31m�'


@pytest.fixture
def spent(funded: DtnSession, network: LocalNetwork, respond: Respond) -> History:
    """A history with a fair answer, an overcharged one, a hostile failure and an open request."""
    manager, nothing = funded.ai.contracts().model_manager, "thereIsNoSuchFunction(bytes32)"
    callback = Callback(manager, nothing, nothing, 100_000)
    funded.request("Hello?", callback=callback)
    network.node.answer_pending()
    respond(funded.request("Hello?"), encode(["string"], ["short"]), sizes=(10**9, 10**9))
    respond(funded.request("Hello?"), b"", Status.FAILURE, HOSTILE, (160, 0))
    funded.request("Hello?")
    return history(funded.ai, funded.id)


# Rows.


def test_rows_are_in_the_order_of_the_chain(spent: History) -> None:
    found = rows(spent)

    events = [(row["event"], row["status"]) for row in found]
    assert events == [
        ("opened", None),
        ("request", "answered"),
        ("answer", "success"),
        ("callback", "reverted"),
        ("request", "answered"),
        ("answer", "success"),
        ("request", "failed"),
        ("answer", "failure"),
        ("request", "pending"),
    ]
    assert [row["verdict"] for row in found if row["event"] == "answer"] == [
        "fair",
        "overcharged",
        "fair",
    ]
    assert all(tuple(row) == COLUMNS for row in found)


def test_the_rows_add_up(spent: History, funded: DtnSession) -> None:
    funded.close(force=True)
    found = rows(history(funded.ai, funded.id))

    sums = {
        column: sum(row[column].units for row in found if row[column] is not None)
        for column in ("deposited", "charged", "refunded")
    }
    assert sums["deposited"] == 25_000_000 == sums["charged"] + sums["refunded"]
    assert sums["charged"] == spent.charged.units
    assert (found[-1]["event"], found[-1]["balance"].units) == ("closed", 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("héllo wörld 你好", "héllo wörld 你好"),
        ("two\nlines\r\n", "two�lines��"),
        ("\x1b[2Jgone", "�[2Jgone"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("x" * 500, "x" * 199 + "…"),
    ],
)
def test_untrusted_texts_are_one_printable_line(text: str, shown: str) -> None:
    assert plain(text) == shown


# CSV.


def test_csv_can_be_parsed(spent: History) -> None:
    header, *lines = csv.reader(io.StringIO(spent.csv()))
    found = [dict(zip(header, line, strict=True)) for line in lines]

    assert tuple(header) == COLUMNS
    for line, row in zip(found, rows(spent), strict=True):
        assert datetime.fromisoformat(line["time"]) == row["time"]
        assert line["block"] == str(row["block"])
        charged = row["charged"]
        assert line["charged"] == ("" if charged is None else f"{charged.decimal:f}")


@pytest.mark.parametrize(
    "message", [HOSTILE, "+1", "-1", "@SUM(1)", " =1", "\t=1", "\uff1d1+1", "\uff20x", "\n=1"]
)
def test_csv_has_no_formulas(funded: DtnSession, respond: Respond, message: str) -> None:
    respond(funded.request("Hello?"), status=Status.FAILURE, message=message)

    text = history(funded.ai, funded.id).csv()

    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert not any(cell.lstrip()[:1] in tuple("=+-@\uff1d\uff20\t\r") for cell in cells if cell)
    assert any(plain(message) in cell for cell in cells)
    # Also for programs that split cells at semicolons.
    assert all(line.startswith('"') and line.endswith('"') for line in text.splitlines())


def test_csv_keeps_an_ordinary_message(funded: DtnSession, respond: Respond) -> None:
    respond(funded.request("Hello?"), status=Status.FAILURE, message='say "no", 1-2')

    assert '"say ""no"", 1-2"' in history(funded.ai, funded.id).csv()


# pandas.


def test_a_dataframe_is_exact(spent: History) -> None:
    frame = spent.dataframe()

    assert list(frame.columns) == list(COLUMNS)
    assert [str(kind) for kind in frame[["block", "bytes_asked"]].dtypes] == ["Int64", "Int64"]
    assert str(frame["time"].dt.tz) == "UTC"
    assert not any(str(kind).startswith("float") for kind in frame.dtypes)
    charged = frame["charged"].dropna()
    assert {type(amount) for amount in charged} == {Decimal}
    assert charged.sum() == spent.charged.decimal
    over = frame[frame["verdict"] == "overcharged"]
    assert over.groupby("node")["overcharged"].sum().to_dict() == {
        NODE: audits(spent)[0].overcharged.decimal
    }


# Plain data.


def test_plain_data_can_be_encoded_as_json(spent: History) -> None:
    found = json.loads(json.dumps(spent.as_dict()))

    (session,) = found["sessions"]
    assert session["charged"] == to_json(spent.charged)
    assert session["nodes"][0]["node"] == NODE
    assert session["difference"]["units"] == "0"
    states = [request["state"] for request in session["requests"]]
    assert states == ["answered", "answered", "failed", "pending"]
    failure = session["requests"][2]["responses"][0]
    assert (failure["message"], failure["status"]) == (HOSTILE, "failure")
    assert session["requests"][0]["responses"][0]["callback_error"]
    assert session["requests"][3]["may_still_cost"]["units"] == "250000"


def test_remarks_name_problems(spent: History) -> None:
    (audited,) = audits(spent)
    found = remarks(audited)

    assert [remark.text for remark in found if remark.is_wrong] == [
        f"{NODE} charged {audited.overcharged} more than its answers may cost.",
        "Reverted: 1 callback; the answers are recorded.",
    ]
    assert found[0].text.startswith("It adds up: opened with 25.00 USDT, charged ")
    assert found[-2].text == "Open: 1 request, which may still cost 0.25 USDT."


# The page.


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None and os.environ.get("CI"):
        pytest.fail("Chromium has to be there in CI")
    if executable is None:
        pytest.skip("Chromium is not installed")
    with opened(executable) as found:
        yield found


@pytest.fixture
def file(spent: History, tmp_path: Path) -> Path:
    found = tmp_path / "bill.html"
    found.write_text(spent.html(), encoding="utf-8")
    return found


def test_the_page_shows_the_numbers(spent: History, file: Path, page: Page) -> None:
    page.open(file)

    text = page.value("document.body.innerText")
    (audited,) = audits(spent)
    for amount in (spent.session.opened_with, spent.charged, audited.overcharged):
        assert str(amount) in text
    assert [word in text for word in (NODE, "pending", "overcharged")] == [True] * 3
    shown = page.value("[...document.querySelectorAll('.cards td.number')].map(td => td.innerText)")
    assert "0.25" in shown
    assert page.value("document.querySelectorAll('details tbody tr').length") == len(rows(spent))


def test_the_page_loads_nothing_and_logs_no_error(file: Path, page: Page) -> None:
    page.open(file)

    assert page.requests == [file.as_uri()]
    assert page.complaints == []


def test_the_message_of_a_node_stays_text(spent: History, file: Path, page: Page) -> None:
    page.open(file)

    assert page.value("document.title") == f"Session {spent.session_id}"
    assert page.value("document.scripts.length") == 0
    assert SHOWN in page.value("document.body.textContent")


def test_the_browser_detects_a_page_that_loads_something(file: Path, page: Page) -> None:
    """Shows that the two tests above can fail."""
    bad = '<img src="http://127.0.0.1:9/x.png"><script>console.error("x")</script>'
    file.write_text(file.read_text().replace("</main>", f"{bad}</main>"))
    page.open(file)
    policed = (page.requests, page.complaints)
    file.write_text(file.read_text().replace("Content-Security-Policy", "x"))
    page.open(file)

    assert len(policed[1]) == 2  # the page's policy blocks both
    assert "http://127.0.0.1:9/x.png" in page.requests
    assert len(page.complaints) == 2


@pytest.mark.parametrize("width", [390, 1200])
def test_the_chart_is_drawn(spent: History, file: Path, page: Page, width: int) -> None:
    page.open(file, width)

    box = page.value("document.querySelector('.steps').getBoundingClientRect().toJSON()")
    assert box["width"] > width / 2
    assert box["height"] > 200
    assert page.value("document.querySelector('.steps').getTotalLength()") > 1000
    assert page.value("document.querySelectorAll('.dot').length") == len(spent.session.charges)
    # A point is visible: its stroke has a width and a color.
    dot = "getComputedStyle(document.querySelector('.dot.over'))"
    assert page.value(f"{dot}.strokeWidth") == "8px"
    assert page.value(f"{dot}.stroke") not in (
        "none",
        page.value("getComputedStyle(document.querySelector('.steps')).stroke"),
    )
    assert page.value("document.querySelector('.scale').innerText").split("\n")[0] == str(
        spent.charged
    )


@pytest.mark.parametrize("width", [360, 390, 768, 1200])
def test_the_page_fits_the_window(file: Path, page: Page, width: int) -> None:
    page.open(file, width)

    assert page.value("document.documentElement.scrollWidth") <= width


def test_the_page_has_a_dark_mode(file: Path, page: Page) -> None:
    def colors() -> list[int]:
        """The brightness of the page and of its text, from 0 to 765."""
        style = "getComputedStyle(document.body)"
        found = [page.value(f"{style}.{name}") for name in ("backgroundColor", "color")]
        return [sum(int(part) for part in color[4:-1].split(",")) for color in found]

    page.open(file)
    light = colors()
    page.open(file, dark=True)
    dark = colors()

    assert light[0] > 600 > 150 > light[1]
    assert dark[0] < 150 < 600 < dark[1]


def test_a_session_without_requests_has_a_page(
    funded: DtnSession, tmp_path: Path, page: Page
) -> None:
    file = tmp_path / "empty.html"
    file.write_text(history(funded.ai, funded.id).html(), encoding="utf-8")
    page.open(file)

    text = page.value("document.body.innerText")
    assert "It adds up: opened with 25.00 USDT, charged 0.00 USDT, left 25.00 USDT." in text
    assert page.value("document.querySelector('svg')") is None
    assert page.complaints == []
