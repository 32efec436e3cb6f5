// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Registry of nodes, the models that they serve and their trust namespaces
/// @notice Interface of the live node manager.
interface INodeManager {
    /// @notice Node.
    /// @param owner Account that manages it.
    /// @param staker Account that staked for it.
    /// @param worker Account that responds to requests and is paid.
    /// @param trustNamespaces Namespaces that it has joined.
    /// @param trustNamespaceExpirations Expiration of each membership, in seconds.
    /// @param nodeNamespaceId Id of its full name.
    /// @param isActive Whether it may respond to requests.
    /// @param stakedAmount Stake, in wei.
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

    /// @notice A user was registered, who may register nodes.
    /// @param userId Id of the username.
    /// @param owner Account that owns the user's namespaces.
    /// @param staker Account that stakes for the user's nodes.
    event UserRegistered(bytes32 indexed userId, address indexed owner, address staker);

    /// @notice A node was registered.
    /// @param nodeId Id of its full name.
    /// @param staker Account that staked for it.
    /// @param worker Account that responds to requests.
    event NodeRegistered(bytes32 indexed nodeId, address indexed staker, address worker);

    /// @notice The models that a node serves have changed.
    /// @param nodeId The node.
    /// @param modelIds All models that it serves now.
    event NodeModelsUpdated(bytes32 indexed nodeId, bytes32[] modelIds);

    /// @notice A node was activated or deactivated.
    /// @param nodeId The node.
    /// @param isActive Whether it may respond to requests.
    event NodeStatusUpdated(bytes32 indexed nodeId, bool isActive);

    /// @notice The trust namespaces of a node have changed.
    /// @param nodeId The node.
    /// @param namespaces Full names of all namespaces that it is a member of now.
    event NodeNamespacesUpdated(bytes32 indexed nodeId, string[] namespaces);

    /// @notice Registers a user, whose nodes are named `node.<username>.<node name>`.
    /// @param username Username.
    /// @param staker Account that stakes for the user's nodes.
    function registerUser(string calldata username, address staker) external;

    /// @notice Registers and activates a node of the caller. The value of the call is its stake, which
    ///         cannot be withdrawn.
    /// @param username Username of the caller.
    /// @param nodeName Name of the node.
    /// @param worker Account that responds to requests.
    function registerNode(
        string calldata username,
        string calldata nodeName,
        address worker
    ) external payable;

    /// @notice Replaces the models that a node serves.
    /// @param nodeId A node of the caller.
    /// @param modelIds The models.
    function setNodeModels(bytes32 nodeId, bytes32[] calldata modelIds) external;

    /// @notice Removes some of the models that a node serves.
    /// @param nodeId A node of the caller.
    /// @param modelIds The models.
    function removeModelsFromNode(bytes32 nodeId, bytes32[] calldata modelIds) external;

    /// @notice Activates or deactivates a node.
    /// @param nodeId A node of the caller.
    /// @param isActive Whether it may respond to requests.
    function setNodeStatus(bytes32 nodeId, bool isActive) external;

    /// @notice Replaces the trust namespaces of a node.
    /// @param nodeId A node of the caller.
    /// @param namespaces Full names.
    /// @param expirations Expiration of each membership, in seconds.
    /// @param signatures EIP-712 signatures of each `NamespaceAssignment` by the namespace owner.
    function updateNodeNamespaces(
        bytes32 nodeId,
        string[] calldata namespaces,
        uint256[] calldata expirations,
        bytes[] calldata signatures
    ) external;

    /// @notice Node by its id.
    /// @param nodeId The id.
    /// @return The node, empty if it does not exist.
    function getNode(bytes32 nodeId) external view returns (NodeData memory);

    /// @notice Models that a node serves.
    /// @param nodeId The node.
    /// @return Their ids.
    function getNodeModels(bytes32 nodeId) external view returns (bytes32[] memory);

    /// @notice Nodes that serve a model, active or not.
    /// @param modelId The model.
    /// @return Their ids.
    function getNodesServingModel(bytes32 modelId) external view returns (bytes32[] memory);

    /// @notice Whether a node serves a model.
    /// @param nodeId The node.
    /// @param modelId The model.
    /// @return True if it serves the model.
    function nodeServesModel(bytes32 nodeId, bytes32 modelId) external view returns (bool);

    /// @notice Whether a node has joined a namespace, expired or not.
    /// @param nodeId The node.
    /// @param namespaceId The namespace.
    /// @return True if it has joined.
    function nodeHasTrustNamespace(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (bool);

    /// @notice Expiration of a node's membership of a namespace.
    /// @param nodeId The node.
    /// @param namespaceId The namespace.
    /// @return Timestamp in seconds, zero if the node is not a member.
    function nodeTrustNamespaceExpiration(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (uint256);
}
