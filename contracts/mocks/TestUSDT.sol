// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Token like USDT on Ethereum that anybody can mint, for tests
/// @notice `transfer`, `transferFrom` and `approve` return nothing, and an allowance must be reset to
///         zero before it is changed.
contract TestUSDT {
    /// @notice Name of the token.
    string public constant name = "Test Tether";
    /// @notice Symbol of the token.
    string public constant symbol = "USDT";
    /// @notice Number of decimals.
    uint8 public constant decimals = 6;
    /// @notice Total supply, in units.
    uint256 public totalSupply;
    /// @notice Balance of an account, in units.
    mapping(address account => uint256) public balanceOf;
    /// @notice Allowance of a spender, in units.
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    /// @notice Tokens were transferred.
    /// @param from Sender, zero for minted tokens.
    /// @param to Recipient.
    /// @param value Number of units.
    event Transfer(address indexed from, address indexed to, uint256 value);

    /// @notice An allowance was set.
    /// @param owner Owner of the tokens.
    /// @param spender Spender.
    /// @param value Number of units.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice Mints tokens.
    /// @param to Recipient.
    /// @param amount Number of units.
    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Transfers tokens of the caller. Returns nothing.
    /// @param to Recipient.
    /// @param value Number of units.
    function transfer(address to, uint256 value) external {
        _transfer(msg.sender, to, value);
    }

    /// @notice Transfers tokens that the caller has an allowance for. Returns nothing.
    /// @param from Owner of the tokens.
    /// @param to Recipient.
    /// @param value Number of units.
    function transferFrom(address from, address to, uint256 value) external {
        allowance[from][msg.sender] -= value;
        _transfer(from, to, value);
    }

    /// @notice Sets the allowance of a spender. Returns nothing.
    /// @param spender Spender.
    /// @param value How many units; zero first, to change an allowance.
    function approve(address spender, uint256 value) external {
        require(value == 0 || allowance[msg.sender][spender] == 0);
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
    }

    function _transfer(address from, address to, uint256 value) private {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}
