"""The payload and the fees of signed transactions, decoded from their raw bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eth_utils import to_checksum_address

from ape_dtn.types.rpc import as_bytes

# The transaction types that this package signs (EIP-2718).
DYNAMIC_FEE, SET_CODE = 2, 4


@dataclass(frozen=True)
class Fees:
    """The fees of a transaction, in wei per unit of gas (EIP-1559).

    Attributes:
        max_fee: The maximum fee.
        tip: The maximum priority fee, which goes to the builder of the block.
    """

    max_fee: int
    tip: int

    def outbidding(self, others: Iterable[Fees]) -> Fees:
        """These fees, raised if a mempool requires more to replace the other fees."""
        raised = [Fees(_raised(fees.max_fee), _raised(fees.tip)) for fees in others]
        return Fees(
            max(self.max_fee, *(fees.max_fee for fees in raised), 0),
            max(self.tip, *(fees.tip for fees in raised), 0),
        )


def _raised(fee: int) -> int:
    """An eighth more, and at least 1 wei: mempools require 10 or 12.5 percent on both fees."""
    return max(-(-fee * 9 // 8), fee + 1)


@dataclass(frozen=True)
class Payload:
    """A transaction without its nonce and signature.

    Attributes:
        kind: Its type (EIP-2718).
        fees: Its fees.
        gas_limit: Its gas limit.
        to: The called contract; None to create one.
        value: The native currency that it transfers, in wei.
        data: The call data.
        authorizations: Its EIP-7702 authorizations, with Ape's names for their fields.
    """

    kind: int
    fees: Fees
    gas_limit: int
    to: str | None
    value: int
    data: bytes
    authorizations: tuple[dict[str, Any], ...] = ()


def payload_of(raw: str) -> Payload:
    """Decodes the payload of a raw transaction of type 2 or 4."""
    import rlp  # type: ignore[import-untyped]  # untyped

    encoded = as_bytes(raw)
    fields: list[Any] = rlp.decode(encoded[1:])
    _, _, tip, max_fee, gas_limit, to, value, data, _, *rest = fields
    authorizations = rest[0] if encoded[0] == SET_CODE else []  # the rest is the signature
    return Payload(
        kind=encoded[0],
        fees=Fees(_int(max_fee), _int(tip)),
        gas_limit=_int(gas_limit),
        to=to_checksum_address(to) if to else None,
        value=_int(value),
        data=bytes(data),
        authorizations=tuple(_authorization(fields) for fields in authorizations),
    )


def _authorization(fields: list[bytes]) -> dict[str, Any]:
    chain_id, address, nonce, y_parity, r, s = fields
    return {
        "chainId": _int(chain_id),
        "address": to_checksum_address(address),
        "nonce": _int(nonce),
        "yParity": _int(y_parity),
        "r": r.rjust(32, b"\0"),
        "s": s.rjust(32, b"\0"),
    }


def _int(encoded: bytes) -> int:
    return int.from_bytes(encoded, "big")
