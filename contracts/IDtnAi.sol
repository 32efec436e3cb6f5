// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title The Deep Trust Network as a consumer sees it
/// @notice Open a session with a stablecoin, spend it on AI requests, close it for a refund.
///         This is the interface of the deployed router, to the selector and topic.
interface IDtnAi {
    /// @notice How the answer travels: as a content identifier, or in the transaction itself.
    enum CallType {
        IPFS,
        DIRECT
    }

    /// @notice How several answers become one. Only `ANY` completes on the deployed network.
    enum AggregationType {
        ANY,
        ALL,
        SELECT_BEST,
        VOTE,
        RANK
    }

    /// @notice What a node made of a request. `NA` means that it has not answered.
    enum ResponseStatus {
        NA,
        SUCCESS,
        FAILURE
    }

    /// @notice Who may answer a request.
    /// @param trustNamespaceIds Namespaces whose member nodes are trusted.
    /// @param trustedNodeIds Nodes that are trusted by their own id.
    /// @param redundancy How many answers are wanted. Only 1 completes on the deployed network.
    /// @param confidenceLevel From 0 to 10.
    /// @param aggregationType How several answers become one.
    struct DtnRouting {
        bytes32[] trustNamespaceIds;
        bytes32[] trustedNodeIds;
        uint32 redundancy;
        uint8 confidenceLevel;
        AggregationType aggregationType;
    }

    /// @notice What is asked and what is paid for it. All fees are in units of the fee token.
    /// @param call `abi.encode` of the inputs that the model's API names.
    /// @param extraParams Values of the placeholders in `call`, `abi.encode`d by index.
    /// @param calltype How the answer travels.
    /// @param feePerByteReq Fee for each byte of the request.
    /// @param feePerByteRes Fee for each byte of the response.
    /// @param totalFeePerRes The most that one response may cost.
    struct DtnRequest {
        bytes call;
        bytes extraParams;
        CallType calltype;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        uint256 totalFeePerRes;
    }

    /// @notice What the router calls once a request is complete, with the request's id.
    /// @param success Selector of `function (bytes32 requestId)` called after a SUCCESS.
    /// @param failure Selector of `function (bytes32 requestId)` called after a FAILURE.
    /// @param target The contract that is called. Without code there, nothing happens.
    struct CallBack {
        bytes4 success;
        bytes4 failure;
        address target;
    }

    /// @notice One node's answer.
    /// @param status SUCCESS or FAILURE.
    /// @param message What the node says about a failure.
    /// @param response `abi.encode` of the API's output type, or of the `string` CID for IPFS.
    /// @param nodeId The node that answered.
    /// @param timestamp The time of the block that holds the answer, in seconds.
    struct Response {
        ResponseStatus status;
        string message;
        bytes response;
        bytes32 nodeId;
        uint256 timestamp;
    }

    /// @notice Opens a session from the tokens sent to `feeTarget()` that no session holds yet.
    /// @dev Send the tokens in the same transaction: a deposit belongs to whoever starts first.
    /// @return sessionId The new session, owned by the caller.
    function startUserSession() external returns (uint256 sessionId);

    /// @notice Closes a session of the caller and refunds to the caller what is left of it.
    /// @param sessionId A session that the caller owns.
    function closeUserSession(uint256 sessionId) external;

    /// @notice Asks a model, at the expense of a session of the caller.
    /// @param sessionId A session that the caller owns.
    /// @param modelId The model, see `modelId(string)`.
    /// @param routing Who may answer.
    /// @param dtnRequest What is asked, and the fees.
    /// @param callback What is called with the answer.
    /// @param user On whose behalf the caller asks; it is an indexed field of `RequestCreated`.
    /// @param callbackGas Gas for the callback. The call must carry at least as many wei.
    /// @return requestId The request, for `fetchResponse`.
    function request(
        uint256 sessionId,
        bytes32 modelId,
        DtnRouting calldata routing,
        DtnRequest calldata dtnRequest,
        CallBack calldata callback,
        address user,
        uint256 callbackGas
    ) external payable returns (bytes32 requestId);

    /// @notice The answer to a completed request. Reverts "Request not completed" before that.
    /// @param requestId The request.
    /// @return status SUCCESS or FAILURE.
    /// @return message What the node says about a failure.
    /// @return response The encoded answer, see `Response`.
    function fetchResponse(
        bytes32 requestId
    ) external view returns (ResponseStatus status, string memory message, bytes memory response);

    /// @notice Answers a request. Only the worker of a node that the routing trusts may call it.
    /// @param requestId The request.
    /// @param status SUCCESS or FAILURE.
    /// @param message What the node says about a failure.
    /// @param response The encoded answer, see `Response`.
    /// @param nodeId The node that answers.
    /// @param requestSize The request's size in bytes, as the node states it.
    /// @param responseSize The response's size in bytes, as the node states it.
    function respondToRequest(
        bytes32 requestId,
        ResponseStatus status,
        string calldata message,
        bytes calldata response,
        bytes32 nodeId,
        uint256 requestSize,
        uint256 responseSize
    ) external;

    /// @notice The id of a model.
    /// @param modelFullName For example `model.system.openai-gpt-5`.
    /// @return The keccak-256 hash of the packed name.
    function modelId(string calldata modelFullName) external view returns (bytes32);

    /// @notice The stablecoin that sessions are paid with.
    /// @return The token's address.
    function feeToken() external view returns (address);

    /// @notice Where a deposit is sent before `startUserSession`.
    /// @return The address that holds all deposits.
    function feeTarget() external view returns (address);
}
