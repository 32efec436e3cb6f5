// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A plain ERC-20 token that anybody may mint, for tests
contract TestToken is ERC20 {
    uint8 private immutable _decimals;

    /// @notice Creates the token.
    /// @param name_ Its name.
    /// @param symbol_ Its symbol.
    /// @param decimals_ How many digits follow the decimal point.
    constructor(
        string memory name_,
        string memory symbol_,
        uint8 decimals_
    ) ERC20(name_, symbol_) {
        _decimals = decimals_;
    }

    /// @notice Makes new tokens.
    /// @param to Who gets them.
    /// @param amount How many units.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}
