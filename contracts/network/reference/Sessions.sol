// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISessionManager} from "../interfaces/ISessionManager.sol";

/// @title Sessions of the reference router, and their tokens
/// @notice The token balance is always the sum of the sessions' balances and of the unclaimed
///         deposits. The maximum fee of a request is reserved until the request completes, so that
///         a session can always pay for all of its requests.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract Sessions is ISessionManager, ReentrancyGuardTransient {
    using Math for uint256;
    using SafeERC20 for IERC20;

    /// @dev Entry in the linked list of an owner's open sessions, in one word.
    struct Place {
        // Session that was opened after this one; of the newest session, the session itself.
        uint64 newer;
        // Session that was opened before this one, or 0.
        uint64 older;
        // Maximum fees of the session's pending requests.
        uint96 reserved;
    }

    /// @dev Session, in one word.
    struct Account {
        address owner;
        uint96 balance;
    }

    /// @custom:storage-location erc7201:ape-dtn.Sessions
    struct SessionsStorage {
        uint192 held;
        uint64 count;
        mapping(uint256 sessionId => Account) accounts;
        // Entry of the newest session, the head of the list. Most owners have one session, which
        // needs no word but this and its account.
        mapping(address owner => Place) newest;
        mapping(uint256 sessionId => Place) others;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.Sessions")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x1a916ba5c0ed78604017611381836c10038c7815745dab505e1b758f63c29200;

    /// @dev Fee token.
    IERC20 internal immutable TOKEN;

    /// @notice The session does not exist, or has another owner.
    /// @param sessionId The session.
    error SessionNotFound(uint256 sessionId);

    /// @notice The maximum fee of a request exceeds the available balance of the session.
    /// @param sessionId The session.
    /// @param required Maximum fee of the request.
    /// @param available Balance less the maximum fees of pending requests.
    error InsufficientFunds(uint256 sessionId, uint256 required, uint256 available);

    /// @notice The session is closed.
    /// @param sessionId The session.
    error SessionAlreadyClosed(uint256 sessionId);

    constructor(IERC20 token) {
        TOKEN = token;
    }

    /// @notice Amount reserved for the pending requests of a session.
    /// @param sessionId The session.
    /// @return Units of the fee token; 0 if there is no such session.
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

    /// @dev Opens a session with all tokens that belong to no session.
    function _open(address owner_) internal nonReentrant returns (uint256 sessionId) {
        SessionsStorage storage $ = _sessions();
        (uint256 held, uint256 count) = ($.held, $.count);
        // The excess over 96 bits stays unclaimed, for the next session.
        uint256 deposit = Math.min(
            TOKEN.balanceOf(address(this)).saturatingSub(held),
            type(uint96).max
        );
        if (deposit == 0) revert InvalidAmount();
        // Ids start at 1: consumers use 0 for no session.
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

    /// @dev Reserves the maximum fee of a request.
    function _reserve(uint256 sessionId, address caller, uint256 maxFee) internal {
        Account memory account = _sessions().accounts[sessionId];
        _checkOwner(sessionId, account.owner, caller);
        Place storage place = _place(sessionId, caller);
        uint256 reserved = place.reserved;
        uint256 available = account.balance - reserved;
        if (maxFee > available) {
            revert InsufficientFunds(sessionId, maxFee, available);
        }
        place.reserved = uint96(reserved + maxFee);
    }

    /// @dev Pays for a response, up to the amount that was reserved for it.
    function _charge(
        uint256 sessionId,
        uint256 maxFee,
        uint256 fee,
        address to
    ) internal nonReentrant {
        SessionsStorage storage $ = _sessions();
        Account memory account = $.accounts[sessionId];
        _checkOwner(sessionId, account.owner, account.owner);
        Place storage place = _place(sessionId, account.owner);
        // The casts cannot truncate: each result is smaller than its minuend.
        place.reserved = uint96(place.reserved - maxFee);
        $.accounts[sessionId].balance = uint96(account.balance - fee);
        $.held = uint192($.held - fee);
        emit SessionCharged(sessionId, fee, to);
        if (fee > 0) TOKEN.safeTransfer(to, fee);
    }

    /// @dev Removes a session from its owner's list.
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
        bool existed = sessionId != 0 && sessionId <= _sessions().count;
        if (existed && owner_ == address(0)) revert SessionAlreadyClosed(sessionId);
        revert SessionNotFound(sessionId);
    }

    function _sessions() private pure returns (SessionsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
