// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Plain ERC-20 token that anybody can mint, for tests
contract TestToken is ERC20 {
    uint8 private immutable _decimals;

    /// @notice Creates the token.
    /// @param name_ Name.
    /// @param symbol_ Symbol.
    /// @param decimals_ Number of decimals.
    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) {
        _decimals = decimals_;
    }

    /// @notice Mints tokens.
    /// @param to Recipient.
    /// @param amount Number of units.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}
