"""The ``dtn:`` section of ``ape-config.yaml``.

.. code-block:: yaml

    dtn:
      routers:                  # where the router is, by chain id; before the packaged registry
        31337: "0x…"
      model: model.system.openai-gpt-5-nano
      nodes: [node.alice.first]
      fee_per_byte: "0.00001"   # for each byte, asked and answered, in the fee token
      most_it_may_cost: "0.25"  # the most that one answer may cost, in the fee token
"""

from __future__ import annotations

from ape.api import PluginConfig
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class DtnConfig(PluginConfig):
    """Where the network is, and what requests use when nothing else is said.

    Each field can also come from the environment, lists and maps as JSON: ``APE_DTN_MODEL``,
    ``APE_DTN_NODES='["node.alice.first"]'`` and so on.
    """

    model_config = SettingsConfigDict(extra="forbid", env_prefix="APE_DTN_")

    routers: dict[int, str] = Field(default_factory=dict)
    """Routers by chain id."""

    model: str = "model.system.openai-gpt-5-nano"
    """The model that is asked."""

    nodes: list[str] = Field(default_factory=list)
    """The nodes that are trusted to answer; none means all that serve the model."""

    fee_per_byte: str = "0.00001"
    """What is offered for each byte, asked and answered, in the fee token."""

    most_it_may_cost: str = "0.25"
    """The most that one answer may cost, in the fee token."""
