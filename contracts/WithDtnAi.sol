// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "./IDtnAi.sol";

/// @title Base of contracts that use AI
/// @notice Call `setAi` with the router in the constructor, and guard callbacks with `onlyDtn`.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract WithDtnAi {
    /// @notice Router of the Deep Trust Network.
    IDtnAi public ai;

    /// @notice Restricts callbacks to the router. Without it anybody can forge a response.
    modifier onlyDtn() {
        // A string and not an error: existing contracts and their tests expect these words.
        require(msg.sender == address(ai), "Only Dtn can call this function");
        _;
    }

    /// @notice Sets the router, unchecked. Internal: the contract decides who may change it.
    /// @dev `DtnRouter.checked` refuses addresses without code.
    /// @param router Address of the router.
    function setAi(address router) internal virtual {
        ai = IDtnAi(router);
    }
}
