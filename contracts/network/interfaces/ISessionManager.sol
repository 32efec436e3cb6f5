// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Sessions, and the tokens that fill them
/// @notice The views, events and errors of the deployed session manager.
interface ISessionManager {
    /// @notice A session. Both fields are zero when there is none.
    /// @param owner Who may spend, close and be refunded.
    /// @param balance What is left, in units of the fee token.
    struct Session {
        address owner;
        uint256 balance;
    }

    /// @notice A session was opened.
    /// @param sessionId The session.
    /// @param owner Its owner.
    /// @param balance What it was opened with.
    event SessionStarted(uint256 indexed sessionId, address indexed owner, uint256 balance);

    /// @notice A session paid for an answer.
    /// @param sessionId The session.
    /// @param amount What was paid.
    /// @param to The worker that was paid.
    event SessionCharged(uint256 indexed sessionId, uint256 amount, address indexed to);

    /// @notice A session was closed.
    /// @param sessionId The session.
    /// @param remainingBalance What its owner was refunded.
    event SessionClosed(uint256 indexed sessionId, uint256 remainingBalance);

    /// @notice A charge is larger than the session's balance.
    /// @param sessionId The session.
    /// @param required The charge.
    /// @param available The balance.
    error InsufficientBalance(uint256 sessionId, uint256 required, uint256 available);

    /// @notice A charge to a session that does not exist.
    /// @param sessionId The session.
    error InvalidSession(uint256 sessionId);

    /// @notice The caller may not do this.
    /// @param caller Who called: the router, when a consumer closes a session.
    /// @param owner Who may.
    error Unauthorized(address caller, address owner);

    /// @notice A session was started with nothing deposited.
    error InvalidAmount();

    /// @notice A session by its id.
    /// @param sessionId The session.
    /// @return The session, zero when there is none.
    function getSessionById(uint256 sessionId) external view returns (Session memory);

    /// @notice What is left of a session.
    /// @param sessionId The session.
    /// @return The balance, zero when there is no session.
    function getSessionBalance(uint256 sessionId) external view returns (uint256);

    /// @notice The open sessions of an owner.
    /// @param user The owner.
    /// @return Their ids.
    function getUserSessionIds(address user) external view returns (uint256[] memory);

    /// @notice The open sessions of an owner, in the order of `getUserSessionIds`.
    /// @param user The owner.
    /// @return The sessions.
    function getUserSessions(address user) external view returns (Session[] memory);

    /// @notice The token that sessions are paid with.
    /// @return The token.
    function getFeeToken() external view returns (address);

    /// @notice Where deposits are sent.
    /// @return The address, which is this contract.
    function getFeeTarget() external view returns (address);
}
