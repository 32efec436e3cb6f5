"""Endpoints that speak OpenAI's API: two that others have written, and all that can go wrong."""

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
from tests.backends.asking import image, question, text, together
from tests.backends.servers import (
    KEY,
    Answer,
    Said,
    Server,
    Visit,
    aimock,
    at_once,
    drops,
    floods,
    hangs,
    in_turn,
    llama,
    says,
    trickles,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def saying(content: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content, **message}}]}


def openai(server: Server, **settings: Any) -> OpenAi:
    return OpenAi(url=f"{server.url}/v1", **{"model": "tiny", **settings})


# Servers that others have written.


def test_a_language_model_answers(tmp_path: Path, key_from: str) -> None:
    asked = text("What is the capital of France?", "Answer in one word.")
    with llama(tmp_path) as url:

        def smollm(**settings: Any) -> OpenAi:
            given = {"model": "smollm2", "key_from": key_from, "temperature": 0, "max_tokens": 16}
            return OpenAi(url=url, **{**given, **settings})

        assert "Paris" in smollm()(asked)
        assert len(smollm(max_tokens=1)(asked).split()) == 1
        assert all("Paris" in each for each in together(smollm(), [asked] * 2))

        with pytest.raises(BackendFailed, match=r"^The backend refused: .* must be number"):
            smollm(parameters={"top_p": "most"})(asked)
        with pytest.raises(BackendFailed, match=r"does not take the node's key \(401\)"):
            smollm(key_from=None)(asked)
        with pytest.raises(BackendFailed, match=r"^The backend refused: File Not Found$"):
            smollm()(image("A cat"))  # it paints nothing

        assert smollm().health_check("") is None
        other = smollm(model="large").health_check("")
        assert other == "The backend lists no model 'large', but smollm2"
        assert "key" in str(smollm(key_from=None).health_check(""))


def test_images_and_texts_of_a_server_with_both(tmp_path: Path, key_from: str) -> None:
    painted = {"image": {"b64Json": base64.b64encode(PNG).decode()}}
    fixtures = [
        {"match": {"userMessage": "A cat", "endpoint": "image"}, "response": painted},
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


def test_a_busy_server_of_others(tmp_path: Path, key_from: str) -> None:
    fixtures = [{"match": {"userMessage": "?"}, "response": {"content": "Yes."}}]
    with aimock(tmp_path, fixtures, "--chaos-ratelimit", "1") as url:
        backend = OpenAi(url=url, model="any", key_from=key_from, timeout=0.9)
        with pytest.raises(BackendUnavailable, match="429") as refused:
            backend(text("Are you there?"))
    assert refused.value.retry_after >= 0.5


# What is asked.


def test_what_a_server_is_asked_for_text(key_from: str) -> None:
    with Server(says(200, saying("Yes."))) as server:
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
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "large",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is\nit?\n7\n0x01\ntrue,a,2"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
    }


def test_nothing_is_sent_that_is_not_set() -> None:
    with Server(says(200, saying("Yes."))) as server:
        openai(server)(text("Is it?"))

    (asked,) = server.asked
    assert asked.body.keys() == {"model", "messages"}
    assert "Authorization" not in asked.headers


def test_what_a_server_is_asked_for_an_image() -> None:
    answer = {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}
    with Server(says(200, answer)) as server:
        assert openai(server)(image("A cat", 640, 480)) == PNG

    (asked,) = server.asked
    assert asked.path == "/v1/images/generations"
    assert asked.body == {"model": "tiny", "prompt": "A cat", "n": 1, "size": "640x480"}


def test_an_image_at_an_address_is_fetched_without_the_key(key_from: str) -> None:
    def answer(server: Server, _visit: Visit) -> Said:
        is_image = server.asked[-1].path == "/a.png"
        return Said(200, PNG if is_image else {"data": [{"url": f"{server.url}/a.png"}]})

    with Server(answer) as server:
        assert openai(server, key_from=key_from)(image("A cat")) == PNG

    assert ["Authorization" in asked.headers for asked in server.asked] == [True, False]


def test_a_node_does_not_read_on_its_own_network_for_others() -> None:
    with Server(says(200, PNG)) as neighbour:
        for address in (f"{neighbour.url}/secret", "file:///etc/passwd", "http://[", ""):
            answer = says(200, {"data": [{"url": address}]})
            with Server(answer) as server, pytest.raises(BackendFailed, match="cannot be read"):
                openai(server)(image("A cat"))
    assert neighbour.asked == []


def test_a_query_of_the_address_is_kept() -> None:
    with Server(says(200, saying("Yes."))) as server:
        OpenAi(url=f"{server.url}/v1/?api-version=2", model="tiny")(text("Is it?"))

    assert server.asked[0].path == "/v1/chat/completions?api-version=2"


