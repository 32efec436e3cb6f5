"""What a token's holder signs so that a client may take the deposit: EIP-2612 and EIP-3009.

A token says by its own domain separator what has to be signed, and is believed only where what
would be signed comes to the same: no signature is ever asked for that the token would refuse.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi import encode
from eth_utils import keccak

from ape_dtn.chain.errors import SigningDeclined
from ape_dtn.chain.reads import Call
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import DtnError
from ape_dtn.types.waiting import POLICY

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

# What tokens say that do not say which version of themselves they are.
_USUAL_VERSIONS = ("1", "2")


@dataclass(frozen=True)
class Signable:
    """What a token takes signed.

    Attributes:
        token: Its address.
        chain_id: The chain's id.
        name: The token's name, as it is signed.
        version: The token's version, as it is signed.
        nonce: The holder's next permit; None where the token takes no permits.
        takes_authorizations: Whether it takes payments that the payee alone may collect.
    """

    token: str
    chain_id: int
    name: str
    version: str
    nonce: int | None
    takes_authorizations: bool


def calls(token: str, holder: str) -> tuple[Call, ...]:
    """What :func:`to_signable` reads. Most tokens have not all of it."""
    functions = (DOMAIN_SEPARATOR, NAME, VERSION, PERMIT_TYPEHASH, RECEIVE_TYPEHASH)
    return (*(Call(token, each) for each in functions), Call(token, NONCES, (holder,)))


def to_signable(token: str, chain_id: int, answers: Sequence[Any]) -> Signable | None:
    """What the token takes signed, of the answers to :func:`calls`; None where that is nothing."""
    separator, name, version, permit, receive, nonce = (
        None if isinstance(each, DtnError) else each for each in answers
    )
    if separator is None or name is None:
        return None
    for known in (version,) if version else _USUAL_VERSIONS:
        if _separator(name, known, chain_id, token) == separator:
            takes_permits = nonce is not None and permit in (None, keccak(text=_PERMIT))
            return Signable(
                token=token,
                chain_id=chain_id,
                name=name,
                version=known,
                nonce=nonce if takes_permits else None,
                takes_authorizations=receive == keccak(text=_RECEIVE),
            )
    return None


def permit(
    account: AccountAPI, by: Signable, spender: str, units: int, now: int
) -> tuple[Any, ...]:
    """Signs that a spender may take tokens (EIP-2612).

    Args:
        account: Whose tokens.
        by: What the token takes.
        spender: Who may take them.
        units: How many, in the token's smallest units.
        now: The chain's time, in seconds.

    Returns:
        ``deadline, v, r, s``, as ``DtnClient.startWithPermit`` takes them.

    Raises:
        SigningDeclined: The account did not sign.
    """
    deadline = now + POLICY.signature_validity
    values = (str(account.address), spender, units, by.nonce, deadline)
    return (deadline, *_sign(account, by, _PERMIT, values))


def authorization(
    account: AccountAPI, by: Signable, payee: str, units: int, now: int
) -> tuple[Any, ...]:
    """Signs that a payee may collect tokens, and nobody else for it (EIP-3009).

    Returns:
        ``validAfter, validBefore, nonce, v, r, s``, as ``DtnClient.startWithAuthorization`` takes
        them.

    Raises:
        SigningDeclined: The account did not sign.
    """
    terms = (0, now + POLICY.signature_validity, secrets.token_bytes(32))
    values = (str(account.address), payee, units, *terms)
    return (*terms, *_sign(account, by, _RECEIVE, values))


def _separator(name: str, version: str, chain_id: int, token: str) -> bytes:
    texts = (keccak(text=each) for each in (_DOMAIN, name, version))
    kinds = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    return keccak(encode(kinds, [*texts, chain_id, token]))


def _sign(
    account: AccountAPI, by: Signable, declared: str, values: Sequence[Any]
) -> tuple[int, bytes, bytes]:
    from eth_account.messages import encode_typed_data

    domain = {
        "name": by.name,
        "version": by.version,
        "chainId": by.chain_id,
        "verifyingContract": by.token,
    }
    kind, fields = declared.partition("(")[0], list(_fields(declared))
    message = dict(zip((each["name"] for each in fields), values, strict=True))
    signed = account.sign_message(encode_typed_data(domain, {kind: fields}, message))
    if signed is None:
        raise SigningDeclined(str(account.address))
    r, s = (bytes(part).rjust(32, b"\0") for part in (signed.r, signed.s))
    return signed.v, r, s


def _fields(declared: str) -> Iterator[dict[str, str]]:
    for field in declared.partition("(")[2].rstrip(")").split(","):
        kind, name = field.split()
        yield {"type": kind, "name": name}
