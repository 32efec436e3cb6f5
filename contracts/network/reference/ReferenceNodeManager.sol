// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {INodeManager} from "../interfaces/INodeManager.sol";
import {NodeManager} from "../NodeManager.sol";

/// @title Node manager of the reference variant
/// @notice A namespace owner's signature covers the expiration of the membership.
/// @custom:security-contact Report privately, see SECURITY.md
contract ReferenceNodeManager is NodeManager {
    /// @notice The username is empty or has a dot.
    /// @param username The username.
    error InvalidUsername(string username);

    /// @inheritdoc INodeManager
    /// @dev Without dots in usernames, `node.alice.llama.3` can only belong to `alice`.
    function registerUser(string calldata username, address staker) public override {
        bytes calldata name = bytes(username);
        if (name.length == 0) revert InvalidUsername(username);
        for (uint256 i = 0; i < name.length; ++i) {
            if (name[i] == ".") revert InvalidUsername(username);
        }
        super.registerUser(username, staker);
    }

    /// @notice Reverts unless a node may respond to requests for a model now.
    /// @param nodeId Node.
    /// @param worker Account that responds for it.
    /// @param modelId Model of the request.
    function checkNode(bytes32 nodeId, address worker, bytes32 modelId) external view {
        _checkNode(nodeId, worker, modelId);
    }

    function _signedExpiration(uint256 expiration) internal pure override returns (uint256) {
        return expiration;
    }
}
