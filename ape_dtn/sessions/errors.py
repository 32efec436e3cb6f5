"""Errors of sessions."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class RequestsPending(Refused):
    """The session has requests without an answer, which closing it would strand."""

    session_id: int
    requests: list[str]

    def __init__(self, session_id: int, requests: list[str]) -> None:
        pending = ", ".join(requests)
        super().__init__(
            f"Session {session_id} has {len(requests)} requests without an answer, which would "
            f"never get one after it is closed: {pending}.",
            session_id=session_id,
            requests=requests,
        )
        self.hint = "Wait for the answers, or close the session all the same with `force=True`."
