// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title A token that behaves as USDC on Base does, which anybody may mint, for tests
/// @notice It takes signed permits (EIP-2612) and authorizations (EIP-3009), in both their forms,
///         from plain accounts and from contracts (ERC-1271), and it can block accounts. Here,
///         anybody may do that.
contract TestUSDC is EIP712 {
    /// @notice The token's name, which signatures cover.
    string public constant name = "Test USD Coin";
    /// @notice The token's symbol.
    string public constant symbol = "USDC";
    /// @notice The version that signatures cover.
    string public constant version = "2";
    /// @notice How many digits follow the decimal point.
    uint8 public constant decimals = 6;

    /// @notice What a permit is hashed as.
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
    /// @notice What an authorization that anybody may use is hashed as.
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH =
        keccak256(
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    /// @notice What an authorization that its payee alone may use is hashed as.
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH =
        keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    /// @notice What the withdrawal of an authorization is hashed as.
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    /// @notice How many units there are.
    uint256 public totalSupply;
    /// @notice How many units an account has.
    mapping(address account => uint256) public balanceOf;
    /// @notice How many units an account may spend of another's.
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    /// @notice The number of an account's next permit.
    mapping(address owner => uint256) public nonces;
    /// @notice Whether an authorization was used or withdrawn.
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;
    /// @notice Whether an account can neither send nor receive.
    mapping(address account => bool) public isBlacklisted;

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

    /// @notice An authorization was used.
    /// @param authorizer Who gave it.
    /// @param nonce Which it is.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice An authorization was withdrawn.
    /// @param authorizer Who gave it.
    /// @param nonce Which it is.
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Keeps blocked accounts out.
    /// @param account The account.
    modifier notBlacklisted(address account) {
        require(!isBlacklisted[account], "Blacklistable: account is blacklisted");
        _;
    }

    /// @notice Creates the token.
    constructor() EIP712(name, version) {}

    /// @notice Makes new tokens.
    /// @param to Who gets them.
    /// @param amount How many units.
    function mint(address to, uint256 amount) external notBlacklisted(to) {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Blocks an account.
    /// @param account The account.
    function blacklist(address account) external {
        isBlacklisted[account] = true;
    }

    /// @notice Ends the blocking of an account.
    /// @param account The account.
    function unBlacklist(address account) external {
        isBlacklisted[account] = false;
    }

    /// @notice Sends tokens of the caller.
    /// @param to Who gets them.
    /// @param value How many units.
    /// @return Always true.
    function transfer(address to, uint256 value) external returns (bool) {
        _transfer(msg.sender, to, value);
        return true;
    }

    /// @notice Sends tokens that the caller may spend.
    /// @param from Who has them.
    /// @param to Who gets them.
    /// @param value How many units.
    /// @return Always true.
    function transferFrom(
        address from,
        address to,
        uint256 value
    ) external notBlacklisted(msg.sender) returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        require(value <= allowed, "ERC20: transfer amount exceeds allowance");
        allowance[from][msg.sender] = allowed - value;
        _transfer(from, to, value);
        return true;
    }

    /// @notice Lets another account spend tokens of the caller.
    /// @param spender Who may spend them.
    /// @param value How many units.
    /// @return Always true.
    function approve(address spender, uint256 value) external returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    /// @notice Lets an account spend tokens of one who has signed for it.
    /// @param owner Whose tokens may be spent.
    /// @param spender Who may spend them.
    /// @param value How many units.
    /// @param deadline Until when this is good, in seconds since 1970.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        permit(owner, spender, value, deadline, abi.encodePacked(r, s, v));
    }

    /// @notice Sends tokens of one who has signed for it.
    /// @param from Who has them.
    /// @param to Who gets them.
    /// @param value How many units.
    /// @param validAfter After when this is good, in seconds since 1970.
    /// @param validBefore Before when this is good, in seconds since 1970.
    /// @param nonce What tells it from other authorizations.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes memory signature = abi.encodePacked(r, s, v);
        transferWithAuthorization(from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @notice Takes tokens of one who has signed for it. Only their payee may call.
    /// @param from Who has them.
    /// @param to Who gets them, the caller.
    /// @param value How many units.
    /// @param validAfter After when this is good, in seconds since 1970.
    /// @param validBefore Before when this is good, in seconds since 1970.
    /// @param nonce What tells it from other authorizations.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes memory signature = abi.encodePacked(r, s, v);
        receiveWithAuthorization(from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @notice Withdraws an authorization of one who has signed for that.
    /// @param authorizer Who gave it.
    /// @param nonce Which it is.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    function cancelAuthorization(
        address authorizer,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        cancelAuthorization(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    /// @notice As the other form, with a signature of any length.
    /// @param owner Whose tokens may be spent.
    /// @param spender Who may spend them.
    /// @param value How many units.
    /// @param deadline Until when this is good, in seconds since 1970.
    /// @param signature The signature; for plain accounts r, s and v.
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        bytes memory signature
    ) public {
        require(deadline >= block.timestamp, "FiatTokenV2: permit is expired");
        bytes32 permitted = keccak256(
            abi.encode(PERMIT_TYPEHASH, owner, spender, value, nonces[owner]++, deadline)
        );
        _checkSignature(owner, permitted, signature, "EIP2612: invalid signature");
        _approve(owner, spender, value);
    }

    /// @notice As the other form, with a signature of any length.
    /// @param from Who has the tokens.
    /// @param to Who gets them.
    /// @param value How many units.
    /// @param validAfter After when this is good, in seconds since 1970.
    /// @param validBefore Before when this is good, in seconds since 1970.
    /// @param nonce What tells it from other authorizations.
    /// @param signature The signature; for plain accounts r, s and v.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) public {
        bytes32 kind = TRANSFER_WITH_AUTHORIZATION_TYPEHASH;
        bytes memory given = abi.encode(kind, from, to, value, validAfter, validBefore, nonce);
        _useAuthorization(from, validAfter, validBefore, nonce, given, signature);
        _transfer(from, to, value);
    }

    /// @notice As the other form, with a signature of any length.
    /// @param from Who has the tokens.
    /// @param to Who gets them, the caller.
    /// @param value How many units.
    /// @param validAfter After when this is good, in seconds since 1970.
    /// @param validBefore Before when this is good, in seconds since 1970.
    /// @param nonce What tells it from other authorizations.
    /// @param signature The signature; for plain accounts r, s and v.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) public {
        require(to == msg.sender, "FiatTokenV2: caller must be the payee");
        bytes32 kind = RECEIVE_WITH_AUTHORIZATION_TYPEHASH;
        bytes memory given = abi.encode(kind, from, to, value, validAfter, validBefore, nonce);
        _useAuthorization(from, validAfter, validBefore, nonce, given, signature);
        _transfer(from, to, value);
    }

    /// @notice As the other form, with a signature of any length.
    /// @param authorizer Who gave the authorization.
    /// @param nonce Which it is.
    /// @param signature The signature; for plain accounts r, s and v.
    function cancelAuthorization(
        address authorizer,
        bytes32 nonce,
        bytes memory signature
    ) public {
        _checkUnused(authorizer, nonce);
        bytes32 canceled = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        _checkSignature(authorizer, canceled, signature, "FiatTokenV2: invalid signature");
        authorizationState[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @notice What signatures for this token on this chain have in common.
    /// @return The hash.
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function _useAuthorization(
        address from,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory given,
        bytes memory signature
    ) private {
        require(block.timestamp > validAfter, "FiatTokenV2: authorization is not yet valid");
        require(block.timestamp < validBefore, "FiatTokenV2: authorization is expired");
        _checkUnused(from, nonce);
        _checkSignature(from, keccak256(given), signature, "FiatTokenV2: invalid signature");
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
    }

    function _checkUnused(address authorizer, bytes32 nonce) private view {
        require(
            !authorizationState[authorizer][nonce],
            "FiatTokenV2: authorization is used or canceled"
        );
    }

    function _checkSignature(
        address signer,
        bytes32 structHash,
        bytes memory signature,
        string memory refusal
    ) private view {
        bytes32 hash = _hashTypedDataV4(structHash);
        require(SignatureChecker.isValidSignatureNow(signer, hash, signature), refusal);
    }

    function _approve(address owner, address spender, uint256 value) private {
        allowance[owner][spender] = value;
        emit Approval(owner, spender, value);
    }

    function _transfer(
        address from,
        address to,
        uint256 value
    ) private notBlacklisted(from) notBlacklisted(to) {
        require(to != address(0), "ERC20: transfer to the zero address");
        require(value <= balanceOf[from], "ERC20: transfer amount exceeds balance");
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}
