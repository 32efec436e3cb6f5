// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Check of a router's address
/// @custom:security-contact Report privately, see SECURITY.md
library DtnRouter {
    /// @notice The address of the router has no code.
    /// @param router The address.
    error NotARouter(address router);

    /// @notice Refuses an address without code, as in `setAi(DtnRouter.checked(router))`.
    /// @param router Address of the router.
    /// @return The same address.
    function checked(address router) internal view returns (address) {
        if (router.code.length == 0) revert NotARouter(router);
        return router;
    }
}
