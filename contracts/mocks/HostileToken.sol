// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title Token with configurable misbehaviour, for tests
contract HostileToken is ERC20 {
    /// @notice Effect of a transfer.
    /// @dev `FAITHFUL` moves the amount, `TAXED` a tenth less, and `SURCHARGED` takes a tenth more
    ///      from the sender. `REFUSING` moves nothing and returns false, `PRETENDING` moves nothing
    ///      and returns true, `PAUSED` reverts, `EXACTING` reverts for an amount of zero.
    ///      `ANNOUNCING` calls the hook before the tokens move, all others afterwards.
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

    /// @notice Result of `balanceOf`: the balance, a false number, or a revert.
    enum Word {
        TRUE,
        FALSE,
        NONE
    }

    /// @notice Effect of transfers.
    Manner public manner;
    /// @notice Contract that is called during each transfer.
    address public hook;
    /// @notice Result of `balanceOf`.
    Word public word;
    /// @notice False balance.
    uint256 public lie;

    /// @notice Transfers are paused.
    error Paused();
    /// @notice The amount is zero.
    error Nothing();
    /// @notice Balances are not available.
    error Silent();

    /// @notice Creates the token, faithful at first.
    constructor() ERC20("Hostile", "BAD") {}

    /// @dev Accepts every call, as some tokens do: a permit has no effect and does not revert.
    fallback() external {}

    /// @notice Mints tokens.
    /// @param to Recipient.
    /// @param amount Number of units.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Burns tokens of any holder, as a negative rebase does.
    /// @param from Holder.
    /// @param amount Number of units.
    function shrink(address from, uint256 amount) external {
        _burn(from, amount);
    }

    /// @notice Burns all tokens of the caller. It takes no argument.
    function burnAll() external {
        _burn(msg.sender, super.balanceOf(msg.sender));
    }

    /// @notice Approves an operator for all tokens of the caller, as in ERC-777. As in code of
    ///         compilers before 0.8, the address may have dirty upper bytes.
    /// @param operator Operator, in the last 20 bytes.
    function authorizeOperator(bytes32 operator) external {
        _approve(msg.sender, address(uint160(uint256(operator))), type(uint256).max);
    }

    /// @notice Sets the effect of transfers.
    /// @param manner_ Effect of transfers.
    /// @param hook_ Contract that is called during each transfer, zero for none.
    function behave(Manner manner_, address hook_) external {
        manner = manner_;
        hook = hook_;
    }

    /// @notice Sets the result of `balanceOf`.
    /// @param word_ Kind of result.
    /// @param lie_ False balance.
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
        // Minting and burning are always faithful.
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
