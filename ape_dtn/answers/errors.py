"""Errors of waiting for answers and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.network.errors import RequestPending
from ape_dtn.types.errors import NODE_FAILED, REFUSED, BadInput, DtnError

if TYPE_CHECKING:
    from ape_dtn.types.errors import CallbackFailed


class InvalidCursor(BadInput):
    """The cursor is malformed, or from another network, session or owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The watch cannot resume from this cursor: {reason}.", reason=reason)
        self.hint = "Watch again without it: outcomes delivered before are delivered again."


class RequestStranded(RequestPending):
    """The request will never be answered: its session was closed."""

    exit_code = REFUSED
    session_id: int

    def __init__(self, request_id: str, session_id: int) -> None:
        super().__init__(request_id)
        self.message = (
            f"Request {request_id} will never be answered: its session {session_id} is closed."
        )
        self.args = (self.message,)
        self.fields = {"request_id": request_id, "session_id": session_id}
        self.session_id = session_id
        self.hint = "Ask again on an open session."


class NodeFailure(DtnError):
    """The node reported a failure. ``reason`` is its message.

    ``callback_error`` says why the request's failure callback reverted, if it did.
    """

    exit_code = NODE_FAILED
    request_id: str
    reason: str
    callback_error: CallbackFailed | None

    def __init__(
        self, request_id: str, reason: str, callback_error: CallbackFailed | None = None
    ) -> None:
        explained = (
            " (the node could not decode the call by the model's API)"
            if reason.startswith("P0011")
            else ""
        )
        super().__init__(
            f"The node failed: {reason or 'it gave no reason'}{explained}.",
            request_id=request_id,
            reason=reason,
            callback_error=callback_error,
        )
