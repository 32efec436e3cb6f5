// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Router of the Deep Trust Network, as consumers call it
/// @notice Open a session with a stablecoin, spend it on AI requests, close it for a refund.
///         Selectors and topics are those of the live router.
interface IDtnAi {
    /// @notice How the response is delivered: as an IPFS content identifier, or in the transaction.
    enum CallType {
        IPFS,
        DIRECT
    }

    /// @notice How several responses are combined. Only `ANY` completes on the live network.
    enum AggregationType {
        ANY,
        ALL,
        SELECT_BEST,
        VOTE,
        RANK
    }

    /// @notice Status of a response. `NA`: no node has responded.
    enum ResponseStatus {
        NA,
        SUCCESS,
        FAILURE
    }

    /// @notice Which nodes may respond to a request.
    /// @param trustNamespaceIds Namespaces whose member nodes are trusted.
    /// @param trustedNodeIds Nodes that are trusted by id.
    /// @param redundancy Number of responses. On the live network requests with more than 1 never
    ///        complete.
    /// @param confidenceLevel From 0 to 10.
    /// @param aggregationType How several responses are combined.
    struct DtnRouting {
        bytes32[] trustNamespaceIds;
        bytes32[] trustedNodeIds;
        uint32 redundancy;
        uint8 confidenceLevel;
        AggregationType aggregationType;
    }

    /// @notice Call of a model, and its fees in units of the fee token.
    /// @param call `abi.encode` of the inputs in the model's API.
    /// @param extraParams `abi.encode` of the values for the placeholders in `call`, by index.
    /// @param calltype How the response is delivered.
    /// @param feePerByteReq Fee per byte of the request.
    /// @param feePerByteRes Fee per byte of the response.
    /// @param totalFeePerRes Maximum fee for one response.
    struct DtnRequest {
        bytes call;
        bytes extraParams;
        CallType calltype;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        uint256 totalFeePerRes;
    }

    /// @notice Callback of the router when a request completes. Its only argument is the request id.
    /// @param success Selector of `function (bytes32 requestId)` called after a SUCCESS.
    /// @param failure Selector of `function (bytes32 requestId)` called after a FAILURE.
    /// @param target Contract that is called. An address without code has no callback.
    struct CallBack {
        bytes4 success;
        bytes4 failure;
        address target;
    }

    /// @notice Response of a node.
    /// @param status SUCCESS or FAILURE.
    /// @param message Reason of a failure, as the node gives it.
    /// @param response `abi.encode` of the API's output type, or of the `string` CID for IPFS.
    /// @param nodeId Node that responded.
    /// @param timestamp Timestamp of the block with the response, in seconds.
    struct Response {
        ResponseStatus status;
        string message;
        bytes response;
        bytes32 nodeId;
        uint256 timestamp;
    }

    /// @notice Opens a session with all tokens at `feeTarget()` that belong to no session.
    /// @dev Transfer the tokens in the same transaction. A deposit is not tied to its sender: the
    ///      next caller of this function gets it.
    /// @return sessionId New session, owned by the caller.
    function startUserSession() external returns (uint256 sessionId);

    /// @notice Closes a session of the caller and refunds its balance to the caller.
    /// @param sessionId Session of the caller.
    function closeUserSession(uint256 sessionId) external;

    /// @notice Sends a request to a model, paid by a session of the caller.
    /// @param sessionId Session of the caller.
    /// @param modelId Model, see `modelId(string)`.
    /// @param routing Which nodes may respond.
    /// @param request Call of the model, and its fees.
    /// @param callback What the router calls with the response.
    /// @param user Account on whose behalf the caller acts, an indexed field of `RequestCreated`.
    /// @param callbackGas Gas for the callback. `msg.value` must be at least as many wei.
    /// @return requestId Request, for `fetchResponse`.
    function request(
        uint256 sessionId,
        bytes32 modelId,
        DtnRouting calldata routing,
        DtnRequest calldata request,
        CallBack calldata callback,
        address user,
        uint256 callbackGas
    ) external payable returns (bytes32 requestId);

    /// @notice Response to a completed request. Reverts with "Request not completed" before that.
    /// @param requestId Request.
    /// @return status SUCCESS or FAILURE.
    /// @return message Reason of a failure, as the node gives it.
    /// @return response Encoded output of the model, see `Response`.
    function fetchResponse(
        bytes32 requestId
    ) external view returns (ResponseStatus status, string memory message, bytes memory response);

    /// @notice Responds to a request. Only the worker of a node that the routing trusts may call it.
    /// @param requestId Request.
    /// @param status SUCCESS or FAILURE.
    /// @param message Reason of a failure.
    /// @param response Encoded output of the model, see `Response`.
    /// @param nodeId Node that responds.
    /// @param requestSize Size of the request in bytes, as the node states it.
    /// @param responseSize Size of the response in bytes, as the node states it.
    function respondToRequest(
        bytes32 requestId,
        ResponseStatus status,
        string calldata message,
        bytes calldata response,
        bytes32 nodeId,
        uint256 requestSize,
        uint256 responseSize
    ) external;

    /// @notice Id of a model.
    /// @param modelFullName Full name, for example `model.system.openai-gpt-5`.
    /// @return Hash of the packed name.
    function modelId(string calldata modelFullName) external view returns (bytes32);

    /// @notice Stablecoin that sessions are paid in.
    /// @return Address of the token.
    function feeToken() external view returns (address);

    /// @notice Address that deposits are transferred to before `startUserSession`.
    /// @return Address that holds all deposits.
    function feeTarget() external view returns (address);
}
