"""Errors of content on IPFS, and of the backends of a node."""

from __future__ import annotations

from ape_dtn.types.errors import NO_ANSWER_YET, NODE_FAILED, REFUSED, BadInput, DtnError


class InvalidCid(BadInput):
    """A content identifier that is malformed, or does not name a file that can be verified."""

    cid: str

    def __init__(self, cid: str, reason: str) -> None:
        super().__init__(f"Invalid content identifier '{cid}': {reason}.", cid=cid)


class BackendFailed(DtnError):
    """A node's backend failed. The requester gets the message in the answer, a FAILURE."""

    exit_code = NODE_FAILED


class BackendUnavailable(BackendFailed):
    """A node's backend is unreachable or busy; the node tries again.

    ``retry_after`` is the delay in seconds that the backend asks for, if it does.
    """

    retry_after: float | None = None


def _store_hint(where: str) -> str:
    return f"Check {where}. The store is configured by `dtn: ipfs_store:` in ape-config.yaml."


class StoreUnavailable(BackendUnavailable):
    """An answer could not be stored on IPFS for now; the node tries again."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not stored on IPFS: {reason}.", where=where, reason=reason)
        self.hint = _store_hint(where)


class StoreRefused(BackendFailed):
    """The IPFS store or the pinning service rejected an answer; retrying does not help."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not stored on IPFS: {reason}.", where=where, reason=reason)
        self.hint = _store_hint(where)


class WrongCid(StoreRefused):
    """The IPFS store returned a CID that is not the content's: nobody would find it."""

    cid: str
    given: str

    def __init__(self, where: str, cid: str, given: str) -> None:
        super().__init__(where, "the store returned the wrong CID")
        self.fields |= {"cid": cid, "given": given}
        self.cid, self.given = cid, given
        self.hint = f"{where} returned {given} instead of {cid}. Check that it is a Kubo RPC API."


class ContentUnavailable(DtnError):
    """No gateway served the content of an answer. ``reasons`` says why, by gateway."""

    exit_code = NO_ANSWER_YET
    cid: str
    reasons: dict[str, str]

    def __init__(self, cid: str, reasons: dict[str, str]) -> None:
        details = "; ".join(f"{gateway}: {reason}" for gateway, reason in reasons.items())
        super().__init__(
            f"No IPFS gateway served {cid}: {details or 'no gateway is configured'}.",
            cid=cid,
            reasons=reasons,
        )
        self.hint = (
            "Try again later, or configure other gateways (`dtn: ipfs_gateways:` in "
            "ape-config.yaml)."
        )


class WrongContent(ContentUnavailable):
    """A gateway served content that does not match its CID. The content is discarded."""

    exit_code = NODE_FAILED


class ContentTooLarge(ContentUnavailable):
    """The content is larger than the configured limit."""

    exit_code = REFUSED

    def __init__(self, cid: str, limit: int) -> None:
        super().__init__(cid, {})
        self.message = f"The content {cid} is larger than the limit of {limit} bytes."
        self.args = (self.message,)
        self.fields["limit"] = self.limit = limit
        self.hint = "To fetch it anyway, raise `dtn: ipfs_limit:` in ape-config.yaml."
