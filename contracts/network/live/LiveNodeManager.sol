// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {NodeManager} from "../NodeManager.sol";

/// @title The node registry as it is deployed on the public networks
/// @notice A namespace owner would have to sign the time of the block that the signature lands in.
contract LiveNodeManager is NodeManager {
    function _signedExpiration(uint256) internal view override returns (uint256) {
        return block.timestamp + 365 days;
    }
}
