"""What came back: a node's answer, as text, bytes, JSON, a file, or a picture in a notebook."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from ape_dtn.types.errors import CallbackFailed
from ape_dtn.types.files import write_whole
from ape_dtn.types.ids import as_hex

# How files of each kind begin, where a notebook can show them.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


class CallType(IntEnum):
    """How the answer travels (``IDtnAi.CallType``)."""

    IPFS = 0
    DIRECT = 1


class Status(IntEnum):
    """What became of a request (``IDtnAi.ResponseStatus``)."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class Answer:
    """A node's answer.

    Attributes:
        request_id: The request that it answers.
        value: The answer, decoded by the model's API: text for ``string``, bytes for ``bytes``.
        data: The response as the chain has it, ABI-encoded.
        node: Id of the node that answered.
        call_type: How it travelled.
        cid: Over IPFS, the content identifier; the content was checked against it.
        callback_error: Why the request's callback reverted, if it did. The answer is there, and
            paid, all the same.
    """

    request_id: str
    value: Any
    data: bytes
    node: str
    call_type: CallType
    cid: str | None = None
    callback_error: CallbackFailed | None = None

    @property
    def text(self) -> str:
        """The answer as text; bytes as ``0x…``."""
        return as_hex(self.value) if isinstance(self.value, bytes) else str(self.value)

    @property
    def image_type(self) -> str | None:
        """The media type, where the answer is an image, as in ``image/png``."""
        if not isinstance(self.value, bytes):
            return None
        if self.value[:4] == b"RIFF" and self.value[8:12] == b"WEBP":
            return "image/webp"
        return next((kind for start, kind in _IMAGES if self.value.startswith(start)), None)

    def json(self) -> Any:
        """The answer as the JSON document that it holds.

        Raises:
            ValueError: It holds none.
        """
        from ape_dtn.types.values import read_json

        return read_json(bytes(self))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the answer to a file, text as UTF-8, all of it or nothing.

        Links are followed, and a device or a pipe is written to.

        Returns:
            The file's path.

        Raises:
            OSError: The file cannot be written. What was there before stays.
        """
        path = Path(path).resolve()
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(bytes(self))
            return path
        write_whole(path, bytes(self))
        return path

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain data."""
        return {
            "request": self.request_id,
            "answer": self.text,
            "node": self.node,
            "cid": self.cid,
            "callback_error": self.callback_error.as_dict() if self.callback_error else None,
        }

    def __str__(self) -> str:
        return self.text

    def __bytes__(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else self.text.encode()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """What notebooks show: the image itself where it is one, else the text."""
        from base64 import b64encode

        shown: dict[str, Any] = {"text/plain": self.text if not self.image_type else repr(self)}
        if self.image_type:
            shown[self.image_type] = b64encode(self.value).decode()
        return shown

    def __repr__(self) -> str:
        size = len(bytes(self))
        return f"<Answer to {self.request_id}, {size} bytes>"
