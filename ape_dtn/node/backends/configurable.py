"""What all backends have in common that the configuration describes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ape_dtn.node.answering import Question


class Configurable(BaseModel, ABC):
    """A backend whose fields are its settings. It is called from several threads at once."""

    # Whoever puts a key where its variable should be named, does not find it in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    short: ClassVar[str]
    """The setting that is meant where one is given alone, as in ``function: module:name``."""

    timeout: float = Field(default=60.0, gt=0)
    """For how many seconds an answer is waited for."""

    @abstractmethod
    def __call__(self, question: Question) -> Any:
        """The answer, of the type that is wanted.

        Raises:
            BackendFailed: There is none. What the error says goes to whoever asked.
            BackendUnavailable: There is none now.
        """

    def health_check(self, model: str) -> str | None:
        """Why it would hardly answer for a model, as far as it can be told before it is asked."""
        return None

    def close(self) -> None:
        """Gives up what it holds. It is not called afterwards."""
