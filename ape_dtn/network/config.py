"""The ``dtn:`` section of ``ape-config.yaml``.

.. code-block:: yaml

    dtn:
      routers:                  # where the router is, by chain id; before the packaged registry
        31337: "0x…"
      model: model.system.openai-gpt-5-nano
      nodes: [node.alice.first]
      fee_per_byte: "0.00001"   # for each byte, asked and answered, in the fee token
      max_cost: "0.25"  # the most that one answer may cost, in the fee token
      request_limit: "1.00"     # no request may be sent that could cost more
      session_limit: "25.00"    # no session may be asked for more than this in all
      day_limit: "10.00"        # nor all requests of a day (UTC), of all accounts together
      account_limit: "100.00"   # nor all requests that an account has ever made
      method: authorization     # how sessions are started; by default the best there is
      confirmations: 0          # how deep an answer has to be before it counts, in blocks
      ipfs_gateways: ["https://trustless-gateway.link", "https://ipfs.io"]
      ipfs_limit: 33554432      # the most that is fetched for one answer, in bytes
      ipfs_store: embedded      # where a node keeps what it answers over IPFS
      backends: {"*": echo}     # what answers when a node is served, by model
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ape.api import PluginConfig
from pydantic import Field, create_model
from pydantic_settings import SettingsConfigDict

from ape_dtn.ipfs.settings import StoreSettings
from ape_dtn.types.budgets import BUDGETS
from ape_dtn.types.errors import InvalidOption

if TYPE_CHECKING:
    from ape.api import PluginConfig as _WithLimits
else:
    # One field for each budget, so that a new one is a row of the table alone.
    _fields = {budget.name: (str | None, None) for budget in BUDGETS}
    _WithLimits = create_model("_WithLimits", __base__=PluginConfig, **_fields)


class DtnConfig(_WithLimits):
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

    max_cost: str = "0.25"
    """The most that one answer may cost, in the fee token."""

    method: (
        Literal["batch", "delegate", "authorization", "permit", "allowance", "two-step"] | None
    ) = None
    """How sessions are started; see :class:`ape_dtn.funding.methods.Method`."""

    confirmations: int = Field(default=0, ge=0)
    """How many blocks have to follow an answer's before it counts."""

    ipfs_gateways: list[str] = Field(
        default_factory=lambda: [
            "https://trustless-gateway.link",
            "https://ipfs.io",
            "https://dweb.link",
        ]
    )
    """Where the content of answers is fetched; they have to serve single blocks (`?format=raw`)."""

    ipfs_limit: int = Field(default=32 * 2**20, gt=0)
    """The most that is fetched for one answer, in bytes."""

    ipfs_timeout: float = Field(default=60.0, gt=0)
    """For how many seconds the content of one answer is fetched."""

    ipfs_store: StoreSettings | None = None
    """Where a node keeps what it answers over IPFS; see :mod:`ape_dtn.ipfs.settings`."""

    backends: dict[str, Any] = Field(default_factory=dict)
    """What answers, by models' full names; see :mod:`ape_dtn.node.backends.configured`."""


def configured() -> DtnConfig:
    """The configuration as it is now.

    Raises:
        InvalidOption: Something in it, or in the environment, cannot be so.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access
    from pydantic import ValidationError

    try:
        found: DtnConfig = access.config_manager.get_config("dtn")
    except ValidationError as err:
        (wrong, *_) = err.errors()
        name = ".".join(map(str, wrong["loc"])) or "dtn"
        raise InvalidOption(name, str(wrong["msg"])) from err
    return found
