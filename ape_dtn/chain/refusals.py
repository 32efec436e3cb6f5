"""Classify refusals of JSON-RPC endpoints by what the client can do next.

Providers share neither codes nor wording: the same code means too many requests for one, and too
many blocks for another. Unambiguous codes decide first, then the words of the message, then the
usual meaning of ambiguous codes, then the HTTP status.
"""

from __future__ import annotations

import re
from typing import Any

from ape_dtn.types.http import is_transient
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import Failure, Refusal, as_bytes

LOGS = "eth_getLogs"

# Methods whose result, or revert, comes from a contract.
_RUN_CONTRACTS = ("eth_call", "eth_estimateGas", "eth_sendRawTransaction", "eth_sendTransaction")

# Unambiguous codes.
_CERTAIN = {
    429: Refusal.WAIT,
    1015: Refusal.WAIT,  # Cloudflare
    -32007: Refusal.WAIT,  # QuickNode: requests a second
    -32009: Refusal.WAIT,  # QuickNode: requests a day
    -32017: Refusal.WAIT,  # proxyd: the sender's rate
    -32018: Refusal.WAIT,  # proxyd: not healthy
    -32029: Refusal.WAIT,
    -32097: Refusal.WAIT,  # Moralis, BlockPI
    -32605: Refusal.WAIT,  # BlockVision
    31: Refusal.SMALLER_BATCH,  # dRPC
    35: Refusal.SMALLER_RANGE,  # dRPC
    -32614: Refusal.SMALLER_RANGE,  # QuickNode
    -32701: Refusal.PRUNED,  # Allnodes
    4444: Refusal.PRUNED,  # EIP-4444
    -32601: Refusal.UNSUPPORTED,
    -32004: Refusal.UNSUPPORTED,  # EIP-1474
}

