// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {ISessionManager} from "./ISessionManager.sol";

/// @title Session manager that is a contract of its own, beside the router
/// @notice Only the router may start, close and charge.
interface ISessionLedger is ISessionManager {
    /// @notice Opens a session with all tokens that belong to no session.
    /// @param owner Owner of the new session.
    /// @return sessionId New session.
    function startUserSession(address owner) external returns (uint256 sessionId);

    /// @notice Closes a session and refunds its owner.
    /// @param sessionId The session.
    /// @param owner Account that closes it.
    function closeUserSession(uint256 sessionId, address owner) external;

    /// @notice Reverts unless an account may send requests that a session pays for.
    /// @param sessionId The session.
    /// @param caller The account.
    function authorizeRequest(uint256 sessionId, address caller) external view;

    /// @notice Pays for a response from a session.
    /// @param sessionId The session.
    /// @param fee Fee for the response.
    /// @param to Worker that is paid.
    function chargeUserSession(uint256 sessionId, uint256 fee, address to) external;
}
