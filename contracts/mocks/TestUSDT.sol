// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title A token that behaves as USDT on Ethereum does, which anybody may mint, for tests
/// @notice `transfer`, `transferFrom` and `approve` return nothing, and an allowance must be set to
///         zero before it is changed.
contract TestUSDT {
    /// @notice The token's name.
    string public constant name = "Test Tether";
    /// @notice The token's symbol.
    string public constant symbol = "USDT";
    /// @notice How many digits follow the decimal point.
    uint8 public constant decimals = 6;
    /// @notice How many units there are.
    uint256 public totalSupply;
    /// @notice How many units an account has.
    mapping(address account => uint256) public balanceOf;
    /// @notice How many units an account may spend of another's.
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    /// @notice Units changed hands.
    /// @param from Who had them; zero for new ones.
    /// @param to Who has them.
    /// @param value How many.
    event Transfer(address indexed from, address indexed to, uint256 value);

    /// @notice An allowance was set.
    /// @param owner Whose units may be spent.
    /// @param spender Who may spend them.
    /// @param value How many.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice Makes new tokens.
    /// @param to Who gets them.
    /// @param amount How many units.
    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Sends tokens of the caller. Returns nothing.
    /// @param to Who gets them.
    /// @param value How many units.
    function transfer(address to, uint256 value) external {
        _transfer(msg.sender, to, value);
    }

    /// @notice Sends tokens that the caller may spend. Returns nothing.
    /// @param from Who has them.
    /// @param to Who gets them.
    /// @param value How many units.
    function transferFrom(address from, address to, uint256 value) external {
        allowance[from][msg.sender] -= value;
        _transfer(from, to, value);
    }

    /// @notice Lets another account spend tokens of the caller. Returns nothing.
    /// @param spender Who may spend them.
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
