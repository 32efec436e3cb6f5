"""Choosing backends from a configuration, and errors in it."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ape_dtn.errors import BackendUnavailable, InvalidBackend, InvalidName, NoBackend
from ape_dtn.network.config import DtnConfig
from ape_dtn.node.backends import selection
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.backends.openai import OpenAi
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.serialization import to_json
from tests.backends.questions import MODEL, text
from tests.backends.servers import KEY, Server, replies

OTHER = "model.system.other"
ENDPOINT = {"url": "http://127.0.0.1:1/v1", "model": "tiny"}


def test_the_echo_is_the_default() -> None:
    for settings in (None, {}):
        assert selection.of(settings, None)(MODEL) is echo
    assert selection.of({MODEL: {"command": ["cat"]}}, "echo")(MODEL) is echo


def test_models_can_have_different_backends() -> None:
    backends = selection.of({MODEL: {"command": ["printf", "Yes."]}, "*": "echo"}, None)
    assert backends(MODEL)(text("Is it?")) == "Yes."
    assert backends(as_hex(id_of(MODEL, "model")))(text("Is it?")) == "Yes."
    assert backends(OTHER) is echo


def test_a_model_without_a_backend_is_an_error() -> None:
    with pytest.raises(NoBackend, match=f"^No backend is configured for model {OTHER}.$"):
        selection.of({MODEL: "echo"}, None)(OTHER)


@pytest.mark.parametrize(
    ("chosen", "settings"),
    [
        ("function:json:dumps", {"function": "json:dumps"}),
        ("function:json:dumps", {"function": {"name": "json:dumps", "timeout": 60}}),
        ("command:sh -c 'echo \"a b\"'", {"command": ["sh", "-c", 'echo "a b"']}),
        ("command:cat", {"command": {"line": ["cat"]}}),
        ("service:http://127.0.0.1:1/ai", {"service": "http://127.0.0.1:1/ai"}),
        (
            "service:http://127.0.0.1:1?timeout=5&key_from=KEY_OF_THE_TESTS",
            {
                "service": {
                    "url": "http://127.0.0.1:1",
                    "timeout": 5,
                    "key_from": "KEY_OF_THE_TESTS",
                }
            },
        ),
        ("openai:http://127.0.0.1:1/v1?model=tiny", {"openai": ENDPOINT}),
        (
            "openai:http://127.0.0.1:1/v1?model=tiny&temperature=0.5&max_tokens=9&system=Be%20brief",
            {
                "openai": {
                    **ENDPOINT,
                    "temperature": 0.5,
                    "max_tokens": 9,
                    "system": "Be brief",
                }
            },
        ),
    ],
)
def test_the_one_line_form_equals_the_configured_form(
    key_from: str, chosen: str, settings: dict[str, Any]
) -> None:
    with selection.of(None, chosen) as one_line, selection.of({"*": settings}, None) as section:
        assert repr(one_line(MODEL)) == repr(section(MODEL))
        assert (
            type(one_line(MODEL)) is type(section(MODEL)) is selection.KINDS[next(iter(settings))]
        )


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("", "expected one of echo, function, command, openai, service"),
        ("ollama", "expected one of echo, function, command, openai, service"),
        ("ollama:llama3", "unknown kind 'ollama'; expected one of echo, function"),
        ("function:os", "'os' is not of the form module:name"),
        ("function:no.such:thing", "cannot import 'no.such': ModuleNotFoundError"),
        ("command:", "command.line: List should have at least 1 item"),
        ("command: ", "command.line: List should have at least 1 item"),
        ("command:'", "command: No closing quotation"),
        ("command:no-such-command", "command.line: command 'no-such-command' not found"),
        ("service:127.0.0.1:1", "service.url: expected an HTTP URL"),
        ("openai:http://127.0.0.1:1/v1", "openai.model: Field required"),
        ("openai:ftp://127.0.0.1?model=tiny", "openai.url: expected an HTTP URL"),
        ("openai:http://127.0.0.1?model=tiny&seed=1", "openai.seed: Extra inputs"),
        ("openai:http://127.0.0.1?model=tiny&temperature=warm", "openai.temperature: Input should"),
        ("openai:http://127.0.0.1?model=tiny&timeout=0", "openai.timeout: Input should be greater"),
        (
            "openai:http://127.0.0.1?model=tiny&key_from=NOT_SET",
            "variable NOT_SET does not contain a valid key",
        ),
    ],
)
def test_an_invalid_one_line_form_is_an_error(chosen: str, reason: str) -> None:
    with pytest.raises(InvalidBackend) as error:
        selection.of(None, chosen)
    assert reason in error.value.reason
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "settings", [None, 5, [], {}, {"echo": {}}, {"command": ["cat"], "function": "json:dumps"}]
)
def test_an_invalid_section_is_an_error(settings: Any) -> None:
    with pytest.raises(InvalidBackend, match=f"Invalid backend for '{MODEL}'"):
        selection.of({"*": "echo", MODEL: settings}, None)


def test_an_invalid_model_name_is_an_error() -> None:
    with pytest.raises(InvalidName, match="'gpt-5' is not a valid model name"):
        selection.of({"gpt-5": "echo"}, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_from": KEY},
        {"key": KEY},
        {"url": f"http://user:{KEY}@127.0.0.1/v1"},
        {"model": {"name": KEY}},
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(wrong: dict[str, Any]) -> None:
    settings = {**ENDPOINT, **wrong}
    with pytest.raises(InvalidBackend) as by_section:
        selection.of({"*": {"openai": settings}}, None)
    with pytest.raises(ValidationError) as directly:
        OpenAi(**settings)
    assert KEY not in str(by_section.value) + repr(to_json(by_section.value)) + str(directly.value)


@pytest.mark.parametrize("value", ["", "two words", "a\nb", "schlüssel"])
def test_a_key_that_is_no_header_value_is_an_error(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_TESTS", value)
    with pytest.raises(InvalidBackend, match="KEY_OF_THE_TESTS does not contain a valid key"):
        selection.of(None, "service:http://127.0.0.1:1?key_from=KEY_OF_THE_TESTS")


def test_health_problems_are_found_before_the_first_question() -> None:
    with Server(replies(200, {"status": "healthy", "models": [MODEL]})) as server:
        settings = {"*": {"service": server.url}, "model.system.echo": "echo"}
        with selection.of(settings, None) as backends:
            assert backends.health_problems([MODEL, OTHER, "model.system.echo"]) == {
                OTHER: f"The backend does not serve {OTHER}"
            }
    assert [request.path for request in server.received] == ["/health"] * 2


def test_connections_are_closed_on_exit() -> None:
    answer = replies(200, {"requestId": text("").request_id, "data": "Yes.", "error": ""})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with Server(answer) as server, selection.of(None, f"service:{server.url}") as backends:
            backend = backends(MODEL)
            assert backend(text("Is it?")) == "Yes."
        with pytest.raises(RuntimeError, match="closed"):
            backend(text("Is it?"))
        del backends, backend
        gc.collect()
    assert not [warning for warning in caught if "socket" in str(warning.message)]


def test_backends_are_read_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {MODEL: {"command": ["printf", "Yes."]}, "*": {"service": "http://127.0.0.1:1"}}
    monkeypatch.setenv("APE_DTN_BACKENDS", json.dumps(section))
    backends = selection.of(DtnConfig().backends, None)
    assert backends(MODEL)(text("Is it?")) == "Yes."
    with pytest.raises(BackendUnavailable):
        backends(OTHER)(text("Is it?"))