# The usual meaning of ambiguous codes, if the words of the message do not decide.
_LIKELY = {
    19: Refusal.WAIT,  # dRPC: a temporary error
    30: Refusal.WAIT,  # dRPC: a timeout
    -32002: Refusal.WAIT,  # EIP-1474: the resource is unavailable
    -32005: Refusal.WAIT,  # EIP-1474: a limit is exceeded
    -32010: Refusal.WAIT,  # proxyd: the backend is offline
    -32011: Refusal.WAIT,  # proxyd: no backend is healthy
    -32012: Refusal.WAIT,  # proxyd: the backend is over its capacity
    -32013: Refusal.WAIT,  # proxyd: the backend answered nonsense
    -32014: Refusal.SMALLER_BATCH,  # proxyd
    -32016: Refusal.WAIT,  # proxyd: over its rate limit
    -32001: Refusal.UNSUPPORTED,  # proxyd: the method is not on its list
}


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_RATE = _words(
    r"\brates?\b|\b[rq]ps\b|\bcups?\b|throttl|too (often|fast|quick|frequent)|\bflood",
    r"\b(per|a|each|every|/) ?(sec(ond)?|min(ute)?|hour|day|month)\b|/s\b|\b(dai|month|hour)ly\b",
    r"quota|credits?\b|compute units?|\bcapacity\b|\bthroughput\b|\busage\b|\bconcurren|allowance",
    r"slow(er)? down|slow it|calm down|cool(ing)? ?(down|off)|back ?off|ease off|\bpace\b",
    r"(too many|many|number of|excess\w*|limit\w*|exceed\w*|max\w*) (\w+ ){0,3}"
    r"(requests?|queries|calls)\b",
    r"(requests?|calls?|queries) (\w+ ){0,3}(limit|exceed|count)",
    r"free tier|upgrade your|your (current )?plan|wait (a|for|until|before|\d)",
)
_CERTAINLY_RATE = _words(r"\brate\b|throttl|per (sec|min)|\brps\b|quota")
_WITHOUT_ADDRESS = _words(r"specif\w+ (\w+ ){0,3}address|address (is )?(required|missing|needed)")
_BATCH = _words(r"\bbatch")
_SIZE = _words(
    r"large|\bbig|many|more than|exceed|max|limit|at most|up to|only \d|over \d|greater|above",
    r"\bsize|split|smaller|fewer|reduce|allow|\bno\b|\bnot\b|unsupported|disabled|elements|items",
)
_RANGE = _words(
    r"\brange|\bspan|\bwindow|\binterval|\bdistance|\bchunk",
    r"(too|more|over|max\w*|limit\w*|exceed\w*|at most|up to|fewer|less|only) (\w+[ -]){0,4}"
    r"(blocks?|logs?|results?|events?|records?|entries|rows)\b",
    r"(response|result|query|output|log)s?( \w+){0,3} size",
    r"(blocks?|logs?|results?|events?|query|response)( \w+){0,4} "
    r"(too (many|large|wide|big|long|heavy|expensive)|exceed|limit|max)",
    r"too (large|big|wide|broad|heavy|expensive|costly|complex|long)|narrow|smaller|reduce|shrink",
    r"\bsplit\b|limited to|limit exceeded|exceeds? (the )?(max|limit)",
    r"timed? ?-?out|took too long|too slow|duration",
)
_REQUESTS = _words(
    r"\brate\b|\brequests?\b|\bcalls?\b|\bseconds?\b|\bminutes?\b|quota|throttl|credit|compute",
    r"capacity|\bplan\b|\bdaily\b|\bmonthly\b",
)
_BLOCKS = _words(r"\bblocks?\b|\brange|\bresults?\b|\blogs?\b|\bevents?\b")
_PRUNED = _words(
    r"prun|\btrie node|\barchiv|\bhistor(y|ic)|no longer (available|kept|stored|there|have)",
    r"too (old|far back|deep)|\bolder than|\bearliest\b|before (the )?(first|oldest|lowest)",
    r"(state|block|data|snapshot)s?( \w+){0,4} (discard|delet|expir|dropp|gone|evict|remov)\w*",
    r"(missing|lost|lacks?|without|unavailable|not available|no) (\w+ ){0,3}(state|trie)\b",
    r"state( \S+){0,6} (not available|unavailable|not found|missing)",
    r"not (kept|retained|stored|keep|retain|store)\b|distance to target block|\bproof window",
)
_BEHIND = _words(
    r"\b(header|block|blockhash|hash|height|head|tip)s?( \S+){0,5} (not|isn't|wasn't|hasn't) "
    r"(yet |been )?(found|available|known|there|exist|mined|indexed|synced|reached|seen)",
    r"(unknown|no such|future|unfinalized|not (have|know|find)( \w+)?|find|missing) "
    r"(block|header)",
    r"(beyond|past|above|after|ahead of|higher than|greater than|exceeds) (\w+ ){0,3}"
    r"(head|latest|tip|last|newest|current)",
    r"\bunfinalized|block (is |number )?(is )?out of (range|bounds)|height must be",
    r"in the future|not yet\b",
    r"still (behind|sync\w*)|\bsyncing\b|not (fully )?(in )?sync|catching up|lagg(s|ing)|is behind",
)
_BUSY = _words(
    r"\bbusy\b|overload|over(ly)? ?(capacity|worked|whelmed)|(too much|heavy|under) load|congest",
    r"\bunavailable|temporar|moment|try (it )?(again|later|your)|retry|again later|come back",
    r"\blater\b|timed? ?-?out|deadline exceeded|took too long|maintenance|starting|warming up",
    r"no (\w+ ){0,3}(server|backend|upstream|node|provider)s?\b|gateway|upstream|backend",
    r"not (healthy|ready)|unhealthy|offline|\bdown\b|\bqueue|pool is full|\bresources?\b",
)
_SERVED = (
    r"found|supported|available|allowed|exist\w*|served|whitelisted|enabled|implemented|known"
    r"|permitted|offered"
)
_UNSUPPORTED = _words(
    r"\b(method|function|namespace|module|api|endpoint|eth_\w+|debug_\w+|trace_\w+)\W(.{0,60}\W)?"
    rf"((not|never|n't) (\w+ )?({_SERVED})|unknown|unsupported|disabled|blocked|removed)",
    r"not (supported|implemented|whitelisted|enabled|served)\b|\bunsupported|whitelist",
    r"(unknown|unsupported|invalid|no such|disabled|forbidden|blocked) (rpc |json-rpc )?method",
)
_DENIED = _words(
    r"unauthori[sz]ed|authenticat|\bforbidden\b|not authori[sz]ed|permission|denied|\bjwt\b",
    r"(api|access|project|secret)[ -]?(key|id|token)\b|invalid (key|token|credential)",
)
_REVERTED = _words(
    r"revert|invalid opcode|invalid jump|stack (under|over)flow|out of gas",
    r"\bVM (execution|exception)",
)

