// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {NodeManager} from "../NodeManager.sol";
import {Router} from "../Router.sol";
import {SessionManager} from "../SessionManager.sol";

/// @title The router as it is deployed on the public networks
/// @notice Session 0 is a session like any other, which nobody has; requests of one session, user
///         and caller in one block share an id, and the later one replaces the earlier.
contract DeployedRouter is Router {
    function _session(uint256 sessionId) internal pure override returns (uint256) {
        return sessionId;
    }

    function _newRequestId(
        uint256,
        uint256 sessionId,
        address user
    ) internal view override returns (bytes32) {
        return keccak256(abi.encodePacked(block.timestamp, sessionId, user, msg.sender));
    }
}

/// @title Sessions as they are deployed on the public networks
/// @notice A request is not checked against the balance, and a node is paid what is left.
contract DeployedSessionManager is SessionManager {
    function _checkClose(uint256, address owner_, address caller) internal view override {
        // The caller it names is the router: that is who called.
        if (owner_ != caller) revert Unauthorized(msg.sender, owner_);
    }

    function _checkRequest(
        uint256,
        Session storage session,
        address caller,
        uint256,
        uint256
    ) internal view override {
        require(session.owner == caller, "Session not related to the user");
    }

    function _checkCharge(
        uint256 sessionId,
        Session storage session,
        uint256,
        uint256 fee
    ) internal view override returns (uint256) {
        if (session.owner == address(0)) revert InvalidSession(sessionId);
        return Math.min(fee, session.balance);
    }
}

/// @title The node registry as it is deployed on the public networks
/// @notice A namespace owner would have to sign the time of the block that the signature lands in.
contract DeployedNodeManager is NodeManager {
    function _signedExpiration(uint256) internal view override returns (uint256) {
        return block.timestamp + 365 days;
    }
}
