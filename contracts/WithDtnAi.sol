// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "./IDtnAi.sol";

/// @title A contract that uses AI
/// @notice Inherit from it, call `setAi` with the router in the constructor, guard callbacks with
///         `onlyDtn`.
abstract contract WithDtnAi {
    /// @notice The router of the Deep Trust Network.
    IDtnAi public ai;

    /// @notice Somebody other than the router called a callback.
    /// @param caller Who called.
    error OnlyDtn(address caller);

    /// @notice The router was set to an address without code.
    /// @param router The address.
    error NotARouter(address router);

    /// @notice Lets only the router in: without it, anybody can play the network's answer.
    modifier onlyDtn() {
        if (msg.sender != address(ai)) revert OnlyDtn(msg.sender);
        _;
    }

    /// @notice Chooses the router. Internal, so that each contract decides who may change it.
    /// @param router The router's address, which must have code.
    function setAi(address router) internal virtual {
        if (router.code.length == 0) revert NotARouter(router);
        ai = IDtnAi(router);
    }
}