def test_other_answers_than_text_and_images_are_not_asked_for() -> None:
    with Server(says(200, saying("5"))) as server:
        for output in ("uint256", "bytes"):
            with pytest.raises(BackendFailed, match="gives text and images"):
                openai(server)(question(("How many?",), output=output))
    assert server.asked == []


def test_many_ask_at_once() -> None:
    with Server(at_once(8, says(200, saying("Yes.")))) as server:
        assert together(openai(server), [text("Is it?")] * 8) == ["Yes."] * 8


# What can go wrong.


@pytest.mark.parametrize(
    ("answer", "timeout", "message"),
    [
        (says(429, {"error": {"message": f"Quota of {KEY}"}}), 20, "busy or broken (429)"),
        (says(500, b"Oops"), 20, "busy or broken (500)"),
        (says(503, {}, Retry_After="3600"), 20, "busy or broken (503)"),
        (drops, 20, "cannot be reached"),
        (hangs, 0.3, "No answer within 0.3 s"),
        (trickles, 0.3, "No answer within 0.3 s"),
    ],
)
def test_what_may_be_better_later(answer: Answer, timeout: float, message: str) -> None:
    with Server(answer) as server:
        began = time.monotonic()
        with pytest.raises(BackendUnavailable) as failed:
            openai(server, timeout=timeout)(text("Is it?"))
        assert message in failed.value.message
        assert time.monotonic() - began < 10
        assert len(server.asked) == 1


def test_nobody_is_there() -> None:
    with Server(hangs) as server:
        backend = openai(server)
    with pytest.raises(BackendUnavailable, match=r"^The backend cannot be reached$"):
        backend(text("Is it?"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (says(400, {"error": {"message": "Too long."}}), "The backend refused: Too long."),
        (says(404, {"error": "no such model"}), "The backend refused: no such model"),
        (says(422, {"detail": "Wrong."}), "The backend refused: Wrong."),
        (says(418, b"<html>"), "The backend refused: status 418"),
        (says(302, b"", Location="http://127.0.0.1:1/"), "The backend refused: status 302"),
        (says(200, b"<html>"), "The backend's answer is no JSON"),
        (says(200, b"[" * 100_000), "The backend's answer is no JSON"),
        (says(200, b"garbage", Content_Encoding="gzip"), "The backend's answer cannot be read"),
        (says(200, []), "The backend's answer cannot be read"),
        (says(200, {"choices": []}), "The backend's answer cannot be read"),
        (says(200, {"choices": [{"message": "Yes."}]}), "The backend's answer cannot be read"),
        (says(200, saying(" ")), "The model gives no text: it is empty"),
        (says(200, saying(None)), "The model gives no text: it is empty"),
        (says(200, saying(None, refusal="I won't.")), "The model gives no text: I won't."),
    ],
)
def test_what_fails_for_good(answer: Answer, message: str) -> None:
    with Server(answer) as server:
        with pytest.raises(BackendFailed) as failed:
            openai(server)(text("Is it?"))
        assert failed.value.message == message
        assert not isinstance(failed.value, BackendUnavailable)


@pytest.mark.parametrize(
    "answer", [{"data": []}, {"data": [{"b64_json": "no base64!"}]}, {"data": [{}]}, {"data": [5]}]
)
def test_images_that_are_none(answer: Any) -> None:
    with Server(says(200, answer)) as server, pytest.raises(BackendFailed, match="cannot be read"):
        openai(server)(image("A cat"))


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_BYTES", 2**22)
    with Server(floods) as server, pytest.raises(BackendFailed, match="is larger than"):
        openai(server)(text("Is it?"))


@pytest.mark.parametrize("after", [lambda: "1", lambda: formatdate(time.time() + 3, usegmt=True)])
def test_who_says_when_to_come_back_is_asked_again_then(after: Callable[[], str]) -> None:
    answers = in_turn(says(429, {}, Retry_After=after()), says(200, saying("Yes.")))
    with Server(answers) as server:
        assert openai(server)(text("Is it?")) == "Yes."

    first, second = server.asked
    assert 0.5 < second.at - first.at < 10


# The key.


def test_the_key_is_nowhere_but_in_the_request(
    key_from: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = {"error": {"message": f"Model of {KEY} at https://user:{KEY}@host/{KEY}?a is unknown"}}
    with Server(in_turn(says(404, told), says(401, told), drops)) as server:
        backend = openai(server, key_from=key_from)
        said = [repr(backend), str(backend), repr(vars(backend)), backend.model_dump_json()]
        for _ in range(3):
            with pytest.raises(BackendFailed) as failed:
                backend(text("Is it?"))
            said += [str(failed.value), repr(failed.value.as_dict())]
        backend.health_check("")

    assert [asked.headers["Authorization"] for asked in server.asked] == [f"Bearer {KEY}"] * 4
    assert "The backend refused: Model of … at https://host is unknown" in said
    assert not [each for each in [*said, caplog.text] if KEY in each]
