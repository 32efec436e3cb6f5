"""The fixture with the API key of the test servers."""

from __future__ import annotations

import pytest

from tests.backends.servers import KEY


@pytest.fixture
def key_from(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KEY_OF_THE_TESTS", KEY)
    return "KEY_OF_THE_TESTS"
