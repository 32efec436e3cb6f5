// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {INodeManager} from "../interfaces/INodeManager.sol";
import {NodeManager} from "../NodeManager.sol";

/// @title The node registry of the reference network
/// @notice A namespace owner signs the expiration that the node is given.
contract ReferenceNodeManager is NodeManager {
    /// @inheritdoc INodeManager
    /// @dev Of `node.alice.llama.3` it has to be clear whose it is: not of a user `alice.llama` too.
    function registerUser(string calldata username, address staker) public override {
        bytes calldata name = bytes(username);
        require(name.length != 0, "User name is empty");
        for (uint256 i = 0; i < name.length; ++i) require(name[i] != ".", "User name has a dot");
        super.registerUser(username, staker);
    }

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
