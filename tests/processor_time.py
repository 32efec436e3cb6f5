"""A pytest plugin that measures the processor time of each test and its child processes.

The summary lists the most expensive tests; ``--processor-time FILE`` writes all of them as JSON.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Number of tests in the summary.
SHOWN = 20

_TICKS = os.sysconf("SC_CLK_TCK")
_PROPERTY = "processor_time"


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "write the processor time of each test, in seconds, to this file, as JSON"
    parser.addoption("--processor-time", metavar="FILE", help=help)


def processor_seconds() -> float:
    """The processor time of this process and all its descendants, in seconds.

    The times of a process include those of its children that ended and were waited for.
    """
    times = os.times()
    ended = times.user + times.system + times.children_user + times.children_system
    return ended + sum(_used_by(pid) for pid in _descendants(Path("/proc/self")))


def _descendants(process: Path) -> Iterator[int]:
    """The ids of all descendants of a process; none on systems without ``/proc``."""
    for children in process.glob("task/*/children"):
        try:
            pids = [int(pid) for pid in children.read_text().split()]
        except OSError:  # the thread ended
            continue
        for pid in pids:
            yield pid
            yield from _descendants(Path(f"/proc/{pid}"))


def _used_by(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # the process ended
        return 0.0
    # The fields from the third one on. The second is the name, which may contain parentheses.
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


class Measurement:
    """Measures tests in the process that runs them, which can be a worker of pytest-xdist."""

    def __init__(self) -> None:
        self._before = processor_seconds()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None]:
        if call.when == "teardown":
            now = processor_seconds()
            item.user_properties.append((_PROPERTY, now - self._before))
            self._before = now
        yield


class Summary:
    """Collects the measurements, and reports them at the end of the run."""

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._tests: dict[str, float] = {}
        self._began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            seconds = dict(report.user_properties).get(_PROPERTY)
            self._tests[report.nodeid] = float(str(seconds or 0))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if len(self._tests) <= SHOWN:
            return
        by_time = sorted(self._tests.items(), key=lambda item: item[1], reverse=True)
        total = sum(self._tests.values())
        terminalreporter.section(
            f"the {SHOWN} tests with the most of {total:.0f} s of processor time"
        )
        for name, seconds in by_time[:SHOWN]:
            terminalreporter.write_line(f"{seconds:7.2f} s  {name}")
        if self._file:
            document = {
                "seconds": round(time.monotonic() - self._began, 1),
                "processor_seconds": round(total, 1),
                "tests": {name: round(seconds, 3) for name, seconds in by_time},
            }
            Path(self._file).write_text(json.dumps(document, indent=2) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        file = config.getoption("--processor-time")
        config.pluginmanager.register(Summary(file), "processor-time-summary")
    is_controller = not is_worker and getattr(config.option, "dist", "no") != "no"
    if not is_controller:
        config.pluginmanager.register(Measurement(), "processor-time")
