"""Signatures that let a client contract collect the deposit: EIP-2612 and EIP-3009.

A token's domain is derived from its own functions, and used only if its hash equals the token's
domain separator: otherwise the token would reject the signature.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi import encode
from eth_utils import keccak

from ape_dtn.chain.errors import SigningDeclined
from ape_dtn.chain.reads import Call
from ape_dtn.chain.signatures import declines, signature_parts
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import DtnError
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


DOMAIN_SEPARATOR = Function("DOMAIN_SEPARATOR()", "bytes32")
NAME = Function("name()", "string")
VERSION = Function("version()", "string")
NONCES = Function("nonces(address)", "uint256")
PERMIT_TYPEHASH = Function("PERMIT_TYPEHASH()", "bytes32")
RECEIVE_TYPEHASH = Function("RECEIVE_WITH_AUTHORIZATION_TYPEHASH()", "bytes32")

_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_PERMIT = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
_RECEIVE = (
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    "uint256 validBefore,bytes32 nonce)"
)

# Versions to try for tokens without `version()`.
_USUAL_VERSIONS = ("1", "2")


@dataclass(frozen=True)
class Signable:
    """The EIP-712 domain of a token, and the signatures that the token supports.

    Attributes:
        token: The token's address.
        chain_id: The chain's id.
        name: The token's name in its domain.
        version: The token's version in its domain.
        nonce: The holder's nonce for permits (EIP-2612); None if the token has no permits.
        takes_authorizations: Whether it supports ``receiveWithAuthorization`` (EIP-3009).
    """

    token: str
    chain_id: int
    name: str
    version: str
    nonce: int | None
    takes_authorizations: bool


def calls(token: str, holder: str) -> tuple[Call, ...]:
    """The calls that :func:`to_signable` needs. Most tokens revert some of them."""
    functions = (DOMAIN_SEPARATOR, NAME, VERSION, PERMIT_TYPEHASH, RECEIVE_TYPEHASH)
    return (*(Call(token, function) for function in functions), Call(token, NONCES, (holder,)))


def to_signable(token: str, chain_id: int, answers: Sequence[Any]) -> Signable | None:
    """The domain of a token, from the results of :func:`calls`; None if it is unknown."""
    separator, name, version, permit, receive, nonce = (
        None if isinstance(answer, DtnError) else answer for answer in answers
    )
    if separator is None or name is None:
        return None
    for candidate in (version,) if version else _USUAL_VERSIONS:
        if _separator(name, candidate, chain_id, token) == separator:
            takes_permits = nonce is not None and permit in (None, keccak(text=_PERMIT))
            return Signable(
                token=token,
                chain_id=chain_id,
                name=name,
                version=candidate,
                nonce=nonce if takes_permits else None,
                takes_authorizations=receive == keccak(text=_RECEIVE),
            )
    return None


def permit(
    account: AccountAPI, domain: Signable, spender: str, units: int, now: int
) -> tuple[Any, ...]:
    """Signs a permit for a spender (EIP-2612), of an amount in the token's smallest units.

    Returns:
        ``deadline, v, r, s``, as ``DtnClient.startWithPermit`` takes them.

    Raises:
        SigningDeclined: The account did not sign.
    """
    deadline = _valid_until(now)
    values = (str(account.address), spender, units, domain.nonce, deadline)
    return (deadline, *_sign(account, domain, _PERMIT, values))


def authorization(
    account: AccountAPI, domain: Signable, payee: str, units: int, now: int
) -> tuple[Any, ...]:
    """Signs a payment that only the payee can collect (EIP-3009).

    Returns:
        ``validAfter, validBefore, nonce, v, r, s``, as ``DtnClient.startWithAuthorization`` takes
        them.

    Raises:
        SigningDeclined: The account did not sign.
    """
    validity = (0, _valid_until(now), secrets.token_bytes(32))
    values = (str(account.address), payee, units, *validity)
    return (*validity, *_sign(account, domain, _RECEIVE, values))


def _valid_until(now: int) -> int:
    """The end of a signature's validity: a chain that was idle has a clock that is behind."""
    return max(now, int(time.time())) + POLICY.signature_validity


def _separator(name: str, version: str, chain_id: int, token: str) -> bytes:
    hashes = (keccak(text=text) for text in (_DOMAIN, name, version))
    types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    return keccak(encode(types, [*hashes, chain_id, token]))


def _sign(
    account: AccountAPI, domain: Signable, declared: str, values: Sequence[Any]
) -> tuple[int, bytes, bytes]:
    from eth_account.messages import encode_typed_data

    domain_fields = {
        "name": domain.name,
        "version": domain.version,
        "chainId": domain.chain_id,
        "verifyingContract": domain.token,
    }
    type_name, fields = declared.partition("(")[0], list(_fields(declared))
    message = dict(zip((field["name"] for field in fields), values, strict=True))
    with declines(account, "a payment that is signed as typed data"):
        typed = encode_typed_data(domain_fields, {type_name: fields}, message)
        signed = account.sign_message(typed)
    if signed is None:
        raise SigningDeclined(str(account.address))
    return signature_parts(signed)


def _fields(declared: str) -> Iterator[dict[str, str]]:
    """The fields of a struct, as :func:`encode_typed_data` takes them."""
    for field in declared.partition("(")[2].rstrip(")").split(","):
        type_name, name = field.split()
        yield {"type": type_name, "name": name}
