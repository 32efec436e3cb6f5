"""The network's AI services: one that does as the protocol says, and ones that do not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.service import Service
from tests.backends.asking import MODEL, REQUEST, image, question, text, together
from tests.backends.servers import KEY, Answer, Said, Server, Visit, at_once, says

LARGE = 2**256 - 1


def serving(answer: Callable[..., Any]) -> Answer:
    """A service: it is given the parameters, integers read, and its answer is put on the line."""

    def serve(_server: Server, visit: Visit) -> Said:
        if visit.command == "GET":
            assert visit.path == "/health"
            return Said(200, {"status": "healthy", "models": [MODEL]})
        assert visit.path == "/api/request"
        asked = visit.asked.body
        assert asked["model"] == MODEL
        call = asked["call"]
        given = [
            int(value) if kind.startswith("uint") else value
            for kind, value in zip(call["types"], call["parameters"], strict=True)
        ]
        said = {"requestId": asked["requestId"], "error": "", "data": "", "datatype": "string"}
        try:
            made = answer(*given)
        except ValueError as err:
            return Said(400, said | {"error": str(err)})
        if isinstance(made, bytes):
            made = base64.b64encode(made).decode()
        return Said(200, said | {"data": made})

    return serve


def asked_of(answer: Answer, asked: Question, **settings: Any) -> Any:
    with Server(answer) as server:
        return Service(url=server.url, **settings)(asked)


def refuse(*_: object) -> None:
    raise ValueError("The prompt is too long.")


def test_text() -> None:
    asked = text("What is the", "capital of France?")
    assert asked_of(serving(lambda lines: " ".join(lines).upper()), asked) == (
        "WHAT IS THE CAPITAL OF FRANCE?"
    )


def test_an_image() -> None:
    def paint(lines: list[str], width: int, height: int) -> bytes:
        return f"{lines[0]}, {width * height} pixels \x00".encode()

    assert asked_of(serving(paint), image("A cat", 64, 32)) == b"A cat, 2048 pixels \x00"


def test_what_travels_to_the_service(key_from: str) -> None:
    given: tuple[tuple[str, Any], ...] = (
        ("string", "5"),
        ("uint256", LARGE),
        ("int8", -5),
        ("bool", True),
        ("bytes", b"\0\xff"),
        ("address", "0x" + "5e" * 20),
        ("(uint64,bytes4)[]", ((2**63, b"\1\2\3\4"),)),
    )
    kinds, values = zip(*given, strict=True)
    with Server(says(200, {"requestId": REQUEST, "data": "", "error": ""})) as server:
        backend = Service(url=f"{server.url}/ai/", key_from=key_from)
        assert backend(question(*values, types=kinds)) == ""

    (asked,) = server.asked
    assert asked.path == "/ai/api/request"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "requestId": REQUEST,
        "model": MODEL,
        "call": {
            "parameters": [
                "5",
                str(LARGE),
                "-5",
                True,
                "0x00ff",
                "0x" + "5e" * 20,
                [[str(2**63), "0x01020304"]],
            ],
            "types": list(kinds),
        },
    }


@pytest.mark.parametrize(
    ("output", "data", "value"),
    [
        ("uint256", str(LARGE), LARGE),
        ("uint256", LARGE, LARGE),
        ("bool", "true", True),
        ("bool", False, False),
        ("bytes", "", b""),
        ("bytes32", "0x" + "5e" * 32, b"\x5e" * 32),
        ("uint8[]", "[1, 2]", [1, 2]),
        ("(string,bytes)[]", [["a", "0x01"]], [("a", b"\1")]),
        ("string", "[1, 2]", "[1, 2]"),
    ],
)
def test_answers_of_any_type(output: str, data: Any, value: Any) -> None:
    answer = says(200, {"requestId": REQUEST, "data": data, "datatype": output, "error": ""})
    assert asked_of(answer, question((), output=output)) == value


@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_words_of_a_service_that_failed(status: int) -> None:
    answer = says(status, {"requestId": REQUEST, "data": "", "error": "The prompt is too long."})
    with pytest.raises(BackendFailed) as failed:
        asked_of(answer, text("Why?"))
    assert failed.value.message == "The prompt is too long."
    assert not isinstance(failed.value, BackendUnavailable)


def test_a_service_that_refuses() -> None:
    with pytest.raises(BackendFailed, match=r"^The prompt is too long\.$"):
        asked_of(serving(refuse), text("Why?"))


@pytest.mark.parametrize(
    "answer", [says(500, b"Oops"), says(502, b"<html>"), says(429, {"error": "Later"})]
)
def test_what_may_be_better_later(answer: Answer) -> None:
    with pytest.raises(BackendUnavailable, match="busy or broken"):
        asked_of(answer, text("Why?"))


@pytest.mark.parametrize(
    ("said", "output", "message"),
    [
        (b"Oops", "string", "The backend's answer is no JSON"),
        (5, "string", "The backend's answer cannot be read"),
        ({"data": "Yes."}, "string", "The backend answered another request"),
        ({"requestId": "0x" + "00" * 32, "data": "Yes."}, "string", "answered another request"),
        ({"requestId": REQUEST}, "string", "cannot be read"),
        ({"requestId": REQUEST, "data": 5}, "string", "cannot be read"),
        ({"requestId": REQUEST, "data": None}, "bytes", "cannot be read"),
        ({"requestId": REQUEST, "data": "no base64!"}, "bytes", "cannot be read"),
        ({"requestId": REQUEST, "data": "many"}, "uint8", "cannot be read"),
        ({"requestId": REQUEST, "data": 1.5}, "uint8", "cannot be read"),
        ({"requestId": REQUEST, "data": "[" * 100_000}, "uint8[]", "cannot be read"),
    ],
)
def test_answers_that_are_none(said: Any, output: str, message: str) -> None:
    with pytest.raises(BackendFailed) as failed:
        asked_of(says(200, said), question((), output=output))
    assert message in failed.value.message
    assert not isinstance(failed.value, BackendUnavailable)


def test_many_ask_at_once_and_each_gets_its_own() -> None:
    asked = [question((str(each),)) for each in range(8)]
    with Server(at_once(8, serving(lambda lines: lines[0]))) as server:
        answers = together(Service(url=server.url), asked)
    assert answers == [str(each) for each in range(8)]


@pytest.mark.parametrize(
    ("answer", "health_check"),
    [
        (serving(refuse), None),
        (says(200, {"status": "starting", "models": [MODEL]}), "The backend says that it is start"),
        (says(200, {"status": "healthy", "models": []}), f"The backend does not serve {MODEL}"),
        (says(200, {"status": "healthy"}), "The backend's answer cannot be read"),
        (says(404, b""), "The backend refused: status 404"),
    ],
)
def test_its_health(answer: Answer, health_check: str | None) -> None:
    with Server(answer) as server:
        said = Service(url=server.url).health_check(MODEL)
    assert said == health_check or (health_check and said and said.startswith(health_check))
