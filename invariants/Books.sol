// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DtnClient} from "@dtn/client/DtnClient.sol";
import {IRouter} from "@dtn/network/interfaces/IRouter.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {TestUSDC} from "@dtn/mocks/TestUSDC.sol";
import {Log, VM} from "./Cheats.sol";
import {IReserving, Network} from "./Network.sol";

/// @title The books of a network, kept apart from it, and their audit
/// @notice Every call to the network, a client or the token goes through `_call`, which knows who
///         makes it, and books the tokens that it moves by what the token itself says. An account
///         and its client are one in the books, under the account: nothing else may pay for it.
abstract contract Books {
    /// @notice A session, by the books.
    /// @param owner Whose it is: an account or its client.
    /// @param opened What it was opened with.
    /// @param charged What its answers have cost.
    /// @param mostItMayCost What all its requests may cost.
    /// @param reserved What the answers to its requests that are still to come may cost.
    /// @param closed Whether it was closed.
    struct BookedSession {
        address owner;
        uint256 opened;
        uint256 charged;
        uint256 mostItMayCost;
        uint256 reserved;
        bool closed;
    }

    /// @notice An account, by the books: tokens that moved between it and the network, and why.
    /// @param paid What it has sent to the network.
    /// @param received What the network has sent it.
    /// @param exposed What it has sent, and nobody has started a session with.
    /// @param lost What it had sent, and somebody else started a session with.
    /// @param gained What others had sent, and it started a session with.
    /// @param charged What the answers to its requests have cost.
    /// @param earned What its answers have cost others.
    struct BookedAccount {
        uint256 paid;
        uint256 received;
        uint256 exposed;
        uint256 lost;
        uint256 gained;
        uint256 charged;
        uint256 earned;
    }

    /// @notice What every account starts with.
    uint256 internal constant FUNDS = 1e15;

    Network internal immutable network;
    IRouter internal immutable router;
    ISessionManager internal immutable manager;
    TestUSDC internal immutable token;
    bool internal immutable isReference;

    /// @dev All accounts, whatever they do.
    address[] internal people;
    /// @dev The account's client, if it has one.
    mapping(address account => DtnClient) internal clientOf;
    /// @dev The client's account.
    mapping(address client => address) internal accountOf;

    mapping(address account => BookedAccount) internal accounts;
    BookedSession[] internal booked; // the session with id 1 comes first
    uint256[] internal open; // ids, in no order
    uint256 internal requestsMade;
    uint256 internal requestsCompleted;

    /// @notice Begins the books of a new network.
    constructor(Network network_, bool isReference_) {
        (network, isReference) = (network_, isReference_);
        (router, manager, token) = (network_.router(), network_.sessions(), network_.token());
    }

    /// @notice Reverts when the books, the network and the token do not agree, or anybody has had
    ///         more than there was for them.
    function audit() external view {
        _networkHoldsItsSessionsAndDeposits();
        _sessionsAreAsBooked();
        _nobodyReceivesMoreThanIsTheirs();
        _everyTokenIsWithSomebody();
        require(
            router.getPendingRequestsLength() == requestsMade &&
                router.getCompletedRequestsLength() == requestsCompleted,
            "A request was made or answered unseen"
        );
    }

    /// @dev The one door: whoever calls anything, calls it from here.
    function _call(
        address caller,
        address target,
        bytes memory data
    ) internal returns (bool ok, bytes memory returned) {
        VM.recordLogs();
        VM.prank(caller);
        (ok, returned) = target.call(data);
        if (ok) _book(caller, VM.getRecordedLogs());
    }

    /// @dev A call that nothing may stop.
    function _succeed(
        address caller,
        address target,
        bytes memory data
    ) internal returns (bytes memory returned) {
        bool ok;
        (ok, returned) = _call(caller, target, data);
        if (!ok) {
            assembly {
                revert(add(returned, 32), mload(returned))
            }
        }
    }

    /// @dev A call that has to be refused, for this reason.
    function _refused(
        address caller,
        address target,
        bytes memory data,
        bytes memory reason
    ) internal {
        (bool ok, bytes memory returned) = _call(caller, target, data);
        require(!ok, "What should have been refused was done");
        require(keccak256(returned) == keccak256(reason), "Refused for another reason");
    }

    /// @dev A session was started, with all that was there for one.
    function _opened(address owner, uint256 sessionId) internal returns (uint256 opened) {
        address starter = _principal(owner);
        for (uint256 i = 0; i < people.length; ++i) {
            BookedAccount storage payer = accounts[people[i]];
            opened += payer.exposed;
            if (people[i] != starter) {
                payer.lost += payer.exposed;
                accounts[starter].gained += payer.exposed;
            }
            payer.exposed = 0;
        }
        booked.push(BookedSession(owner, opened, 0, 0, 0, false));
        open.push(sessionId);
        require(sessionId == booked.length, "A session was started unseen");
    }

    /// @dev A session was closed by its owner.
    function _closed(uint256 sessionId) internal {
        BookedSession storage session = booked[sessionId - 1];
        (session.closed, session.reserved) = (true, 0);
        for (uint256 i = 0; i < open.length; ++i) {
            if (open[i] != sessionId) continue;
            open[i] = open[open.length - 1];
            open.pop();
        }
    }

    /// @dev A session asked for answers, each of which may cost so much.
    function _promised(uint256 sessionId, uint256 most, uint256 answers) internal {
        BookedSession storage session = booked[sessionId - 1];
        session.mostItMayCost += most * answers;
        session.reserved += most * answers;
    }

    /// @dev A session paid for an answer, which might have cost more.
    function _charged(uint256 sessionId, uint256 charge, uint256 most, address worker) internal {
        BookedSession storage session = booked[sessionId - 1];
        session.charged += charge;
        session.reserved -= most;
        accounts[_principal(session.owner)].charged += charge;
        accounts[worker].earned += charge;
    }

    /// @dev What a session has left.
    function _left(uint256 sessionId) internal view returns (uint256) {
        BookedSession storage session = booked[sessionId - 1];
        return session.closed ? 0 : session.opened - session.charged;
    }

    /// @dev What is there for whoever starts next.
    function _unclaimed() internal view returns (uint256 sum) {
        for (uint256 i = 0; i < people.length; ++i) sum += accounts[people[i]].exposed;
    }

    /// @dev The account that an address belongs to.
    function _principal(address holder) internal view returns (address) {
        address account = accountOf[holder];
        return account == address(0) ? holder : account;
    }

    function _book(address caller, Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(token)) continue;
            if (logs[i].topics[0] != IERC20.Transfer.selector) continue;
            address from = address(uint160(uint256(logs[i].topics[1])));
            address to = address(uint160(uint256(logs[i].topics[2])));
            _bookTransfer(caller, from, to, abi.decode(logs[i].data, (uint256)));
        }
    }

    function _bookTransfer(address caller, address from, address to, uint256 units) private {
        if (from == address(manager)) {
            accounts[_principal(to)].received += units;
            return;
        }
        address payer = _principal(from);
        require(payer == caller, "Tokens were moved by another than their owner");
        if (to != address(manager)) return;
        accounts[payer].paid += units;
        accounts[payer].exposed += units;
    }

    function _networkHoldsItsSessionsAndDeposits() private view {
        uint256 sum = _unclaimed();
        for (uint256 id = 1; id <= booked.length; ++id) sum += manager.getSessionBalance(id);
        require(
            token.balanceOf(address(manager)) == sum,
            "The network does not hold what sessions and deposits add up to"
        );
    }

    function _sessionsAreAsBooked() private view {
        for (uint256 id = 1; id <= booked.length; ++id) {
            BookedSession storage session = booked[id - 1];
            ISessionManager.Session memory found = manager.getSessionById(id);
            require(
                found.owner == (session.closed ? address(0) : session.owner) &&
                    found.balance == _left(id),
                "A session is not as booked"
            );
            require(
                session.charged <= session.mostItMayCost,
                "A session was charged more than its requests may cost"
            );
            if (!isReference) continue;
            require(
                IReserving(address(manager)).getReserved(id) == session.reserved,
                "A session has set aside other than its requests may cost"
            );
            require(session.reserved <= found.balance, "A session cannot pay for all it has asked");
        }
    }

    /// @dev Nobody receives more than they put in, less what they were charged. Besides, a worker
    ///      earns, and whoever starts first gains what others have left lying there.
    function _nobodyReceivesMoreThanIsTheirs() private view {
        for (uint256 i = 0; i < people.length; ++i) {
            BookedAccount storage account = accounts[people[i]];
            uint256 inSessions = _inSessions(people[i]) +
                _inSessions(address(clientOf[people[i]]));
            require(
                account.received + inSessions + account.exposed + account.lost + account.charged ==
                    account.paid + account.gained + account.earned,
                "Somebody has received more or less than is theirs"
            );
        }
    }

    function _everyTokenIsWithSomebody() private view {
        uint256 sum = token.balanceOf(address(manager));
        for (uint256 i = 0; i < people.length; ++i) {
            sum += token.balanceOf(people[i]);
            sum += token.balanceOf(address(clientOf[people[i]]));
        }
        require(sum == people.length * FUNDS, "Tokens are where nobody can get at them");
    }

    function _inSessions(address owner) private view returns (uint256 sum) {
        ISessionManager.Session[] memory found = manager.getUserSessions(owner);
        for (uint256 i = 0; i < found.length; ++i) sum += found[i].balance;
    }
}
