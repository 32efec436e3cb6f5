"""Sends drafts through the journal, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import reads
from ape_dtn.journal import executor
from ape_dtn.network import sessions
from ape_dtn.network.abi import Router
from ape_dtn.requests.draft import Draft, idempotency_payload
from ape_dtn.requests.errors import RequestReplaced
from ape_dtn.sessions.operations import REQUEST
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.ids import as_hex, id_of

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.executor import OperationResult
    from ape_dtn.network.context import Network
    from ape_dtn.types.model import Api
    from ape_dtn.types.transactions import Receipt


@dataclass(frozen=True)
class SentRequest:
    """A request that is on the chain.

    Attributes:
        request_id: The request's id.
        receipt: The transaction that sent it; None if it was sent before.
        api: The API of its model; None if it was not read.
    """

    request_id: bytes
    receipt: Receipt | None = None
    api: Api | None = None

    @property
    def id(self) -> str:
        """The request's id, as ``0x…`` text."""
        return as_hex(self.request_id)


def sent_before(
    ai: Network,
    account: AccountAPI,
    session_id: int,
    request_hash: str,
    key: str | None,
) -> SentRequest | None:
    """The request that was sent under an idempotency key, finished first if it was interrupted."""
    payload = idempotency_payload(session_id, request_hash)
    result = executor.find_result(ai, account, REQUEST, payload, key)
    return to_sent(result) if result else None


def send(draft: Draft, key: str | None = None) -> SentRequest:
    """Send a request (``router.request``).

    Args:
        draft: The request. Its session is open.
        key: The idempotency key.

    Raises:
        KeyReused: The key belongs to another operation.
        RequestReplaced: Another request of the same block named the same ``user``.
        OverLimit: With what was sent meanwhile, it could cost more than a limit.
        DtnError: The router refuses it; see :mod:`ape_dtn.network.reverts`.
    """
    intent = draft.intent(key)
    assert draft.session_id is not None
    with sessions.explained(draft.ai, draft.session_id, str(draft.signer.address)):
        return sent_by(draft, executor.execute(draft.ai, draft.signer, REQUEST, intent))


def send_each(
    drafts: Sequence[Draft],
    keys: Sequence[str | None],
    on_sent: Callable[[int, SentRequest | DtnError], None],
) -> None:
    """Send requests of one session and account, without waiting for one before the next.

    Args:
        drafts: The requests.
        keys: Their idempotency keys.
        on_sent: Called with the position of each request that is mined, or has failed.
    """
    if not drafts:
        return

    def on_result(place: int, result: OperationResult | DtnError) -> None:
        try:
            sent = result if isinstance(result, DtnError) else sent_by(drafts[place], result)
        except DtnError as err:
            on_sent(place, err)
        else:
            on_sent(place, sent)

    intents = [draft.intent(key) for draft, key in zip(drafts, keys, strict=True)]
    executor.execute_each(drafts[0].ai, drafts[0].signer, REQUEST, intents, on_result)


def to_sent(result: OperationResult, api: Api | None = None) -> SentRequest:
    """The request that an operation has sent."""
    return SentRequest(id_of(result.outcome["request"], "request"), result.receipt, api)


def sent_by(draft: Draft, result: OperationResult) -> SentRequest:
    """The request that was sent, unless another one of its block has replaced it.

    A random ``user`` gives each request an id that no other has.
    """
    request = to_sent(result, draft.model.api)
    if draft.user is None:
        return request
    created = []
    with suppress(NoNetwork):  # the request is sent all the same
        created = reads.logs(
            draft.ai.provider,
            draft.ai.router,
            [Router.request_created.topic, request.id],
            from_block=int(result.outcome["block"]),
        )
    if created and created[-1].transaction != result.outcome["transaction"]:
        raise RequestReplaced(request.id)
    return request
