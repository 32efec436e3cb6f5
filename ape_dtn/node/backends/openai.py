"""A backend for endpoints with OpenAI's API: Ollama, vLLM, llama.cpp, and hosted ones."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from pydantic import Field

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.endpoint import Endpoint, unreadable_answer
from ape_dtn.types.prompt import as_text

# The inputs of api.system.llm-simpleimage: the prompt, and the width and height in pixels.
IMAGE_INPUTS = ("string[]", "uint64", "uint64")


class OpenAi(Endpoint):
    """Requests text (``/chat/completions``) or images (``/images/generations``).

    For ``string`` outputs, the inputs become one user message, with a line per string and per
    other value. Inputs of ``string[], uint64, uint64`` with a ``bytes`` output request an image
    of that width and height.
    """

    short: ClassVar[str] = "url"

    model: str = Field(min_length=1)
    """The model's name at the endpoint."""

    system: str | None = None
    """The system prompt."""

    temperature: float | None = Field(default=None, ge=0)
    """Sampling temperature; 0 for the most deterministic text."""

    max_tokens: int | None = Field(default=None, gt=0)
    """Maximum tokens of a text. Newer models of OpenAI need ``max_completion_tokens`` instead."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request body, sent unchanged."""

    def __call__(self, question: Question) -> str | bytes:
        """Request the text or the image.

        Raises:
            BackendFailed: The endpoint rejected the request, its response cannot be read, or the
                model's output is neither text nor an image.
            BackendUnavailable: The endpoint is unreachable, busy or broken.
        """
        if question.output == "string":
            return self._text(question)
        if question.output == "bytes" and question.types == IMAGE_INPUTS:
            return self._image(question)
        raise BackendFailed(f"The openai backend answers text and images, not {question.output}")

    def health_check(self, model: str) -> str | None:
        """Check that the endpoint is reachable, accepts the key and has the model (``/models``)."""
        try:
            listed = self.require_success(self.request("GET", "/models")).json()
            names = [entry["id"] for entry in listed["data"]]
        except BackendFailed as err:
            return err.message
        except (KeyError, TypeError):
            return unreadable_answer().message
        # Ollama lists the model `llama3` as `llama3:latest`.
        if {self.model, f"{self.model}:latest"} & set(map(str, names)):
            return None
        return f"The backend has no model '{self.model}'; it has {', '.join(map(str, names))}"

    def _text(self, question: Question) -> str:
        messages = [{"role": "user", "content": _prompt(question)}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        fields = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        completion = self._post("/chat/completions", body)
        try:
            message = completion["choices"][0]["message"]
            text, refusal = message["content"], message.get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError) as err:
            raise unreadable_answer() from err
        if isinstance(text, str) and text.strip():
            return text
        raise BackendFailed(f"The model returned no text: {refusal or 'its message is empty'}")

    def _image(self, question: Question) -> bytes:
        lines, width, height = question.inputs
        size = f"{width}x{height}"
        body = {"model": self.model, "prompt": "\n".join(lines), "n": 1, "size": size}
        generated = self._post("/images/generations", body)
        try:
            image = generated["data"][0]
            if image.get("b64_json"):
                return base64.b64decode(image["b64_json"], validate=True)
            address = image["url"]
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as err:
            raise unreadable_answer() from err
        return self.fetch(str(address))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.require_success(self.request("POST", path, {**body, **self.parameters})).json()


def _prompt(question: Question) -> str:
    lines: list[str] = []
    for kind, value in zip(question.types, question.inputs, strict=True):
        lines += value if kind == "string[]" else [as_text(kind, value)]
    return "\n".join(lines)
