// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {ISessionManager} from "./ISessionManager.sol";

/// @title A session manager that stands beside the router
/// @notice Only the router may start, close and charge.
interface ISessionLedger is ISessionManager {
    /// @notice Opens a session from all tokens here that no session holds.
    /// @param owner The owner of the new session.
    /// @return sessionId The new session.
    function startUserSession(address owner) external returns (uint256 sessionId);

    /// @notice Closes a session and refunds its owner.
    /// @param sessionId The session.
    /// @param owner Who asks for it.
    function closeUserSession(uint256 sessionId, address owner) external;

    /// @notice Checks that a request may be made at the expense of a session.
    /// @param sessionId The session.
    /// @param caller Who asks.
    function authorizeRequest(uint256 sessionId, address caller) external view;

    /// @notice Pays for a response, as far as the balance goes.
    /// @param sessionId The session.
    /// @param fee What is owed.
    /// @param to The worker that is paid.
    function chargeUserSession(uint256 sessionId, uint256 fee, address to) external;
}
