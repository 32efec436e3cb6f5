// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISessionLedger} from "../interfaces/ISessionLedger.sol";
import {ISessionManager} from "../interfaces/ISessionManager.sol";
import {Upgradeable} from "../Upgradeable.sol";

/// @title Session manager of the live variant: behaves as the session manager on Base
/// @notice Holds all tokens: its balance is the sum of the sessions' balances and of the unclaimed
///         deposits, unless the owner sweeps it. A request is not checked against the balance of
///         the session, and a node is paid at most what is left.
/// @custom:security-contact Report privately, see SECURITY.md
contract LiveSessionManager is ISessionLedger, Upgradeable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @custom:storage-location erc7201:ape-dtn.SessionManager
    struct SessionStorage {
        IERC20 feeToken;
        address router;
        uint256 sessionCount;
        uint256 heldBySessions;
        mapping(uint256 sessionId => Session) sessions;
        mapping(address owner => uint256[]) sessionIds;
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
    /// @param owner_ Owner of the contract.
    /// @param feeToken Token that sessions are paid in.
    /// @param router Router, which alone may start, close and charge.
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
        // Ids start at 1: consumers use 0 for no session.
        sessionId = ++$.sessionCount;
        $.heldBySessions += deposit;
        $.sessions[sessionId] = Session(owner_, deposit);
        $.sessionIds[owner_].push(sessionId);
        emit SessionStarted(sessionId, owner_, deposit);
    }

    /// @inheritdoc ISessionLedger
    function closeUserSession(uint256 sessionId, address caller) external onlyRouter nonReentrant {
        SessionStorage storage $ = _storage();
        Session memory session = $.sessions[sessionId];
        // `msg.sender` is the router.
        if (session.owner != caller) revert Unauthorized(msg.sender, session.owner);
        // The id stays in the owner's list, with an empty record.
        delete $.sessions[sessionId];
        $.heldBySessions -= session.balance;
        emit SessionClosed(sessionId, session.balance);
        if (session.balance > 0) $.feeToken.safeTransfer(session.owner, session.balance);
    }

    /// @inheritdoc ISessionLedger
    function authorizeRequest(uint256 sessionId, address caller) external view onlyRouter {
        require(_storage().sessions[sessionId].owner == caller, "Session not related to the user");
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
        uint256 charge = _chargeFor(sessionId, fee, session.balance);
        session.balance -= charge;
        $.heldBySessions -= charge;
        emit SessionCharged(sessionId, charge, to);
        $.feeToken.safeTransfer(to, charge);
    }

    /// @notice Sends all units of a token to an address, those that belong to sessions included.
    /// @param token The token.
    /// @param to Recipient.
    function sweep(IERC20 token, address to) external virtual onlyOwner {
        token.safeTransfer(to, token.balanceOf(address(this)));
    }

    /// @inheritdoc ISessionManager
    function getSessionById(uint256 sessionId) external view returns (Session memory) {
        return _storage().sessions[sessionId];
    }

    /// @inheritdoc ISessionManager
    function getSessionBalance(uint256 sessionId) external view virtual returns (uint256) {
        return _storage().sessions[sessionId].balance;
    }

    /// @inheritdoc ISessionManager
    function getUserSessionIds(address user) public view returns (uint256[] memory) {
        return _storage().sessionIds[user];
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

    /// @dev Amount that a session pays for a fee.
    function _chargeFor(
        uint256,
        uint256 fee,
        uint256 balance
    ) internal view virtual returns (uint256) {
        return Math.min(fee, balance);
    }

    function _storage() private pure returns (SessionStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
