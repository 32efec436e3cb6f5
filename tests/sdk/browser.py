"""Headless Chromium over the DevTools protocol: opens files, evaluates JavaScript, reads events."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)
TIMEOUT = 30.0


class Page:
    def __init__(self, devtools: ClientConnection) -> None:
        self.devtools = devtools
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked = getattr(self, "_asked", 0) + 1
        self.devtools.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        while (answer := self._next()).get("id") != self._asked:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path, width: int = 1200, dark: bool = False) -> None:
        """Opens a file in a window of a width in pixels, and waits until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 640}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not self.named("Page.loadEventFired"):
            self._next()
        self.value("0")  # events of the load arrive before this answer

    def value(self, expression: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def named(self, event: str) -> list[dict[str, Any]]:
        return [message["params"] for message in self.events if message["method"] == event]

    @property
    def complaints(self) -> list[Any]:
        """Errors and warnings on its console."""
        logged = [event["entry"]["text"] for event in self.named("Log.entryAdded")]
        return (
            logged + self.named("Runtime.consoleAPICalled") + self.named("Runtime.exceptionThrown")
        )

    @property
    def requests(self) -> list[str]:
        """URLs of all requests, also of refused ones, and of the page itself."""
        return [event["request"]["url"] for event in self.named("Network.requestWillBeSent")]

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.devtools.recv(timeout=TIMEOUT))
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def opened(executable: str) -> Iterator[Page]:
    """Starts Chromium with an empty page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [executable, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        log = Path(profile) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            with connect(_page_of(log, process), max_size=None) as devtools:
                yield Page(devtools)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _page_of(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The DevTools address of the first page, from the browser's log."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := re.search(r"DevTools listening on ws://([^/]+)/", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    targets = requests.get(f"http://{found[1]}/json/list", timeout=TIMEOUT).json()
    page = next(target for target in targets if target["type"] == "page")
    return str(page["webSocketDebuggerUrl"])
