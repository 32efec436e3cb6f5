// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Cheat codes of halmos that are used here
interface Chain {
    /// @notice Excludes values for which the condition does not hold.
    function assume(bool condition) external pure;

    /// @notice Sets the sender of the next call.
    function prank(address sender) external;

    /// @notice Sets the code of an account.
    function etch(address account, bytes calldata code) external;
}

/// @title Symbolic values
interface Symbols {
    /// @notice Any call: of any function of a contract that is not a view, of an unknown function, or
    ///         without data.
    function createCalldata(
        string calldata file,
        string calldata name,
        bool views
    ) external pure returns (bytes memory);

    /// @notice Fingerprint of an account's storage.
    function snapshotStorage(address account) external returns (uint256);
}

Chain constant VM = Chain(address(uint160(uint256(keccak256("hevm cheat code")))));
Symbols constant ANY = Symbols(address(uint160(uint256(keccak256("svm cheat code")))));
