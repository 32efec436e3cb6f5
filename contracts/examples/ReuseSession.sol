// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {Example} from "./Example.sol";

/// @title Several requests at the expense of one session
/// @notice Each request id is kept, and a callback stores each answer under it.
contract ReuseSession is Example {
    using SafeERC20 for IERC20;

    /// @notice The answers that have come, by request.
    mapping(bytes32 requestId => string) public answers;
    /// @notice What the node said about the requests that failed.
    mapping(bytes32 requestId => string) public failures;

    bytes32[] private _requestIds;

    /// @notice An answer has come.
    /// @param requestId The request.
    event Answered(bytes32 indexed requestId);

    /// @notice A request has failed.
    /// @param requestId The request.
    /// @param message What the node says about it.
    event Failed(bytes32 indexed requestId, string message);

    /// @notice The network gave the id of the previous request again: ask a second later.
    /// @param requestId The id.
    error RequestIdTaken(bytes32 requestId);

    /// @notice Settles who is asked, and at what price.
    /// @param router The router of the network.
    /// @param model The model's full name.
    /// @param node The node's full name.
    /// @param feePerByte_ Fee for each byte, in units of the fee token.
    /// @param mostItMayCost_ The most that one answer may cost, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 mostItMayCost_
    ) Example(router, model, node, feePerByte_, mostItMayCost_) {}

    /// @notice Starts a session from all tokens that are here.
    function start() external onlyOwner whenNoSession {
        // In one transaction: a deposit belongs to whoever starts a session next.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }

    /// @notice Asks the model. The answer will be in `answers`.
    /// @dev Send as many wei as the callback may use gas: 50000, and 25000 more for each 32 bytes
    ///      of the answer, are enough. With too little, `answer` can still read it.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        bytes32 asked = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            dtnRequest: _text(prompt),
            callback: IDtnAi.CallBack({
                success: this.onAnswer.selector,
                failure: this.onFailure.selector,
                target: address(this)
            }),
            user: msg.sender,
            callbackGas: msg.value
        });
        // The deployed network makes ids from the block's time, the session and the two accounts.
        // Another request in the same block would silently replace the one before.
        if (asked == requestId) revert RequestIdTaken(asked);
        requestId = asked;
        _requestIds.push(asked);
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Stores an answer. Only the network may call it.
    /// @param id The request.
    function onAnswer(bytes32 id) external onlyDtn {
        (, , bytes memory response) = ai.fetchResponse(id);
        answers[id] = abi.decode(response, (string));
        emit Answered(id);
    }

    /// @notice Stores why a request failed. Only the network may call it.
    /// @param id The request.
    function onFailure(bytes32 id) external onlyDtn {
        (, string memory message, ) = ai.fetchResponse(id);
        failures[id] = message;
        emit Failed(id, message);
    }

    /// @notice All requests, in the order they were made.
    /// @return Their ids.
    function requestIds() external view returns (bytes32[] memory) {
        return _requestIds;
    }
}
