"""The base class of configurable backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ape_dtn.node.answering import Question


class Configurable(BaseModel, ABC):
    """A backend whose fields are its settings. It must be safe to call from several threads."""

    # A key that was entered in the wrong setting must not appear in an error message.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    short: ClassVar[str]
    """The setting that a bare value sets, as in ``function: module:name``."""

    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for an answer."""

    @abstractmethod
    def __call__(self, question: Question) -> Any:
        """Answer a question, with a value of its output type.

        Raises:
            BackendFailed: There is no answer. The message is sent to the requester.
            BackendUnavailable: There is no answer now; ask again later.
        """

    def health_check(self, model: str) -> str | None:
        """The reason why questions for a model would probably fail, or None."""
        return None

    def close(self) -> None:
        """Release resources. The backend is not called afterwards."""
