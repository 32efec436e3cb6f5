// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IDtnAi} from "../../IDtnAi.sol";
import {IModelManager} from "../interfaces/IModelManager.sol";
import {IRouter} from "../interfaces/IRouter.sol";
import {Upgradeable} from "../Upgradeable.sol";
import {ReferenceNodeManager} from "./ReferenceNodeManager.sol";
import {Fee} from "./Fee.sol";
import {CodeStorage} from "./CodeStorage.sol";
import {Sessions} from "./Sessions.sol";
import {ZeroPacking} from "./ZeroPacking.sol";

/// @title Router of the reference variant: behaves as the product documentation says
/// @notice Session 0 opens a session with the caller's deposit, request ids are unique, and a node
///         cannot starve a callback of gas. The router keeps the sessions and their tokens itself.
/// @dev A request and its response are each written once, as the code of a contract.
/// @custom:security-contact Report privately, see SECURITY.md
contract ReferenceRouter is IRouter, Upgradeable, Sessions, CodeStorage {
    using Math for uint256;

    /// @dev Stored part of a request that a response is checked and charged by.
    struct Terms {
        uint256 index;
        uint256 sessionId;
        address user;
        bytes32 modelId;
        bytes32[] trustNamespaceIds;
        bytes32[] trustedNodeIds;
        uint8 confidenceLevel;
        CallType calltype;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        uint256 totalFeePerRes;
        CallBack callback;
        uint256 callbackGas;
    }

    /// @custom:storage-location erc7201:ape-dtn.Requests
    struct RequestsStorage {
        IModelManager models;
        uint64 count;
        ReferenceNodeManager nodes;
        uint64 completedCount;
        // Six indices in a word.
        mapping(uint256 sixth => uint40[6] indices) completed;
    }

    /// @notice Fee per byte of a FAILURE, in units of the fee token.
    uint256 public constant FAILURE_FEE_PER_BYTE = 1;

    // Kinds of content.
    uint256 private constant REQUEST = 0;
    uint256 private constant ANSWER = 1;

    // Maximum length of a callback's revert data in the event: the node pays for each byte.
    uint256 private constant LONGEST_REASON = 1024;

    // Upper bound of the gas between the check of the remaining gas and the callback, also for a
    // target that delegates to a contract (EIP-7702).
    uint256 private constant CALL_GAS = 10_000;

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.Requests")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x9d81326ee2e45ec405e9476e2a6a86a719b4542e4c49ae2775009bf04c03fc00;

    // A guard of its own: a callback may start and close sessions, which the guard of the sessions
    // would prevent. Set to false and not deleted: some compilers confuse deleting a transient
    // variable with deleting from storage.
    bool private transient _isResponding;

    /// @notice A callback may not target the fee token or the router itself.
    /// @param target The target.
    error CallbackTargetNotAllowed(address target);

    /// @notice The new implementation has another fee token.
    /// @param token Its fee token.
    error FeeTokenMismatch(address token);

    /// @notice The gas does not suffice for the callback.
    /// @param callbackGas Gas of the callback.
    error InsufficientGasForCallback(uint256 callbackGas);

    /// @notice The range is not one of existing requests.
    /// @param from Index of the first request.
    /// @param to Index after the last request.
    /// @param count Number of requests.
    error InvalidRange(uint256 from, uint256 to, uint256 count);

    /// @notice The request does not exist.
    /// @param requestId The request.
    error RequestNotFound(bytes32 requestId);

    /// @dev Keeps the logs of one response together: no response within the callback of another.
    modifier oneResponse() {
        if (_isResponding) revert ReentrancyGuardReentrantCall();
        _isResponding = true;
        _;
        _isResponding = false;
    }

    /// @notice Creates an implementation.
    /// @param token Token that sessions are paid in. It must have a single address, which callbacks
    ///        may not target. A proxy accepts no implementation with another token.
    constructor(IERC20 token) Sessions(token) {}

    /// @notice Sets the owner.
    /// @param owner_ Owner of the contract.
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    /// @notice Sets the managers behind the router.
    /// @param nodes Node manager.
    /// @param models Model manager.
    function setManagers(ReferenceNodeManager nodes, IModelManager models) external onlyOwner {
        RequestsStorage storage $ = _requests();
        $.nodes = nodes;
        $.models = models;
    }

    /// @inheritdoc IDtnAi
    /// @dev A session holds at most 2^96 - 1 units. The excess stays an unclaimed deposit.
    function startUserSession() external returns (uint256 sessionId) {
        return _open(msg.sender);
    }

    /// @inheritdoc IDtnAi
    function closeUserSession(uint256 sessionId) external {
        _close(sessionId, msg.sender);
    }

    /// @inheritdoc IDtnAi
    /// @dev Reverts for requests that could never complete, and for callbacks that would act in the
    ///      name of the contract that holds all tokens.
    function request(
        uint256 sessionId,
        bytes32 modelId_,
        DtnRouting calldata routing,
        DtnRequest calldata dtnRequest,
        CallBack calldata callback,
        address user,
        uint256 callbackGas
    ) external payable returns (bytes32 requestId) {
        RequestsStorage storage $ = _requests();
        if (sessionId == 0) sessionId = _open(msg.sender);
        _reserve(sessionId, msg.sender, dtnRequest.totalFeePerRes);
        require(msg.value >= callbackGas, "Insufficient callback gas");
        (IModelManager models, uint64 index) = ($.models, $.count);
        require(models.modelExists(modelId_), "Model does not exist");
        require(
            routing.aggregationType == AggregationType.ANY && routing.redundancy == 1,
            "Response strategy not implemented"
        );
        // Two conditions cost less gas than one with `||`.
        if (callback.target == address(TOKEN)) revert CallbackTargetNotAllowed(callback.target);
        if (callback.target == address(this)) revert CallbackTargetNotAllowed(callback.target);

        $.count = index + 1;
        requestId = _requestId(index);
        bytes memory terms = ZeroPacking.pack(
            abi.encode(
                index,
                sessionId,
                user,
                modelId_,
                routing.trustNamespaceIds,
                routing.trustedNodeIds,
                routing.confidenceLevel,
                dtnRequest.calltype,
                dtnRequest.feePerByteReq,
                dtnRequest.feePerByteRes,
                dtnRequest.totalFeePerRes,
                callback,
                callbackGas
            )
        );
        bytes memory call = ZeroPacking.pack(abi.encode(dtnRequest.call, dtnRequest.extraParams));
        _write(REQUEST, requestId, bytes.concat(bytes3(uint24(terms.length)), terms, call));
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
    ) external oneResponse {
        RequestsStorage storage $ = _requests();
        (ReferenceNodeManager nodes, uint64 number) = ($.nodes, $.completedCount);
        Terms memory terms = _terms(requestId, _read(REQUEST, requestId));
        require(!_isWritten(ANSWER, requestId), "Request already completed");
        nodes.checkNode(nodeId, msg.sender, terms.modelId);
        uint256 place = _placeOf(nodeId, terms, nodes);

        $.completedCount = number + 1;
        $.completed[number / 6][number % 6] = uint40(terms.index);
        _write(
            ANSWER,
            requestId,
            ZeroPacking.pack(abi.encode(status, message, response, place, block.timestamp))
        );
        bool succeeded = status == ResponseStatus.SUCCESS;
        uint256 cap = terms.totalFeePerRes;
        uint256 fee =
            succeeded
                ? Fee.forAnswer(
                    requestSize,
                    terms.feePerByteReq,
                    responseSize,
                    terms.feePerByteRes,
                    cap
                )
                : Fee.forAnswer(
                    requestSize,
                    FAILURE_FEE_PER_BYTE,
                    responseSize,
                    FAILURE_FEE_PER_BYTE,
                    cap
                );
        _charge(terms.sessionId, cap, fee, msg.sender);
        emit ResponseReceived(requestId, nodeId, status);
        _callBack(requestId, terms, succeeded);
        emit RequestCompleted(requestId, status);
    }

    /// @inheritdoc IDtnAi
    function fetchResponse(
        bytes32 requestId
    ) external view returns (ResponseStatus status, string memory message, bytes memory response) {
        bytes memory written = _read(ANSWER, requestId);
        require(written.length != 0, "Request not completed");
        (status, message, response, , ) = _answer(written);
    }

    /// @inheritdoc IRouter
    function getRequest(bytes32 requestId) external view returns (Request memory found) {
        bytes memory written = _read(REQUEST, requestId);
        if (written.length == 0) return found;
        Terms memory terms = _terms(requestId, written);
        found.sessionId = terms.sessionId;
        found.user = terms.user;
        found.modelId = terms.modelId;
        found.routing.trustNamespaceIds = terms.trustNamespaceIds;
        found.routing.trustedNodeIds = terms.trustedNodeIds;
        found.routing.redundancy = 1;
        found.routing.confidenceLevel = terms.confidenceLevel;
        found.callback = terms.callback;
        found.callbackGas = terms.callbackGas;
        found.request.calltype = terms.calltype;
        found.request.feePerByteReq = terms.feePerByteReq;
        found.request.feePerByteRes = terms.feePerByteRes;
        found.request.totalFeePerRes = terms.totalFeePerRes;
        (found.request.call, found.request.extraParams) = abi.decode(
            ZeroPacking.unpack(written, _termsEnd(written), written.length),
            (bytes, bytes)
        );

        written = _read(ANSWER, requestId);
        if (written.length == 0) return found;
        found.completed = true;
        found.responseCount = 1;
        Response memory response = found.finalResponse;
        uint256 place;
        (response.status, response.message, response.response, place, response.timestamp) = _answer(
            written
        );
        bytes32[] memory trusted = terms.trustedNodeIds;
        response.nodeId = place < trusted.length ? trusted[place] : bytes32(place);
    }

    /// @inheritdoc IRouter
    function getPendingRequestsLength() external view returns (uint256) {
        return _requests().count;
    }

    /// @inheritdoc IRouter
    function getPendingRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory ids) {
        _checkRange(from, to, _requests().count);
        ids = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) ids[i - from] = _requestId(i);
    }

    /// @inheritdoc IRouter
    function getCompletedRequestsLength() external view returns (uint256) {
        return _requests().completedCount;
    }

    /// @inheritdoc IRouter
    function getCompletedRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory ids) {
        RequestsStorage storage $ = _requests();
        _checkRange(from, to, $.completedCount);
        ids = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) ids[i - from] = _requestId($.completed[i / 6][i % 6]);
    }

    /// @inheritdoc IDtnAi
    function modelId(string calldata modelFullName) external pure returns (bytes32) {
        return keccak256(bytes(modelFullName));
    }

    /// @inheritdoc IDtnAi
    function feeToken() external view returns (address) {
        return address(TOKEN);
    }

    /// @inheritdoc IDtnAi
    function feeTarget() external view returns (address) {
        return address(this);
    }

    /// @inheritdoc IRouter
    function sessionManager() external view returns (address) {
        return address(this);
    }

    /// @inheritdoc IRouter
    function modelManager() external view returns (address) {
        return address(_requests().models);
    }

    /// @inheritdoc IRouter
    function nodeManager() external view returns (address) {
        return address(_requests().nodes);
    }

    function _authorizeUpgrade(address implementation) internal override {
        super._authorizeUpgrade(implementation);
        address token = IDtnAi(implementation).feeToken();
        if (token != address(TOKEN)) revert FeeTokenMismatch(token);
    }

    /// @dev Stored form of the node that responds: its index among the nodes that are trusted by id,
    ///      or its id, which as a number is larger than any index.
    function _placeOf(
        bytes32 nodeId,
        Terms memory terms,
        ReferenceNodeManager nodes
    ) private view returns (uint256) {
        for (uint256 i = 0; i < terms.trustedNodeIds.length; ++i) {
            if (terms.trustedNodeIds[i] == nodeId) return i;
        }
        for (uint256 i = 0; i < terms.trustNamespaceIds.length; ++i) {
            bytes32 namespaceId = terms.trustNamespaceIds[i];
            // Zero when the node is not a member, which is before any block.
            if (nodes.nodeTrustNamespaceExpiration(nodeId, namespaceId) >= block.timestamp) {
                return uint256(nodeId);
            }
        }
        revert("Node does not have required trust namespace");
    }

    function _callBack(bytes32 requestId, Terms memory terms, bool succeeded) private {
        CallBack memory callback = terms.callback;
        bytes memory data = abi.encodeWithSelector(
            succeeded ? callback.success : callback.failure,
            requestId
        );
        (uint256 callbackGas, address target) = (terms.callbackGas, callback.target);
        // A call gets at most 63/64 of the remaining gas (EIP-150).
        if (gasleft() - gasleft() / 64 < callbackGas.saturatingAdd(CALL_GAS)) {
            revert InsufficientGasForCallback(callbackGas);
        }
        bool ok;
        bytes memory reason;
        assembly ("memory-safe") {
            ok := call(callbackGas, target, 0, add(data, 0x20), mload(data), 0, 0)
            if iszero(ok) {
                let length := returndatasize()
                if gt(length, LONGEST_REASON) {
                    length := LONGEST_REASON
                }
                reason := mload(0x40)
                mstore(reason, length)
                returndatacopy(add(reason, 0x20), 0, length)
                mstore(0x40, and(add(add(reason, length), 0x3f), not(0x1f)))
            }
        }
        if (ok) return;
        if (succeeded) emit SuccessCallbackFailed(requestId, reason);
        else emit FailureCallbackFailed(requestId, reason);
    }

    function _checkRange(uint256 from, uint256 to, uint256 count) private pure {
        if (from > to || to > count) revert InvalidRange(from, to, count);
    }

    function _requestId(uint256 index) private view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), index));
    }

    function _termsEnd(bytes memory written) private pure returns (uint256) {
        return 3 + uint24(bytes3(written));
    }

    function _terms(
        bytes32 requestId,
        bytes memory written
    ) private view returns (Terms memory terms) {
        if (written.length == 0) revert RequestNotFound(requestId);
        (
            terms.index,
            terms.sessionId,
            terms.user,
            terms.modelId,
            terms.trustNamespaceIds,
            terms.trustedNodeIds,
            terms.confidenceLevel,
            terms.calltype,
            terms.feePerByteReq,
            terms.feePerByteRes,
            terms.totalFeePerRes,
            terms.callback,
            terms.callbackGas
        ) = abi.decode(
            ZeroPacking.unpack(written, 3, _termsEnd(written)),
            (
                uint256,
                uint256,
                address,
                bytes32,
                bytes32[],
                bytes32[],
                uint8,
                CallType,
                uint256,
                uint256,
                uint256,
                CallBack,
                uint256
            )
        );
        assert(_requestId(terms.index) == requestId);
    }

    function _answer(
        bytes memory written
    ) private pure returns (ResponseStatus, string memory, bytes memory, uint256, uint256) {
        return
            abi.decode(
                ZeroPacking.unpack(written, 0, written.length),
                (ResponseStatus, string, bytes, uint256, uint256)
            );
    }

    function _requests() private pure returns (RequestsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
