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

/// @title The router as the product documentation describes it
/// @notice Session 0 opens a session from the caller's deposit, no two requests share an id, and a
///         node cannot starve a callback. It keeps the sessions and their tokens itself.
/// @dev A request is written once, and so is its answer, each as the code of a contract.
contract ReferenceRouter is IRouter, Upgradeable, Sessions, CodeStorage {
    using Math for uint256;

    /// @dev What is written of a request, beside its call: what an answer is settled by.
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
        // By six in a word.
        mapping(uint256 sixth => uint40[6] indices) completed;
    }

    /// @notice What a byte costs in a FAILURE, in units of the fee token.
    uint256 public constant FAILURE_FEE_PER_BYTE = 1;

    // What is written of a request.
    uint256 private constant REQUEST = 0;
    uint256 private constant ANSWER = 1;

    // How much of what a callback reverts with is told: whoever answers pays for each byte.
    uint256 private constant LONGEST_REASON = 1024;

    // What comes between the check of the gas that is left and the callback costs less, also where
    // the target is an account that has delegated to a contract.
    uint256 private constant CALL_GAS = 10_000;

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.Requests")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x9d81326ee2e45ec405e9476e2a6a86a719b4542e4c49ae2775009bf04c03fc00;

    // The guard of the sessions is not held during a callback, which may start and close some. It is set
    // to false, never deleted: some compilers confuse that with deleting from storage.
    bool private transient _isResponding;

    /// @dev What a response does comes in one piece in the logs, and not within another's.
    modifier oneResponse() {
        if (_isResponding) revert ReentrancyGuardReentrantCall();
        _isResponding = true;
        _;
        _isResponding = false;
    }

    /// @notice The code behind a proxy.
    /// @param token The token that sessions are paid with, which has one address only: no callback
    ///        may go there. The proxy takes no code for another token.
    constructor(IERC20 token) Sessions(token) {}

    /// @notice Sets the owner.
    /// @param owner_ The owner.
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    /// @notice Chooses the registries behind the router.
    /// @param nodes The node manager.
    /// @param models The model manager.
    function setManagers(ReferenceNodeManager nodes, IModelManager models) external onlyOwner {
        RequestsStorage storage $ = _requests();
        $.nodes = nodes;
        $.models = models;
    }

    /// @inheritdoc IDtnAi
    /// @dev A session holds at most 2^96 - 1 units. What is above waits, as deposits do.
    function startUserSession() external returns (uint256 sessionId) {
        return _open(msg.sender);
    }

    /// @inheritdoc IDtnAi
    function closeUserSession(uint256 sessionId) external {
        _close(sessionId, msg.sender);
    }

    /// @inheritdoc IDtnAi
    /// @dev Refused where it could never have an answer, or where a callback would act in the name
    ///      of the contract that holds all tokens.
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
        require(
            callback.target != address(TOKEN) && callback.target != address(this),
            "Callback target not allowed"
        );

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
        uint256 fee = succeeded
            ? Fee.forAnswer(requestSize, terms.feePerByteReq, responseSize, terms.feePerByteRes, cap)
            : Fee.forAnswer(requestSize, FAILURE_FEE_PER_BYTE, responseSize, FAILURE_FEE_PER_BYTE, cap);
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
    function getRequest(bytes32 requestId) external view returns (Request memory asked) {
        bytes memory written = _read(REQUEST, requestId);
        if (written.length == 0) return asked;
        Terms memory terms = _terms(requestId, written);
        asked.sessionId = terms.sessionId;
        asked.user = terms.user;
        asked.modelId = terms.modelId;
        asked.routing.trustNamespaceIds = terms.trustNamespaceIds;
        asked.routing.trustedNodeIds = terms.trustedNodeIds;
        asked.routing.redundancy = 1;
        asked.routing.confidenceLevel = terms.confidenceLevel;
        asked.callback = terms.callback;
        asked.callbackGas = terms.callbackGas;
        asked.request.calltype = terms.calltype;
        asked.request.feePerByteReq = terms.feePerByteReq;
        asked.request.feePerByteRes = terms.feePerByteRes;
        asked.request.totalFeePerRes = terms.totalFeePerRes;
        (asked.request.call, asked.request.extraParams) = abi.decode(
            ZeroPacking.unpack(written, _termsEnd(written), written.length),
            (bytes, bytes)
        );

        written = _read(ANSWER, requestId);
        if (written.length == 0) return asked;
        asked.completed = true;
        asked.responseCount = 1;
        Response memory response = asked.finalResponse;
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
    ) external view returns (bytes32[] memory page_) {
        _checkRange(from, to, _requests().count);
        page_ = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) page_[i - from] = _requestId(i);
    }

    /// @inheritdoc IRouter
    function getCompletedRequestsLength() external view returns (uint256) {
        return _requests().completedCount;
    }

    /// @inheritdoc IRouter
    function getCompletedRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory page_) {
        RequestsStorage storage $ = _requests();
        _checkRange(from, to, $.completedCount);
        page_ = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) page_[i - from] = _requestId($.completed[i / 6][i % 6]);
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
        require(IDtnAi(implementation).feeToken() == address(TOKEN), "Different fee token");
    }

    /// @dev What is kept of who answered: its place among the nodes that are trusted by their ids,
    ///      and otherwise its own id, which is no such number.
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
            // Zero when the node is no member, and so earlier than any block.
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
        // A call is given 63/64 of what is left, whatever it asks for.
        require(
            gasleft() - gasleft() / 64 >= callbackGas.saturatingAdd(CALL_GAS),
            "Insufficient gas for callback"
        );
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
        require(from <= to && to <= count, "No such requests");
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
        require(written.length != 0, "Request does not exist");
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
