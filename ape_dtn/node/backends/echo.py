"""The backend of local networks: it answers with what it was asked."""

from __future__ import annotations

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question


def echo(question: Question) -> str:
    """Answers text with the text that was asked.

    Raises:
        BackendFailed: The model gives something else than text.
    """
    if question.output != "string":
        raise BackendFailed(f"The echo gives text, and this model {question.output}")
    return f"You asked: {question.text}"
