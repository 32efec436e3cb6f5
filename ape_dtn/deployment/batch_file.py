"""Batch files for the Transaction Builder of the Safe app, which a Safe's owners load and sign."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from eth_utils import keccak

from ape_dtn.deployment.plan import Step


def batch_file(chain_id: int, safe: str, name: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the steps as the content of a batch file."""
    meta = {
        "name": name,
        "description": "; ".join(step.what for step in steps),
        "txBuilderVersion": "1.18.2",
        "createdFromSafeAddress": safe,
        "createdFromOwnerAddress": "",
    }
    batch: dict[str, Any] = {
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
    # Without a checksum, the Transaction Builder warns that the file was changed.
    return {**batch, "meta": {**meta, "checksum": checksum(batch)}}


def checksum(batch: dict[str, Any]) -> str:
    """Return the hash by which the Transaction Builder detects changes of a file."""
    meta = {key: value for key, value in batch["meta"].items() if key != "checksum"}
    return "0x" + keccak(text=_serialized({**batch, "meta": {**meta, "name": None}})).hex()


def _serialized(value: Any) -> str:
    """Serialize as the Safe app does: the sorted keys of an object, then its values."""
    if isinstance(value, list):
        return f"[{','.join(map(_serialized, value))}]"
    if isinstance(value, dict):
        keys = sorted(value)
        values = "".join(f"{_serialized(value[key])}," for key in keys)
        return f"{{{_json(keys)}{values}}}"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
