"""Accepted findings of slither in ``contracts/``, each with its reason.

They are listed here and not in comments of the contracts, which change the pinned addresses and
would distract readers of the examples.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple


class Accepted(NamedTuple):
    """Findings of one detector, at places that match a pattern."""

    check: str
    where: str
    why: str

    def covers(self, check: str, where: str) -> bool:
        """Whether it accepts a finding."""
        return fnmatchcase(check, self.check) and fnmatchcase(where, self.where)


ACCEPTED = (
    Accepted(
        "*",
        "contracts/mocks/*",
        "Test contracts that behave badly on purpose. They are not shipped.",
    ),
    # The network.
    Accepted(
        "assembly",
        "contracts/*:*._*",
        "Only assembly can place a struct at its ERC-7201 location. A test compares each location "
        "with the formula.",
    ),
    Accepted(
        "assembly",
        "contracts/WithDtnAiUpgradeable.sol:*.getWithDtnAiStorage",
        "As above. The function has its name from the network's own package.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/live/LiveSessionManager.sol:LiveSessionManager.startUserSession",
        "A deposit of any size starts a session, only an empty one is refused. Nobody can block "
        "others by sending a unit.",
    ),
    Accepted(
        "low-level-calls",
        "contracts/network/live/LiveRouter.sol:LiveRouter._callBack",
        "A callback is untrusted code, whose revert must not revert the response.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/live/LiveRouter.sol:LiveRouter._isTrusted",
        "The node manager is trusted. The list is the requester's own: one that is too long only "
        "prevents a response to that request.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/NodeManager.sol:NodeManager._checkAssignment",
        "The list is the caller's own, for the caller's own node.",
    ),
    Accepted(
        "unused-return",
        "contracts/network/NodeManager.sol:NodeManager.setNodeModels",
        "A model that is listed twice is added once.",
    ),
    Accepted(
        "unused-return",
        "contracts/network/NodeManager.sol:NodeManager._removeModels",
        "The two sets change together: a model in the first set is in the second.",
    ),
    Accepted(
        "timestamp",
        "contracts/network/live/LiveRouter.sol:LiveRouter.*",
        "Memberships expire at a time in seconds. The few seconds that a block producer can choose "
        "do not matter. Other comparisons are with values stored beside a timestamp.",
    ),
    # The reference router.
    Accepted(
        "assembly",
        "contracts/network/reference/CodeStorage.sol:CodeStorage.page",
        "Code is returned without the length that the ABI would prepend.",
    ),
    Accepted(
        "assembly",
        "contracts/network/reference/ZeroPacking.sol:ZeroPacking.*",
        "Copies bytes in memory. A test packs and unpacks data of all kinds.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter._placeOf",
        "As in the live router: a trusted node manager, and the requester's own list.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/reference/CodeStorage.sol:CodeStorage._write",
        "A full page is followed by another, which may be empty; the last is not full.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/reference/Sessions.sol:Sessions._open",
        "As in the live session manager: only an empty deposit is refused.",
    ),
    Accepted(
        "naming-convention",
        "contracts/network/reference/Sessions.sol:Sessions",
        "Immutables are named like constants.",
    ),
    Accepted(
        "timestamp",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter._placeOf",
        "As in the live router: memberships expire at a time in seconds.",
    ),
    Accepted(
        "uninitialized-local",
        "contracts/network/reference/Sessions.sol:Sessions._remove",
        "The empty entry, for an owner without sessions.",
    ),
    Accepted(
        "shadowing-state",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter",
        "Each contract has a private STORAGE, the location of its own state.",
    ),
    # What is shipped to consumers, and the client. Their bytes are pinned.
    Accepted(
        "shadowing-local",
        "contracts/IDtnAi.sol:IDtnAi.request",
        "The interface of the live router. Consumers use its parameter names in calls by name.",
    ),
    Accepted(
        "naming-convention",
        "contracts/WithDtnAiUpgradeable.sol:*.__WithDtnAi_init",
        "The usual name of an initializer of a base contract.",
    ),
    Accepted(
        "calls-loop",
        "contracts/client/AtomicSessions.sol:AtomicSessions.*",
        "The owner's own list. All calls or none is intended.",
    ),
    Accepted(
        "calls-loop",
        "contracts/client/DtnClient.sol:DtnClient.answers",
        "A view with the caller's own list, which catches reverts.",
    ),
    Accepted(
        "unused-return",
        "contracts/client/DtnDelegate.sol:DtnDelegate.isValidSignature",
        "The unused value describes an error that another value indicates.",
    ),
    # The examples.
    Accepted(
        "reentrancy-*",
        "contracts/examples/*",
        "Only the owner may call them. They call the router, which calls the fee token, and "
        "callbacks only in transactions of nodes. Ids are returned by these calls, and cannot be "
        "stored before.",
    ),
    Accepted(
        "unused-return",
        "contracts/examples/*.on*",
        "`fetchResponse` returns values of a success and of a failure. Each callback uses its own.",
    ),
    # Tokens for tests, which behave as those on public networks do.
    Accepted(
        "erc20-interface",
        "contracts/mocks/TestUSDT.sol:TestUSDT",
        "Like USDT, it returns nothing.",
    ),
    Accepted(
        "naming-convention",
        "contracts/mocks/TestUSDC.sol:TestUSDC.DOMAIN_SEPARATOR",
        "Its name in EIP-2612.",
    ),
    Accepted(
        "timestamp",
        "contracts/mocks/TestUSDC.sol:TestUSDC.*",
        "EIP-2612 and EIP-3009 limit signatures in time.",
    ),
)
