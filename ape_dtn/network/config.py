"""The ``dtn:`` section of ``ape-config.yaml``.

.. code-block:: yaml

    dtn:
      routers:                  # router addresses by chain id; they override the packaged ones
        31337: "0x…"
      first_block: 34500950     # where the search for logs begins; or by chain id, as routers
      model: model.system.openai-gpt-5-nano
      nodes: [node.alice.first]
      fee_per_byte: "0.00001"   # for each byte of request and answer, in the fee token
      max_cost: "0.25"          # maximum cost of one answer, in the fee token
      request_limit: "1.00"     # budget of one request
      session_limit: "25.00"    # budget of all requests of a session
      day_limit: "10.00"        # budget of all requests of a day (UTC), of all accounts
      account_limit: "100.00"   # budget of all requests of an account, without a time limit
      tip_limit: 2              # maximum priority fee, in gwei per gas
      gas_price_limit: 50       # maximum gas price, in gwei
      gas_cost_limit: "0.01"    # maximum gas cost of one operation, in the native currency
      method: authorization     # how sessions are funded; by default the best available method
      confirmations: 0          # blocks that must follow the block of an answer
      ipfs_gateways: ["https://trustless-gateway.link", "https://ipfs.io"]
      ipfs_limit: 33554432      # maximum size of an answer from IPFS, in bytes
      ipfs_store: embedded      # where a node stores its IPFS answers
      backends: {"*": echo}     # backends of a node, by model
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from ape.api import PluginConfig
from pydantic import Field, NonNegativeInt, create_model
from pydantic_settings import SettingsConfigDict

from ape_dtn.ipfs.settings import StoreSettings
from ape_dtn.types.budgets import BUDGETS
from ape_dtn.types.errors import InvalidOption

if TYPE_CHECKING:
    from ape.api import PluginConfig as _WithLimits
else:
    # One field for each budget: to add a budget, add a row to the table.
    _fields = {budget.name: (str | None, None) for budget in BUDGETS}
    _WithLimits = create_model("_WithLimits", __base__=PluginConfig, **_fields)


class DtnConfig(_WithLimits):
    """Routers, and the defaults of requests and nodes.

    Environment variables set the same fields, with lists and maps as JSON: ``APE_DTN_MODEL``,
    ``APE_DTN_NODES='["node.alice.first"]'``.
    """

    model_config = SettingsConfigDict(extra="forbid", env_prefix="APE_DTN_")

    routers: dict[int, str] = Field(default_factory=dict)
    """Router addresses by chain id."""

    first_block: NonNegativeInt | dict[int, NonNegativeInt] | None = None
    """The block where the search for logs begins, or a map by chain id; by default the first block
    of the deployment. For endpoints that no longer have old blocks."""

    model: str = "model.system.openai-gpt-5-nano"
    """The model of requests."""

    nodes: list[str] = Field(default_factory=list)
    """The nodes that may answer; an empty list means all that serve the model."""

    fee_per_byte: str = "0.00001"
    """The fee for each byte of request and answer, in the fee token."""

    max_cost: str = "0.25"
    """The maximum cost of one answer, in the fee token."""

    tip_limit: Decimal | None = Field(default=None, ge=0)
    """The ceiling of the priority fee, in gwei per gas."""

    gas_price_limit: Decimal | None = Field(default=None, gt=0)
    """The ceiling of the gas price, in gwei."""

    gas_cost_limit: Decimal | None = Field(default=None, gt=0)
    """The ceiling of an operation's gas cost, in the native currency."""

    method: (
        Literal["batch", "delegate", "authorization", "permit", "allowance", "two-step"] | None
    ) = None
    """How sessions are funded; see :class:`ape_dtn.funding.methods.Method`."""

    confirmations: int = Field(default=0, ge=0)
    """How many blocks must follow the block of an answer before the answer is returned."""

    ipfs_gateways: list[str] = Field(
        default_factory=lambda: [
            "https://trustless-gateway.link",
            "https://ipfs.io",
            "https://dweb.link",
        ]
    )
    """IPFS gateways that answers are fetched from; they must serve raw blocks (`?format=raw`)."""

    ipfs_limit: int = Field(default=32 * 2**20, gt=0)
    """The maximum size of an answer from IPFS, in bytes."""

    ipfs_timeout: float = Field(default=60.0, gt=0)
    """The timeout for fetching one answer from IPFS, in seconds."""

    ipfs_store: StoreSettings | None = None
    """Where a node stores its IPFS answers; see :mod:`ape_dtn.ipfs.settings`."""

    backends: dict[str, Any] = Field(default_factory=dict)
    """A node's backends by full model name; see :mod:`ape_dtn.node.backends.selection`."""


def configured() -> DtnConfig:
    """Reads the current ``dtn:`` configuration.

    Raises:
        InvalidOption: A field or an environment variable is invalid.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access
    from pydantic import ValidationError

    try:
        config: DtnConfig = access.config_manager.get_config("dtn")
    except ValidationError as err:
        (invalid, *_) = err.errors()
        name = ".".join(map(str, invalid["loc"])) or "dtn"
        raise InvalidOption(name, str(invalid["msg"])) from err
    return config
