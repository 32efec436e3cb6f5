// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Sessions and their tokens
/// @notice Views, events and errors of the live session manager.
interface ISessionManager {
    /// @notice Session. Both fields are zero if it does not exist or is closed.
    /// @param owner Account that may spend and close it, and gets the refund.
    /// @param balance Balance, in units of the fee token.
    struct Session {
        address owner;
        uint256 balance;
    }

    /// @notice A session was opened.
    /// @param sessionId The session.
    /// @param owner Owner.
    /// @param balance Initial balance.
    event SessionStarted(uint256 indexed sessionId, address indexed owner, uint256 balance);

    /// @notice A session paid for a response.
    /// @param sessionId The session.
    /// @param amount Amount paid.
    /// @param to Worker that was paid.
    event SessionCharged(uint256 indexed sessionId, uint256 amount, address indexed to);

    /// @notice A session was closed.
    /// @param sessionId The session.
    /// @param remainingBalance Refund of the owner.
    event SessionClosed(uint256 indexed sessionId, uint256 remainingBalance);

    /// @notice A charge exceeds the session's balance.
    /// @param sessionId The session.
    /// @param required The charge.
    /// @param available The balance.
    error InsufficientBalance(uint256 sessionId, uint256 required, uint256 available);

    /// @notice The session to charge does not exist.
    /// @param sessionId The session.
    error InvalidSession(uint256 sessionId);

    /// @notice The caller is not authorized.
    /// @param caller The caller: the router, when a consumer closes a session.
    /// @param owner Account that is authorized.
    error Unauthorized(address caller, address owner);

    /// @notice There is no unclaimed deposit to start a session with.
    error InvalidAmount();

    /// @notice Session by its id.
    /// @param sessionId The id.
    /// @return The session, zero if it does not exist or is closed.
    function getSessionById(uint256 sessionId) external view returns (Session memory);

    /// @notice Balance of a session.
    /// @param sessionId The session.
    /// @return Units of the fee token, zero if it does not exist or is closed.
    function getSessionBalance(uint256 sessionId) external view returns (uint256);

    /// @notice Sessions of an owner. In the live variant, closed ones stay in the list.
    /// @param user The owner.
    /// @return Their ids.
    function getUserSessionIds(address user) external view returns (uint256[] memory);

    /// @notice Sessions of an owner, in the order of `getUserSessionIds`. In the live variant, closed
    ///         ones stay in the list, with owner zero.
    /// @param user The owner.
    /// @return The sessions.
    function getUserSessions(address user) external view returns (Session[] memory);

    /// @notice Token that sessions are paid in.
    /// @return Address of the token.
    function getFeeToken() external view returns (address);

    /// @notice Address that deposits are sent to.
    /// @return Address of this contract.
    function getFeeTarget() external view returns (address);
}
