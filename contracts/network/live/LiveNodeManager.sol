// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {NodeManager} from "../NodeManager.sol";

/// @title Node manager of the live variant: behaves as the node manager on Base
/// @notice A namespace owner's signature must cover the timestamp of the block that it is used in,
///         so that in practice no node joins a namespace.
/// @custom:security-contact Report privately, see SECURITY.md
contract LiveNodeManager is NodeManager {
    function _signedExpiration(uint256) internal view override returns (uint256) {
        return block.timestamp + 365 days;
    }
}
