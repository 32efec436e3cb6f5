"""Refusals of endpoints are classified by their remedy, whatever their wording."""

from __future__ import annotations

import pytest

from ape_dtn.chain.refusals import classify, failure
from ape_dtn.types.rpc import Refusal

LOGS, CALL, NONE = "eth_getLogs", "eth_call", ""

# Source, method, code, message, HTTP status and class of each refusal.
SAID: list[tuple[str, str, int | None, str, int, Refusal]] = [
    # Rate limits and overload.
    ("Alchemy", CALL, 429, "Your app has exceeded its compute units per second capacity. If you "
     "have retries enabled, you can safely ignore this message.", 429, Refusal.WAIT),
    ("Alchemy", LOGS, 429, "Monthly capacity limit exceeded.", 200, Refusal.WAIT),
    ("Infura", CALL, -32005, "project ID request rate exceeded", 429, Refusal.WAIT),
    ("Infura", LOGS, -32005, "daily request count exceeded, request rate limited", 200,
     Refusal.WAIT),
    ("QuickNode", CALL, -32007, "50/second request limit reached - reduce calls per second", 429,
     Refusal.WAIT),
    ("QuickNode", LOGS, -32003, "daily request limit reached - upgrade your account", 200,
     Refusal.WAIT),
    ("Ankr", CALL, -32090, "Too many requests, reason: call rate limit exhausted", 200,
     Refusal.WAIT),
    ("dRPC", CALL, 30, "Request timeout on the free tier, please upgrade your tier to the paid one",
     408, Refusal.WAIT),
    ("dRPC", CALL, 19, "Temporary internal error. Please retry, trace-id: 00", 500, Refusal.WAIT),
    ("BlockPI", LOGS, -32097, "rate limit exceeded", 429, Refusal.WAIT),
    ("Chainstack", CALL, -32005, "You've exceeded the RPS limit available on the current plan",
     429, Refusal.WAIT),
    ("LlamaNodes", CALL, None, "error code: 1015", 429, Refusal.WAIT),
    ("Base", CALL, -32016, "over rate limit", 429, Refusal.WAIT),
    ("Base", CALL, -32011, "no backend is currently healthy to serve traffic", 503, Refusal.WAIT),
    ("proxyd", NONE, -32012, "backend is over capacity", 429, Refusal.WAIT),
    ("Moralis", CALL, None, "Request exceeded throughput limit", 200, Refusal.WAIT),
    ("Tenderly", CALL, -32005, "rate limit exceeded", 429, Refusal.WAIT),
    ("Nethermind", CALL, -32000, "The node is too busy", 503, Refusal.WAIT),
    ("geth", CALL, -32002, "request timed out", 200, Refusal.WAIT),
    ("Erigon", CALL, -32000, "server is overloaded", 200, Refusal.WAIT),
    ("anyone", CALL, None, "<html><title>502 Bad Gateway</title></html>", 502, Refusal.WAIT),
    # A batch.
    ("Base", NONE, -32014, "maximum 10 calls in 1 batch", 200, Refusal.SMALLER_BATCH),
    ("proxyd", NONE, -32014, "too many RPC calls in batch request", 200, Refusal.SMALLER_BATCH),
    ("dRPC", CALL, 31, "Batch of more than 3 requests are not allowed on free tier, to use this "
     "feature register paid account at drpc.org", 500, Refusal.SMALLER_BATCH),
    ("geth", NONE, -32600, "batch too large", 200, Refusal.SMALLER_BATCH),
    ("Erigon", NONE, -32000, "batch limit 100 exceeded: 142 requests given", 200,
     Refusal.SMALLER_BATCH),
    ("Besu", NONE, -32602, "Number of requests in batch exceeds --rpc-max-batch-size.", 200,
     Refusal.SMALLER_BATCH),
    ("Nethermind", NONE, -32005, "Batch size limit exceeded", 200, Refusal.SMALLER_BATCH),
    ("anyone", NONE, None, "<h1>413 Request Entity Too Large</h1>", 413, Refusal.SMALLER_BATCH),
    # Too many blocks or logs.
    ("Alchemy", LOGS, -32602, "Log response size exceeded. You can make eth_getLogs requests with "
     "up to a 2K block range and no limit on the response size", 200, Refusal.SMALLER_RANGE),
    ("Alchemy", LOGS, -32600, "You can make eth_getLogs requests with up to a 500 block range. "
     "Based on your parameters, this block range should work: [0x7e9b85, 0x7e9d78]", 400,
     Refusal.SMALLER_RANGE),
    ("Infura", LOGS, -32005, "query returned more than 10000 results", 200, Refusal.SMALLER_RANGE),
    ("Infura", LOGS, -32602, "range 1000000 exceeds limit of 10000", 200, Refusal.SMALLER_RANGE),
    ("QuickNode", LOGS, -32614, "eth_getLogs is limited to a 10,000 range", 413,
     Refusal.SMALLER_RANGE),
    ("Ankr", LOGS, -32600, "block range is too wide", 200, Refusal.SMALLER_RANGE),
    ("dRPC", LOGS, 35, "ranges over 10000 blocks are not supported on freetier", 400,
     Refusal.SMALLER_RANGE),
    ("BlockPI", LOGS, -32602, "eth_getLogs is limited to 1024 block range.", 200,
     Refusal.SMALLER_RANGE),
    ("Base", LOGS, -32000, "block range too large (2500), maximum allowed is 2000 blocks", 200,
     Refusal.SMALLER_RANGE),
    ("Tenderly", LOGS, -32602, "range 9009594 is bigger than range limit 2000", 200,
     Refusal.SMALLER_RANGE),
    ("Cloudflare", LOGS, -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too "
     "large. Max range: 800", 200, Refusal.SMALLER_RANGE),
    ("BNB", LOGS, -32005, "limit exceeded", 200, Refusal.SMALLER_RANGE),
    ("PublicNode", LOGS, -32701, "Please specify an address in your request or, to remove "
     "restrictions, order a dedicated full node here", 403, Refusal.REFUSED),
    ("Erigon", LOGS, -32000, "query timeout exceeded", 200, Refusal.SMALLER_RANGE),
    ("Nethermind", LOGS, -32000, "Too many logs requested. Max logs per response is 20000.", 200,
     Refusal.SMALLER_RANGE),
    ("Besu", LOGS, -32005, "Requested range exceeds maximum RPC range limit", 200,
     Refusal.SMALLER_RANGE),
    ("reth", LOGS, -32602, "query exceeds max results 20000, retry with the range 1-2", 200,
     Refusal.SMALLER_RANGE),
    ("Morph", LOGS, -32000, "block range is larger than max block range, block range = 5120, max "
     "block range = 5000", 200, Refusal.SMALLER_RANGE),
    # Pruned blocks.
    ("geth", CALL, -32000, "missing trie node b03d68ac (path ) state is not available", 200,
     Refusal.PRUNED),
    ("geth", CALL, -32000, "historical state 0x is not available", 200, Refusal.PRUNED),
    ("geth", LOGS, 4444, "pruned history unavailable", 200, Refusal.PRUNED),
    ("Erigon", CALL, -32000, "history has been pruned for this block", 200, Refusal.PRUNED),
    ("reth", CALL, -32000, "state at block #12 is pruned", 200, Refusal.PRUNED),
    ("Nethermind", CALL, -32002, "No state available for block 0x12", 200, Refusal.PRUNED),
    ("Besu", CALL, -32000, "World state unavailable", 200, Refusal.PRUNED),
    ("PublicNode", CALL, -32602, "Archive requests require a personal token", 403, Refusal.PRUNED),
    ("op-reth", CALL, -32000, "distance to target block exceeds maximum proof window", 200,
     Refusal.PRUNED),
    # Blocks that are not there yet.
    ("geth", CALL, -32000, "header not found", 200, Refusal.BEHIND),
    ("geth", LOGS, -32000, "block range extends beyond current head block", 200, Refusal.BEHIND),
    ("Erigon", CALL, -32000, "block not found: 123", 200, Refusal.BEHIND),
    ("reth", CALL, -32001, "block not found: 0x12", 200, Refusal.BEHIND),
    ("Besu", CALL, -32000, "Unknown block", 200, Refusal.BEHIND),
    ("Nethermind", CALL, -32001, "Could not find block 12", 200, Refusal.BEHIND),
    ("proxyd", LOGS, -32019, "block is out of range", 400, Refusal.BEHIND),
    ("Avalanche", CALL, -32000, "cannot query unfinalized data", 200, Refusal.BEHIND),
    ("Cosmos", CALL, -32000, "height must be less than or equal to the current height", 200,
     Refusal.BEHIND),
    # Unsupported methods.
    ("geth", "debug_traceCall", -32601, "the method debug_traceCall does not exist/is not "
     "available", 200, Refusal.UNSUPPORTED),
    ("proxyd", "debug_traceCall", -32001, "rpc method is not whitelisted", 403,
     Refusal.UNSUPPORTED),
    ("Infura", "trace_block", -32004, "Method not supported", 200, Refusal.UNSUPPORTED),
    ("anyone", "eth_feeHistory", -32000, "eth_feeHistory is disabled here", 200,
     Refusal.UNSUPPORTED),
    # API keys.
    ("Alchemy", CALL, -32600, "Must be authenticated!", 401, Refusal.DENIED),
    ("Infura", CALL, -32600, "invalid project id", 401, Refusal.DENIED),
    ("anyone", CALL, None, "", 403, Refusal.DENIED),
    # Permanent refusals.
    ("geth", CALL, -32602, "invalid argument 0: hex string has length 3", 200, Refusal.REFUSED),
    ("geth", "eth_sendRawTransaction", -32000, "nonce too low: next nonce 5, tx nonce 4", 200,
     Refusal.REFUSED),
    ("geth", "eth_sendRawTransaction", -32000, "insufficient funds for gas * price + value", 200,
     Refusal.REFUSED),
]  # fmt: skip

