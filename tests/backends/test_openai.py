"""The openai backend: two independent servers, then requests, errors and the key."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.backends import endpoint
from ape_dtn.node.backends.openai import OpenAi
from ape_dtn.types.serialization import to_json
from tests.backends.questions import ask_concurrently, image, question, text
from tests.backends.servers import (
    KEY,
    Answer,
    Handler,
    Reply,
    Server,
    after_all_arrived,
    aimock,
    drops,
    floods,
    hangs,
    in_sequence,
    llama,
    replies,
    trickles,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def completion(content: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content, **message}}]}


def openai(server: Server, **settings: Any) -> OpenAi:
    return OpenAi(url=f"{server.url}/v1", **{"model": "tiny", **settings})


# Independent servers.


def test_a_language_model_answers(tmp_path: Path, key_from: str) -> None:
    capital = text("What is the capital of France?", "Answer in one word.")
    with llama(tmp_path) as url:

        def smollm(**settings: Any) -> OpenAi:
            defaults = {
                "model": "smollm2",
                "key_from": key_from,
                "temperature": 0,
                "max_tokens": 16,
            }
            return OpenAi(url=url, **{**defaults, **settings})

        assert "Paris" in smollm()(capital)
        assert len(smollm(max_tokens=1)(capital).split()) == 1
        assert all("Paris" in answer for answer in ask_concurrently(smollm(), [capital] * 2))

        with pytest.raises(BackendFailed, match=r"^The backend refused: .* must be number"):
            smollm(parameters={"top_p": "most"})(capital)
        with pytest.raises(BackendFailed, match=r"rejected the node's key \(401\)"):
            smollm(key_from=None)(capital)
        with pytest.raises(BackendFailed, match=r"^The backend refused: File Not Found$"):
            smollm()(image("A cat"))  # it generates no images

        assert smollm().health_check("") is None
        other = smollm(model="large").health_check("")
        assert other == "The backend has no model 'large'; it has smollm2"
        assert "key" in str(smollm(key_from=None).health_check(""))


def test_one_server_answers_images_and_texts(tmp_path: Path, key_from: str) -> None:
    image_reply = {"image": {"b64Json": base64.b64encode(PNG).decode()}}
    fixtures = [
        {"match": {"userMessage": "A cat", "endpoint": "image"}, "response": image_reply},
        {"match": {"userMessage": "Are you there?"}, "response": {"content": "Yes."}},
    ]
    with aimock(tmp_path, fixtures) as url:
        backend = OpenAi(url=url, model="gpt-image-1", key_from=key_from)
        assert backend(image("A cat")) == PNG
        assert backend(text("Are you there?")) == "Yes."
        with pytest.raises(BackendFailed, match=r"^The backend refused: Missing .*'prompt'"):
            backend(image(""))
        with pytest.raises(BackendUnavailable, match="503"):
            backend(image("Something else"))
        with pytest.raises(BackendFailed, match="key"):
            OpenAi(url=url, model="gpt-image-1")(image("A cat"))


def test_a_rate_limited_server_is_unavailable(tmp_path: Path, key_from: str) -> None:
    fixtures = [{"match": {"userMessage": "?"}, "response": {"content": "Yes."}}]
    with aimock(tmp_path, fixtures, "--chaos-ratelimit", "1") as url:
        backend = OpenAi(url=url, model="any", key_from=key_from, timeout=0.9)
        with pytest.raises(BackendUnavailable, match="429") as refused:
            backend(text("Are you there?"))
    assert refused.value.retry_after >= 0.5


# Requests.


def test_a_text_request_has_all_settings(key_from: str) -> None:
    with Server(replies(200, completion("Yes."))) as server:
        backend = openai(
            server,
            key_from=key_from,
            system="Be brief.",
            temperature=0.5,
            max_tokens=9,
            parameters={"seed": 7, "model": "large"},
        )
        types = ("string[]", "uint8", "bytes", "(bool,(string,int8))")
        answer = backend(question(("Is", "it?"), 7, b"\1", (True, ("a", 2)), types=types))

    assert answer == "Yes."
    (request,) = server.received
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "large",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is\nit?\n7\n0x01\ntrue,a,2"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
    }


def test_settings_that_are_not_set_are_not_sent() -> None:
    with Server(replies(200, completion("Yes."))) as server:
        openai(server)(text("Is it?"))

    (request,) = server.received
    assert request.body.keys() == {"model", "messages"}
    assert "Authorization" not in request.headers


def test_an_image_request_has_prompt_and_size() -> None:
    answer = {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}
    with Server(replies(200, answer)) as server:
        assert openai(server)(image("A cat", 640, 480)) == PNG

    (request,) = server.received
    assert request.path == "/v1/images/generations"
    assert request.body == {"model": "tiny", "prompt": "A cat", "n": 1, "size": "640x480"}


def test_an_image_at_a_url_is_fetched_without_the_key(key_from: str) -> None:
    def answer(server: Server, _handler: Handler) -> Reply:
        is_image = server.received[-1].path == "/a.png"
        return Reply(200, PNG if is_image else {"data": [{"url": f"{server.url}/a.png"}]})

    with Server(answer) as server:
        assert openai(server, key_from=key_from)(image("A cat")) == PNG

    assert ["Authorization" in request.headers for request in server.received] == [True, False]


def test_a_server_cannot_make_the_node_read_from_its_own_network() -> None:
    with Server(replies(200, PNG)) as neighbour:
        for address in (f"{neighbour.url}/secret", "file:///etc/passwd", "http://[", ""):
            answer = replies(200, {"data": [{"url": address}]})
            with Server(answer) as server, pytest.raises(BackendFailed, match="cannot be read"):
                openai(server)(image("A cat"))
    assert neighbour.received == []


def test_the_query_of_the_url_is_kept() -> None:
    with Server(replies(200, completion("Yes."))) as server:
        OpenAi(url=f"{server.url}/v1/?api-version=2", model="tiny")(text("Is it?"))

    assert server.received[0].path == "/v1/chat/completions?api-version=2"


def test_other_output_types_fail_without_a_request() -> None:
    with Server(replies(200, completion("5"))) as server:
        for output in ("uint256", "bytes"):
            with pytest.raises(BackendFailed, match="answers text and images"):
                openai(server)(question(("How many?",), output=output))
    assert server.received == []


def test_questions_are_asked_concurrently() -> None:
    with Server(after_all_arrived(8, replies(200, completion("Yes.")))) as server:
        assert ask_concurrently(openai(server), [text("Is it?")] * 8) == ["Yes."] * 8


# Errors.


@pytest.mark.parametrize(
    ("answer", "timeout", "message"),
    [
        (replies(429, {"error": {"message": f"Quota of {KEY}"}}), 20, "busy or broken (429)"),
        (replies(500, b"Oops"), 20, "busy or broken (500)"),
        (replies(503, {}, Retry_After="3600"), 20, "busy or broken (503)"),
        (drops, 20, "cannot be reached"),
        (hangs, 0.3, "No answer within 0.3 s"),
        (trickles, 0.3, "No answer within 0.3 s"),
    ],
)
def test_temporary_errors_mean_unavailable(answer: Answer, timeout: float, message: str) -> None:
    with Server(answer) as server:
        began = time.monotonic()
        with pytest.raises(BackendUnavailable) as failed:
            openai(server, timeout=timeout)(text("Is it?"))
        assert message in failed.value.message
        assert time.monotonic() - began < 10
        assert len(server.received) == 1


def test_an_unreachable_server_is_unavailable() -> None:
    with Server(hangs) as server:
        backend = openai(server)
    with pytest.raises(BackendUnavailable, match=r"^The backend cannot be reached$"):
        backend(text("Is it?"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (replies(400, {"error": {"message": "Too long."}}), "The backend refused: Too long."),
        (replies(404, {"error": "no such model"}), "The backend refused: no such model"),
        (replies(422, {"detail": "Wrong."}), "The backend refused: Wrong."),
        (replies(418, b"<html>"), "The backend refused: status 418"),
        (replies(302, b"", Location="http://127.0.0.1:1/"), "The backend refused: status 302"),
        (replies(200, b"<html>"), "The backend's answer is not JSON"),
        (replies(200, b"[" * 100_000), "The backend's answer is not JSON"),
        (replies(200, b"garbage", Content_Encoding="gzip"), "The backend's answer cannot be read"),
        (replies(200, []), "The backend's answer cannot be read"),
        (replies(200, {"choices": []}), "The backend's answer cannot be read"),
        (replies(200, {"choices": [{"message": "Yes."}]}), "The backend's answer cannot be read"),
        (replies(200, completion(" ")), "The model returned no text: its message is empty"),
        (replies(200, completion(None)), "The model returned no text: its message is empty"),
        (
            replies(200, completion(None, refusal="I won't.")),
            "The model returned no text: I won't.",
        ),
    ],
)
def test_permanent_errors_are_failures(answer: Answer, message: str) -> None:
    with Server(answer) as server:
        with pytest.raises(BackendFailed) as failed:
            openai(server)(text("Is it?"))
        assert failed.value.message == message
        assert not isinstance(failed.value, BackendUnavailable)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b'"Y\xe9s."', "Y\ufffds."),
        (b'"Yes \xf0\x9f\x99"', "Yes \ufffd"),
        (b'"Yes \\ud83d"', "Yes \ufffd"),
        (b'"Yes \\ude42."', "Yes \ufffd."),
        (b'"Yes \\ud83d\\ude42 \\\\ud83d"', "Yes 🙂 \\ud83d"),
        (b'"\\u0059es."', "Yes."),
    ],
    ids=["Latin-1", "cut", "first surrogate", "second surrogate", "pair", "no surrogate"],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_invalid_text_does_not_lose_the_answer(content: bytes, answer: str, mark: bytes) -> None:
    body = mark + b'{"choices": [{"message": {"content": %s}}]}' % content
    with Server(replies(200, body)) as server:
        assert openai(server)(text("Is it?")) == answer


@pytest.mark.parametrize("name", ["llama3", "llama3:latest"])
def test_a_model_is_found_by_its_latest_tag(name: str) -> None:
    with Server(replies(200, {"data": [{"id": name}, {"id": "llama3:70b"}]})) as server:
        assert openai(server, model="llama3").health_check("") is None
        missing = openai(server, model="llama3:8b").health_check("")
        assert missing is not None
        assert "no model 'llama3:8b'" in missing


@pytest.mark.parametrize(
    "answer", [{"data": []}, {"data": [{"b64_json": "no base64!"}]}, {"data": [{}]}, {"data": [5]}]
)
def test_an_unreadable_image_is_a_failure(answer: Any) -> None:
    with (
        Server(replies(200, answer)) as server,
        pytest.raises(BackendFailed, match="cannot be read"),
    ):
        openai(server)(image("A cat"))


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_BYTES", 2**22)
    with Server(floods) as server, pytest.raises(BackendFailed, match="is larger than"):
        openai(server)(text("Is it?"))


@pytest.mark.parametrize("after", [lambda: "1", lambda: formatdate(time.time() + 3, usegmt=True)])
def test_retry_after_is_respected(after: Callable[[], str]) -> None:
    answers = in_sequence(replies(429, {}, Retry_After=after()), replies(200, completion("Yes.")))
    with Server(answers) as server:
        assert openai(server)(text("Is it?")) == "Yes."

    first, second = server.received
    assert 0.5 < second.at - first.at < 10


# The key.


def test_the_key_appears_only_in_the_request(
    key_from: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = {"error": {"message": f"Model of {KEY} at https://user:{KEY}@host/{KEY}?a is unknown"}}
    with Server(in_sequence(replies(404, error), replies(401, error), drops)) as server:
        backend = openai(server, key_from=key_from)
        shown = [repr(backend), str(backend), repr(vars(backend)), backend.model_dump_json()]
        for _ in range(3):
            with pytest.raises(BackendFailed) as failed:
                backend(text("Is it?"))
            shown += [str(failed.value), repr(to_json(failed.value))]
        backend.health_check("")

    assert [request.headers["Authorization"] for request in server.received] == [
        f"Bearer {KEY}"
    ] * 4
    assert "The backend refused: Model of … at https://host is unknown" in shown
    assert not [text for text in [*shown, caplog.text] if KEY in text]
