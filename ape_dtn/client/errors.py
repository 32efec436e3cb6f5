"""Errors of the client objects."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class RequestsPending(Refused):
    """A session was to be closed while requests of it have no answer, which would never come."""

    session_id: int
    requests: list[str]

    def __init__(self, session_id: int, requests: list[str]) -> None:
        super().__init__(
            f"{len(requests)} of the requests of session {session_id} have no answer yet, and "
            f"would never get one: {', '.join(requests)}.",
            session_id=session_id,
            requests=requests,
        )
        self.hint = (
            f"Wait for them, as with `ape dtn answer {requests[0]}`, or close it all the same: "
            "--force."
        )
