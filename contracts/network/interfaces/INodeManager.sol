// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title The registry of nodes, what they serve and whom they are trusted by
/// @notice The interface of the deployed node manager.
interface INodeManager {
    /// @notice A node.
    /// @param owner Who manages it.
    /// @param staker Who staked for it.
    /// @param worker The account that answers and is paid.
    /// @param trustNamespaces Namespaces that it has joined.
    /// @param trustNamespaceExpirations When each membership ends, in seconds.
    /// @param nodeNamespaceId Id of its full name.
    /// @param isActive Whether it may answer.
    /// @param stakedAmount What was staked, in wei.
    /// @param id Id of its full name.
    struct NodeData {
        address owner;
        address staker;
        address worker;
        bytes32[] trustNamespaces;
        uint256[] trustNamespaceExpirations;
        bytes32 nodeNamespaceId;
        bool isActive;
        uint256 stakedAmount;
        bytes32 id;
    }

    /// @notice A user, who may register nodes, was registered.
    /// @param userId Id of the user's name.
    /// @param owner The account that owns the user's namespaces.
    /// @param staker Who stakes for the user's nodes.
    event UserRegistered(bytes32 indexed userId, address indexed owner, address staker);

    /// @notice A node was registered.
    /// @param nodeId Id of its full name.
    /// @param staker Who staked for it.
    /// @param worker The account that answers.
    event NodeRegistered(bytes32 indexed nodeId, address indexed staker, address worker);

    /// @notice A node now serves exactly these models.
    /// @param nodeId The node.
    /// @param modelIds The models.
    event NodeModelsUpdated(bytes32 indexed nodeId, bytes32[] modelIds);

    /// @notice A node was switched on or off.
    /// @param nodeId The node.
    /// @param isActive Whether it may answer.
    event NodeStatusUpdated(bytes32 indexed nodeId, bool isActive);

    /// @notice A node is now a member of exactly these namespaces.
    /// @param nodeId The node.
    /// @param namespaces Their full names.
    event NodeNamespacesUpdated(bytes32 indexed nodeId, string[] namespaces);

    /// @notice Registers a user, whose nodes are named `node.<username>.<node name>`.
    /// @param username The user's name.
    /// @param staker Who stakes for the user's nodes.
    function registerUser(string calldata username, address staker) external;

    /// @notice Registers a node of the calling user, and switches it on. The value sent is staked, and
    ///         stays here: nothing pays it out again.
    /// @param username The user's name.
    /// @param nodeName The node's name.
    /// @param worker The account that answers.
    function registerNode(
        string calldata username,
        string calldata nodeName,
        address worker
    ) external payable;

    /// @notice Says which models a node serves, in place of those it served.
    /// @param nodeId A node of the caller.
    /// @param modelIds The models.
    function setNodeModels(bytes32 nodeId, bytes32[] calldata modelIds) external;

    /// @notice Takes models from those that a node serves.
    /// @param nodeId A node of the caller.
    /// @param modelIds The models.
    function removeModelsFromNode(bytes32 nodeId, bytes32[] calldata modelIds) external;

    /// @notice Switches a node on or off.
    /// @param nodeId A node of the caller.
    /// @param isActive Whether it may answer.
    function setNodeStatus(bytes32 nodeId, bool isActive) external;

    /// @notice Says which trust namespaces a node is a member of, in place of those it was.
    /// @param nodeId A node of the caller.
    /// @param namespaces Full names.
    /// @param expirations When each membership ends, in seconds.
    /// @param signatures Each namespace owner's EIP-712 signature of its `NamespaceAssignment`.
    function updateNodeNamespaces(
        bytes32 nodeId,
        string[] calldata namespaces,
        uint256[] calldata expirations,
        bytes[] calldata signatures
    ) external;

    /// @notice A node by its id.
    /// @param nodeId The node.
    /// @return The node, empty when there is none.
    function getNode(bytes32 nodeId) external view returns (NodeData memory);

    /// @notice The models that a node serves.
    /// @param nodeId The node.
    /// @return Their ids.
    function getNodeModels(bytes32 nodeId) external view returns (bytes32[] memory);

    /// @notice The nodes that serve a model, active or not.
    /// @param modelId The model.
    /// @return Their ids.
    function getNodesServingModel(bytes32 modelId) external view returns (bytes32[] memory);

    /// @notice Whether a node serves a model.
    /// @param nodeId The node.
    /// @param modelId The model.
    /// @return Whether it does.
    function nodeServesModel(bytes32 nodeId, bytes32 modelId) external view returns (bool);

    /// @notice Whether a node has joined a namespace, expired or not.
    /// @param nodeId The node.
    /// @param namespaceId The namespace.
    /// @return Whether it has.
    function nodeHasTrustNamespace(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (bool);

    /// @notice When a node's membership of a namespace ends.
    /// @param nodeId The node.
    /// @param namespaceId The namespace.
    /// @return The time in seconds, zero when it is no member.
    function nodeTrustNamespaceExpiration(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (uint256);
}
