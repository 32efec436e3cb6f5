// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title A token that does to its holders whatever it is told to, for tests
contract HostileToken is ERC20 {
    /// @notice What becomes of a transfer.
    /// @dev `FAITHFUL` moves what it should, `TAXED` a tenth less; `REFUSING` moves nothing and
    ///      returns false, `PRETENDING` moves nothing and returns true.
    enum Manner {
        FAITHFUL,
        TAXED,
        REFUSING,
        PRETENDING
    }

    /// @notice What becomes of transfers.
    Manner public manner;
    /// @notice What is called during each transfer, when the tokens have moved.
    address public hook;

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

    /// @notice Tells it how to behave.
    /// @param manner_ What becomes of transfers.
    /// @param hook_ What is called during each of them; zero for nothing.
    function behave(Manner manner_, address hook_) external {
        manner = manner_;
        hook = hook_;
    }

    /// @inheritdoc ERC20
    function transfer(address to, uint256 value) public override returns (bool) {
        if (manner >= Manner.REFUSING) return manner == Manner.PRETENDING;
        return super.transfer(to, value);
    }

    /// @inheritdoc ERC20
    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        if (manner >= Manner.REFUSING) return manner == Manner.PRETENDING;
        return super.transferFrom(from, to, value);
    }

    function _update(address from, address to, uint256 value) internal override {
        uint256 tax = manner == Manner.TAXED && from != address(0) ? value / 10 : 0;
        super._update(from, to, value - tax);
        if (tax != 0) super._update(from, address(0), tax);
        if (hook != address(0)) Address.functionCall(hook, "hook");
    }
}
