// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnDefaults} from "../DtnDefaults.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {Example} from "./Example.sol";

/// @title A session that the first request starts
/// @notice A request with session 0 starts one, from a deposit made in the same transaction.
///         The reference variant does so. The routers deployed in 2025 refuse session 0, and
///         then the deposit is undone as well.
contract AutomaticSession is Example {
    using SafeERC20 for IERC20;

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

    /// @notice Asks the model; the first time, from all tokens that are here.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        if (sessionId == 0) {
            // In one transaction: a deposit belongs to whoever starts a session next.
            IERC20 token = IERC20(ai.feeToken());
            token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        }
        requestId = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            dtnRequest: _text(prompt),
            callback: DtnDefaults.noCallback(),
            user: msg.sender,
            callbackGas: msg.value
        });
        // `request` does not return the session, and without its id nobody could close it.
        sessionId = IRouter(address(ai)).getRequest(requestId).sessionId;
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
