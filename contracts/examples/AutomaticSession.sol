// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnRequests} from "../DtnRequests.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {Example} from "./Example.sol";

/// @title Session that the first request starts
/// @notice In the reference variant, a request with session 0 starts a session with the deposit of
///         the same transaction. The live router refuses session 0, which reverts the deposit too.
contract AutomaticSession is Example {
    using SafeERC20 for IERC20;

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

    /// @notice Sends a prompt to the model. The first one starts a session with all tokens of this
    ///         contract.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        if (sessionId == 0) {
            // In one transaction: anybody else could start a session with a deposit that is waiting.
            IERC20 token = IERC20(ai.feeToken());
            token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        }
        requestId = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            request: _text(prompt),
            callback: DtnRequests.noCallback(),
            user: msg.sender,
            callbackGas: msg.value
        });
        // `request` does not return the id of the session, which is needed to close it.
        sessionId = IRouter(address(ai)).getRequest(requestId).sessionId;
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
