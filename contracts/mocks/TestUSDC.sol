// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Token like USDC on Base that anybody can mint, for tests
/// @notice Supports permits (EIP-2612) and authorizations (EIP-3009), in both their forms, of plain
///         accounts and of contracts (ERC-1271). Accounts can be blacklisted, here by anybody.
contract TestUSDC is EIP712 {
    /// @notice Name of the token, which signatures cover.
    string public constant name = "Test USD Coin";
    /// @notice Symbol of the token.
    string public constant symbol = "USDC";
    /// @notice Version in the EIP-712 domain.
    string public constant version = "2";
    /// @notice Number of decimals.
    uint8 public constant decimals = 6;

    /// @notice EIP-712 type hash of a permit.
    bytes32 public constant PERMIT_TYPEHASH = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    );
    /// @notice EIP-712 type hash of an authorization that anybody can submit.
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    /// @notice EIP-712 type hash of an authorization that only its payee can submit.
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    /// @notice EIP-712 type hash of a cancellation.
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH = keccak256(
        "CancelAuthorization(address authorizer,bytes32 nonce)"
    );

    /// @notice Total supply, in units.
    uint256 public totalSupply;
    /// @notice Balance of an account, in units.
    mapping(address account => uint256) public balanceOf;
    /// @notice Allowance of a spender, in units.
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    /// @notice Nonce of an account's next permit.
    mapping(address owner => uint256) public nonces;
    /// @notice Whether an authorization was used or canceled.
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;
    /// @notice Whether an account is blacklisted: it can neither send nor receive.
    mapping(address account => bool) public isBlacklisted;

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

    /// @notice An authorization was used.
    /// @param authorizer Account that signed it.
    /// @param nonce Its nonce.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice An authorization was canceled.
    /// @param authorizer Account that signed it.
    /// @param nonce Its nonce.
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Reverts for blacklisted accounts.
    /// @param account The account.
    modifier notBlacklisted(address account) {
        require(!isBlacklisted[account], "Blacklistable: account is blacklisted");
        _;
    }

    /// @notice Creates the token.
    constructor() EIP712(name, version) {}

    /// @notice Mints tokens.
    /// @param to Recipient.
    /// @param amount Number of units.
    function mint(address to, uint256 amount) external notBlacklisted(to) {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Blacklists an account.
    /// @param account The account.
    function blacklist(address account) external {
        isBlacklisted[account] = true;
    }

    /// @notice Removes an account from the blacklist.
    /// @param account The account.
    function unBlacklist(address account) external {
        isBlacklisted[account] = false;
    }

    /// @notice Transfers tokens of the caller.
    /// @param to Recipient.
    /// @param value Number of units.
    /// @return Always true.
    function transfer(address to, uint256 value) external returns (bool) {
        _transfer(msg.sender, to, value);
        return true;
    }

    /// @notice Transfers tokens that the caller has an allowance for.
    /// @param from Owner of the tokens.
    /// @param to Recipient.
    /// @param value Number of units.
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

    /// @notice Sets the allowance of a spender.
    /// @param spender Spender.
    /// @param value Number of units.
    /// @return Always true.
    function approve(address spender, uint256 value) external returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    /// @notice Sets an allowance with a signature of the owner.
    /// @param owner Owner of the tokens.
    /// @param spender Spender.
    /// @param value Number of units.
    /// @param deadline Last timestamp at which the permit is valid, in seconds.
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

    /// @notice Transfers tokens with a signature of their owner.
    /// @param from Owner of the tokens.
    /// @param to Recipient.
    /// @param value Number of units.
    /// @param validAfter Timestamp after which the authorization is valid, in seconds.
    /// @param validBefore Timestamp before which the authorization is valid, in seconds.
    /// @param nonce Nonce of the authorization.
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

    /// @notice Transfers tokens to the caller with a signature of their owner.
    /// @param from Owner of the tokens.
    /// @param to Recipient, the caller.
    /// @param value Number of units.
    /// @param validAfter Timestamp after which the authorization is valid, in seconds.
    /// @param validBefore Timestamp before which the authorization is valid, in seconds.
    /// @param nonce Nonce of the authorization.
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

    /// @notice Cancels an authorization with a signature of the account that signed it.
    /// @param authorizer Account that signed it.
    /// @param nonce Its nonce.
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

    /// @notice As the other form, with a signature as bytes.
    /// @param owner Owner of the tokens.
    /// @param spender Spender.
    /// @param value Number of units.
    /// @param deadline Last timestamp at which the permit is valid, in seconds.
    /// @param signature Signature; r, s and v for plain accounts.
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

    /// @notice As the other form, with a signature as bytes.
    /// @param from Owner of the tokens.
    /// @param to Recipient.
    /// @param value Number of units.
    /// @param validAfter Timestamp after which the authorization is valid, in seconds.
    /// @param validBefore Timestamp before which the authorization is valid, in seconds.
    /// @param nonce Nonce of the authorization.
    /// @param signature Signature; r, s and v for plain accounts.
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
        bytes memory data = abi.encode(kind, from, to, value, validAfter, validBefore, nonce);
        _useAuthorization(from, validAfter, validBefore, nonce, data, signature);
        _transfer(from, to, value);
    }

    /// @notice As the other form, with a signature as bytes.
    /// @param from Owner of the tokens.
    /// @param to Recipient, the caller.
    /// @param value Number of units.
    /// @param validAfter Timestamp after which the authorization is valid, in seconds.
    /// @param validBefore Timestamp before which the authorization is valid, in seconds.
    /// @param nonce Nonce of the authorization.
    /// @param signature Signature; r, s and v for plain accounts.
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
        bytes memory data = abi.encode(kind, from, to, value, validAfter, validBefore, nonce);
        _useAuthorization(from, validAfter, validBefore, nonce, data, signature);
        _transfer(from, to, value);
    }

    /// @notice As the other form, with a signature as bytes.
    /// @param authorizer Account that signed the authorization.
    /// @param nonce Its nonce.
    /// @param signature Signature; r, s and v for plain accounts.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) public {
        _checkUnused(authorizer, nonce);
        bytes32 canceled = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        _checkSignature(authorizer, canceled, signature, "FiatTokenV2: invalid signature");
        authorizationState[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @notice EIP-712 domain separator.
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
        bytes memory data,
        bytes memory signature
    ) private {
        require(block.timestamp > validAfter, "FiatTokenV2: authorization is not yet valid");
        require(block.timestamp < validBefore, "FiatTokenV2: authorization is expired");
        _checkUnused(from, nonce);
        _checkSignature(from, keccak256(data), signature, "FiatTokenV2: invalid signature");
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
        string memory reason
    ) private view {
        bytes32 hash = _hashTypedDataV4(structHash);
        require(SignatureChecker.isValidSignatureNow(signer, hash, signature), reason);
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
