// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title What halmos can do to the chain, as far as it is used here
interface Chain {
    /// @notice Leaves out all for which the condition does not hold.
    function assume(bool condition) external pure;

    /// @notice Makes the next call come from another account.
    function prank(address sender) external;

    /// @notice Gives an account code.
    function etch(address account, bytes calldata code) external;
}

/// @title What stands for anything
interface Symbols {
    /// @notice Any call of any function of a contract that is not a view, of a function that it
    ///         does not have, and a call without data.
    function createCalldata(
        string calldata file,
        string calldata name,
        bool views
    ) external pure returns (bytes memory);

    /// @notice What tells one state of an account's storage from another.
    function snapshotStorage(address account) external returns (uint256);
}

Chain constant VM = Chain(address(uint160(uint256(keccak256("hevm cheat code")))));
Symbols constant ANY = Symbols(address(uint160(uint256(keccak256("svm cheat code")))));
