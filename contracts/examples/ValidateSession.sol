// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {ISessionManager} from "../network/interfaces/ISessionManager.sol";
import {Example} from "./Example.sol";

/// @title Check of the session before each request
/// @notice A request starts a session if there is none.
contract ValidateSession is Example {
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

    /// @notice Sends a prompt to the model. Without a session, starts one with all tokens of this
    ///         contract.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        if (!hasSession()) _start();
        super.ask(prompt);
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Whether there is a session that can be used.
    /// @dev A stored id is not enough: the network has replaced its session manager before, and the
    ///      new one does not know the sessions of the old one.
    /// @return True if this contract owns the session on the network.
    function hasSession() public view returns (bool) {
        ISessionManager sessions = ISessionManager(IRouter(address(ai)).sessionManager());
        return sessions.getSessionById(sessionId).owner == address(this);
    }

    function _start() private {
        // In one transaction: anybody else could start a session with a deposit that is waiting.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }
}
