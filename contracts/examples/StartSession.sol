// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Starting a session
/// @notice A session is filled once, when it starts, and pays for requests until it is closed.
contract StartSession is Example {
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

    /// @notice Starts a session from all tokens that are here.
    function start() external onlyOwner whenNoSession {
        IERC20 token = IERC20(ai.feeToken());
        uint256 amount = token.balanceOf(address(this));
        // USDT returns nothing from `transfer`, which only `safeTransfer` copes with.
        token.safeTransfer(ai.feeTarget(), amount);
        // The network does not know who sent the tokens: they belong to whoever starts a session
        // next. Starting in a later transaction would let anybody else take them.
        sessionId = ai.startUserSession();
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
