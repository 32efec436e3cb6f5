"""Questions for the backends under test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ape_dtn.node.answering import Backend, Question

MODEL = "model.system.any"
REQUEST = "0x" + "5e" * 32


def question(
    *inputs: Any, types: tuple[str, ...] = ("string[]",), output: str = "string"
) -> Question:
    return Question(REQUEST, MODEL, types, inputs, output)


def text(*lines: str) -> Question:
    return question(tuple(lines))


def image(prompt: str, width: int = 64, height: int = 32) -> Question:
    return question(
        (prompt,), width, height, types=("string[]", "uint64", "uint64"), output="bytes"
    )


def ask_concurrently(backend: Backend, questions: list[Question]) -> list[Any]:
    with ThreadPoolExecutor(len(questions)) as threads:
        return list(threads.map(backend, questions))
