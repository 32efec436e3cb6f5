// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// @title ERC-721 token that anybody can mint, for tests
contract TestERC721 is ERC721 {
    /// @notice Creates the token.
    constructor() ERC721("Test Collectible", "TEST") {}

    /// @notice Mints a token.
    /// @param to Recipient.
    /// @param id Id of the token.
    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

/// @title ERC-1155 token that anybody can mint, for tests
contract TestERC1155 is ERC1155 {
    /// @notice Creates the token.
    constructor() ERC1155("") {}

    /// @notice Mints tokens.
    /// @param to Recipient.
    /// @param id Id of the token.
    /// @param amount Amount.
    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }
}
