"""The network's own AI services, as nodes have them beside them."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.endpoint import Endpoint, Reply, garbled
from ape_dtn.types.values import from_json, read_json, to_json


class Service(Endpoint):
    """Asks a service with ``POST /api/request``, as the live node software does.

    Integers among the parameters are JSON strings and bytes ``0x…``. Of the answer, ``data`` is
    text, base64 for ``bytes``, and JSON for other types.
    """

    short: ClassVar[str] = "url"

    def __call__(self, question: Question) -> Any:
        """What the service answers.

        Raises:
            BackendFailed: The service failed, in its own words, or its answer cannot be read.
            BackendUnavailable: It cannot be reached, or something before it is busy or broken.
        """
        asked = {
            "requestId": question.request_id,
            "model": question.model,
            "call": {"parameters": to_json(question.inputs), "types": list(question.types)},
        }
        said = self._said(self.ask("POST", "/api/request", asked))
        if str(said.get("requestId")).lower() != question.request_id.lower():
            raise BackendFailed("The backend answered another request")
        try:
            return _value(question.output, said["data"])
        except (KeyError, TypeError, ValueError) as err:
            raise garbled() from err

    def health_check(self, model: str) -> str | None:
        """Whether it is well and serves the model (``GET /health``)."""
        try:
            said = self.accepted(self.ask("GET", "/health")).json()
            status, models = said["status"], said["models"]
        except BackendFailed as err:
            return err.message
        except (KeyError, TypeError):
            return garbled().message
        if status != "healthy":
            return f"The backend says that it is {status}"
        return None if model in models else f"The backend does not serve {model}"

    def _said(self, reply: Reply) -> dict[str, Any]:
        """The answer. A service's own error is one too: it comes with status 400 or 500."""
        try:
            said = reply.json()
        except BackendFailed:
            self.accepted(reply)  # the status says more
            raise
        if isinstance(said, dict) and said.get("error") and reply.status in (200, 400, 500):
            raise BackendFailed(self.without_key(str(said["error"])))
        self.accepted(reply)
        if not isinstance(said, dict):
            raise garbled()
        return said


def _value(output: str, data: Any) -> Any:
    if output == "bytes":
        return base64.b64decode(data, validate=True)
    if output.endswith(("]", ")")) and isinstance(data, str):
        data = read_json(data)
    return from_json(output, data)
