"""The service backend, with services that follow the protocol and services that violate it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.service import Service
from tests.backends.questions import MODEL, REQUEST, ask_concurrently, image, question, text
from tests.backends.servers import KEY, Answer, Handler, Reply, Server, after_all_arrived, replies

LARGE = 2**256 - 1


def service(answer: Callable[..., Any]) -> Answer:
    """A service that follows the protocol: `answer` maps the decoded parameters to the data."""

    def serve(_server: Server, handler: Handler) -> Reply:
        if handler.command == "GET":
            assert handler.path == "/health"
            return Reply(200, {"status": "healthy", "models": [MODEL]})
        assert handler.path == "/api/request"
        body = handler.received.body
        assert body["model"] == MODEL
        call = body["call"]
        arguments = [
            int(value) if kind.startswith("uint") else value
            for kind, value in zip(call["types"], call["parameters"], strict=True)
        ]
        response = {"requestId": body["requestId"], "error": "", "data": "", "datatype": "string"}
        try:
            data = answer(*arguments)
        except ValueError as err:
            return Reply(400, response | {"error": str(err)})
        if isinstance(data, bytes):
            data = base64.b64encode(data).decode()
        return Reply(200, response | {"data": data})

    return serve


def ask(answer: Answer, question: Question, **settings: Any) -> Any:
    with Server(answer) as server:
        return Service(url=server.url, **settings)(question)


def refuse(*_: object) -> None:
    raise ValueError("The prompt is too long.")


def test_a_text_is_answered() -> None:
    capital = text("What is the", "capital of France?")
    assert ask(service(lambda lines: " ".join(lines).upper()), capital) == (
        "WHAT IS THE CAPITAL OF FRANCE?"
    )


def test_an_image_is_answered() -> None:
    def paint(lines: list[str], width: int, height: int) -> bytes:
        return f"{lines[0]}, {width * height} pixels \x00".encode()

    assert ask(service(paint), image("A cat", 64, 32)) == b"A cat, 2048 pixels \x00"


def test_parameters_are_sent_as_json(key_from: str) -> None:
    parameters: tuple[tuple[str, Any], ...] = (
        ("string", "5"),
        ("uint256", LARGE),
        ("int8", -5),
        ("bool", True),
        ("bytes", b"\0\xff"),
        ("address", "0x" + "5e" * 20),
        ("(uint64,bytes4)[]", ((2**63, b"\1\2\3\4"),)),
    )
    kinds, values = zip(*parameters, strict=True)
    with Server(replies(200, {"requestId": REQUEST, "data": "", "error": ""})) as server:
        backend = Service(url=f"{server.url}/ai/", key_from=key_from)
        assert backend(question(*values, types=kinds)) == ""

    (request,) = server.received
    assert request.path == "/ai/api/request"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.body == {
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
def test_answers_of_all_types_are_decoded(output: str, data: Any, value: Any) -> None:
    answer = replies(200, {"requestId": REQUEST, "data": data, "datatype": output, "error": ""})
    assert ask(answer, question((), output=output)) == value


@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_error_of_a_service_is_the_reason_of_the_failure(status: int) -> None:
    answer = replies(status, {"requestId": REQUEST, "data": "", "error": "The prompt is too long."})
    with pytest.raises(BackendFailed) as failed:
        ask(answer, text("Why?"))
    assert failed.value.message == "The prompt is too long."
    assert not isinstance(failed.value, BackendUnavailable)


def test_a_service_can_refuse_a_question() -> None:
    with pytest.raises(BackendFailed, match=r"^The prompt is too long\.$"):
        ask(service(refuse), text("Why?"))


@pytest.mark.parametrize(
    "answer", [replies(500, b"Oops"), replies(502, b"<html>"), replies(429, {"error": "Later"})]
)
def test_temporary_errors_mean_unavailable(answer: Answer) -> None:
    with pytest.raises(BackendUnavailable, match="busy or broken"):
        ask(answer, text("Why?"))


@pytest.mark.parametrize(
    ("body", "output", "message"),
    [
        (b"Oops", "string", "The backend's answer is not JSON"),
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
def test_an_unreadable_answer_is_a_failure(body: Any, output: str, message: str) -> None:
    with pytest.raises(BackendFailed) as failed:
        ask(replies(200, body), question((), output=output))
    assert message in failed.value.message
    assert not isinstance(failed.value, BackendUnavailable)


def test_concurrent_questions_get_their_own_answers() -> None:
    questions = [question((str(number),)) for number in range(8)]
    with Server(after_all_arrived(8, service(lambda lines: lines[0]))) as server:
        answers = ask_concurrently(Service(url=server.url), questions)
    assert answers == [str(number) for number in range(8)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (service(refuse), None),
        (
            replies(200, {"status": "starting", "models": [MODEL]}),
            "The backend reports status start",
        ),
        (replies(200, {"status": "healthy", "models": []}), f"The backend does not serve {MODEL}"),
        (replies(200, {"status": "healthy"}), "The backend's answer cannot be read"),
        (replies(404, b""), "The backend refused: status 404"),
    ],
)
def test_the_health_check_finds_problems(answer: Answer, problem: str | None) -> None:
    with Server(answer) as server:
        found = Service(url=server.url).health_check(MODEL)
    assert found == problem or (problem and found and found.startswith(problem))
