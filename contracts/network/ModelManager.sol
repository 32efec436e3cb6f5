// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IModelManager} from "./interfaces/IModelManager.sol";
import {INamespaceManager} from "./interfaces/INamespaceManager.sol";
import {Upgradeable} from "./Upgradeable.sol";

/// @title Registry of models and of their APIs
/// @custom:security-contact Report privately, see SECURITY.md
contract ModelManager is IModelManager, Upgradeable {
    /// @custom:storage-location erc7201:ape-dtn.ModelManager
    struct ModelStorage {
        INamespaceManager namespaces;
        mapping(bytes32 => ModelAPI) apis;
        mapping(bytes32 => ModelConfig) models;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.ModelManager")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x8fe05645eccf11e1995522f68234a7aac8e0459a4d70a74264e5b167e7e6f900;

    /// @notice Sets the owner and the namespace manager.
    /// @param owner_ Owner of the contract.
    /// @param namespaces Namespace manager.
    function initialize(address owner_, INamespaceManager namespaces) external initializer {
        __Ownable_init(owner_);
        _storage().namespaces = namespaces;
    }

    /// @inheritdoc IModelManager
    function registerModelAPI(
        string calldata namespace,
        string calldata apiName,
        string calldata specs,
        string calldata docs
    ) external {
        ModelStorage storage $ = _storage();
        bytes32 namespaceId = _ownedNamespace($, namespace);
        bytes32 apiId = keccak256(bytes(string.concat(namespace, ".", apiName)));
        require($.apis[apiId].apiId == bytes32(0), "API already exists");
        $.apis[apiId] = ModelAPI(namespaceId, apiName, apiId, specs, docs);
        emit ModelAPIRegistered(namespace, apiName, docs);
    }

    /// @inheritdoc IModelManager
    function registerModel(
        string calldata namespace,
        string calldata modelName,
        string calldata modelApi
    ) external returns (bytes32) {
        ModelStorage storage $ = _storage();
        bytes32 namespaceId = _ownedNamespace($, namespace);
        bytes32 apiId = keccak256(bytes(modelApi));
        require($.apis[apiId].apiId != bytes32(0), "API does not exist");
        bytes32 modelId = keccak256(bytes(string.concat(namespace, ".", modelName)));
        require(!modelExists(modelId), "Model already exists");
        $.models[modelId] = ModelConfig(namespaceId, modelId, apiId, modelName);
        emit ModelRegistered(namespace, modelName, modelId);
        return modelId;
    }

    /// @inheritdoc IModelManager
    function modelExists(bytes32 modelId) public view returns (bool) {
        return _storage().models[modelId].modelId != bytes32(0);
    }

    /// @inheritdoc IModelManager
    function getModelConfig(bytes32 modelId) external view returns (ModelConfig memory) {
        return _storage().models[modelId];
    }

    /// @inheritdoc IModelManager
    function getModelAPI(bytes32 modelId) external view returns (ModelAPI memory) {
        ModelStorage storage $ = _storage();
        return $.apis[$.models[modelId].modelApiId];
    }

    function _ownedNamespace(
        ModelStorage storage $,
        string calldata namespace
    ) private view returns (bytes32 namespaceId) {
        namespaceId = keccak256(bytes(namespace));
        require($.namespaces.getNamespaceOwner(namespaceId) == msg.sender, "Not namespace owner");
    }

    function _storage() private pure returns (ModelStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
