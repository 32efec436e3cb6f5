// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Saying why a session could not be started
/// @notice The network's reason is kept inside an error of one's own.
contract SafeStart is Example {
    using SafeERC20 for IERC20;

    /// @notice The network did not start a session.
    /// @param reason What it reverted with, selector and all, for example `InvalidAmount()`.
    error StartFailed(bytes reason);

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
        try ai.startUserSession() returns (uint256 started) {
            sessionId = started;
        } catch (bytes memory reason) {
            // Only a revert takes the transfer back: going on would leave the deposit to others.
            revert StartFailed(reason);
        }
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
