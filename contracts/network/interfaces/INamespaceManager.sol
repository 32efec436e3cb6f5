// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Registry of namespaces and their owners
interface INamespaceManager {
    /// @notice A namespace was registered.
    /// @param namespaceId Id of its full name.
    /// @param name Full name.
    /// @param owner Owner.
    event NamespaceRegistered(bytes32 indexed namespaceId, string name, address indexed owner);

    /// @notice Registers a namespace that has no owner.
    /// @param name Full name.
    /// @param owner Owner.
    function registerNamespace(string calldata name, address owner) external;

    /// @notice Owner of a namespace.
    /// @param namespaceId Id of its full name.
    /// @return The owner, zero if there is none.
    function getNamespaceOwner(bytes32 namespaceId) external view returns (address);
}
