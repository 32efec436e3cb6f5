"""``ape dtn info``, ``models`` and ``nodes``: what is there."""

from __future__ import annotations

from typing import Any

import click

from ape_dtn._cli.command import dtn_command, say, table


@dtn_command("info")
def info(router: str | None) -> dict[str, Any]:
    """Show the contracts and the fee token in use.

    The router is the one given with --router, else the one in `dtn: routers:` of ape-config.yaml,
    else
    the known one of the chain, else the one that `ape dtn deploy` put there.
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
        "fee_token": {
            "address": token.address,
            "symbol": token.symbol,
            "decimals": token.decimals,
        },
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
def models(router: str | None) -> list[dict[str, Any]]:
    """List the models that can be asked, and how each is called."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.ids import as_hex

    found = DtnAi(router).models()
    table(
        "Models",
        ["model", "takes -> gives", "what that means"],
        [[model.name, model.api.specs, model.api.docs] for model in found],
    )
    return [
        {
            "name": model.name,
            "id": as_hex(model.id),
            "api": model.api.name,
            "specs": model.api.specs,
            "docs": model.api.docs,
        }
        for model in found
    ]


@dtn_command("nodes")
@click.option("--model", help="Only the nodes that serve this one.")
def nodes(model: str | None, router: str | None) -> list[dict[str, Any]]:
    """List the nodes that serve a model, or any known model.

    The chain keeps only ids of names: a node whose name is not known is shown by its id.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.ids import Names, as_hex

    ai = DtnAi(router)
    found = ai.nodes(model)
    names = Names(*ai.deployment.models, ai.config.model, *([model] if model else []))
    served = {node.id: [names.of(each) for each in node.models] for node in found}
    table(
        "Nodes",
        ["node", "active", "worker", "models"],
        [
            [node.name, "yes" if node.is_active else "no", node.worker, ", ".join(served[node.id])]
            for node in found
        ],
    )
    return [
        {
            "name": node.name,
            "id": as_hex(node.id),
            "is_active": node.is_active,
            "worker": node.worker,
            "owner": node.owner,
            "models": served[node.id],
        }
        for node in found
    ]