_HEX_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")


def failure(
    method: str, error: Any, status: int = 200, retry_after: float | None = None
) -> Failure:
    """Parse the ``error`` that an endpoint returned for a request.

    Args:
        method: The method.
        error: The value of ``error``: an object, or anything else.
        status: The HTTP status of the response.
        retry_after: The delay of ``Retry-After``, in seconds.
    """
    code, message, data = _parts(error)
    message = hide_secrets(message)[:1000]
    if method in _RUN_CONTRACTS:
        found = _HEX_DATA.search(data) if isinstance(data, str) else None
        if found and code != -32601:
            return Failure(method, message, as_bytes(found[0]), Refusal.REVERTED)
        if _REVERTED.search(message) and not _RATE.search(message.split(":")[0]):
            # A revert without data, as `require(false)` and running out of gas leave it.
            data_or_none = b"" if "revert" in message.lower() else None
            return Failure(method, message, data_or_none, Refusal.REVERTED)
    details = (
        f"{message} {data}" if isinstance(data, str) and not data.startswith("0x") else message
    )
    kind = classify(method, code, details, status)
    return Failure(method, message, None, kind, retry_after)


def classify(method: str, code: int | None, message: str, status: int = 200) -> Refusal:
    """Classify a refusal by what the client can do next.

    Args:
        method: The refused method; empty if a whole batch was refused.
        code: The JSON-RPC error code, if there is one.
        message: The message of the endpoint.
        status: The HTTP status.
    """
    if status == 429:
        return Refusal.WAIT
    if method == LOGS and _WITHOUT_ADDRESS.search(message):
        return Refusal.REFUSED
    if code in _CERTAIN:
        return _CERTAIN[code]
    if _BATCH.search(message) and _SIZE.search(message) and not _CERTAINLY_RATE.search(message):
        return Refusal.SMALLER_BATCH
    if method == LOGS:
        if _PRUNED.search(message):
            return Refusal.PRUNED
        if _BEHIND.search(message):
            return Refusal.BEHIND
        if _RANGE.search(message) and not _is_about_requests(message):
            return Refusal.SMALLER_RANGE
    if _PRUNED.search(message) and not _CERTAINLY_RATE.search(message):
        return Refusal.PRUNED
    for kind, words in _WORDS.items():
        if words.search(message):
            return kind
    if status in (401, 403, 407):
        return Refusal.DENIED
    if status == 413:
        return Refusal.SMALLER_RANGE if method == LOGS else Refusal.SMALLER_BATCH
    if _BUSY.search(message):
        return Refusal.WAIT
    if code in _LIKELY:
        return _LIKELY[code]
    return Refusal.WAIT if is_transient(status) else Refusal.REFUSED


# In order of precedence: busy endpoints often report missing data, too.
_WORDS = {
    Refusal.WAIT: _RATE,
    Refusal.PRUNED: _PRUNED,
    Refusal.BEHIND: _BEHIND,
    Refusal.DENIED: _DENIED,
    Refusal.UNSUPPORTED: _UNSUPPORTED,
}


def _is_about_requests(message: str) -> bool:
    """Whether a refusal is about the number of requests, and not about their content."""
    without_name = re.sub(r"eth_\w+( (requests?|calls?))?", "", message)
    return bool(_REQUESTS.search(without_name)) and not _BLOCKS.search(without_name)


def _parts(error: Any) -> tuple[int | None, str, Any]:
    """Code, message and data of an error, in whichever shape it is."""
    if not isinstance(error, dict):
        return None, error if isinstance(error, str) else repr(error), None
    if isinstance(error.get("error"), dict) and "message" not in error:
        error = error["error"]
    code, data = error.get("code"), error.get("data")
    message = error.get("message", error.get("msg", error.get("error")))
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code):
        code = int(code)
    if isinstance(data, dict):  # some endpoints wrap it once more
        data = next(
            (
                data[name]
                for name in ("data", "result", "payload", "message", "reason")
                if data.get(name)
            ),
            None,
        )
    text = message if isinstance(message, str) and message else str(message or error)
    return (code if type(code) is int else None), text, data
