// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {INamespaceManager} from "./interfaces/INamespaceManager.sol";
import {INodeManager} from "./interfaces/INodeManager.sol";
import {Upgradeable} from "./Upgradeable.sol";

/// @title Registry of nodes, the models that they serve and their trust namespaces
/// @dev The two variants differ in `_signedExpiration`, see `reference` and `live`.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract NodeManager is INodeManager, Upgradeable, EIP712Upgradeable {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    /// @custom:storage-location erc7201:ape-dtn.NodeManager
    struct NodeStorage {
        INamespaceManager namespaces;
        mapping(bytes32 userId => address staker) stakers;
        mapping(bytes32 nodeId => NodeData) nodes;
        mapping(bytes32 nodeId => EnumerableSet.Bytes32Set) modelsOf;
        mapping(bytes32 modelId => EnumerableSet.Bytes32Set) nodesOf;
        mapping(bytes32 nodeId => mapping(bytes32 namespaceId => uint256)) expirations;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.NodeManager")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x4fe330b575a4cbec26ee7f5122345af539b88349be7ebe0990f2020be0feea00;

    bytes32 private constant NAMESPACE_ASSIGNMENT = keccak256(
        "NamespaceAssignment(bytes32 targetId,string namespace,uint256 expiration)"
    );

    /// @notice Sets the owner and the namespace manager.
    /// @param owner_ Owner of the contract.
    /// @param namespaces Namespace manager.
    function initialize(address owner_, INamespaceManager namespaces) external initializer {
        __Ownable_init(owner_);
        __EIP712_init("DeepTrust Network", "1");
        _storage().namespaces = namespaces;
    }

    /// @inheritdoc INodeManager
    function registerUser(string calldata username, address staker) public virtual {
        NodeStorage storage $ = _storage();
        bytes32 userId = keccak256(bytes(username));
        require($.stakers[userId] == address(0), "User already exists");
        require(staker != address(0), "Staker is zero");
        $.stakers[userId] = staker;
        emit UserRegistered(userId, msg.sender, staker);
        $.namespaces.registerNamespace(string.concat("node.", username), msg.sender);
        $.namespaces.registerNamespace(string.concat("model.node.", username), msg.sender);
        $.namespaces.registerNamespace(string.concat("api.node.", username), msg.sender);
    }

    /// @inheritdoc INodeManager
    function registerNode(
        string calldata username,
        string calldata nodeName,
        address worker
    ) external payable {
        NodeStorage storage $ = _storage();
        string memory userNamespace = string.concat("node.", username);
        require(
            $.namespaces.getNamespaceOwner(keccak256(bytes(userNamespace))) == msg.sender,
            "Not namespace owner"
        );
        bytes32 nodeId = keccak256(bytes(string.concat(userNamespace, ".", nodeName)));
        NodeData storage node = $.nodes[nodeId];
        require(node.owner == address(0), "Node already exists");
        node.owner = msg.sender;
        node.staker = $.stakers[keccak256(bytes(username))];
        node.worker = worker;
        node.nodeNamespaceId = nodeId;
        node.isActive = true;
        node.stakedAmount = msg.value;
        node.id = nodeId;
        emit NodeRegistered(nodeId, node.staker, worker);
    }

    /// @inheritdoc INodeManager
    function setNodeModels(bytes32 nodeId, bytes32[] calldata modelIds) external {
        NodeStorage storage $ = _ownedNode(nodeId);
        require($.nodes[nodeId].isActive, "Node is not active");
        _removeModels($, nodeId, $.modelsOf[nodeId].values());
        for (uint256 i = 0; i < modelIds.length; ++i) {
            $.modelsOf[nodeId].add(modelIds[i]);
            $.nodesOf[modelIds[i]].add(nodeId);
        }
        emit NodeModelsUpdated(nodeId, modelIds);
    }

    /// @inheritdoc INodeManager
    function removeModelsFromNode(bytes32 nodeId, bytes32[] calldata modelIds) external {
        NodeStorage storage $ = _ownedNode(nodeId);
        _removeModels($, nodeId, modelIds);
        emit NodeModelsUpdated(nodeId, $.modelsOf[nodeId].values());
    }

    /// @inheritdoc INodeManager
    function setNodeStatus(bytes32 nodeId, bool isActive) external {
        _ownedNode(nodeId).nodes[nodeId].isActive = isActive;
        emit NodeStatusUpdated(nodeId, isActive);
    }

    /// @inheritdoc INodeManager
    function updateNodeNamespaces(
        bytes32 nodeId,
        string[] calldata namespaces,
        uint256[] calldata expirations,
        bytes[] calldata signatures
    ) external {
        NodeStorage storage $ = _ownedNode(nodeId);
        require(
            namespaces.length == signatures.length && namespaces.length == expirations.length,
            "Invalid signatures length"
        );
        NodeData storage node = $.nodes[nodeId];
        for (uint256 i = 0; i < node.trustNamespaces.length; ++i) {
            delete $.expirations[nodeId][node.trustNamespaces[i]];
        }
        delete node.trustNamespaces;
        delete node.trustNamespaceExpirations;
        for (uint256 i = 0; i < namespaces.length; ++i) {
            bytes32 namespaceId = keccak256(bytes(namespaces[i]));
            _checkAssignment($, nodeId, namespaceId, expirations[i], signatures[i]);
            node.trustNamespaces.push(namespaceId);
            node.trustNamespaceExpirations.push(expirations[i]);
            $.expirations[nodeId][namespaceId] = expirations[i];
        }
        emit NodeNamespacesUpdated(nodeId, namespaces);
    }

    /// @inheritdoc INodeManager
    function getNode(bytes32 nodeId) external view returns (NodeData memory) {
        return _storage().nodes[nodeId];
    }

    /// @inheritdoc INodeManager
    function getNodeModels(bytes32 nodeId) external view returns (bytes32[] memory) {
        return _storage().modelsOf[nodeId].values();
    }

    /// @inheritdoc INodeManager
    function getNodesServingModel(bytes32 modelId) external view returns (bytes32[] memory) {
        return _storage().nodesOf[modelId].values();
    }

    /// @inheritdoc INodeManager
    function nodeServesModel(bytes32 nodeId, bytes32 modelId) external view returns (bool) {
        return _storage().modelsOf[nodeId].contains(modelId);
    }

    /// @inheritdoc INodeManager
    function nodeHasTrustNamespace(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (bool) {
        return _storage().expirations[nodeId][namespaceId] != 0;
    }

    /// @inheritdoc INodeManager
    function nodeTrustNamespaceExpiration(
        bytes32 nodeId,
        bytes32 namespaceId
    ) external view returns (uint256) {
        return _storage().expirations[nodeId][namespaceId];
    }

    /// @dev Reverts unless a node may respond to requests for a model.
    function _checkNode(bytes32 nodeId, address worker, bytes32 modelId) internal view {
        NodeStorage storage $ = _storage();
        NodeData storage node = $.nodes[nodeId];
        require(node.worker == worker, "Not the node worker");
        require(node.isActive, "Node not active");
        require($.modelsOf[nodeId].contains(modelId), "Node does not serve requested model");
    }

    /// @dev Expiration that the namespace owner's signature must cover.
    function _signedExpiration(uint256 expiration) internal view virtual returns (uint256);

    function _checkAssignment(
        NodeStorage storage $,
        bytes32 nodeId,
        bytes32 namespaceId,
        uint256 expiration,
        bytes calldata signature
    ) private view {
        bytes32 assignment = keccak256(
            abi.encode(NAMESPACE_ASSIGNMENT, nodeId, namespaceId, _signedExpiration(expiration))
        );
        require(
            SignatureChecker.isValidSignatureNow(
                $.namespaces.getNamespaceOwner(namespaceId),
                _hashTypedDataV4(assignment),
                signature
            ),
            "Invalid signature"
        );
    }

    function _removeModels(
        NodeStorage storage $,
        bytes32 nodeId,
        bytes32[] memory modelIds
    ) private {
        for (uint256 i = 0; i < modelIds.length; ++i) {
            require($.modelsOf[nodeId].remove(modelIds[i]), "Model not assigned to node");
            $.nodesOf[modelIds[i]].remove(nodeId);
        }
    }

    function _ownedNode(bytes32 nodeId) private view returns (NodeStorage storage $) {
        $ = _storage();
        require($.nodes[nodeId].owner == msg.sender, "Not node owner");
    }

    function _storage() private pure returns (NodeStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
