"""A file of calls for the Transaction Builder of Safe's own app: its owners load and sign it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from eth_utils import keccak

from ape_dtn.deployment.plan import Step


def batch_file(chain_id: int, safe: str, name: str, steps: Sequence[Step]) -> dict[str, Any]:
    """The calls, as the Transaction Builder reads them."""
    meta = {
        "name": name,
        "description": "; ".join(step.what for step in steps),
        "txBuilderVersion": "1.18.2",
        "createdFromSafeAddress": safe,
        "createdFromOwnerAddress": "",
    }
    found: dict[str, Any] = {
        "version": "1.0",
        "chainId": str(chain_id),
        "createdAt": int(time.time() * 1000),
        "meta": meta,
        "transactions": [
            {
                "to": step.transaction.to,
                "value": str(step.transaction.value),
                "data": "0x" + step.transaction.data.hex(),
                "contractMethod": None,
                "contractInputsValues": None,
            }
            for step in steps
        ],
    }
    # Without it, the Transaction Builder warns that the file was changed.
    return {**found, "meta": {**meta, "checksum": checksum(found)}}


def checksum(batch: dict[str, Any]) -> str:
    """The hash by which the Transaction Builder knows that a file was not changed since."""
    meta = {key: value for key, value in batch["meta"].items() if key != "checksum"}
    return "0x" + keccak(text=_serialized({**batch, "meta": {**meta, "name": None}})).hex()


def _serialized(value: Any) -> str:
    """As Safe's app serializes it: the sorted keys of an object, and then the values."""
    if isinstance(value, list):
        return f"[{','.join(map(_serialized, value))}]"
    if isinstance(value, dict):
        keys = sorted(value)
        values = "".join(f"{_serialized(value[key])}," for key in keys)
        return f"{{{_json(keys)}{values}}}"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
