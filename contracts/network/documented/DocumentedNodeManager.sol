// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {NodeManager} from "../NodeManager.sol";

/// @title The node registry of the documented network
/// @notice A namespace owner signs the expiration that the node is given.
contract DocumentedNodeManager is NodeManager {
    /// @notice Reverts unless a node may answer for a model now.
    /// @param nodeId The node.
    /// @param worker Who answers for it.
    /// @param modelId The model that was asked.
    function checkNode(bytes32 nodeId, address worker, bytes32 modelId) external view {
        _checkNode(nodeId, worker, modelId);
    }

    function _signedExpiration(uint256 expiration) internal pure override returns (uint256) {
        return expiration;
    }
}
