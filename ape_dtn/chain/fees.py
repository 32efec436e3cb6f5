"""What a signed transaction offers for its gas, and what one that replaces it has to offer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eth_utils import to_checksum_address

from ape_dtn.chain import rpc

# At most how many times what the market asks is offered without being told to. An endpoint that
# refuses whatever it is sent would have each attempt pay more than the one before.
MOST_OVER_MARKET = 3

# The types of transactions that are signed here (EIP-2718).
DYNAMIC_FEE, SET_CODE = 2, 4


@dataclass(frozen=True)
class Fees:
    """The fees of a transaction (EIP-1559), in wei for each unit of gas.

    Attributes:
        max_fee: The most that is paid.
        tip: What of it goes to whoever builds the block.
    """

    max_fee: int
    tip: int

    def outbidding(self, others: Iterable[Fees]) -> Fees:
        """These fees, raised as far as a pool wants it of what replaces the others."""
        raised = [Fees(_raised(each.max_fee), _raised(each.tip)) for each in others]
        return Fees(
            max(self.max_fee, *(each.max_fee for each in raised), 0),
            max(self.tip, *(each.tip for each in raised), 0),
        )

    def is_far_above(self, market: Fees) -> bool:
        """Whether a block's builder gets far more of these than the market asks now."""
        base_fee = (market.max_fee - market.tip) // 2  # see `sends.most_for_gas`
        return base_fee + self.tip > MOST_OVER_MARKET * max(base_fee + market.tip, 1)


def _raised(fee: int) -> int:
    """An eighth more, and never the same: pools want 10 or 12.5 percent on each of the two fees."""
    return max(-(-fee * 9 // 8), fee + 1)


@dataclass(frozen=True)
class Payload:
    """What a signed transaction does, apart from its nonce and its signature.

    Attributes:
        kind: Its type (EIP-2718).
        fees: What it offers for its gas.
        gas_limit: The gas that it may use.
        to: The contract; None to create one.
        value: The native currency that goes with it, in wei.
        data: The call data.
        authorizations: Those of a transaction that changes an account's code (EIP-7702), by the
            names that Ape has for their fields.
    """

    kind: int
    fees: Fees
    gas_limit: int
    to: str | None
    value: int
    data: bytes
    authorizations: tuple[dict[str, Any], ...] = ()


def payload_of(raw: str) -> Payload:
    """The payload of a transaction that was signed here: one of type 2 or 4."""
    import rlp  # type: ignore[import-untyped]  # has none

    encoded = rpc.as_bytes(raw)
    fields: list[Any] = rlp.decode(encoded[1:])
    _, _, tip, max_fee, gas_limit, to, value, data, _, *rest = fields
    signed = rest[0] if encoded[0] == SET_CODE else []  # what is left is the signature
    return Payload(
        kind=encoded[0],
        fees=Fees(_int(max_fee), _int(tip)),
        gas_limit=_int(gas_limit),
        to=to_checksum_address(to) if to else None,
        value=_int(value),
        data=bytes(data),
        authorizations=tuple(_authorization(each) for each in signed),
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
