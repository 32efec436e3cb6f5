// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {ISessionLedger} from "../interfaces/ISessionLedger.sol";
import {ISessionManager} from "../interfaces/ISessionManager.sol";
import {Upgradeable} from "../Upgradeable.sol";

/// @title Sessions as they are deployed on the public networks, and the tokens that fill them
/// @notice It holds all tokens itself: at any time its balance is the sum of the sessions' balances
///         and of the deposits that nobody has started a session with. A request is not checked
///         against the balance, and a node is paid what is left.
contract LiveSessionManager is ISessionLedger, Upgradeable, ReentrancyGuardTransient {
    using EnumerableSet for EnumerableSet.UintSet;
    using SafeERC20 for IERC20;

    /// @custom:storage-location erc7201:ape-dtn.SessionManager
    struct SessionStorage {
        IERC20 feeToken;
        address router;
        uint256 sessionCount;
        uint256 heldBySessions;
        mapping(uint256 sessionId => Session) sessions;
        mapping(address owner => EnumerableSet.UintSet) openSessions;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.SessionManager")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x191488ce608ee1365128316e54c060afb96e5b4d6d3ea5dd67d81e8dd9516200;

    modifier onlyRouter() {
        address router = _storage().router;
        if (msg.sender != router) revert Unauthorized(msg.sender, router);
        _;
    }

    /// @notice Sets the owner, the token and the router.
    /// @param owner_ The owner.
    /// @param feeToken The token that sessions are paid with.
    /// @param router The router, which alone may start, close and charge.
    function initialize(address owner_, IERC20 feeToken, address router) external initializer {
        __Ownable_init(owner_);
        SessionStorage storage $ = _storage();
        $.feeToken = feeToken;
        $.router = router;
    }

    /// @inheritdoc ISessionLedger
    function startUserSession(
        address owner_
    ) external onlyRouter nonReentrant returns (uint256 sessionId) {
        SessionStorage storage $ = _storage();
        uint256 deposit = $.feeToken.balanceOf(address(this)) - $.heldBySessions;
        if (deposit == 0) revert InvalidAmount();
        // Ids count from 1: to consumers, 0 means that there is no session.
        sessionId = ++$.sessionCount;
        $.heldBySessions += deposit;
        $.sessions[sessionId] = Session(owner_, deposit);
        $.openSessions[owner_].add(sessionId);
        emit SessionStarted(sessionId, owner_, deposit);
    }

    /// @inheritdoc ISessionLedger
    function closeUserSession(uint256 sessionId, address caller) external onlyRouter nonReentrant {
        SessionStorage storage $ = _storage();
        Session memory session = $.sessions[sessionId];
        // The caller it names is the router: that is who called.
        if (session.owner != caller) revert Unauthorized(msg.sender, session.owner);
        delete $.sessions[sessionId];
        $.openSessions[session.owner].remove(sessionId);
        $.heldBySessions -= session.balance;
        emit SessionClosed(sessionId, session.balance);
        if (session.balance > 0) $.feeToken.safeTransfer(session.owner, session.balance);
    }

    /// @inheritdoc ISessionLedger
    function authorizeRequest(uint256 sessionId, address caller) external view onlyRouter {
        require(
            _storage().sessions[sessionId].owner == caller,
            "Session not related to the user"
        );
    }

    /// @inheritdoc ISessionLedger
    function chargeUserSession(
        uint256 sessionId,
        uint256 fee,
        address to
    ) external onlyRouter nonReentrant {
        SessionStorage storage $ = _storage();
        Session storage session = $.sessions[sessionId];
        if (session.owner == address(0)) revert InvalidSession(sessionId);
        uint256 charge = Math.min(fee, session.balance);
        session.balance -= charge;
        $.heldBySessions -= charge;
        emit SessionCharged(sessionId, charge, to);
        $.feeToken.safeTransfer(to, charge);
    }

    /// @inheritdoc ISessionManager
    function getSessionById(uint256 sessionId) external view returns (Session memory) {
        return _storage().sessions[sessionId];
    }

    /// @inheritdoc ISessionManager
    function getSessionBalance(uint256 sessionId) external view returns (uint256) {
        return _storage().sessions[sessionId].balance;
    }

    /// @inheritdoc ISessionManager
    function getUserSessionIds(address user) public view returns (uint256[] memory) {
        return _storage().openSessions[user].values();
    }

    /// @inheritdoc ISessionManager
    function getUserSessions(address user) external view returns (Session[] memory sessions) {
        uint256[] memory ids = getUserSessionIds(user);
        sessions = new Session[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) sessions[i] = _storage().sessions[ids[i]];
    }

    /// @inheritdoc ISessionManager
    function getFeeToken() external view returns (address) {
        return address(_storage().feeToken);
    }

    /// @inheritdoc ISessionManager
    function getFeeTarget() external view returns (address) {
        return address(this);
    }

    function _storage() private pure returns (SessionStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
