"""A backend for the network's own AI services, which nodes run beside their software."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.endpoint import Endpoint, Reply, unreadable_answer
from ape_dtn.types.values import from_json, read_json, to_json


class Service(Endpoint):
    """Asks a service with ``POST /api/request``, as the live node software does.

    In the parameters, integers are JSON strings and bytes are ``0x…``. In the response, ``data``
    is text for ``string``, base64 for ``bytes``, and JSON for other types.
    """

    short: ClassVar[str] = "url"

    def __call__(self, question: Question) -> Any:
        """Ask the service.

        Raises:
            BackendFailed: The service reported an error, or its response cannot be read.
            BackendUnavailable: The service is unreachable, or a proxy in front of it is busy or
            broken.
        """
        body = {
            "requestId": question.request_id,
            "model": question.model,
            "call": {"parameters": to_json(question.inputs), "types": list(question.types)},
        }
        response = self._response(self.request("POST", "/api/request", body))
        if str(response.get("requestId")).lower() != question.request_id.lower():
            raise BackendFailed("The backend answered another request")
        try:
            return _decode(question.output, response["data"])
        except (KeyError, TypeError, ValueError) as err:
            raise unreadable_answer() from err

    def health_check(self, model: str) -> str | None:
        """Check that the service is healthy and serves the model (``GET /health``)."""
        try:
            health = self.require_success(self.request("GET", "/health")).json()
            status, models = health["status"], health["models"]
        except BackendFailed as err:
            return err.message
        except (KeyError, TypeError):
            return unreadable_answer().message
        if status != "healthy":
            return f"The backend reports status {status}"
        return None if model in models else f"The backend does not serve {model}"

    def _response(self, reply: Reply) -> dict[str, Any]:
        """Decode the body. Services report their own errors with status 200, 400 or 500."""
        try:
            body = reply.json()
        except BackendFailed:
            self.require_success(reply)  # an error status says more
            raise
        if isinstance(body, dict) and body.get("error") and reply.status in (200, 400, 500):
            raise BackendFailed(self.redact(str(body["error"])))
        self.require_success(reply)
        if not isinstance(body, dict):
            raise unreadable_answer()
        return body


def _decode(output: str, data: Any) -> Any:
    if output == "bytes":
        return base64.b64decode(data, validate=True)
    if output.endswith(("]", ")")) and isinstance(data, str):
        data = read_json(data)
    return from_json(output, data)
