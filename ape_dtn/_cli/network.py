"""``ape dtn info``, ``models`` and ``nodes``: the contracts, and what is registered with them."""

from __future__ import annotations

from typing import Any

import click

from ape_dtn._cli.command import dtn_command
from ape_dtn._cli.json_fields import token_fields
from ape_dtn._cli.screen import say, table


@dtn_command("info")
def info(router: str | None) -> dict[str, Any]:
    """Show the contracts and the fee token in use.

    The router is that of --router, else the one under `dtn: routers:` in ape-config.yaml, else the
    known one of the chain, else the one that `ape dtn deploy` deployed there.
    """
    from ape_dtn.client.ai import DtnAi

    ai = DtnAi(router)
    contracts = ai.contracts()
    token = ai.token(contracts)
    shown = {
        "network": ai.network,
        "chain_id": ai.provider.chain_id,
        "router": ai.router,
        "session_manager": contracts.session_manager,
        "model_manager": contracts.model_manager,
        "node_manager": contracts.node_manager,
        "fee_target": contracts.fee_target,
        "fee_token": token_fields(token),
        "first_block": ai.deployment.first_block,
    }
    for name, value in shown.items():
        text = (
            f"{token.symbol}, {token.decimals} decimals, {token.address}"
            if name == "fee_token"
            else value
        )
        say(f"{name.replace('_', ' '):>16}  {text}")
    return shown


@dtn_command("models")
def models(router: str | None) -> dict[str, Any]:
    """List the registered models with their inputs and outputs."""
    from ape_dtn.client.ai import DtnAi

    found = DtnAi(router).models()
    table(
        "Models",
        ["model", "inputs -> output", "names of the inputs"],
        [[model.name, model.api.specs, model.api.docs] for model in found],
    )
    return {
        "models": [
            {
                "name": model.name,
                "id": model.id,
                "api": model.api.name,
                "specs": model.api.specs,
                "docs": model.api.docs,
            }
            for model in found
        ]
    }


@dtn_command("nodes")
@click.option("--model", help="Only the nodes that serve this model, by its full name.")
def nodes(model: str | None, router: str | None) -> dict[str, Any]:
    """List the nodes that serve a model, or any known model.

    The chain stores hashes of names: a node whose name is unknown is shown by its id.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.ids import Names

    ai = DtnAi(router)
    found = ai.nodes(model)
    names = Names(*ai.deployment.models, ai.config.model, *([model] if model else []))
    served = {node.id: [names.of(model_id) for model_id in node.models] for node in found}
    table(
        "Nodes",
        ["node", "active", "worker", "models"],
        [
            [node.name, "yes" if node.is_active else "no", node.worker, ", ".join(served[node.id])]
            for node in found
        ],
    )
    return {
        "nodes": [
            {
                "name": node.name,
                "id": node.id,
                "is_active": node.is_active,
                "worker": node.worker,
                "owner": node.owner,
                "models": served[node.id],
            }
            for node in found
        ]
    }
