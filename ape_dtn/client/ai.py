"""The network as its users call it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn.network.context import Network
from ape_dtn.requests.options import NewSessionOptions, QuoteOptions, request_options
from ape_dtn.types.errors import InvalidOption

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.model import DtnModel
    from ape_dtn.client.request import DtnRequest
    from ape_dtn.client.session import DtnSession
    from ape_dtn.client.watch import Watch
    from ape_dtn.network.registry import Contracts
    from ape_dtn.requests.quote import Quote
    from ape_dtn.types.model import Model


class DtnAi(Network):
    """The Deep Trust Network on the connected chain.

    See :class:`ape_dtn.network.context.Network` for its arguments and the errors that it raises.
    """

    def request(
        self,
        *values: Any,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[NewSessionOptions],
    ) -> DtnRequest:
        """Send a request, on a session or on a new one that is opened for it.

        A new session stays open: ``request.session_id`` is its id, and closing it refunds the rest.

        Args:
            values: The model's inputs; see :meth:`ape_dtn.client.session.DtnSession.draft`.
            session: The session that pays; None or 0 to open one.
            account: The account that signs; by default the session's, this object's, or Ape's
                default account.
            idempotency_key: With it, one session is opened and one request is sent, however often
                this is called.
            options: See :class:`~ape_dtn.requests.options.Options`; for a new session also those of
                :class:`~ape_dtn.requests.options.NewSessionOptions`.

        Raises:
            InvalidOption: A deposit is given for a session that is open.
            DtnError: As :meth:`ape_dtn.client.session.DtnSession.draft` and
                :meth:`ape_dtn.client.session.DtnSession.start` do. An invalid request opens no
                session.
        """
        from ape_dtn.client.request import to_request
        from ape_dtn.client.session import DtnSession
        from ape_dtn.requests.purchase import Keys, NewSession, prepare

        new_session = NewSession(
            options.get("deposit"), options.get("method"), options.get("unsafe_two_step", False)
        )
        plain = request_options(options, NewSessionOptions)
        if session:
            if new_session.deposit is not None:
                raise InvalidOption(
                    "deposit", "it is for a new session, and the session given is open"
                )
            paying = session if isinstance(session, DtnSession) else DtnSession(self, session)
            signer = account or paying.account or self.account
            return paying.request(*values, account=signer, idempotency_key=idempotency_key, **plain)
        keys = Keys.of_steps(idempotency_key)
        purchase = prepare(self, self.signer(account), [values], plain, new_session, keys)
        return to_request(self, purchase.execute())

    def quote(
        self,
        *values: Any,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        **options: Unpack[QuoteOptions],
    ) -> list[Quote]:
        """Quote a request for several models and call types. Nothing is signed.

        See :func:`ape_dtn.requests.quote.quote`.
        """
        from ape_dtn.client.session import DtnSession
        from ape_dtn.requests.quote import quote

        if isinstance(session, DtnSession):
            return quote(
                self, *values, session=session.id, account=account or session.account, **options
            )
        return quote(self, *values, session=session, account=account, **options)

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
        """Iterate over the answers of a session, of an owner or of some requests as they come.

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
        """A model by its full name or id; see :meth:`Network.model`."""
        return self._callable(super().model(name, contracts))

    def models(self, contracts: Contracts | None = None) -> Sequence[DtnModel]:
        """All registered models that can be found; see :meth:`Network.models`."""
        return [self._callable(model) for model in super().models(contracts)]

    def _callable(self, model: Model) -> DtnModel:
        from ape_dtn.client.model import DtnModel

        return DtnModel(model.name, model.id, model.api, self)
