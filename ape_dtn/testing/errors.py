"""Errors of the tools for tests."""

from __future__ import annotations

from ape_dtn.types.errors import NO_ANSWER_YET, BadInput, DtnError, NoNetwork


class NotRecorded(DtnError):
    """A question in a test whose answer was not recorded; ``difference`` says what is otherwise."""

    exit_code = NO_ANSWER_YET
    cassette: str
    difference: str

    def __init__(self, cassette: str, reason: str, difference: str) -> None:
        super().__init__(
            f"{cassette} has no answer: {reason}. --dtn-record new adds it.\n{difference}",
            cassette=cassette,
            difference=difference,
        )
        self.hint = "The real backend is that of --dtn-backend, or of `dtn: backends:`."


class CassetteUnusable(BadInput):
    """A file of recorded answers that cannot be read."""

    cassette: str

    def __init__(self, cassette: str, reason: str) -> None:
        super().__init__(f"{cassette} cannot be used: {reason}.", cassette=cassette)
        self.hint = "Restore it, or remove it and record it anew: --dtn-record once."


class StateFixed(NoNetwork):
    """The connected chain lets nobody change its state but by transactions."""

    provider: str

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(
            f"The state of a chain of '{provider}' cannot be changed: {reason}", provider=provider
        )
        self.hint = "It takes Anvil (--network ethereum:local:foundry) or Ape's in-process chain."
