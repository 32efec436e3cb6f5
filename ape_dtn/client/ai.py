"""The Deep Trust Network, as users hold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn.network.context import Network
from ape_dtn.network.errors import InsufficientFunds
from ape_dtn.types.errors import DtnError, InvalidOption

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.model import DtnModel
    from ape_dtn.client.request import DtnRequest
    from ape_dtn.client.session import DtnSession
    from ape_dtn.client.watch import Watch
    from ape_dtn.funding.methods import Method
    from ape_dtn.network.registry import Contracts
    from ape_dtn.requests.options import Options
    from ape_dtn.requests.quote import Quote
    from ape_dtn.types.amount import AmountLike
    from ape_dtn.types.answer import CallType
    from ape_dtn.types.model import Model


class DtnAi(Network):
    """The Deep Trust Network on the connected chain: asks, quotes and watches.

    See :class:`ape_dtn.network.context.Network` for its arguments, and for what they raise.
    """

    def request(
        self,
        *values: Any,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        deposit: AmountLike | None = None,
        method: Method | str | None = None,
        unsafe_two_step: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest:
        """Asks, on a session, or without one: then a session is opened for it first.

        It stays open afterwards: ``request.session_id`` names it, and what is left of it is
        refunded when it is closed.

        Args:
            values: What the model takes; see :meth:`ape_dtn.client.session.DtnSession.draft`.
            session: The session that pays; None or 0 to open one.
            account: Who signs; by default the session's, else this object's, else Ape's default.
            deposit: What a new session is opened with; by default what the answer may cost.
            method: See :meth:`ape_dtn.client.session.DtnSession.start`.
            unsafe_two_step: See :meth:`ape_dtn.client.session.DtnSession.start`.
            idempotency_key: Under which one session is opened and one request sent, however often
                it is asked for.
            options: See :class:`~ape_dtn.requests.draft.Options`.

        Raises:
            DtnError: What :func:`ape_dtn.requests.draft.draft` and ``DtnSession.start`` raise.
                Whatever is wrong with the request is found before a session is opened.
        """
        from ape_dtn.client.session import DtnSession
        from ape_dtn.journal.executor import check_key_unused, validate_key
        from ape_dtn.requests.draft import draft

        if session and deposit is not None:
            raise InvalidOption("deposit", "a session that is open cannot be filled up")
        if session:
            paying = session if isinstance(session, DtnSession) else DtnSession(self, session)
            signer = account or paying.account or self.account
            return paying.request(
                *values, account=signer, idempotency_key=idempotency_key, **options
            )
        signer, key = self.signer(account), idempotency_key
        if key is not None:
            amount = deposit or options.get("max_cost") or self.config.max_cost
            if opened := DtnSession.started_by(f"{validate_key(key)}/start", amount, signer, self):
                return opened.request(*values, idempotency_key=f"{key}/request", **options)
            check_key_unused(self, signer, f"{key}/request")
        checked = draft(self, signer, values, None, options)
        most = checked.max_cost
        funds = most if deposit is None else most.token.amount(deposit)
        if funds < most:
            raise InsufficientFunds("the new session", most, funds)
        opened = DtnSession.start(
            funds,
            signer,
            self,
            method=method,
            unsafe_two_step=unsafe_two_step,
            idempotency_key=key and f"{key}/start",
        )
        try:
            return opened.send(checked, key and f"{key}/request")
        except DtnError as err:
            err.fields.setdefault("session_id", opened.id)
            err.hint = f"Session {opened.id} is open with {funds}. {err.hint or ''}".strip()
            raise

    def quote(
        self,
        *values: Any,
        models: str | Sequence[str] | None = None,
        call_types: CallType | Sequence[CallType] | None = None,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        answer_bytes: int | None = None,
        **options: Unpack[Options],
    ) -> list[Quote]:
        """What a request would cost, of each model and by each call type, without sending it.

        See :func:`ape_dtn.requests.quote.quote`.
        """
        from ape_dtn.client.session import DtnSession
        from ape_dtn.requests.quote import quote

        return quote(
            self,
            *values,
            models=models,
            call_types=call_types,
            session=session.id if isinstance(session, DtnSession) else session,
            account=account or (session.account if isinstance(session, DtnSession) else None),
            answer_bytes=answer_bytes,
            **options,
        )

    def watch(
        self,
        *,
        session: DtnSession | int | None = None,
        owner: AccountAPI | str | None = None,
        requests: Iterable[DtnRequest] | None = None,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Every answer of a session, an owner or some requests, to be iterated, or by ``async``.

        See :class:`ape_dtn.client.watch.Watch`.
        """
        from ape_dtn.client.watch import Watch

        return Watch(
            self,
            session=session,
            owner=owner,
            requests=requests,
            since=since,
            confirmations=confirmations,
            timeout=timeout,
        )

    def model(self, name: str, contracts: Contracts | None = None) -> DtnModel:
        """A model by its full name or id, which can be asked; see :meth:`Network.model`."""
        return self._asked(super().model(name, contracts))

    def models(self, contracts: Contracts | None = None) -> Sequence[DtnModel]:
        """All models that are registered, as far as they can be found."""
        return [self._asked(each) for each in super().models(contracts)]

    def _asked(self, model: Model) -> DtnModel:
        from ape_dtn.client.model import DtnModel

        return DtnModel(model.name, model.id, model.api, self)
