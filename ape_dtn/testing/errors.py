"""Errors of the testing tools."""

from __future__ import annotations

from ape_dtn.types.errors import NO_ANSWER_YET, BadInput, DtnError, NoNetwork


class NotRecorded(DtnError):
    """A cassette lacks an answer; ``difference`` shows the question and the nearest recording."""

    exit_code = NO_ANSWER_YET
    cassette: str
    difference: str

    def __init__(self, cassette: str, reason: str, difference: str) -> None:
        super().__init__(
            f"{cassette} has no answer: {reason}. Record it with --dtn-record new.\n{difference}",
            cassette=cassette,
            difference=difference,
        )
        self.hint = "Recording uses the backend of --dtn-backend, or of `dtn: backends:`."


class CassetteUnusable(BadInput):
    """A cassette file cannot be read."""

    cassette: str

    def __init__(self, cassette: str, reason: str) -> None:
        super().__init__(f"Cannot read the cassette {cassette}: {reason}.", cassette=cassette)
        self.hint = "Restore the file, or delete it and record again with --dtn-record once."


class StateFixed(NoNetwork):
    """The connected chain does not support direct changes of its state."""

    provider: str

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(
            f"Cannot change the state of a '{provider}' chain: {reason}", provider=provider
        )
        self.hint = "Use Anvil (--network ethereum:local:foundry) or Ape's in-process chain."
