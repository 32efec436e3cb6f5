// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @title ERC-1967 proxy of the network's contracts
/// @custom:security-contact Report privately, see SECURITY.md
contract DtnProxy is ERC1967Proxy {
    /// @notice Creates the proxy of an implementation and initializes it.
    /// @param implementation Implementation.
    /// @param initialization Call data of `initialize`.
    constructor(
        address implementation,
        bytes memory initialization
    ) ERC1967Proxy(implementation, initialization) {}
}
