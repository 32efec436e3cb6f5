// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnDefaults} from "../dtn-defaults.sol";
import {DtnRequests} from "../DtnRequests.sol";
import {DtnRouter} from "../DtnRouter.sol";
import {IDtnAi} from "../idtn-ai.sol";
import {WithDtnAi} from "../with-dtn-ai.sol";

/// @title Base of the examples
/// @notice One model, one node and one price. Only the owner spends and withdraws. The examples
///         differ in how they handle the session. To use one, first send it some of the fee token.
abstract contract Example is WithDtnAi, Ownable {
    using SafeERC20 for IERC20;

    /// @notice Model.
    bytes32 public immutable modelId;
    /// @notice Node that may respond.
    bytes32 public immutable nodeId;
    /// @notice Fee per byte of request and response, in units of the fee token.
    uint256 public immutable feePerByte;
    /// @notice Maximum fee for one response, in units of the fee token.
    uint256 public immutable maxCost;

    /// @notice Open session, 0 if there is none.
    uint256 public sessionId;
    /// @notice Latest request.
    bytes32 public requestId;

    /// @notice A session is already open.
    /// @param sessionId The session.
    error SessionOpen(uint256 sessionId);

    /// @notice The node responded with a FAILURE.
    /// @param message Reason, as the node gives it.
    error RequestFailed(string message);

    /// @dev Overwriting the id of an open session would lose its balance.
    modifier whenNoSession() {
        if (sessionId != 0) revert SessionOpen(sessionId);
        _;
    }

    /// @notice Sets the model, the node and the price.
    /// @dev Prices depend on the token's decimals: a unit of USDC is a millionth of a dollar.
    /// @param router Router of the network.
    /// @param model Full name of the model, for example `model.system.openai-gpt-5`.
    /// @param node Full name of the node, for example `node.alice.first`.
    /// @param feePerByte_ Fee per byte, in units of the fee token.
    /// @param maxCost_ Maximum fee for one response, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 maxCost_
    ) Ownable(msg.sender) {
        setAi(DtnRouter.checked(router));
        modelId = DtnRequests.id(model);
        nodeId = DtnRequests.id(node);
        feePerByte = feePerByte_;
        maxCost = maxCost_;
    }

    /// @notice Sends a prompt to the model, paid by the open session.
    /// @dev There is no callback. Send no value: the network would keep it.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable virtual onlyOwner {
        requestId = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            request: _text(prompt),
            callback: DtnRequests.noCallback(),
            user: msg.sender,
            callbackGas: msg.value
        });
    }

    /// @notice Sends all tokens of this contract to the owner.
    function withdraw() external onlyOwner {
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(msg.sender, token.balanceOf(address(this)));
    }

    /// @notice Response to the latest request. Reverts while it is pending.
    /// @return The text.
    function answer() external view returns (string memory) {
        (IDtnAi.ResponseStatus status, string memory message, bytes memory response) = ai
            .fetchResponse(requestId);
        if (status != IDtnAi.ResponseStatus.SUCCESS) revert RequestFailed(message);
        return abi.decode(response, (string));
    }

    function _routing() internal view returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.defaultCustomNodesValidatedAny(DtnDefaults.singleArray(nodeId));
    }

    function _text(string calldata prompt) internal view returns (IDtnAi.DtnRequest memory) {
        return DtnRequests.text(prompt, feePerByte, maxCost);
    }
}
