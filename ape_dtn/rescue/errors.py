"""Errors of a rescue."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class ConsentMissing(Refused):
    """Claiming a deposit may take deposits of others, too, and the user has not agreed."""

    def __init__(self) -> None:
        super().__init__(
            "A session started now takes all deposits that wait at the fee target. The chain does "
            "not show who owns them: some may belong to others."
        )
        self.hint = "To take them anyway, pass claim=True."


class NoRemedy(Refused):
    """There is no remedy for a finding."""

    about: str

    def __init__(self, about: str) -> None:
        super().__init__(f"There is no remedy for {about}.", about=about)
        self.hint = "DtnRescue.findings() explains what it is, and who can help."
