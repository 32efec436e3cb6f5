// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title The registry of models and of the APIs that they are called by
/// @notice The interface of the deployed model manager.
interface IModelManager {
    /// @notice How models of one kind are called.
    /// @param apiNamespaceId Id of the namespace that the API belongs to.
    /// @param apiName Its name within the namespace.
    /// @param apiId Id of its full name.
    /// @param specs "input types, comma separated -> output type", for example "string[] -> string".
    /// @param docs What the inputs mean.
    struct ModelAPI {
        bytes32 apiNamespaceId;
        string apiName;
        bytes32 apiId;
        string specs;
        string docs;
    }

    /// @notice A model.
    /// @param modelNamespaceId Id of the namespace that the model belongs to.
    /// @param modelId Id of its full name.
    /// @param modelApiId Id of its API's full name.
    /// @param modelName Its name within the namespace.
    struct ModelConfig {
        bytes32 modelNamespaceId;
        bytes32 modelId;
        bytes32 modelApiId;
        string modelName;
    }

    /// @notice An API was registered.
    /// @param namespace The namespace that it belongs to.
    /// @param api Its name within the namespace.
    /// @param docs What its inputs mean.
    event ModelAPIRegistered(string namespace, string api, string docs);

    /// @notice A model was registered.
    /// @param namespace The namespace that it belongs to.
    /// @param modelName Its name within the namespace.
    /// @param modelId Id of its full name.
    event ModelRegistered(string namespace, string modelName, bytes32 modelId);

    /// @notice Registers an API in a namespace of the caller.
    /// @param namespace For example "api.system".
    /// @param apiName For example "llm-simpletext".
    /// @param specs For example "string[] -> string".
    /// @param docs What the inputs mean.
    function registerModelAPI(
        string calldata namespace,
        string calldata apiName,
        string calldata specs,
        string calldata docs
    ) external;

    /// @notice Registers a model in a namespace of the caller.
    /// @param namespace For example "model.system".
    /// @param modelName For example "openai-gpt-5".
    /// @param modelApi Full name of its API, for example "api.system.llm-simpletext".
    /// @return Id of the model's full name.
    function registerModel(
        string calldata namespace,
        string calldata modelName,
        string calldata modelApi
    ) external returns (bytes32);

    /// @notice Whether a model is registered.
    /// @param modelId The model.
    /// @return Whether it is.
    function modelExists(bytes32 modelId) external view returns (bool);

    /// @notice A model by its id.
    /// @param modelId The model.
    /// @return The model, empty when there is none.
    function getModelConfig(bytes32 modelId) external view returns (ModelConfig memory);

    /// @notice The API of a model.
    /// @param modelId The model, not the API.
    /// @return The API, empty when there is no such model.
    function getModelAPI(bytes32 modelId) external view returns (ModelAPI memory);
}
