// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DtnClient} from "@dtn/client/DtnClient.sol";
import {IRouter} from "@dtn/network/interfaces/IRouter.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {TestUSDC} from "@dtn/mocks/TestUSDC.sol";
import {Log, VM} from "./Cheats.sol";
import {IReserving, Network} from "./Network.sol";

/// @title Independent accounts of a network, and their audit
/// @notice Every call to the network, a client or the token goes through `_call`, which records the
///         transfers in the token's events under the caller. An account and its client are one entry
///         in the books: nobody else may pay for them.
abstract contract Books {
    /// @notice Session in the books.
    /// @param owner Owner: an account or its client.
    /// @param opened Initial balance.
    /// @param charged Sum of the fees paid.
    /// @param maxFees Sum of the maximum fees of all its requests.
    /// @param reserved Sum of the maximum fees of its pending requests.
    /// @param closed Whether it is closed.
    struct BookedSession {
        address owner;
        uint256 opened;
        uint256 charged;
        uint256 maxFees;
        uint256 reserved;
        bool closed;
    }

    /// @notice Account in the books: its transfers from and to the network, by reason.
    /// @param paid Sent to the network.
    /// @param received Received from the network.
    /// @param exposed Deposits that nobody has claimed.
    /// @param lost Deposits that others have claimed.
    /// @param gained Deposits of others that it has claimed.
    /// @param charged Fees paid for responses.
    /// @param earned Fees earned with responses.
    struct BookedAccount {
        uint256 paid;
        uint256 received;
        uint256 exposed;
        uint256 lost;
        uint256 gained;
        uint256 charged;
        uint256 earned;
    }

    /// @notice Initial balance of every account.
    uint256 internal constant FUNDS = 1e15;

    Network internal immutable network;
    IRouter internal immutable router;
    ISessionManager internal immutable manager;
    TestUSDC internal immutable token;
    bool internal immutable isReference;

    /// @dev All accounts.
    address[] internal people;
    /// @dev Client of an account, if it has one.
    mapping(address account => DtnClient) internal clientOf;
    /// @dev Account of a client.
    mapping(address client => address) internal accountOf;

    mapping(address account => BookedAccount) internal accounts;
    BookedSession[] internal booked; // the session with id 1 comes first
    uint256[] internal open; // ids, in no order
    uint256 internal requestsMade;
    uint256 internal requestsCompleted;

    /// @notice Opens the books of a new network.
    constructor(Network network_, bool isReference_) {
        (network, isReference) = (network_, isReference_);
        (router, manager, token) = (network_.router(), network_.sessions(), network_.token());
    }

    /// @notice Reverts if the books, the network and the token do not agree, or if anybody has
    ///         received more than was due.
    function audit() external view {
        _networkHoldsItsSessionsAndDeposits();
        _sessionsAreAsBooked();
        _everybodyReceivesWhatIsDue();
        _everyTokenHasAnOwner();
        require(
            router.getPendingRequestsLength() == requestsMade &&
                router.getCompletedRequestsLength() == requestsCompleted,
            "A request was made or answered outside the books"
        );
    }

    /// @dev Makes a call and books its transfers. All calls are made here.
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

    /// @dev Makes a call that must succeed.
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

    /// @dev Makes a call that must revert with this data.
    function _refused(
        address caller,
        address target,
        bytes memory data,
        bytes memory reason
    ) internal {
        (bool ok, bytes memory returned) = _call(caller, target, data);
        require(!ok, "A call succeeded that should revert");
        require(keccak256(returned) == keccak256(reason), "A call reverted with another reason");
    }

    /// @dev Books the start of a session with all unclaimed deposits.
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
        require(sessionId == booked.length, "A session was started outside the books");
    }

    /// @dev Books the closing of a session.
    function _closed(uint256 sessionId) internal {
        BookedSession storage session = booked[sessionId - 1];
        (session.closed, session.reserved) = (true, 0);
        for (uint256 i = 0; i < open.length; ++i) {
            if (open[i] != sessionId) continue;
            open[i] = open[open.length - 1];
            open.pop();
        }
    }

    /// @dev Books a request with a maximum fee per response.
    function _promised(uint256 sessionId, uint256 maxFee, uint256 responses) internal {
        BookedSession storage session = booked[sessionId - 1];
        session.maxFees += maxFee * responses;
        session.reserved += maxFee * responses;
    }

    /// @dev Books the fee of a response.
    function _charged(uint256 sessionId, uint256 charge, uint256 maxFee, address worker) internal {
        BookedSession storage session = booked[sessionId - 1];
        session.charged += charge;
        session.reserved -= maxFee;
        accounts[_principal(session.owner)].charged += charge;
        accounts[worker].earned += charge;
    }

    /// @dev Balance of a session.
    function _left(uint256 sessionId) internal view returns (uint256) {
        BookedSession storage session = booked[sessionId - 1];
        return session.closed ? 0 : session.opened - session.charged;
    }

    /// @dev Sum of the unclaimed deposits.
    function _unclaimed() internal view returns (uint256 sum) {
        for (uint256 i = 0; i < people.length; ++i) sum += accounts[people[i]].exposed;
    }

    /// @dev Account of an address: its own, or of a client.
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
        require(payer == caller, "Somebody else moved an owner's tokens");
        if (to != address(manager)) return;
        accounts[payer].paid += units;
        accounts[payer].exposed += units;
    }

    function _networkHoldsItsSessionsAndDeposits() private view {
        uint256 sum = _unclaimed();
        for (uint256 id = 1; id <= booked.length; ++id) sum += manager.getSessionBalance(id);
        require(
            token.balanceOf(address(manager)) == sum,
            "The network does not hold the sum of sessions and deposits"
        );
    }

    function _sessionsAreAsBooked() private view {
        for (uint256 id = 1; id <= booked.length; ++id) {
            BookedSession storage session = booked[id - 1];
            ISessionManager.Session memory found = manager.getSessionById(id);
            require(
                found.owner == (session.closed ? address(0) : session.owner) &&
                    found.balance == _left(id),
                "A session differs from the books"
            );
            require(
                session.charged <= session.maxFees,
                "A session was charged more than the maximum fees"
            );
            if (!isReference) continue;
            require(
                IReserving(address(manager)).getReserved(id) == session.reserved,
                "A session has not reserved its maximum fees"
            );
            require(session.reserved <= found.balance, "A session cannot pay for its requests");
        }
    }

    /// @dev Accounts receive what they paid less the fees. Workers earn fees, and claimed deposits of
    ///      others are gained.
    function _everybodyReceivesWhatIsDue() private view {
        for (uint256 i = 0; i < people.length; ++i) {
            BookedAccount storage account = accounts[people[i]];
            uint256 inSessions = _inSessions(people[i]) + _inSessions(address(clientOf[people[i]]));
            require(
                account.received + inSessions + account.exposed + account.lost + account.charged ==
                    account.paid + account.gained + account.earned,
                "Somebody has received more or less than was due"
            );
        }
    }

    function _everyTokenHasAnOwner() private view {
        uint256 sum = token.balanceOf(address(manager));
        for (uint256 i = 0; i < people.length; ++i) {
            sum += token.balanceOf(people[i]);
            sum += token.balanceOf(address(clientOf[people[i]]));
        }
        require(sum == people.length * FUNDS, "Tokens are out of reach");
    }

    function _inSessions(address owner) private view returns (uint256 sum) {
        ISessionManager.Session[] memory found = manager.getUserSessions(owner);
        for (uint256 i = 0; i < found.length; ++i) sum += found[i].balance;
    }
}
