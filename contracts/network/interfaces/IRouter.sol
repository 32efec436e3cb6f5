// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "../../IDtnAi.sol";

/// @title The router, beyond what consumers call
/// @notice The events and views of the deployed router.
interface IRouter is IDtnAi {
    /// @notice A request, in the field order of the deployed router.
    /// @param sessionId The session that pays.
    /// @param user On whose behalf it was made.
    /// @param completed Whether it has its answer.
    /// @param modelId The model that is asked.
    /// @param routing Who may answer.
    /// @param request What is asked, and the fees.
    /// @param callback What is called with the answer.
    /// @param callbackGas Gas for the callback.
    /// @param responseCount How many nodes have answered.
    /// @param finalResponse The answer, once completed.
    struct Request {
        uint256 sessionId;
        address user;
        bool completed;
        bytes32 modelId;
        DtnRouting routing;
        DtnRequest request;
        CallBack callback;
        uint256 callbackGas;
        uint256 responseCount;
        Response finalResponse;
    }

    /// @notice A request was made.
    /// @param requestId The request.
    /// @param sessionId The session that pays.
    /// @param user On whose behalf it was made.
    event RequestCreated(
        bytes32 indexed requestId,
        uint256 indexed sessionId,
        address indexed user
    );

    /// @notice A node answered.
    /// @param requestId The request.
    /// @param nodeId The node.
    /// @param status SUCCESS or FAILURE.
    event ResponseReceived(
        bytes32 indexed requestId,
        bytes32 indexed nodeId,
        ResponseStatus status
    );

    /// @notice A request has its answer.
    /// @param requestId The request.
    /// @param status SUCCESS or FAILURE.
    event RequestCompleted(bytes32 indexed requestId, ResponseStatus status);

    /// @notice The callback for a SUCCESS reverted. The answer can still be fetched.
    /// @param requestId The request.
    /// @param data What the callback reverted with.
    event SuccessCallbackFailed(bytes32 indexed requestId, bytes data);

    /// @notice The callback for a FAILURE reverted. The answer can still be fetched.
    /// @param requestId The request.
    /// @param data What the callback reverted with.
    event FailureCallbackFailed(bytes32 indexed requestId, bytes data);

    /// @notice A request by its id.
    /// @param requestId The request.
    /// @return The request, empty when there is none.
    function getRequest(bytes32 requestId) external view returns (Request memory);

    /// @notice How many requests were ever made.
    /// @return The number.
    function getPendingRequestsLength() external view returns (uint256);

    /// @notice Requests in the order they were made, completed ones among them.
    /// @param from The first index.
    /// @param to The index after the last.
    /// @return Their ids.
    function getPendingRequests(uint256 from, uint256 to) external view returns (bytes32[] memory);

    /// @notice How many requests were completed.
    /// @return The number.
    function getCompletedRequestsLength() external view returns (uint256);

    /// @notice Completed requests in the order they were completed.
    /// @param from The first index.
    /// @param to The index after the last.
    /// @return Their ids.
    function getCompletedRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory);

    /// @notice The session manager now in use. Its owner can replace it.
    /// @return The address.
    function sessionManager() external view returns (address);

    /// @notice The model manager now in use.
    /// @return The address.
    function modelManager() external view returns (address);

    /// @notice The node manager now in use.
    /// @return The address.
    function nodeManager() external view returns (address);
}
