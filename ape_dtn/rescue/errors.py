"""Errors of bringing money home."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class ConsentMissing(Refused):
    """A session was to be started with what waits, which may be somebody else's."""

    def __init__(self) -> None:
        super().__init__(
            "A session started now takes all that waits at the fee target, and the chain does not "
            "say whose that is: some of it may be somebody else's."
        )
        self.hint = "Take it all the same: claim=True, or --claim."


class NoRemedy(Refused):
    """Nothing can be done about it from here."""

    about: str

    def __init__(self, about: str) -> None:
        super().__init__(f"Nothing can be done about {about} from here.", about=about)
        self.hint = "What it is, and who could help: `ape dtn rescue`."
