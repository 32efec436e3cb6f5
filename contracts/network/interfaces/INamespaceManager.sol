// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Who owns which names
interface INamespaceManager {
    /// @notice A namespace got its owner.
    /// @param namespaceId Id of its full name.
    /// @param name Its full name.
    /// @param owner Its owner.
    event NamespaceRegistered(bytes32 indexed namespaceId, string name, address indexed owner);

    /// @notice Gives a namespace that nobody owns to an account.
    /// @param name Its full name.
    /// @param owner Its owner.
    function registerNamespace(string calldata name, address owner) external;

    /// @notice The owner of a namespace.
    /// @param namespaceId Id of its full name.
    /// @return The owner, zero when there is none.
    function getNamespaceOwner(bytes32 namespaceId) external view returns (address);
}
