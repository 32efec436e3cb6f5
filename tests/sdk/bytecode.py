"""Handwritten bytecode of small contracts, for behaviour that the network's contracts lack."""

from __future__ import annotations

from collections.abc import Sequence


def deploying(code: bytes) -> bytes:
    """Creation code of a contract with a runtime code."""
    start = bytes.fromhex(
        f"61{len(code):04x}80600a5f395ff3"
    )  # copies the code that follows, and returns it
    assert len(start) == 0x0A
    return start + code


def emitting(topics: Sequence[str], data: bytes, leaving: bytes = b"") -> bytes:
    """Code that emits a log. As creation code, it also creates a contract with code ``leaving``."""
    words = [data[start : start + 32] for start in range(0, len(data), 32)]
    stored = "".join(f"7f{word.hex()}60{32 * place:02x}52" for place, word in enumerate(words))
    pushed = "".join(f"7f{topic[2:]}" for topic in reversed(topics))
    code = bytes.fromhex(f"{stored}{pushed}60{len(data):02x}5fa{len(topics)}")
    place = len(code) + 0x0D
    copied = f"61{len(leaving):04x}61{place:04x}5f3961{len(leaving):04x}5ff3"
    return code + bytes.fromhex(copied) + leaving


def reverting(data: bytes) -> bytes:
    """Code that reverts with ``data`` at every call."""
    copied = bytes.fromhex(f"61{len(data):04x}80600a5f395ffd")
    assert len(copied) == 0x0A
    return copied + data


def calling(*calls: tuple[str, bytes]) -> bytes:
    """Creation code that makes calls in order, and creates an empty contract."""
    place = len(calls) * len(_calling("0x" + "00" * 20, 0, 0)) + 1
    code, copied = b"", b""
    for to, data in calls:
        code += _calling(to, place + len(copied), len(data))
        copied += data
    return code + b"\x00" + copied


def _calling(to: str, place: int, size: int) -> bytes:
    """A call with data from the code; ignores whether it succeeds."""
    copy = f"61{size:04x}61{place:04x}5f39"
    return bytes.fromhex(f"{copy}5f5f61{size:04x}5f5f73{to[2:]}5af150")
