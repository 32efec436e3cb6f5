// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {NodeManager} from "../NodeManager.sol";
import {Router} from "../Router.sol";
import {SessionManager} from "../SessionManager.sol";

/// @title The router as the product documentation describes it
/// @notice Session 0 opens a session from the caller's deposit, and no two requests share an id.
contract DocumentedRouter is Router {
    function _session(uint256 sessionId) internal override returns (uint256) {
        return sessionId == 0 ? _startSession() : sessionId;
    }

    function _newRequestId(
        uint256 index,
        uint256,
        address
    ) internal view override returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), index));
    }
}

/// @title Sessions as the product documentation describes them
/// @notice Its three errors, each with the session it is about. What a request may cost is set
///         aside until it is answered, so that a session can always pay for all it has asked.
contract DocumentedSessionManager is SessionManager {
    using Math for uint256;

    /// @custom:storage-location erc7201:ape-dtn.SessionManager.reserved
    struct ReservedStorage {
        mapping(uint256 sessionId => uint256) reserved;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.SessionManager.reserved")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant RESERVED_STORAGE =
        0x64bb3de7f173666e630ccc19c18b484e79b3683dfaf7cd061be91eff0cdf1d00;

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

    /// @notice What is set aside for the open requests of a session.
    /// @param sessionId The session.
    /// @return The amount, in units of the fee token.
    function getReserved(uint256 sessionId) external view returns (uint256) {
        return _reserved()[sessionId];
    }

    function _checkClose(uint256 sessionId, address owner_, address caller) internal override {
        _checkOwner(sessionId, owner_, caller);
        delete _reserved()[sessionId];
    }

    function _checkRequest(
        uint256 sessionId,
        Session storage session,
        address caller,
        uint256 mostItMayCost,
        uint256 responses
    ) internal override {
        _checkOwner(sessionId, session.owner, caller);
        mapping(uint256 => uint256) storage reserved = _reserved();
        uint256 available = session.balance - reserved[sessionId];
        // Each response is paid by itself, and there is one where none is wanted.
        uint256 required = mostItMayCost.saturatingMul(Math.max(responses, 1));
        if (required > available) revert InsufficientFunds(sessionId, required, available);
        reserved[sessionId] += required;
    }

    function _checkCharge(
        uint256 sessionId,
        Session storage session,
        uint256 mostItMayCost,
        uint256 fee
    ) internal override returns (uint256) {
        _checkOwner(sessionId, session.owner, session.owner);
        _reserved()[sessionId] -= mostItMayCost;
        return fee;
    }

    function _checkOwner(uint256 sessionId, address owner_, address caller) private view {
        if (sessionId == 0 || sessionId > _sessionCount()) revert SessionNotFound(sessionId);
        if (owner_ == address(0)) revert SessionAlreadyClosed(sessionId);
        if (owner_ != caller) revert SessionNotFound(sessionId);
    }

    function _reserved() private view returns (mapping(uint256 => uint256) storage) {
        ReservedStorage storage $;
        assembly {
            $.slot := RESERVED_STORAGE
        }
        return $.reserved;
    }
}

/// @title The node registry of the documented network
/// @notice A namespace owner signs the expiration that the node is given.
contract DocumentedNodeManager is NodeManager {
    function _signedExpiration(uint256 expiration) internal pure override returns (uint256) {
        return expiration;
    }
}
