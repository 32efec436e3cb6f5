"""Names of models and nodes, their ids, and addresses."""

from __future__ import annotations

import re
from typing import Literal

from eth_utils import (
    is_checksum_address,
    is_checksum_formatted_address,
    is_hex_address,
    keccak,
    to_checksum_address,
)

from ape_dtn.types.errors import InvalidAddress, InvalidName

Kind = Literal["model", "node", "request"]

_ID = re.compile(r"0x[0-9a-fA-F]{64}")
_EXAMPLES: dict[Kind, str] = {
    "model": "model.system.openai-gpt-5",
    "node": "node.alice.first",
    "request": "0x" + "5e" * 32,
}


def id_of(name: str | bytes, kind: Kind) -> bytes:
    """The id of a model, node or request: keccak-256 of its full name, or the id itself.

    Raises:
        InvalidName: The argument is neither a full name of this kind nor 32 bytes.
    """
    if isinstance(name, bytes) and len(name) == 32:
        return name
    if isinstance(name, str):
        if _ID.fullmatch(name):
            return bytes.fromhex(name[2:])
        if is_name(name, kind):
            return keccak(text=name)
    raise InvalidName(name, kind, _EXAMPLES[kind])


def is_name(text: str, kind: Kind) -> bool:
    """Whether a text is a full name of this kind. Requests have no names."""
    return kind != "request" and bool(re.fullmatch(rf"{kind}(\.[^\s.]+){{2,}}", text))


def to_address(value: str) -> str:
    """Returns a checksummed address.

    Raises:
        InvalidAddress: The text is not an address, or its checksum is wrong.
    """
    if not is_address(value):
        raise InvalidAddress(value)
    return to_checksum_address(value)


def is_address(value: str) -> bool:
    """Whether a text is an address. One in mixed case needs a valid checksum."""
    return is_hex_address(value) and (
        is_checksum_address(value) or not is_checksum_formatted_address(value)
    )


def as_hex(value: bytes) -> str:
    """Bytes as ``0x…``."""
    return "0x" + value.hex()


class Names:
    """Looks up known names by their ids."""

    def __init__(self, *names: str) -> None:
        self._names = {keccak(text=name): name for name in names}

    def of(self, value: bytes) -> str:
        """The name of an id, or the id as ``0x…``."""
        return self._names.get(value, as_hex(value))
