"""A model that can be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ape_dtn.client.request import DtnRequest
from ape_dtn.types.model import Model


class Asked(Protocol):
    """What a model is asked through: the network as users hold it."""

    def request(self, *values: Any, **options: Any) -> DtnRequest:
        """See :meth:`ape_dtn.client.ai.DtnAi.request`."""


@dataclass(frozen=True)
class DtnModel(Model):
    """A registered model of a network.

    Attributes:
        ai: The network that it is registered on.
    """

    ai: Asked = field(repr=False, compare=False)

    def request(self, *values: Any, **named_inputs_and_options: Any) -> DtnRequest:
        """Asks the model: ``model.request(["A cat"], width=64, height=64, session=session)``.

        Args:
            values: The first inputs, in the order of the API's specs.
            named_inputs_and_options: The others, by the names that the API's docs give them, and
                what :meth:`ape_dtn.client.ai.DtnAi.request` takes. A name that is both is the
                input's.

        Raises:
            DtnError: Whatever :func:`ape_dtn.requests.draft.draft` finds to be wrong.
        """
        given = named_inputs_and_options
        known = self.api.names
        named = {name: value for name, value in given.items() if name in known}
        options = {name: value for name, value in given.items() if name not in known}
        return self.ai.request(*values, inputs=named, **{**options, "model": self.name})
