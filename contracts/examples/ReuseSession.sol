// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IDtnAi} from "../idtn-ai.sol";
import {Example} from "./Example.sol";

/// @title Several requests with one session
/// @notice A callback stores each response under the id of its request.
contract ReuseSession is Example {
    using SafeERC20 for IERC20;

    /// @notice Responses by request.
    mapping(bytes32 requestId => string) public answers;
    /// @notice Reasons of failures by request.
    mapping(bytes32 requestId => string) public failures;

    bytes32[] private _requestIds;

    /// @notice A response was stored.
    /// @param requestId The request.
    event Answered(bytes32 indexed requestId);

    /// @notice A request has failed.
    /// @param requestId The request.
    /// @param message Reason, as the node gives it.
    event Failed(bytes32 indexed requestId, string message);

    /// @notice The request has the id of the previous one. Retry in the next second.
    /// @param requestId The id.
    error RequestIdTaken(bytes32 requestId);

    /// @notice Sets the model, the node and the price.
    /// @param router Router of the network.
    /// @param model Full name of the model.
    /// @param node Full name of the node.
    /// @param feePerByte_ Fee per byte, in units of the fee token.
    /// @param maxCost_ Maximum fee for one response, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 maxCost_
    ) Example(router, model, node, feePerByte_, maxCost_) {}

    /// @notice Starts a session with all tokens of this contract.
    function start() external onlyOwner whenNoSession {
        // In one transaction: anybody else could start a session with a deposit that is waiting.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }

    /// @notice Sends a prompt to the model. The callback stores the response in `answers`.
    /// @dev Send one wei per unit of callback gas: 50000, and 25000 for each 32 bytes of the
    ///      response, are enough. With too little, `answer` can still read it.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        bytes32 id = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            request: _text(prompt),
            callback: IDtnAi.CallBack({
                success: this.onAnswer.selector,
                failure: this.onFailure.selector,
                target: address(this)
            }),
            user: msg.sender,
            callbackGas: msg.value
        });
        // The live network makes ids of block time, session, user and caller: a second request in
        // the same block would overwrite the first one.
        if (id == requestId) revert RequestIdTaken(id);
        requestId = id;
        _requestIds.push(id);
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Callback: stores a response.
    /// @param id The request.
    function onAnswer(bytes32 id) external onlyDtn {
        (, , bytes memory response) = ai.fetchResponse(id);
        answers[id] = abi.decode(response, (string));
        emit Answered(id);
    }

    /// @notice Callback: stores the reason of a failure.
    /// @param id The request.
    function onFailure(bytes32 id) external onlyDtn {
        (, string memory message, ) = ai.fetchResponse(id);
        failures[id] = message;
        emit Failed(id, message);
    }

    /// @notice All requests, in order of creation.
    /// @return Their ids.
    function requestIds() external view returns (bytes32[] memory) {
        return _requestIds;
    }
}
