"""What slither finds in ``contracts/`` and is as it should be, each with its reason.

They stand here and not in the contracts: some of those have addresses that follow from their
bytes, and the examples are there to be read and copied.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple


class Accepted(NamedTuple):
    """Findings of one check, in the places that match a pattern."""

    check: str
    where: str
    why: str

    def covers(self, check: str, where: str) -> bool:
        """Whether it is such a finding."""
        return fnmatchcase(check, self.check) and fnmatchcase(where, self.where)


ACCEPTED = (
    Accepted(
        "*",
        "contracts/mocks/*",
        "Written to do what slither warns of, for tests. None of it is shipped or deployed.",
    ),
    # The network.
    Accepted(
        "assembly",
        "contracts/*:*._*",
        "A struct is put at its ERC-7201 location, which only assembly can do. A test compares "
        "each location with the formula.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/live/LiveSessionManager.sol:LiveSessionManager.startUserSession",
        "A deposit of any size starts a session: only none at all is refused, so that nobody can "
        "block others by sending a unit.",
    ),
    Accepted(
        "low-level-calls",
        "contracts/network/live/LiveRouter.sol:LiveRouter._callBack",
        "A callback is anybody's code, whose revert must not take the answer with it.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/live/LiveRouter.sol:LiveRouter._isTrusted",
        "The node manager is the network's own. The list is the requester's, who would only keep "
        "the own request from being answered.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/NodeManager.sol:NodeManager._checkAssignment",
        "The list is the caller's, about the caller's own node.",
    ),
    Accepted(
        "unused-return",
        "contracts/network/NodeManager.sol:NodeManager.setNodeModels",
        "A model that is named twice is added once, which is what its name says.",
    ),
    Accepted(
        "unused-return",
        "contracts/network/NodeManager.sol:NodeManager._removeModels",
        "The two sets change together: what is in the first, as is required, is in the second.",
    ),
    Accepted(
        "unused-return",
        "contracts/network/live/LiveSessionManager.sol:LiveSessionManager.*Session",
        "The id is new when it is added, and there when it is removed: its session was just read.",
    ),
    Accepted(
        "timestamp",
        "contracts/network/live/LiveRouter.sol:LiveRouter.*",
        "Memberships end at a time in seconds, which the few that a block's producer can choose "
        "do not matter to. The other comparisons are with what was stored beside a time.",
    ),
    # The reference router.
    Accepted(
        "assembly",
        "contracts/network/reference/CodeStorage.sol:CodeStorage.page",
        "Code is written as it is, without the length that the ABI would put before it.",
    ),
    Accepted(
        "assembly",
        "contracts/network/reference/ZeroPacking.sol:ZeroPacking.*",
        "Bytes are moved in memory. A test packs and unpacks data of all kinds.",
    ),
    Accepted(
        "calls-loop",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter._placeOf",
        "As in the other router: the network's own node manager, and the requester's own list.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/reference/CodeStorage.sol:CodeStorage._write",
        "A full page is followed by another, which may be empty; the last is not full.",
    ),
    Accepted(
        "incorrect-equality",
        "contracts/network/reference/Sessions.sol:Sessions._open",
        "As in the other session manager: only no deposit at all is refused.",
    ),
    Accepted(
        "naming-convention",
        "contracts/network/reference/Sessions.sol:Sessions",
        "An immutable is written as constants are.",
    ),
    Accepted(
        "timestamp",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter._placeOf",
        "As in the other router: memberships end at a time in seconds.",
    ),
    Accepted(
        "uninitialized-local",
        "contracts/network/reference/Sessions.sol:Sessions._remove",
        "It is the empty place, for an owner with no session left.",
    ),
    Accepted(
        "shadowing-state",
        "contracts/network/reference/ReferenceRouter.sol:ReferenceRouter",
        "Each contract calls the location of its own state STORAGE, and none sees another's.",
    ),
    # What is shipped to consumers, and the client. Their bytes are pinned.
    Accepted(
        "shadowing-local",
        "contracts/IDtnAi.sol:IDtnAi.request",
        "The interface of the live router, whose names consumers use in calls by name.",
    ),
    Accepted(
        "naming-convention",
        "contracts/WithDtnAiUpgradeable.sol:*.__WithDtnAi_init",
        "Initializers of inherited contracts are named like this everywhere.",
    ),
    Accepted(
        "calls-loop",
        "contracts/client/AtomicSessions.sol:AtomicSessions.*",
        "One owner, whose own list it is; all or nothing is what is promised.",
    ),
    Accepted(
        "calls-loop",
        "contracts/client/DtnClient.sol:DtnClient.answers",
        "A view of the caller's own list; each call is caught.",
    ),
    Accepted(
        "unused-return",
        "contracts/client/DtnDelegate.sol:DtnDelegate.isValidSignature",
        "What is left out explains an error, which is told from a signature by another value.",
    ),
    # The examples.
    Accepted(
        "reentrancy-*",
        "contracts/examples/*",
        "Only the owner may call them. They call the router, which calls the fee token, and "
        "callbacks only from transactions of nodes. Ids are what these calls return, and cannot "
        "be stored before.",
    ),
    Accepted(
        "unused-return",
        "contracts/examples/*.on*",
        "`fetchResponse` returns the parts of a success and of a failure; each callback takes its.",
    ),
    # Tokens for tests, which behave as those on public networks do.
    Accepted(
        "erc20-interface",
        "contracts/mocks/TestUSDT.sol:TestUSDT",
        "USDT returns nothing, and so does this: it is here for that.",
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
