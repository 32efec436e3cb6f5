// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title A token that does to its holders whatever it is told to, for tests
contract HostileToken is ERC20 {
    /// @notice What becomes of a transfer.
    /// @dev `FAITHFUL` moves what it should, `TAXED` a tenth less, and `SURCHARGED` takes a tenth
    ///      more from the sender; `REFUSING` moves nothing and returns false, `PRETENDING` moves
    ///      nothing and returns true, `PAUSED` reverts, `EXACTING` reverts where nothing is to be
    ///      moved; `ANNOUNCING` calls the hook before the tokens move, all others afterwards.
    enum Manner {
        FAITHFUL,
        TAXED,
        REFUSING,
        PRETENDING,
        SURCHARGED,
        PAUSED,
        EXACTING,
        ANNOUNCING
    }

    /// @notice What a balance is said to be: as it is, a number that is not true, or nothing.
    enum Word {
        TRUE,
        FALSE,
        NONE
    }

    /// @notice What becomes of transfers.
    Manner public manner;
    /// @notice What is called during each transfer, when the tokens have moved.
    address public hook;
    /// @notice What everybody's balance is said to be.
    Word public word;
    /// @notice The number that is told in place of a balance.
    uint256 public lie;

    /// @notice Tokens do not move now.
    error Paused();
    /// @notice Nothing cannot be moved.
    error Nothing();
    /// @notice It does not say what anybody has.
    error Silent();

    /// @notice Creates the token, faithful for now.
    constructor() ERC20("Hostile", "BAD") {}

    /// @dev Like some tokens, it takes every call: a permit that does nothing does not revert.
    fallback() external {}

    /// @notice Makes new tokens.
    /// @param to Who gets them.
    /// @param amount How many units.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Takes tokens from anybody, as one that rebases down does.
    /// @param from Who loses them.
    /// @param amount How many units.
    function shrink(address from, uint256 amount) external {
        _burn(from, amount);
    }

    /// @notice Destroys all that the caller has, as a holder may: it takes no argument.
    function burnAll() external {
        _burn(msg.sender, super.balanceOf(msg.sender));
    }

    /// @notice Lets anybody spend all that the caller has, as ERC-777's operators may. A compiler
    ///         before 0.8 makes an address of any word.
    /// @param operator Who may, in the word's last 20 bytes.
    function authorizeOperator(bytes32 operator) external {
        _approve(msg.sender, address(uint160(uint256(operator))), type(uint256).max);
    }

    /// @notice Tells it how to behave.
    /// @param manner_ What becomes of transfers.
    /// @param hook_ What is called during each of them; zero for nothing.
    function behave(Manner manner_, address hook_) external {
        manner = manner_;
        hook = hook_;
    }

    /// @notice Tells it what to say of balances.
    /// @param word_ Whether it says the truth, or anything.
    /// @param lie_ What it says where that is false.
    function speak(Word word_, uint256 lie_) external {
        word = word_;
        lie = lie_;
    }

    /// @inheritdoc ERC20
    function balanceOf(address account) public view override returns (uint256) {
        if (word == Word.NONE) revert Silent();
        return word == Word.FALSE ? lie : super.balanceOf(account);
    }

    /// @inheritdoc ERC20
    function transfer(address to, uint256 value) public override returns (bool) {
        if (_movesNothing()) return manner == Manner.PRETENDING;
        return super.transfer(to, value);
    }

    /// @inheritdoc ERC20
    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        if (_movesNothing()) return manner == Manner.PRETENDING;
        return super.transferFrom(from, to, value);
    }

    function _update(address from, address to, uint256 value) internal override {
        // Made and taken, tokens are what they are said to be.
        bool isTransfer = from != address(0) && to != address(0);
        if (manner == Manner.PAUSED && isTransfer) revert Paused();
        if (manner == Manner.EXACTING && isTransfer && value == 0) revert Nothing();
        if (manner == Manner.ANNOUNCING) _callHook();
        uint256 tax = manner == Manner.TAXED && from != address(0) ? value / 10 : 0;
        super._update(from, to, value - tax);
        if (tax != 0) super._update(from, address(0), tax);
        if (manner == Manner.SURCHARGED && isTransfer) super._update(from, address(0), value / 10);
        if (manner != Manner.ANNOUNCING) _callHook();
    }

    function _callHook() private {
        if (hook != address(0)) Address.functionCall(hook, "hook");
    }

    function _movesNothing() private view returns (bool) {
        return manner == Manner.REFUSING || manner == Manner.PRETENDING;
    }
}
