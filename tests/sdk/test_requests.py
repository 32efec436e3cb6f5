"""Requests of any model, with any routing, with and without a session."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn import Aggregation, Callback, DtnRequest, DtnSession, Prompt, Status
from ape_dtn.chain import rpc, transactions
from ape_dtn.client.ai import DtnAi
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork, Variant
from ape_dtn.errors import (
    CannotComplete,
    ContractReverted,
    FeeTooHigh,
    InsufficientFunds,
    InvalidAmount,
    InvalidCall,
    InvalidOption,
    InvalidPrompt,
    NoAccount,
    NodeNotFound,
    NodesNotListed,
    NodeUnavailable,
    RequestPending,
    RequestReplaced,
)
from ape_dtn.journal.executor import OperationResult
from ape_dtn.network import reverts
from ape_dtn.network.abi import ModelManager, NodeManager
from ape_dtn.node.answering import Backend, Question
from ape_dtn.node.node import DtnNode
from ape_dtn.requests.draft import randomized_user
from ape_dtn.requests.sending import sent_by
from ape_dtn.types.abi import Function
from ape_dtn.types.ids import id_of
from ape_dtn.types.model import Model
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction, contract_call
from tests.conftest import Cast

NewModel = Callable[..., Model]

UPDATE_NAMESPACES = Function("updateNodeNamespaces(bytes32,string[],uint256[],bytes[])")


@pytest.fixture
def new_model(network: LocalNetwork, cast: Cast) -> NewModel:
    """Registers a model with an API, as the only model that the node serves."""

    def new_model(specs: str, docs: str = "") -> Model:
        ai, contracts = network.ai, network.ai.contracts()
        models, nodes = contracts.model_manager, contracts.node_manager
        for transaction in (
            contract_call(
                models, ModelManager.register_model_api, "api.system", "any", specs, docs
            ),
            contract_call(
                models, ModelManager.register_model, "model.system", "any", "api.system.any"
            ),
            contract_call(
                nodes,
                NodeManager.set_node_models,
                network.node.id,
                [id_of("model.system.any", "model")],
            ),
        ):
            transactions.send(ai.provider, cast.owner, transaction, reverts.NO_CONTEXT)
        return ai.model("model.system.any")

    return new_model


def answering(network: LocalNetwork, backend: Backend) -> DtnNode:
    return DtnNode(network.ai, NODE, network.node.worker, backend)


# Building a request.


def test_inputs_by_their_names(
    network: LocalNetwork, funded: DtnSession, new_model: NewModel
) -> None:
    docs = "prompt: the lines of the prompt; width, height: of the image, in pixels"
    model = new_model("string[], uint64, uint64 -> bytes", docs)

    request = model.request(prompt=["A cat"], height=32, width=64, session=funded)

    asked: list[Any] = []

    def paint(question: Question) -> bytes:
        asked.extend(question.inputs)
        return b"\x89PNG\r\n\x1a\n"

    answering(network, paint).answer_pending()
    answer = request.answer()
    assert asked == [("A cat",), 64, 32]
    assert answer.image_type == "image/png"
    assert answer.value == bytes(answer) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("specs", "values", "output"),
    [
        ("string -> uint256", ("How many?",), 2**255),
        ("int8,bool -> (string,bytes32)[]", (-5, True), (("yes", b"\1" * 32), ("no", b"\2" * 32))),
        (
            "(address,uint8[2])[],bytes -> address",
            ([("0x" + "5e" * 20, (1, 2))], b"\0\1"),
            "0x" + "5e" * 20,
        ),
        ("-> string", (), "Nothing was asked."),
    ],
)
def test_inputs_and_outputs_of_any_type(
    network: LocalNetwork,
    funded: DtnSession,
    new_model: NewModel,
    specs: str,
    values: tuple[Any, ...],
    output: Any,
) -> None:
    model = new_model(specs)
    asked: list[Any] = []

    request = funded.request(*values, model=model.name)
    answering(network, lambda question: (asked.append(question.inputs), output)[1]).answer_pending()

    assert encode(model.api.inputs, asked[0]) == encode(model.api.inputs, values)
    assert request.answer().value == output


def test_placeholders_in_any_text_of_the_call(
    network: LocalNetwork, funded: DtnSession, new_model: NewModel
) -> None:
    model = new_model("string,(string,uint8)[] -> string", "question, hints")
    asked: list[Any] = []

    request = model.request(
        Prompt("Is {0:address} older than {1:uint8}?", "0x" + "5e" * 20, 26),
        hints=[("It is not {1:uint8}.", 1)],
        session=funded,
    )
    answering(network, lambda question: (asked.extend(question.inputs), "no")[1]).answer_pending()

    shown = Prompt("{0:address}", "0x" + "5e" * 20).render()[0]
    assert asked == [f"Is {shown} older than 26?", (("It is not 26.", 1),)]
    assert request.answer().text == "no"


def test_a_placeholder_without_a_value_in_another_input(
    funded: DtnSession, new_model: NewModel, nothing_moves: None
) -> None:
    model = new_model("string,string -> string")

    with pytest.raises(InvalidPrompt, match=r"placeholder \{1\} has no value"):
        funded.request(Prompt("Is it {0}?", "blue"), "Or {1}?", model=model.name)


def test_values_of_two_prompts_would_share_indices(
    funded: DtnSession, new_model: NewModel, nothing_moves: None
) -> None:
    model = new_model("string,string -> string")

    with pytest.raises(InvalidPrompt):
        funded.request(Prompt("{0}", "a"), Prompt("{0}", "b"), model=model.name)


def test_an_unknown_input_is_refused(
    funded: DtnSession, new_model: NewModel, nothing_moves: None
) -> None:
    model = new_model("string[], uint64 -> string", "prompt, length")

    with pytest.raises(TypeError, match="no option 'lenght'"):
        model.request("Hello?", lenght=5, session=funded)
    with pytest.raises(InvalidCall, match="no 'lenght' among prompt, length"):
        funded.request("Hello?", model=model.name, inputs={"lenght": 5})


def test_an_unknown_option_is_not_ignored(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(TypeError, match="no option 'max_costs'"):
        funded.request("Hello?", max_costs="0.01")  # type: ignore[call-arg]


# Fees.


@pytest.mark.parametrize("fee", [10**15, 10**15 * 1.0])
def test_a_fee_in_the_smallest_unit_is_too_high(
    funded: DtnSession, nothing_moves: None, fee: Any
) -> None:
    with pytest.raises(InvalidAmount, match="is not an amount"):
        funded.request("Hello?", fee_per_byte=fee)


def test_a_fee_at_which_the_request_alone_exceeds_max_cost(
    funded: DtnSession, nothing_moves: None
) -> None:
    with pytest.raises(
        FeeTooHigh, match=r"the bytes of the request alone cost 0\.16 USDT"
    ) as raised:
        funded.request("Hello?", fee_per_byte="0.001", max_cost="0.1")

    assert "USDT has 6 decimals" in (raised.value.hint or "")


# Routing.


def switch_off(network: LocalNetwork, cast: Cast) -> None:
    manager = network.ai.contracts().node_manager
    transaction = contract_call(manager, NodeManager.set_node_status, network.node.id, False)
    transactions.send(network.ai.provider, cast.owner, transaction, reverts.NO_CONTEXT)


def unserve(network: LocalNetwork, cast: Cast) -> None:
    manager = network.ai.contracts().node_manager
    transaction = contract_call(manager, NodeManager.set_node_models, network.node.id, [])
    transactions.send(network.ai.provider, cast.owner, transaction, reverts.NO_CONTEXT)


def untouched(_network: LocalNetwork, _cast: Cast) -> None: ...


@pytest.mark.usefixtures("crowded")
def test_named_nodes_work_however_many_nodes_serve_the_model(
    network: LocalNetwork, funded: DtnSession
) -> None:
    assert all(quote.problem is None for quote in funded.quote("Hello?", nodes=[NODE]))
    request = funded.request("Hello?", nodes=[NODE])

    network.node.answer_pending()
    assert str(request.answer()) == "You asked: Hello?"


def test_too_many_nodes_of_one_model_do_not_hide_those_of_others(
    network: LocalNetwork, crowded: str
) -> None:
    assert NODE in [node.name for node in network.ai.nodes()]
    with pytest.raises(NodesNotListed, match=crowded):
        network.ai.nodes(crowded)


@pytest.mark.usefixtures("nothing_moves")
def test_any_node_of_too_many_is_refused_with_a_hint_to_name_some(
    funded: DtnSession, crowded: str
) -> None:
    with pytest.raises(NodesNotListed, match=crowded) as raised:
        funded.request("Hello?", any_node=True)

    assert "`nodes`" in (raised.value.hint or "")


def test_a_namespace_of_too_many_nodes_needs_may_never_complete(
    funded: DtnSession, crowded: str
) -> None:
    namespaces = ["namespace.nobody.in"]
    with pytest.raises(NodesNotListed, match=crowded):
        funded.request("Hello?", namespaces=namespaces)

    request = funded.request("Hello?", namespaces=namespaces, may_never_complete=True)

    assert request.record.namespaces == (keccak(text=namespaces[0]),)


def test_a_model_with_too_many_nodes_does_not_spoil_other_quotes(
    funded: DtnSession, crowded: str
) -> None:
    others = [model for model in NODE_MODELS if model != crowded]

    quotes = funded.quote("Hello?", models=[crowded, *others], any_node=True)

    assert {quote.model for quote in quotes} == {crowded, *others}
    failed = {quote.model for quote in quotes if isinstance(quote.problem, NodesNotListed)}
    assert failed == {crowded}
    assert any(quote.problem is None for quote in quotes)


@pytest.mark.parametrize(
    ("spoil", "options", "error", "says"),
    [
        (untouched, {"aggregation": Aggregation.VOTE}, CannotComplete, "no aggregation VOTE"),
        (untouched, {"redundancy": 3}, CannotComplete, "a redundancy of 1, not of 3"),
        (untouched, {"redundancy": 0}, CannotComplete, "a redundancy of 1, not of 0"),
        (
            untouched,
            {"namespaces": ["trust.alice.mine"]},
            CannotComplete,
            "is a member of the trust namespace trust.alice.mine",
        ),
        (untouched, {"nodes": ["node.no.body"]}, NodeNotFound, "Node node.no.body is not"),
        (switch_off, {"nodes": [NODE]}, NodeUnavailable, "it is inactive"),
        (unserve, {"nodes": [NODE]}, NodeUnavailable, "it does not serve"),
        (switch_off, {}, NodeNotFound, "nobody could answer"),
        (switch_off, {"any_node": True}, NodeNotFound, "nobody could answer"),
    ],
)
class TestWhatCannotComplete:
    def test_is_refused(
        self,
        network: LocalNetwork,
        cast: Cast,
        funded: DtnSession,
        spoil: Callable[..., None],
        options: Any,
        error: Any,
        says: str,
    ) -> None:
        spoil(network, cast)
        before = cast.customer.nonce

        with pytest.raises(error, match=says):
            funded.request("Hello?", **options)

        assert cast.customer.nonce == before

    def test_is_sent_on_demand(
        self,
        network: LocalNetwork,
        cast: Cast,
        funded: DtnSession,
        spoil: Callable[..., None],
        options: Any,
        error: Any,
        says: str,
        variant: Variant,
    ) -> None:
        spoil(network, cast)
        if variant is Variant.REFERENCE and {"redundancy", "aggregation"} & {*options}:
            with pytest.raises(ContractReverted, match="Response strategy not implemented"):
                funded.request("Hello?", **options, may_never_complete=True)
            return

        request = funded.request("Hello?", may_never_complete=True, **options)

        record = request.record
        assert record.status is Status.PENDING
        assert record.redundancy == options.get("redundancy", 1)
        assert record.aggregation == options.get("aggregation", Aggregation.ANY)
        assert list(record.namespaces) == [
            keccak(text=name) for name in options.get("namespaces", [])
        ]


def test_a_namespace_that_a_node_has_joined(
    network: LocalNetwork, cast: Cast, funded: DtnSession, variant: Variant
) -> None:
    """On the live variant no node can join one: the signature covers the time of its block."""
    if variant is Variant.LIVE:
        pytest.skip("no node can join a namespace there")
    ai = network.ai
    manager = ai.contracts().node_manager
    namespace, expiration = "node.local", 2**40  # owned by the node's owner
    signature = _assignment(network, cast, manager, namespace, expiration)
    join = contract_call(
        manager, UPDATE_NAMESPACES, network.node.id, [namespace], [expiration], [signature]
    )
    transactions.send(ai.provider, cast.owner, join, reverts.NO_CONTEXT)

    request = funded.request("Hello?", namespaces=[namespace])

    assert request.record.nodes == ()
    assert network.node.answer_pending() == [request.id]
    assert ai.node(NODE).namespaces == {keccak(text=namespace): expiration}


def _assignment(
    network: LocalNetwork, cast: Cast, manager: str, namespace: str, expiration: int
) -> bytes:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    message = encode_typed_data(
        {
            "name": "DeepTrust Network",
            "version": "1",
            "chainId": network.ai.provider.chain_id,
            "verifyingContract": manager,
        },
        {
            "NamespaceAssignment": [
                {"name": "targetId", "type": "bytes32"},
                {"name": "namespace", "type": "string"},
                {"name": "expiration", "type": "uint256"},
            ]
        },
        {"targetId": network.node.id, "namespace": namespace, "expiration": expiration},
    )
    return bytes(Account.sign_message(message, cast.owner.private_key).signature)


# Without a session.


def test_without_a_session_one_is_opened_first(network: LocalNetwork, cast: Cast) -> None:
    request = network.ai.request("Hello?", account=cast.customer, max_cost="0.10")
    network.node.answer_pending()

    assert request.wait(timeout=30).text == "You asked: Hello?"
    session = DtnSession.load(request.session_id, cast.customer, network.ai)
    refund = session.close()
    assert refund + request.cost() == refund.token.amount("0.10")


def test_session_zero_opens_a_new_session(network: LocalNetwork, cast: Cast) -> None:
    request = network.ai.request("Hello?", session=0, account=cast.customer, deposit="2.00")

    session = DtnSession.load(request.session_id, ai=network.ai)
    assert session.owner == str(cast.customer.address)
    assert str(session.balance) == "2.00 USDT"


def test_on_a_session_by_its_id(network: LocalNetwork, funded: DtnSession, cast: Cast) -> None:
    assert network.ai.request("Hello?", session=funded.id, account=cast.customer).session_id == (
        funded.id
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"redundancy": -1, "may_never_complete": True}, InvalidOption),
        ({"any_node": True, "nodes": [NODE]}, InvalidOption),
        ({"any_node": True, "namespaces": ["trust.alice.mine"]}, InvalidOption),
        ({"deposit": "0.01"}, InsufficientFunds),
        ({"deposit": Decimal(0)}, InvalidAmount),
    ],
)
def test_invalid_options_are_refused(
    network: LocalNetwork, cast: Cast, nothing_moves: None, options: Any, error: Any
) -> None:
    with pytest.raises(error):
        network.ai.request("Hello?", account=cast.customer, **options)


def test_a_deposit_for_an_open_session_is_refused(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(InvalidOption, match="the session given is open"):
        funded.ai.request("Hello?", session=funded, deposit="5")


@pytest.mark.parametrize(
    "wrong", [{"success": "onAnswer"}, {"failure": "(bytes32)"}, {"gas": -1}, {"gas": 2**256}]
)
def test_invalid_callbacks_are_refused(cast: Cast, wrong: dict[str, Any]) -> None:
    right = {"success": "onAnswer(bytes32)", "failure": "onFailure(bytes32)", "gas": 100_000}
    Callback(str(cast.stranger.address), **right)

    with pytest.raises(InvalidOption):
        Callback(str(cast.stranger.address), **{**right, **wrong})


def test_an_invalid_request_opens_no_session(
    network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    with pytest.raises(InvalidCall):
        network.ai.request("A cat", "more", account=cast.customer)


def test_the_account_of_the_network_signs(network: LocalNetwork, cast: Cast) -> None:
    ai = DtnAi(network.ai.router, network.ai.provider, account=cast.customer)

    session = DtnSession.load(ai.request("Hello?").session_id, ai=ai)

    assert session.owner == str(cast.customer.address)


def test_apes_default_sender_signs(network: LocalNetwork, cast: Cast, accounts: Any) -> None:
    with accounts.use_sender(cast.customer):
        request = network.ai.request("Hello?")

    assert DtnSession.load(request.session_id, ai=network.ai).owner == str(cast.customer.address)


def test_a_request_without_an_account_is_refused(network: LocalNetwork) -> None:
    with pytest.raises(NoAccount):
        network.ai.request("Hello?")


# Ids.


def test_users_begin_as_the_sender_and_end_at_random(cast: Cast) -> None:
    sender = str(cast.customer.address)
    drawn = {randomized_user(sender) for _ in range(1000)}

    assert len(drawn) == 1000
    assert {user.lower()[:26] for user in drawn} == {sender.lower()[:26]}


def test_requests_of_one_block_have_different_ids(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    with one_block(network):
        checked = [funded.draft(f"{place}?") for place in range(5)]
        hashes = [send_unmined(network, cast, draft.transaction()) for draft in checked]

    receipts = rpc.ask(
        network.ai.provider, [("eth_getTransactionReceipt", [hash_]) for hash_ in hashes]
    )
    assert len({receipt["blockNumber"] for receipt in receipts}) == 1
    ids = {receipt["logs"][0]["topics"][1] for receipt in receipts}
    assert len(ids) == 5
    found = DtnRequest.load_many(ids, network.ai)
    assert {record.session_id for _, record in found} == {funded.id}
    assert len(network.node.answer_pending()) == 5
    assert {request.answer().text for request, _ in found} == {
        f"You asked: {place}?" for place in range(5)
    }


def test_two_requests_of_one_block_with_the_same_user_are_reported(
    network: LocalNetwork, funded: DtnSession, cast: Cast, variant: Variant
) -> None:
    user = str(cast.stranger.address)
    with one_block(network):
        checked = [funded.draft(f"{place}?", user=user) for place in range(2)]
        hashes = [send_unmined(network, cast, draft.transaction()) for draft in checked]
    receipts = rpc.ask(
        network.ai.provider, [("eth_getTransactionReceipt", [hash_]) for hash_ in hashes]
    )
    done = [
        OperationResult(
            {
                "request": receipt["logs"][0]["topics"][1],
                "transaction": receipt["transactionHash"],
                "block": str(as_int(receipt["blockNumber"])),
            }
        )
        for receipt in receipts
    ]

    later = sent_by(checked[1], done[1])
    if variant is Variant.REFERENCE:
        assert sent_by(checked[0], done[0]).id != later.id
    else:
        with pytest.raises(RequestReplaced) as raised:
            sent_by(checked[0], done[0])
        assert raised.value.request_id == later.id


# The record.


def test_the_record_of_a_request(network: LocalNetwork, funded: DtnSession, cast: Cast) -> None:
    checked = funded.draft(Prompt("Is it {0}?", "blue"), max_cost="0.10")
    request = funded.send(checked)

    record = request.record

    assert (record.call, record.extra_params) == (checked.call, checked.extra_params)
    assert record.bytes_asked == checked.bytes_asked
    assert record.max_cost == 100_000
    assert record.nodes == (network.node.id,)
    assert not record.has_callback
    assert record.user.lower()[:26] == str(cast.customer.address).lower()[:26]
    with pytest.raises(RequestPending):
        request.answer()


class one_block:
    """Holds back mining inside the context, and then mines everything in one block."""

    def __init__(self, network: LocalNetwork) -> None:
        self.provider = network.ai.provider

    def __enter__(self) -> None:
        rpc.result(self.provider, "evm_setAutomine", [False])

    def __exit__(self, *_: object) -> None:
        rpc.result(self.provider, "evm_mine", [])
        rpc.result(self.provider, "evm_setAutomine", [True])


def send_unmined(network: LocalNetwork, cast: Cast, transaction: Transaction) -> str:
    sent: str = rpc.result(
        network.ai.provider,
        "eth_sendTransaction",
        [
            {
                "from": str(cast.customer.address),
                "to": transaction.to,
                "data": "0x" + transaction.data.hex(),
                "gas": hex(2_000_000),
            }
        ],
    )
    return sent
