"""Which backend answers for which model, and what is wrong with a configuration."""

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
from ape_dtn.node.backends import configured
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.backends.openai import OpenAi
from ape_dtn.types.ids import as_hex, id_of
from tests.backends.asking import MODEL, text
from tests.backends.servers import KEY, Server, says

OTHER = "model.system.other"
ENDPOINT = {"url": "http://127.0.0.1:1/v1", "model": "tiny"}


def test_the_echo_where_nothing_is_said() -> None:
    for settings in (None, {}):
        assert configured.of(settings, None)(MODEL) is echo
    assert configured.of({MODEL: {"command": ["cat"]}}, "echo")(MODEL) is echo


def test_each_model_has_its_own() -> None:
    backends = configured.of({MODEL: {"command": ["printf", "Yes."]}, "*": "echo"}, None)
    assert backends(MODEL)(text("Is it?")) == "Yes."
    assert backends(as_hex(id_of(MODEL, "model")))(text("Is it?")) == "Yes."
    assert backends(OTHER) is echo


def test_a_model_that_nothing_is_configured_for() -> None:
    with pytest.raises(NoBackend, match=f"^No backend is configured for model {OTHER}.$"):
        configured.of({MODEL: "echo"}, None)(OTHER)


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
def test_what_is_typed_is_what_is_configured(
    key_from: str, chosen: str, settings: dict[str, Any]
) -> None:
    with configured.of(None, chosen) as typed, configured.of({"*": settings}, None) as written:
        assert repr(typed(MODEL)) == repr(written(MODEL))
        assert type(typed(MODEL)) is type(written(MODEL)) is configured.KINDS[next(iter(settings))]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("", "it has to be echo, or one of function, command, openai, service"),
        ("ollama", "it has to be echo, or one of function, command, openai, service"),
        ("ollama:llama3", "there is no kind 'ollama'"),
        ("function:os", "'os' is not of the form module:name"),
        ("function:no.such:thing", "'no.such' cannot be imported: ModuleNotFoundError"),
        ("command:", "command.line: List should have at least 1 item"),
        ("command: ", "command.line: List should have at least 1 item"),
        ("command:'", "command: No closing quotation"),
        ("command:no-such-command", "command.line: there is no command 'no-such-command'"),
        ("service:127.0.0.1:1", "service.url: it is no address"),
        ("openai:http://127.0.0.1:1/v1", "openai.model: Field required"),
        ("openai:ftp://127.0.0.1?model=tiny", "openai.url: it is no address"),
        ("openai:http://127.0.0.1?model=tiny&seed=1", "openai.seed: Extra inputs"),
        ("openai:http://127.0.0.1?model=tiny&temperature=warm", "openai.temperature: Input should"),
        ("openai:http://127.0.0.1?model=tiny&timeout=0", "openai.timeout: Input should be greater"),
        ("openai:http://127.0.0.1?model=tiny&key_from=NOT_SET", "variable NOT_SET holds no key"),
    ],
)
def test_what_cannot_be_chosen(chosen: str, reason: str) -> None:
    with pytest.raises(InvalidBackend) as wrong:
        configured.of(None, chosen)
    assert reason in wrong.value.reason
    assert wrong.value.exit_code == 2


@pytest.mark.parametrize(
    "settings", [None, 5, [], {}, {"echo": {}}, {"command": ["cat"], "function": "json:dumps"}]
)
def test_what_cannot_be_configured(settings: Any) -> None:
    with pytest.raises(InvalidBackend, match=f"The backend for '{MODEL}' cannot be used"):
        configured.of({"*": "echo", MODEL: settings}, None)


def test_names_that_are_no_models() -> None:
    with pytest.raises(InvalidName, match="'gpt-5' names no model"):
        configured.of({"gpt-5": "echo"}, None)


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
    given = {**ENDPOINT, **wrong}
    with pytest.raises(InvalidBackend) as refused:
        configured.of({"*": {"openai": given}}, None)
    with pytest.raises(ValidationError) as directly:
        OpenAi(**given)
    assert KEY not in str(refused.value) + repr(refused.value.as_dict()) + str(directly.value)


@pytest.mark.parametrize("value", ["", "two words", "a\nb", "schlüssel"])
def test_a_key_that_cannot_be_sent(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_THE_TESTS", value)
    with pytest.raises(InvalidBackend, match="KEY_OF_THE_TESTS holds no key"):
        configured.of(None, "service:http://127.0.0.1:1?key_from=KEY_OF_THE_TESTS")


def test_what_can_be_told_before_anything_is_asked() -> None:
    with Server(says(200, {"status": "healthy", "models": [MODEL]})) as server:
        settings = {"*": {"service": server.url}, "model.system.echo": "echo"}
        with configured.of(settings, None) as backends:
            assert backends.health_problems([MODEL, OTHER, "model.system.echo"]) == {
                OTHER: f"The backend does not serve {OTHER}"
            }
    assert [asked.path for asked in server.asked] == ["/health"] * 2


def test_nothing_is_left_open() -> None:
    answer = says(200, {"requestId": text("").request_id, "data": "Yes.", "error": ""})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        with Server(answer) as server, configured.of(None, f"service:{server.url}") as backends:
            backend = backends(MODEL)
            assert backend(text("Is it?")) == "Yes."
        with pytest.raises(RuntimeError, match="closed"):
            backend(text("Is it?"))
        del backends, backend
        gc.collect()
    assert not [each for each in warned if "socket" in str(each.message)]


def test_the_section_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = {MODEL: {"command": ["printf", "Yes."]}, "*": {"service": "http://127.0.0.1:1"}}
    monkeypatch.setenv("APE_DTN_BACKENDS", json.dumps(section))
    backends = configured.of(DtnConfig().backends, None)
    assert backends(MODEL)(text("Is it?")) == "Yes."
    with pytest.raises(BackendUnavailable):
        backends(OTHER)(text("Is it?"))
