// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISessionManager} from "../interfaces/ISessionManager.sol";

/// @title Sessions, and the tokens that fill them
/// @notice At any time its tokens are the sum of the sessions' balances and of the deposits that
///         nobody has started a session with. What a request may cost is set aside until it is
///         answered, so that a session can always pay for all it has asked.
abstract contract Sessions is ISessionManager, ReentrancyGuardTransient {
    using Math for uint256;
    using SafeERC20 for IERC20;

    /// @dev The place of a session among those that its owner has open, in one word.
    struct Place {
        // The one opened after it. Of the newest, which has none, it is the session itself.
        uint64 newer;
        // The one opened before it, or 0.
        uint64 older;
        // What the open requests of the session may cost.
        uint96 reserved;
    }

    /// @dev A session, in one word.
    struct Account {
        address owner;
        uint96 balance;
    }

    /// @custom:storage-location erc7201:ape-dtn.Sessions
    struct SessionsStorage {
        uint192 held;
        uint64 count;
        mapping(uint256 sessionId => Account) accounts;
        // The newest session's place is kept with its owner, who finds all others from there. Most
        // owners have one session, and this one word is all that it takes besides the account.
        mapping(address owner => Place) newest;
        mapping(uint256 sessionId => Place) others;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.Sessions")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x1a916ba5c0ed78604017611381836c10038c7815745dab505e1b758f63c29200;

    /// @dev The fee token.
    IERC20 internal immutable TOKEN;

    /// @notice There is no such session, or it belongs to a different account.
    /// @param sessionId The session.
    error SessionNotFound(uint256 sessionId);

    /// @notice A request may cost more than the session has left.
    /// @param sessionId The session.
    /// @param required The most that the request may cost.
    /// @param available What the session has, less what its open requests may cost.
    error InsufficientFunds(uint256 sessionId, uint256 required, uint256 available);

    /// @notice The session was closed before.
    /// @param sessionId The session.
    error SessionAlreadyClosed(uint256 sessionId);

    constructor(IERC20 token) {
        TOKEN = token;
    }

    /// @notice What is set aside for the open requests of a session.
    /// @param sessionId The session.
    /// @return The amount, in units of the fee token; zero when there is no session.
    function getReserved(uint256 sessionId) external view returns (uint256) {
        return _place(sessionId, _sessions().accounts[sessionId].owner).reserved;
    }

    /// @inheritdoc ISessionManager
    function getSessionById(uint256 sessionId) public view returns (Session memory) {
        Account storage account = _sessions().accounts[sessionId];
        return Session(account.owner, account.balance);
    }

    /// @inheritdoc ISessionManager
    function getSessionBalance(uint256 sessionId) external view returns (uint256) {
        return _sessions().accounts[sessionId].balance;
    }

    /// @inheritdoc ISessionManager
    function getUserSessionIds(address user) public view returns (uint256[] memory ids) {
        SessionsStorage storage $ = _sessions();
        Place memory newest = $.newest[user];
        uint256 count = newest.newer == 0 ? 0 : 1;
        for (uint256 id = newest.older; id != 0; id = $.others[id].older) ++count;
        ids = new uint256[](count);
        if (count == 0) return ids;
        ids[--count] = newest.newer;
        for (uint256 id = newest.older; id != 0; id = $.others[id].older) ids[--count] = id;
    }

    /// @inheritdoc ISessionManager
    function getUserSessions(address user) external view returns (Session[] memory sessions) {
        uint256[] memory ids = getUserSessionIds(user);
        sessions = new Session[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) sessions[i] = getSessionById(ids[i]);
    }

    /// @inheritdoc ISessionManager
    function getFeeToken() external view returns (address) {
        return address(TOKEN);
    }

    /// @inheritdoc ISessionManager
    function getFeeTarget() external view returns (address) {
        return address(this);
    }

    /// @dev Opens a session from all tokens here that no session holds.
    function _open(address owner_) internal nonReentrant returns (uint256 sessionId) {
        SessionsStorage storage $ = _sessions();
        (uint256 held, uint256 count) = ($.held, $.count);
        // What is more than fits waits for the next session, as every deposit does.
        uint256 deposit = Math.min(
            TOKEN.balanceOf(address(this)).saturatingSub(held),
            type(uint96).max
        );
        if (deposit == 0) revert InvalidAmount();
        // Ids count from 1: to consumers, 0 means that there is no session.
        sessionId = count + 1;
        ($.held, $.count) = (uint192(held + deposit), uint64(sessionId));

        $.accounts[sessionId] = Account(owner_, uint96(deposit));
        Place memory before = $.newest[owner_];
        uint64 older = before.newer;
        if (older != 0) {
            before.newer = uint64(sessionId);
            $.others[older] = before;
        }
        $.newest[owner_] = Place(uint64(sessionId), older, 0);
        emit SessionStarted(sessionId, owner_, deposit);
    }

    /// @dev Closes a session and refunds its owner.
    function _close(uint256 sessionId, address caller) internal nonReentrant {
        SessionsStorage storage $ = _sessions();
        Account memory account = $.accounts[sessionId];
        _checkOwner(sessionId, account.owner, caller);
        delete $.accounts[sessionId];
        $.held -= account.balance;
        _remove(sessionId, caller);
        emit SessionClosed(sessionId, account.balance);
        if (account.balance > 0) TOKEN.safeTransfer(caller, account.balance);
    }

    /// @dev Sets aside what a request may cost at the most.
    function _reserve(uint256 sessionId, address caller, uint256 mostItMayCost) internal {
        Account memory account = _sessions().accounts[sessionId];
        _checkOwner(sessionId, account.owner, caller);
        Place storage place = _place(sessionId, caller);
        uint256 reserved = place.reserved;
        uint256 available = account.balance - reserved;
        if (mostItMayCost > available) {
            revert InsufficientFunds(sessionId, mostItMayCost, available);
        }
        place.reserved = uint96(reserved + mostItMayCost);
    }

    /// @dev Pays for a response, at most what was set aside for it.
    function _charge(
        uint256 sessionId,
        uint256 mostItMayCost,
        uint256 fee,
        address to
    ) internal nonReentrant {
        SessionsStorage storage $ = _sessions();
        Account memory account = $.accounts[sessionId];
        _checkOwner(sessionId, account.owner, account.owner);
        Place storage place = _place(sessionId, account.owner);
        // None of these is cut: each is less than what it is taken from.
        place.reserved = uint96(place.reserved - mostItMayCost);
        $.accounts[sessionId].balance = uint96(account.balance - fee);
        $.held = uint192($.held - fee);
        emit SessionCharged(sessionId, fee, to);
        if (fee > 0) TOKEN.safeTransfer(to, fee);
    }

    /// @dev Takes a session out of its owner's list.
    function _remove(uint256 sessionId, address owner_) private {
        SessionsStorage storage $ = _sessions();
        Place memory newest = $.newest[owner_];
        if (newest.newer == sessionId) {
            Place memory next;
            if (newest.older != 0) {
                next = $.others[newest.older];
                next.newer = newest.older;
                delete $.others[newest.older];
            }
            $.newest[owner_] = next;
            return;
        }
        Place memory place = $.others[sessionId];
        delete $.others[sessionId];
        if (place.older != 0) $.others[place.older].newer = place.newer;
        if (place.newer == newest.newer) $.newest[owner_].older = place.older;
        else $.others[place.newer].older = place.older;
    }

    function _place(uint256 sessionId, address owner_) private view returns (Place storage) {
        SessionsStorage storage $ = _sessions();
        Place storage newest = $.newest[owner_];
        return newest.newer == sessionId ? newest : $.others[sessionId];
    }

    function _checkOwner(uint256 sessionId, address owner_, address caller) private view {
        if (owner_ == caller && owner_ != address(0)) return;
        bool wasThere = sessionId != 0 && sessionId <= _sessions().count;
        if (wasThere && owner_ == address(0)) revert SessionAlreadyClosed(sessionId);
        revert SessionNotFound(sessionId);
    }

    function _sessions() private pure returns (SessionsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
