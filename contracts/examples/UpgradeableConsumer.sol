// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnDefaults} from "../dtn-defaults.sol";
import {DtnRequests} from "../DtnRequests.sol";
import {DtnRouter} from "../DtnRouter.sol";
import {IDtnAi} from "../idtn-ai.sol";
import {WithDtnAiUpgradeable} from "../with-dtn-ai-upgradeable.sol";

/// @title Upgradeable consumer
/// @notice The ERC-1967 proxy owns the session and gets the refunds, so both outlast an upgrade.
///         The router is `ai()`, a function instead of a variable.
contract UpgradeableConsumer is WithDtnAiUpgradeable, OwnableUpgradeable, UUPSUpgradeable {
    using SafeERC20 for IERC20;

    // New versions may only append variables: a proxy keeps its storage.

    /// @notice Model.
    bytes32 public modelId;
    /// @notice Node that may respond.
    bytes32 public nodeId;
    /// @notice Fee per byte of request and response, in units of the fee token.
    uint256 public feePerByte;
    /// @notice Maximum fee for one response, in units of the fee token.
    uint256 public maxCost;
    /// @notice Open session, 0 if there is none.
    uint256 public sessionId;
    /// @notice Latest request.
    bytes32 public requestId;
    /// @notice Response to the latest request, empty while it is pending.
    string public answer;
    /// @notice Reason why the latest request failed, empty otherwise.
    string public failure;

    /// @notice A session is already open.
    /// @param sessionId The session.
    error SessionOpen(uint256 sessionId);

    /// @dev Only proxies can be initialized, not the implementation.
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the owner, the model, the node and the price.
    /// @dev In place of a constructor, which would only set the implementation's storage. Call it in
    ///      the creation of the proxy: before that anybody can call it and become the owner.
    /// @param owner_ Account that may spend, withdraw and upgrade.
    /// @param router Router of the network.
    /// @param model Full name of the model, for example `model.system.openai-gpt-5`.
    /// @param node Full name of the node, for example `node.alice.first`.
    /// @param feePerByte_ Fee per byte, in units of the fee token.
    /// @param maxCost_ Maximum fee for one response, in units of the fee token.
    function initialize(
        address owner_,
        address router,
        string calldata model,
        string calldata node,
        uint256 feePerByte_,
        uint256 maxCost_
    ) external initializer {
        __Ownable_init(owner_);
        __WithDtnAi_init(DtnRouter.checked(router));
        modelId = DtnRequests.id(model);
        nodeId = DtnRequests.id(node);
        feePerByte = feePerByte_;
        maxCost = maxCost_;
    }

    /// @notice Starts a session with all tokens of this contract.
    function start() external onlyOwner {
        // Overwriting the id of an open session would lose its balance.
        if (sessionId != 0) revert SessionOpen(sessionId);
        // In one transaction: anybody else could start a session with a deposit that is waiting.
        IERC20 token = IERC20(ai().feeToken());
        token.safeTransfer(ai().feeTarget(), token.balanceOf(address(this)));
        sessionId = ai().startUserSession();
    }

    /// @notice Sends a prompt to the model.
    /// @dev Send one wei per unit of callback gas: 50000, and 25000 for each 32 bytes of the
    ///      response, are enough.
    /// @param prompt The prompt.
    function ask(string calldata prompt) external payable onlyOwner {
        delete answer;
        delete failure;
        requestId = ai().request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: DtnDefaults.defaultCustomNodesValidatedAny(DtnDefaults.singleArray(nodeId)),
            request: DtnRequests.text(prompt, feePerByte, maxCost),
            callback: IDtnAi.CallBack({
                success: this.onAnswer.selector,
                failure: this.onFailure.selector,
                target: address(this)
            }),
            user: msg.sender,
            callbackGas: msg.value
        });
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai().closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Sends all tokens of this contract to the owner.
    function withdraw() external onlyOwner {
        IERC20 token = IERC20(ai().feeToken());
        token.safeTransfer(msg.sender, token.balanceOf(address(this)));
    }

    /// @notice Callback: stores the response.
    /// @param id The request. Only the latest one counts.
    function onAnswer(bytes32 id) external onlyDtn {
        if (id != requestId) return;
        (, , bytes memory response) = ai().fetchResponse(id);
        answer = abi.decode(response, (string));
    }

    /// @notice Callback: stores the reason of a failure.
    /// @param id The request. Only the latest one counts.
    function onFailure(bytes32 id) external onlyDtn {
        if (id != requestId) return;
        (, string memory message, ) = ai().fetchResponse(id);
        failure = message;
    }

    /// @notice Router of the network.
    /// @return Its address.
    function aiRouter() external view returns (IDtnAi) {
        return ai();
    }

    /// @dev An upgrade can do anything with the session's balance.
    function _authorizeUpgrade(address) internal override onlyOwner {}
}