# Messages written for this test, which the package cannot know.
OWN = [
    (CALL, "Whoa there, ease off a little", Refusal.WAIT),
    (CALL, "your allowance of queries for this hour is spent", Refusal.WAIT),
    (CALL, "all of our servers are busy at the moment", Refusal.WAIT),
    (NONE, "a batch of that many entries is not taken", Refusal.SMALLER_BATCH),
    (NONE, "please send your batch in smaller pieces", Refusal.SMALLER_BATCH),
    (LOGS, "we look through at most 50 blocks in one go", Refusal.SMALLER_RANGE),
    (LOGS, "that is a span of 90 blocks, and 20 is the most", Refusal.SMALLER_RANGE),
    (LOGS, "this filter gives too many events", Refusal.SMALLER_RANGE),
    (CALL, "blocks that are older than a day are not kept here", Refusal.PRUNED),
    (CALL, "the state of that block was deleted", Refusal.PRUNED),
    (CALL, "this node is still syncing", Refusal.BEHIND),
    (CALL, "that block has not been mined yet", Refusal.BEHIND),
    ("eth_feeHistory", "the function eth_feeHistory is not offered", Refusal.UNSUPPORTED),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said[0]} {said[3][:40]}")
def test_refusals_of_providers_and_clients_are_told_apart(
    said: tuple[str, str, int | None, str, int, Refusal],
) -> None:
    _, method, code, message, status, kind = said

    assert classify(method, code, message, status) is kind


