"""A node's answer, and its conversion to text, bytes, JSON, a file or a notebook's image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from ape_dtn.types.errors import CallbackFailed
from ape_dtn.types.files import write_whole
from ape_dtn.types.ids import as_hex

# First bytes of the image formats that notebooks show.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


class CallType(IntEnum):
    """How an answer is delivered (``IDtnAi.CallType``)."""

    IPFS = 0
    DIRECT = 1


class Status(IntEnum):
    """Status of a request (``IDtnAi.ResponseStatus``)."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class Answer:
    """A node's answer.

    Attributes:
        request_id: The request's id.
        value: The answer, decoded by the model's API: text for ``string``, bytes for ``bytes``.
        data: The response on the chain, ABI-encoded.
        node: The id of the node.
        call_type: How it was delivered.
        cid: Over IPFS, the content identifier, which the content was verified against.
        callback_error: Why the request's callback reverted, if it did. The answer is valid, and
            charged, all the same.
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
        """The media type of an image, as in ``image/png``; None for other answers."""
        if not isinstance(self.value, bytes):
            return None
        if self.value[:4] == b"RIFF" and self.value[8:12] == b"WEBP":
            return "image/webp"
        return next((kind for start, kind in _IMAGES if self.value.startswith(start)), None)

    def json(self) -> Any:
        """Parses the answer as JSON.

        Raises:
            ValueError: It is not JSON.
        """
        from ape_dtn.types.values import read_json

        return read_json(bytes(self))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the answer to a file, text as UTF-8. The file is replaced as a whole.

        Links are followed. A device or a pipe is written to directly.

        Returns:
            The file's path.

        Raises:
            OSError: The file cannot be written. An existing file is unchanged.
        """
        path = Path(path).resolve()
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(bytes(self))
            return path
        write_whole(path, bytes(self))
        return path

    def __str__(self) -> str:
        return self.text

    def __bytes__(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else self.text.encode()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """What notebooks show: the image, or else the text."""
        from base64 import b64encode

        shown: dict[str, Any] = {"text/plain": self.text if not self.image_type else repr(self)}
        if self.image_type:
            shown[self.image_type] = b64encode(self.value).decode()
        return shown

    def __repr__(self) -> str:
        size = len(bytes(self))
        return f"<Answer to {self.request_id}, {size} bytes>"
