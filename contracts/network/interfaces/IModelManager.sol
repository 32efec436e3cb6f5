// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Registry of models and of their APIs
/// @notice Interface of the live model manager.
interface IModelManager {
    /// @notice Inputs and output of models of one kind.
    /// @param apiNamespaceId Id of the namespace that the API belongs to.
    /// @param apiName Name within the namespace.
    /// @param apiId Id of its full name.
    /// @param specs "input types, comma separated -> output type", for example "string[] -> string".
    /// @param docs Documentation of the inputs.
    struct ModelAPI {
        bytes32 apiNamespaceId;
        string apiName;
        bytes32 apiId;
        string specs;
        string docs;
    }

    /// @notice Model.
    /// @param modelNamespaceId Id of the namespace that the model belongs to.
    /// @param modelId Id of its full name.
    /// @param modelApiId Id of its API's full name.
    /// @param modelName Name within the namespace.
    struct ModelConfig {
        bytes32 modelNamespaceId;
        bytes32 modelId;
        bytes32 modelApiId;
        string modelName;
    }

    /// @notice An API was registered.
    /// @param namespace Namespace that it belongs to.
    /// @param api Name within the namespace.
    /// @param docs Documentation of the inputs.
    event ModelAPIRegistered(string namespace, string api, string docs);

    /// @notice A model was registered.
    /// @param namespace Namespace that it belongs to.
    /// @param modelName Name within the namespace.
    /// @param modelId Id of its full name.
    event ModelRegistered(string namespace, string modelName, bytes32 modelId);

    /// @notice Registers an API in a namespace of the caller.
    /// @param namespace For example "api.system".
    /// @param apiName For example "llm-simpletext".
    /// @param specs For example "string[] -> string".
    /// @param docs Documentation of the inputs.
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
    /// @return True if it is registered.
    function modelExists(bytes32 modelId) external view returns (bool);

    /// @notice Model by its id.
    /// @param modelId The id.
    /// @return The model, empty if it does not exist.
    function getModelConfig(bytes32 modelId) external view returns (ModelConfig memory);

    /// @notice API of a model.
    /// @param modelId Id of the model, not of the API.
    /// @return The API, empty if the model does not exist.
    function getModelAPI(bytes32 modelId) external view returns (ModelAPI memory);
}
