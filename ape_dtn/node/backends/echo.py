"""The backend of local networks: it answers with the question."""

from __future__ import annotations

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Question


def echo(question: Question) -> str:
    """Answer with the text of the question.

    Raises:
        BackendFailed: The model's output is not text.
    """
    if question.output != "string":
        raise BackendFailed(f"The echo backend answers string, not {question.output}")
    return f"You asked: {question.text}"
