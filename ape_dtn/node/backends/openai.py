"""Endpoints that speak OpenAI's API: Ollama, vLLM, llama.cpp, and hosted ones."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from pydantic import Field

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.endpoint import Endpoint, garbled
from ape_dtn.types.prompt import as_text

# What api.system.llm-simpleimage takes: the prompt, and the width and height in pixels.
IMAGE_INPUTS = ("string[]", "uint64", "uint64")


class OpenAi(Endpoint):
    """Asks a model of an endpoint for text (``/chat/completions``) or images.

    For models that give ``string``, the inputs are one message of the user, a line for each string
    and each other value. For ``string[], uint64, uint64 -> bytes`` an image of that width and
    height is asked for (``/images/generations``).
    """

    short: ClassVar[str] = "url"

    model: str = Field(min_length=1)
    """The model's name at the endpoint."""

    system: str | None = None
    """What the model is told before the question."""

    temperature: float | None = Field(default=None, ge=0)
    """How much chance there is in the text; 0 for none."""

    max_tokens: int | None = Field(default=None, gt=0)
    """The most tokens of a text; OpenAI's newer models take ``max_completion_tokens`` instead."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """Whatever else the endpoint takes in the body of a request, as it is."""

    def __call__(self, question: Question) -> str | bytes:
        """The text or the image.

        Raises:
            BackendFailed: The endpoint refused, or gave no answer that can be read, or the model
                is to give something else than text or an image.
            BackendUnavailable: The endpoint cannot be reached, or is busy or broken.
        """
        if question.output == "string":
            return self._text(question)
        if question.output == "bytes" and question.types == IMAGE_INPUTS:
            return self._image(question)
        raise BackendFailed("This backend gives text and images of a width and a height")

    def health_check(self, model: str) -> str | None:
        """Whether it is there, takes the key and lists the model (``/models``)."""
        try:
            listed = self.accepted(self.ask("GET", "/models")).json()
            names = [each["id"] for each in listed["data"]]
        except BackendFailed as err:
            return err.message
        except (KeyError, TypeError):
            return garbled().message
        if self.model in names:
            return None
        return f"The backend lists no model '{self.model}', but {', '.join(map(str, names))}"

    def _text(self, question: Question) -> str:
        messages = [{"role": "user", "content": _prompt(question)}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        asked = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        said = self._asked("/chat/completions", given)
        try:
            message = said["choices"][0]["message"]
            text, refusal = message["content"], message.get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError) as err:
            raise garbled() from err
        if isinstance(text, str) and text.strip():
            return text
        raise BackendFailed(f"The model gives no text: {refusal or 'it is empty'}")

    def _image(self, question: Question) -> bytes:
        lines, width, height = question.inputs
        size = f"{width}x{height}"
        asked = {"model": self.model, "prompt": "\n".join(lines), "n": 1, "size": size}
        said = self._asked("/images/generations", asked)
        try:
            image = said["data"][0]
            if image.get("b64_json"):
                return base64.b64decode(image["b64_json"], validate=True)
            address = image["url"]
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as err:
            raise garbled() from err
        return self.fetch(str(address))

    def _asked(self, path: str, body: dict[str, Any]) -> Any:
        return self.accepted(self.ask("POST", path, {**body, **self.parameters})).json()


def _prompt(question: Question) -> str:
    lines: list[str] = []
    for kind, value in zip(question.types, question.inputs, strict=True):
        lines += value if kind == "string[]" else [as_text(kind, value)]
    return "\n".join(lines)
