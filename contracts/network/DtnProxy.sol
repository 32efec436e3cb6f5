// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @title The ERC-1967 proxy in front of each contract of the network
contract DtnProxy is ERC1967Proxy {
    /// @notice Puts the proxy in front of an implementation and initializes it.
    /// @param implementation The implementation.
    /// @param initialization The encoded call of `initialize`.
    constructor(
        address implementation,
        bytes memory initialization
    ) ERC1967Proxy(implementation, initialization) {}
}
