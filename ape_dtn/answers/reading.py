"""Reads the answer that a record on the chain holds."""

from __future__ import annotations

from ape_dtn.types.model import Api

# Over IPFS, whatever the model's API gives, what comes is the identifier of the content.
CID_API = Api("cid", "-> string", "The identifier of the content.")
