// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IDtnAi} from "../../IDtnAi.sol";
import {IModelManager} from "../interfaces/IModelManager.sol";
import {INodeManager} from "../interfaces/INodeManager.sol";
import {IRouter} from "../interfaces/IRouter.sol";
import {ISessionLedger} from "../interfaces/ISessionLedger.sol";
import {Upgradeable} from "../Upgradeable.sol";

/// @title Router of the live variant: behaves as the router on Base
/// @notice Session 0 does not open a session. Requests with the same session, user and caller in one
///         block get the same id, and the later one overwrites the earlier one.
/// @custom:security-contact Report privately, see SECURITY.md
contract LiveRouter is IRouter, Upgradeable, ReentrancyGuardTransient {
    /// @custom:storage-location erc7201:ape-dtn.Router
    struct RouterStorage {
        INodeManager nodes;
        ISessionLedger sessions;
        IModelManager models;
        bytes32[] requestIds;
        bytes32[] completedRequestIds;
        mapping(bytes32 requestId => Request) requests;
        mapping(bytes32 requestId => mapping(bytes32 nodeId => bool)) hasResponded;
    }

    /// @notice Fee per byte of a FAILURE, in units of the fee token.
    uint256 public constant FAILURE_FEE_PER_BYTE = 1;

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.Router")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0xcabac0902bec8ce76d4b50eb34f23ccb36a2254a128823ab5b96f7016a974600;

    /// @notice Sets the owner.
    /// @param owner_ Owner of the contract.
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    /// @notice Sets the contracts behind the router. Sessions of a replaced session manager can
    ///         neither be used nor closed through the router.
    /// @param nodes Node manager.
    /// @param sessions Session manager.
    /// @param models Model manager.
    function setManagers(
        INodeManager nodes,
        ISessionLedger sessions,
        IModelManager models
    ) external onlyOwner {
        RouterStorage storage $ = _storage();
        $.nodes = nodes;
        $.sessions = sessions;
        $.models = models;
    }

    /// @inheritdoc IDtnAi
    function startUserSession() external returns (uint256 sessionId) {
        return _storage().sessions.startUserSession(msg.sender);
    }

    /// @inheritdoc IDtnAi
    function closeUserSession(uint256 sessionId) external {
        _storage().sessions.closeUserSession(sessionId, msg.sender);
    }

    /// @inheritdoc IDtnAi
    function request(
        uint256 sessionId,
        bytes32 modelId_,
        DtnRouting calldata routing,
        DtnRequest calldata dtnRequest,
        CallBack calldata callback,
        address user,
        uint256 callbackGas
    ) external payable returns (bytes32 requestId) {
        RouterStorage storage $ = _storage();
        $.sessions.authorizeRequest(sessionId, msg.sender);
        require(msg.value >= callbackGas, "Insufficient callback gas");
        require($.models.modelExists(modelId_), "Model does not exist");

        requestId = keccak256(abi.encodePacked(block.timestamp, sessionId, user, msg.sender));
        Request storage created = $.requests[requestId];
        created.sessionId = sessionId;
        created.user = user;
        created.completed = false;
        created.modelId = modelId_;
        created.routing = routing;
        created.request = dtnRequest;
        created.callback = callback;
        created.callbackGas = callbackGas;
        created.responseCount = 0;
        delete created.finalResponse;
        $.requestIds.push(requestId);
        emit RequestCreated(requestId, sessionId, user);
    }

    /// @inheritdoc IDtnAi
    function respondToRequest(
        bytes32 requestId,
        ResponseStatus status,
        string calldata message,
        bytes calldata response,
        bytes32 nodeId,
        uint256 requestSize,
        uint256 responseSize
    ) external nonReentrant {
        RouterStorage storage $ = _storage();
        Request storage pending = $.requests[requestId];
        require(!pending.completed, "Request already completed");
        require(!$.hasResponded[requestId][nodeId], "Node already responded");
        _checkNode($.nodes, nodeId, pending);

        $.hasResponded[requestId][nodeId] = true;
        pending.responseCount += 1;
        _charge($.sessions, pending, status, requestSize, responseSize);
        emit ResponseReceived(requestId, nodeId, status);
        if (pending.responseCount < pending.routing.redundancy) return;

        // A redundancy of 0 is accepted as well.
        require(
            pending.routing.aggregationType == AggregationType.ANY &&
                pending.routing.redundancy <= 1,
            "Response strategy not implemented"
        );
        pending.completed = true;
        pending.finalResponse = Response(status, message, response, nodeId, block.timestamp);
        $.completedRequestIds.push(requestId);
        _callBack(requestId, pending, status);
        emit RequestCompleted(requestId, status);
    }

    /// @inheritdoc IDtnAi
    function fetchResponse(
        bytes32 requestId
    ) external view returns (ResponseStatus status, string memory message, bytes memory response) {
        Request storage completed = _storage().requests[requestId];
        require(completed.completed, "Request not completed");
        Response storage found = completed.finalResponse;
        return (found.status, found.message, found.response);
    }

    /// @inheritdoc IRouter
    function getRequest(bytes32 requestId) external view returns (Request memory) {
        return _storage().requests[requestId];
    }

    /// @inheritdoc IRouter
    function getPendingRequestsLength() external view returns (uint256) {
        return _storage().requestIds.length;
    }

    /// @inheritdoc IRouter
    function getPendingRequests(uint256 from, uint256 to) external view returns (bytes32[] memory) {
        return _slice(_storage().requestIds, from, to);
    }

    /// @inheritdoc IRouter
    function getCompletedRequestsLength() external view returns (uint256) {
        return _storage().completedRequestIds.length;
    }

    /// @inheritdoc IRouter
    function getCompletedRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory) {
        return _slice(_storage().completedRequestIds, from, to);
    }

    /// @inheritdoc IDtnAi
    function modelId(string calldata modelFullName) external pure returns (bytes32) {
        return keccak256(bytes(modelFullName));
    }

    /// @inheritdoc IDtnAi
    function feeToken() external view returns (address) {
        return _storage().sessions.getFeeToken();
    }

    /// @inheritdoc IDtnAi
    function feeTarget() external view returns (address) {
        return _storage().sessions.getFeeTarget();
    }

    /// @inheritdoc IRouter
    function sessionManager() external view virtual returns (address) {
        return address(_storage().sessions);
    }

    /// @inheritdoc IRouter
    function modelManager() external view virtual returns (address) {
        return address(_storage().models);
    }

    /// @inheritdoc IRouter
    function nodeManager() external view virtual returns (address) {
        return address(_storage().nodes);
    }

    /// @dev Pays the node. The sizes are what the node states, the cap limits the whole fee.
    function _charge(
        ISessionLedger sessions,
        Request storage pending,
        ResponseStatus status,
        uint256 requestSize,
        uint256 responseSize
    ) internal virtual {
        DtnRequest storage price = pending.request;
        uint256 cap = price.totalFeePerRes;
        uint256 fee =
            status == ResponseStatus.SUCCESS
                ? requestSize * price.feePerByteReq + responseSize * price.feePerByteRes
                : (requestSize + responseSize) * FAILURE_FEE_PER_BYTE;
        sessions.chargeUserSession(pending.sessionId, Math.min(fee, cap), msg.sender);
    }

    function _checkNode(INodeManager nodes, bytes32 nodeId, Request storage pending) private view {
        INodeManager.NodeData memory node = nodes.getNode(nodeId);
        require(node.worker == msg.sender, "Not the node worker");
        require(node.isActive, "Node not active");
        require(
            _isTrusted(nodes, nodeId, pending.routing),
            "Node does not have required trust namespace"
        );
        require(
            nodes.nodeServesModel(nodeId, pending.modelId),
            "Node does not serve requested model"
        );
    }

    function _isTrusted(
        INodeManager nodes,
        bytes32 nodeId,
        DtnRouting storage routing
    ) private view returns (bool) {
        for (uint256 i = 0; i < routing.trustedNodeIds.length; ++i) {
            if (routing.trustedNodeIds[i] == nodeId) return true;
        }
        for (uint256 i = 0; i < routing.trustNamespaceIds.length; ++i) {
            bytes32 namespaceId = routing.trustNamespaceIds[i];
            // Zero when the node is not a member, which is before any block.
            if (nodes.nodeTrustNamespaceExpiration(nodeId, namespaceId) >= block.timestamp) {
                return true;
            }
        }
        return false;
    }

    function _callBack(bytes32 requestId, Request storage pending, ResponseStatus status) private {
        bool succeeded = status == ResponseStatus.SUCCESS;
        bytes4 selector = succeeded ? pending.callback.success : pending.callback.failure;
        (bool ok, bytes memory data) = pending.callback.target.call{gas: pending.callbackGas}(
            abi.encodeWithSelector(selector, requestId)
        );
        if (ok) return;
        if (succeeded) emit SuccessCallbackFailed(requestId, data);
        else emit FailureCallbackFailed(requestId, data);
    }

    function _slice(
        bytes32[] storage ids,
        uint256 from,
        uint256 to
    ) private view returns (bytes32[] memory page) {
        page = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) page[i - from] = ids[i];
    }

    function _storage() private pure returns (RouterStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
