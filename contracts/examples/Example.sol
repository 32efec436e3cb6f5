// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnDefaults} from "../DtnDefaults.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {WithDtnAi} from "../WithDtnAi.sol";

/// @title What the examples have in common
/// @notice An owner, who alone spends and withdraws, one model, one node and one price. They differ
///         in what happens to the session. To use one, first send it some of the fee token.
abstract contract Example is WithDtnAi, Ownable {
    using SafeERC20 for IERC20;

    /// @notice The model that is asked.
    bytes32 public immutable modelId;
    /// @notice The node that is trusted with the answer.
    bytes32 public immutable nodeId;
    /// @notice Fee for each byte, asked and answered, in units of the fee token.
    uint256 public immutable feePerByte;
    /// @notice The most that one answer may cost, in units of the fee token.
    uint256 public immutable mostItMayCost;

    /// @notice The open session, 0 when there is none.
    uint256 public sessionId;
    /// @notice The latest request.
    bytes32 public requestId;

    /// @notice A session is open already.
    /// @param sessionId The session.
    error SessionOpen(uint256 sessionId);

    /// @notice The node answered that it failed.
    /// @param message What it says about that.
    error RequestFailed(string message);

    /// @dev Starting over an open session would forget its id, and with it the money inside.
    modifier whenNoSession() {
        if (sessionId != 0) revert SessionOpen(sessionId);
        _;
    }

    /// @notice Settles who is asked, and at what price.
    /// @dev Prices depend on the token's decimals: a unit of USDC is a millionth of a dollar.
    /// @param router The router of the network.
    /// @param model The model's full name, for example `model.system.openai-gpt-5`.
    /// @param node The node's full name, for example `node.alice.first`.
    /// @param feePerByte_ Fee for each byte, in units of the fee token.
    /// @param mostItMayCost_ The most that one answer may cost, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 mostItMayCost_
    ) Ownable(msg.sender) {
        setAi(router);
        modelId = DtnDefaults.id(model);
        nodeId = DtnDefaults.id(node);
        feePerByte = feePerByte_;
        mostItMayCost = mostItMayCost_;
    }

    /// @notice Asks the model at the expense of the open session.
    /// @dev The value stands for gas of a callback, and the network keeps it. Here is no callback:
    ///      send nothing.
    /// @param prompt The prompt.
    function ask(string calldata prompt) public payable virtual onlyOwner {
        requestId = ai.request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: _routing(),
            dtnRequest: _text(prompt),
            callback: DtnDefaults.noCallback(),
            user: msg.sender,
            callbackGas: msg.value
        });
    }

    /// @notice Takes all tokens that are here, which are those that no session holds.
    function withdraw() external onlyOwner {
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(msg.sender, token.balanceOf(address(this)));
    }

    /// @notice The answer to the latest request. Reverts until there is one.
    /// @return The text.
    function answer() external view returns (string memory) {
        (IDtnAi.ResponseStatus status, string memory message, bytes memory response) = ai
            .fetchResponse(requestId);
        if (status != IDtnAi.ResponseStatus.SUCCESS) revert RequestFailed(message);
        return abi.decode(response, (string));
    }

    function _routing() internal view returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.anyOf(DtnDefaults.one(nodeId));
    }

    function _text(string calldata prompt) internal view returns (IDtnAi.DtnRequest memory) {
        return DtnDefaults.text(prompt, feePerByte, mostItMayCost);
    }
}
