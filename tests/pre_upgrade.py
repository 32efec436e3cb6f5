"""The live network before its upgrade, as on Sepolia.

Its router does not name its managers, and it bills differently, see
``contracts/mocks/PreUpgradeRouter.sol``. It is not a variant that users can choose: the tests
make one of a live network that is deployed already.
"""

from __future__ import annotations

from typing import Any

from ape_dtn.chain import transactions
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.network import reverts
from ape_dtn.network.registry import Contracts
from ape_dtn.types.abi import Function
from ape_dtn.types.transactions import contract_call

UPGRADE = Function("upgradeToAndCall(address,bytes)")


def take_back_upgrade(network: LocalNetwork, owner: Any, project: Any) -> Contracts:
    """Puts the contracts of before the upgrade behind the proxies of a live network.

    Models, nodes and sessions stay as they are.

    Args:
        network: A network of the live variant.
        owner: Its owner.
        project: The Ape project of this repository, which compiles the contracts.

    Returns:
        The contracts before the upgrade, which the router no longer uses.
    """
    contracts = network.ai.contracts()
    before = {
        network.ai.router: project.PreUpgradeRouter,
        contracts.session_manager: project.PreUpgradeSessionManager,
    }
    for proxy, contract in before.items():
        implementation = str(contract.deploy(sender=owner).address)
        upgrade = contract_call(proxy, UPGRADE, implementation, b"")
        transactions.send(network.ai.provider, owner, upgrade, reverts.NO_CONTEXT)
    return contracts
