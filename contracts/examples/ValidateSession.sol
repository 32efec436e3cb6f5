// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {ISessionManager} from "../network/interfaces/ISessionManager.sol";
import {Example} from "./Example.sol";

/// @title Never asking without a session
/// @notice Each request is preceded by a look at the session, and starts one when there is none.
contract ValidateSession is Example {
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

    /// @notice Asks the model, in a new session from all tokens that are here if there is no other.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable override onlyOwner {
        if (!hasSession()) _start();
        super.ask(prompt);
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Whether there is a session that can be used.
    /// @dev Remembering an id is not enough: the network may replace its session manager, which it
    ///      has done, and the new one knows nothing of the sessions before.
    /// @return Whether the network knows the session as one of this contract.
    function hasSession() public view returns (bool) {
        ISessionManager sessions = ISessionManager(IRouter(address(ai)).sessionManager());
        return sessions.getSessionById(sessionId).owner == address(this);
    }

    function _start() private {
        // In one transaction: a deposit belongs to whoever starts a session next.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }
}
