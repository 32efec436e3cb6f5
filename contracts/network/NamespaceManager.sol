// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {INamespaceManager} from "./interfaces/INamespaceManager.sol";
import {Upgradeable} from "./Upgradeable.sol";

/// @title Registry of namespaces and their owners
/// @notice The network's owner registers any namespace, the node manager those of users.
/// @custom:security-contact Report privately, see SECURITY.md
contract NamespaceManager is INamespaceManager, Upgradeable {
    /// @custom:storage-location erc7201:ape-dtn.NamespaceManager
    struct NamespaceStorage {
        address registrar;
        mapping(bytes32 => address) owners;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.NamespaceManager")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x6e3f543ab8d99440ed266bff15d29c1669a287ceaf358f93938b9be503a89900;

    /// @notice Sets the owner.
    /// @param owner_ Owner of the contract.
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    /// @notice Lets another contract register namespaces.
    /// @param registrar Node manager.
    function setRegistrar(address registrar) external onlyOwner {
        _storage().registrar = registrar;
    }

    /// @inheritdoc INamespaceManager
    function registerNamespace(string calldata name, address namespaceOwner) external {
        NamespaceStorage storage $ = _storage();
        require(msg.sender == owner() || msg.sender == $.registrar, "Not a registrar");
        require(namespaceOwner != address(0), "Owner is zero");
        bytes32 namespaceId = keccak256(bytes(name));
        require($.owners[namespaceId] == address(0), "Namespace already exists");
        $.owners[namespaceId] = namespaceOwner;
        emit NamespaceRegistered(namespaceId, name, namespaceOwner);
    }

    /// @inheritdoc INamespaceManager
    function getNamespaceOwner(bytes32 namespaceId) external view returns (address) {
        return _storage().owners[namespaceId];
    }

    function _storage() private pure returns (NamespaceStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
