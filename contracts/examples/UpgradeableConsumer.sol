// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {
    OwnableUpgradeable
} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DtnDefaults} from "../DtnDefaults.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {WithDtnAiUpgradeable} from "../WithDtnAiUpgradeable.sol";

/// @title A consumer whose code can be replaced
/// @notice It lives behind an ERC-1967 proxy, which owns the session and holds the refunds: both
///         outlast an upgrade. The router is `ai()` here, a function, and not a variable.
contract UpgradeableConsumer is WithDtnAiUpgradeable, OwnableUpgradeable, UUPSUpgradeable {
    using SafeERC20 for IERC20;

    // New versions may only add variables below these: a proxy keeps the storage it has.

    /// @notice The model that is asked.
    bytes32 public modelId;
    /// @notice The node that is trusted with the answer.
    bytes32 public nodeId;
    /// @notice Fee for each byte, asked and answered, in units of the fee token.
    uint256 public feePerByte;
    /// @notice The most that one answer may cost, in units of the fee token.
    uint256 public mostItMayCost;
    /// @notice The open session, 0 when there is none.
    uint256 public sessionId;
    /// @notice The latest request.
    bytes32 public requestId;
    /// @notice The answer to the latest request, empty until it has come.
    string public answer;
    /// @notice Why the latest request failed, empty unless it has.
    string public failure;

    /// @notice A session is open already.
    /// @param sessionId The session.
    error SessionOpen(uint256 sessionId);

    /// @dev The implementation itself can never be initialized, only proxies in front of it.
    constructor() {
        _disableInitializers();
    }

    /// @notice Settles who owns the contract, who is asked, and at what price.
    /// @dev Takes the place of a constructor, which would only set the implementation's storage.
    ///      Call it while the proxy is created: until then anybody may, and would be the owner.
    /// @param owner_ Who may spend, withdraw and upgrade.
    /// @param router The router of the network.
    /// @param model The model's full name, for example `model.system.openai-gpt-5`.
    /// @param node The node's full name, for example `node.alice.first`.
    /// @param feePerByte_ Fee for each byte, in units of the fee token.
    /// @param mostItMayCost_ The most that one answer may cost, in units of the fee token.
    function initialize(
        address owner_,
        address router,
        string calldata model,
        string calldata node,
        uint256 feePerByte_,
        uint256 mostItMayCost_
    ) external initializer {
        __Ownable_init(owner_);
        __WithDtnAi_init(router);
        modelId = DtnDefaults.id(model);
        nodeId = DtnDefaults.id(node);
        feePerByte = feePerByte_;
        mostItMayCost = mostItMayCost_;
    }

    /// @notice Starts a session from all tokens that are here.
    function start() external onlyOwner {
        // Starting over an open session would forget its id, and with it the money inside.
        if (sessionId != 0) revert SessionOpen(sessionId);
        // In one transaction: a deposit belongs to whoever starts a session next.
        IERC20 token = IERC20(ai().feeToken());
        token.safeTransfer(ai().feeTarget(), token.balanceOf(address(this)));
        sessionId = ai().startUserSession();
    }

    /// @notice Asks the model.
    /// @dev Send as many wei as the callback may use gas: 50000, and 25000 more for each 32 bytes
    ///      of the answer, are enough.
    /// @param prompt The prompt.
    function ask(string calldata prompt) external payable onlyOwner {
        delete answer;
        delete failure;
        requestId = ai().request{value: msg.value}({
            sessionId: sessionId,
            modelId: modelId,
            routing: DtnDefaults.anyOf(DtnDefaults.one(nodeId)),
            dtnRequest: DtnDefaults.text(prompt, feePerByte, mostItMayCost),
            callback: IDtnAi.CallBack({
                success: this.onAnswer.selector,
                failure: this.onFailure.selector,
                target: address(this)
            }),
            user: msg.sender,
            callbackGas: msg.value
        });
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai().closeUserSession(sessionId);
        sessionId = 0;
    }

    /// @notice Takes all tokens that are here, which are those that no session holds.
    function withdraw() external onlyOwner {
        IERC20 token = IERC20(ai().feeToken());
        token.safeTransfer(msg.sender, token.balanceOf(address(this)));
    }

    /// @notice Stores the answer. Only the network may call it.
    /// @param id The request. An answer to any but the latest comes too late.
    function onAnswer(bytes32 id) external onlyDtn {
        if (id != requestId) return;
        (, , bytes memory response) = ai().fetchResponse(id);
        answer = abi.decode(response, (string));
    }

    /// @notice Stores why the request failed. Only the network may call it.
    /// @param id The request. An answer to any but the latest comes too late.
    function onFailure(bytes32 id) external onlyDtn {
        if (id != requestId) return;
        (, string memory message, ) = ai().fetchResponse(id);
        failure = message;
    }

    /// @dev Whoever may upgrade may do anything, with the session's money too.
    function _authorizeUpgrade(address) internal override onlyOwner {}
}