@pytest.mark.parametrize(("method", "message", "kind"), OWN)
def test_words_that_nobody_has_said_yet_are_told_apart(
    method: str, message: str, kind: Refusal
) -> None:
    assert classify(method, -32000, message) is kind


def test_at_least_eight_providers_and_four_clients_are_known() -> None:
    clients = {"geth", "Erigon", "Nethermind", "Besu", "reth", "op-reth"}
    names = {said[0] for said in SAID}

    assert len(names - clients - {"anyone"}) >= 8
    assert len(names & clients) >= 4


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "execution reverted: rate limit exceeded", "data": "0x08c379a0"},
        {"code": -32000, "message": "execution reverted"},
        {"code": -32015, "message": "VM execution error.", "data": "Reverted 0x08c379a0"},
        {"code": -32603, "message": "VM Exception: revert batch too large"},
    ],
)
def test_a_revert_is_no_refusal_whatever_its_reason_says(error: object) -> None:
    found = failure(CALL, error)

    assert found.refusal is Refusal.REVERTED
    assert found.data is not None


@pytest.mark.parametrize(
    "error", ["slow down", ["slow down"], 7, None, {}, {"code": "x"}, {"message": {"a": 1}}, True]
)
def test_an_error_of_any_shape_is_a_failure(error: object) -> None:
    assert failure(CALL, error).data is None
