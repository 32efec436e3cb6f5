// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// @title An ERC-721 token that anybody may mint, for tests
contract TestERC721 is ERC721 {
    /// @notice Creates the token.
    constructor() ERC721("Test Collectible", "TEST") {}

    /// @notice Makes a new one.
    /// @param to Who gets it.
    /// @param id Which it is.
    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

/// @title An ERC-1155 token that anybody may mint, for tests
contract TestERC1155 is ERC1155 {
    /// @notice Creates the token.
    constructor() ERC1155("") {}

    /// @notice Makes new ones.
    /// @param to Who gets them.
    /// @param id Of which kind they are.
    /// @param amount How many.
    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }
}
