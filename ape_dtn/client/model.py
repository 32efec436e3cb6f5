"""Models that can be called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ape_dtn.client.request import DtnRequest
from ape_dtn.types.model import Model


class Requester(Protocol):
    """Sends requests: a :class:`~ape_dtn.client.ai.DtnAi`."""

    def request(self, *values: Any, **options: Any) -> DtnRequest:
        """See :meth:`ape_dtn.client.ai.DtnAi.request`."""


@dataclass(frozen=True)
class DtnModel(Model):
    """A registered model of a network.

    Attributes:
        ai: The network.
    """

    ai: Requester = field(repr=False, compare=False)

    def request(self, *values: Any, **named_inputs_and_options: Any) -> DtnRequest:
        """Send a request: ``model.request(["A cat"], width=64, height=64, session=session)``.

        Args:
            values: The first inputs, in the order of the API's specs.
            named_inputs_and_options: The other inputs, by the names in the API's docs, and the
                options of :meth:`ape_dtn.client.ai.DtnAi.request`. A name that is both is an input.

        Raises:
            DtnError: As :meth:`ape_dtn.client.ai.DtnAi.request` does.
        """
        names = self.api.names
        given = named_inputs_and_options.items()
        named_inputs = {name: value for name, value in given if name in names}
        options = {name: value for name, value in given if name not in names}
        return self.ai.request(*values, inputs=named_inputs, **{**options, "model": self.name})
