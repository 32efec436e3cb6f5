// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "../../IDtnAi.sol";

/// @title Router, with events and views that consumers do not need
/// @notice Interface of the live router.
interface IRouter is IDtnAi {
    /// @notice Request, in the field order of the live router.
    /// @param sessionId Session that pays.
    /// @param user Account on whose behalf it was made.
    /// @param completed Whether it has its final response.
    /// @param modelId Model.
    /// @param routing Which nodes may respond.
    /// @param request Call of the model, and its fees.
    /// @param callback What the router calls with the response.
    /// @param callbackGas Gas for the callback.
    /// @param responseCount Number of nodes that have responded.
    /// @param finalResponse Response, once completed.
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

    /// @notice A request was created.
    /// @param requestId The request.
    /// @param sessionId Session that pays.
    /// @param user Account on whose behalf it was made.
    event RequestCreated(
        bytes32 indexed requestId,
        uint256 indexed sessionId,
        address indexed user
    );

    /// @notice A node responded.
    /// @param requestId The request.
    /// @param nodeId The node.
    /// @param status SUCCESS or FAILURE.
    event ResponseReceived(
        bytes32 indexed requestId,
        bytes32 indexed nodeId,
        ResponseStatus status
    );

    /// @notice A request was completed.
    /// @param requestId The request.
    /// @param status SUCCESS or FAILURE.
    event RequestCompleted(bytes32 indexed requestId, ResponseStatus status);

    /// @notice The callback for a SUCCESS reverted. The response can still be fetched.
    /// @param requestId The request.
    /// @param data Revert data of the callback.
    event SuccessCallbackFailed(bytes32 indexed requestId, bytes data);

    /// @notice The callback for a FAILURE reverted. The response can still be fetched.
    /// @param requestId The request.
    /// @param data Revert data of the callback.
    event FailureCallbackFailed(bytes32 indexed requestId, bytes data);

    /// @notice Request by its id.
    /// @param requestId The id.
    /// @return The request, empty if it does not exist.
    function getRequest(bytes32 requestId) external view returns (Request memory);

    /// @notice Number of all requests, pending and completed.
    /// @return The number.
    function getPendingRequestsLength() external view returns (uint256);

    /// @notice Ids of all requests, pending and completed, in order of creation.
    /// @param from Index of the first request.
    /// @param to Index after the last request.
    /// @return The ids.
    function getPendingRequests(uint256 from, uint256 to) external view returns (bytes32[] memory);

    /// @notice Number of completed requests.
    /// @return The number.
    function getCompletedRequestsLength() external view returns (uint256);

    /// @notice Ids of completed requests, in order of completion.
    /// @param from Index of the first request.
    /// @param to Index after the last request.
    /// @return The ids.
    function getCompletedRequests(
        uint256 from,
        uint256 to
    ) external view returns (bytes32[] memory);

    /// @notice Current session manager. The router's owner can replace it.
    /// @return Its address.
    function sessionManager() external view returns (address);

    /// @notice Current model manager.
    /// @return Its address.
    function modelManager() external view returns (address);

    /// @notice Current node manager.
    /// @return Its address.
    function nodeManager() external view returns (address);
}
