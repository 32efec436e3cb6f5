"""Errors of content on IPFS."""

from __future__ import annotations

from ape_dtn.types.errors import NO_ANSWER_YET, NODE_FAILED, REFUSED, BadInput, DtnError


class InvalidCid(BadInput):
    """A content identifier that is none, or of a kind that cannot be checked."""

    cid: str

    def __init__(self, cid: str, reason: str) -> None:
        super().__init__(f"'{cid}' is no usable content identifier: {reason}.", cid=cid)


class BackendFailed(DtnError):
    """A node's backend has no answer. What it says goes to whoever asked, as a FAILURE."""

    exit_code = NODE_FAILED


class BackendUnavailable(BackendFailed):
    """A node's backend could not be reached, or is busy: it may have an answer later.

    ``retry_after`` says in how many seconds, where the backend does.
    """

    retry_after: float | None = None


class StoreUnavailable(BackendUnavailable):
    """An answer's content could not be kept on IPFS now: it may be possible later."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not kept on IPFS: {reason}.", where=where, reason=reason)
        self.hint = f"Look at {where}; `dtn: ipfs_store:` says what is used."


class StoreRefused(BackendFailed):
    """What was to keep an answer's content on IPFS does not want to, and will not later."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not kept on IPFS: {reason}.", where=where, reason=reason)
        self.hint = f"Look at {where}; `dtn: ipfs_store:` says what is used."


class WrongCid(StoreRefused):
    """A store calls the content something else than it is: nobody would find it by that."""

    cid: str
    given: str

    def __init__(self, where: str, cid: str, given: str) -> None:
        super().__init__(where, "the store gave another identifier")
        self.fields |= {"cid": cid, "given": given}
        self.cid, self.given = cid, given
        self.hint = f"{where} says {given}, and it is {cid}. Is that a Kubo RPC API?"


class ContentUnavailable(DtnError):
    """No gateway gave the content of an answer that travels over IPFS."""

    exit_code = NO_ANSWER_YET
    cid: str
    reasons: dict[str, str]

    def __init__(self, cid: str, reasons: dict[str, str]) -> None:
        told = "; ".join(f"{gateway}: {reason}" for gateway, reason in reasons.items())
        super().__init__(
            f"No gateway gave the content {cid}: {told or 'none is configured'}.",
            cid=cid,
            reasons=reasons,
        )
        self.hint = "Try again later, or name other gateways under `dtn: ipfs_gateways:`."


class WrongContent(ContentUnavailable):
    """What the gateways gave is not what the identifier stands for. It is never returned."""

    exit_code = NODE_FAILED


class ContentTooLarge(ContentUnavailable):
    """The content is larger than the limit."""

    exit_code = REFUSED

    def __init__(self, cid: str, limit: int) -> None:
        super().__init__(cid, {})
        self.message = f"The content {cid} is larger than {limit} bytes."
        self.args = (self.message,)
        self.fields["limit"] = self.limit = limit
        self.hint = "Raise `dtn: ipfs_limit:` if you want it all the same."
