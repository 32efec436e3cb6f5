"""Local networks by bare contract calls, without the checks of the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import encode
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.client.ai import DtnAi
from ape_dtn.deployment.assemble import (
    NODE,
    NODE_USER,
    FeeToken,
    LocalNetwork,
    Variant,
    create_token,
    fund,
)
from ape_dtn.errors import DtnError
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, NodeManager, Router, SessionManager
from ape_dtn.network.registry import Contracts
from ape_dtn.node.node import DtnNode
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt, contract_call
from tests.conftest import Cast

if TYPE_CHECKING:
    from .client import Owned, ScriptedContract

MODEL = keccak(text="model.system.openai-gpt-5-nano")
NODE_ID = keccak(text=NODE)
NOBODY = "0x" + "00" * 20
NO_CALLBACK = (b"\0" * 4, b"\0" * 4, NOBODY)

NA, SUCCESS, FAILURE = range(3)
IPFS, DIRECT = range(2)
ANY, ALL, SELECT_BEST, VOTE, RANK = range(5)

# keccak256("eip1967.proxy.implementation") - 1, as ERC-1967 has it.
IMPLEMENTATION = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC

UPDATE_NAMESPACES = Function("updateNodeNamespaces(bytes32,string[],uint256[],bytes[])")
REGISTER_NAMESPACE = Function("registerNamespace(string,address)")
SET_MANAGERS = Function("setManagers(address,address,address)")


@dataclass(frozen=True)
class Ask:
    """A request. By default the node answers it for up to 1,000 units."""

    model: bytes = MODEL
    namespaces: Sequence[bytes] = ()
    nodes: Sequence[bytes] = (NODE_ID,)
    redundancy: int = 1
    aggregation: int = ANY
    call: bytes = encode(["string[]"], [["Hello?"]])
    call_type: int = DIRECT
    fee_asked: int = 1
    fee_answered: int = 1
    most: int = 1_000
    callback: tuple[bytes, bytes, str] = NO_CALLBACK
    user: str = NOBODY
    callback_gas: int = 0
    value: int | None = None

    def arguments(self, session_id: int) -> tuple[Any, ...]:
        return (
            session_id,
            self.model,
            (self.namespaces, self.nodes, self.redundancy, 8, self.aggregation),
            (self.call, b"", self.call_type, self.fee_asked, self.fee_answered, self.most),
            self.callback,
            self.user,
            self.callback_gas,
        )


@dataclass(frozen=True)
class Reply:
    """A response. By default a SUCCESS with stated sizes of 100 bytes each."""

    status: int = SUCCESS
    message: str = ""
    response: bytes = encode(["string"], ["Hi."])
    node: bytes = NODE_ID
    asked: int = 100
    answered: int = 100
    worker: Any = None
    gas_limit: int | None = None

    def arguments(self, request_id: bytes) -> tuple[Any, ...]:
        sizes = (self.asked, self.answered)
        return (request_id, self.status, self.message, self.response, self.node, *sizes)


class Net:
    """A network with all its contract calls."""

    def __init__(self, network: LocalNetwork, cast: Cast) -> None:
        self.ai, self.node, self.cast = network.ai, network.node, cast
        self.provider, self.router = network.ai.provider, network.ai.router

    @property
    def contracts(self) -> Contracts:
        return self.ai.contracts()

    def send(
        self, account: Any, to: str, function: Function | str, *args: Any, **options: Any
    ) -> Receipt:
        function = Function(function) if isinstance(function, str) else function
        transaction = contract_call(to, function, *args, **options)
        return transactions.send(self.provider, account, transaction, reverts.NO_CONTEXT)

    def read(self, of: str, function: Function, *args: Any, sender: str | None = None) -> Any:
        return self.ai.read_one(Call(of, function, args, sender=sender))

    def create(self, name: str, *args: Any) -> str:
        """Creates a contract of the shipped artifacts and returns its address."""
        return self._create(artifacts.creation_code(name, *args))

    def create_raw(self, runtime: str) -> str:
        """Creates a contract with hand-written runtime code and returns its address."""
        size = len(runtime) // 2
        code = bytes.fromhex(f"61{size:04x}80600a3d393df3{runtime}")
        return self._create(code)

    def _create(self, code: bytes) -> str:
        return transactions.create(self.provider, self.cast.owner, code, reverts.NO_CONTEXT)

    # Tokens.

    def fund(self, account: Any, units: int) -> None:
        fund(self.provider, self.cast.owner, self.contracts.fee_token, address(account), units)

    def held(self, account: Any) -> int:
        """Balance of an account or contract, in units of the fee token."""
        return int(self.read(self.contracts.fee_token, ERC20.balance_of, address(account)))

    def coin(self, account: Any) -> int:
        """Balance of an account or contract, in wei."""
        params = [address(account), "latest"]
        return as_int(rpc.result(self.provider, "eth_getBalance", params))

    @property
    def held_by_network(self) -> int:
        return self.held(self.contracts.fee_target)

    # Sessions.

    def deposit(self, account: Any, units: int) -> None:
        contracts = self.contracts
        self.send(account, contracts.fee_token, ERC20.transfer, contracts.fee_target, units)

    def start(self, account: Any) -> int:
        receipt = self.send(account, self.router, Router.start_user_session)
        (opened,) = SessionManager.session_started.find(receipt.logs)
        return int(opened["sessionId"])

    def open(self, account: Any, units: int = 1_000_000) -> int:
        self.deposit(account, units)
        return self.start(account)

    def close(self, account: Any, session_id: int) -> Receipt:
        return self.send(account, self.router, Router.close_user_session, session_id)

    def session(self, session_id: int) -> tuple[str, int]:
        """Owner and balance."""
        manager = self.contracts.session_manager
        owner, units = self.read(manager, SessionManager.get_session_by_id, session_id)
        return owner, units

    def balance(self, session_id: int) -> int:
        return self.session(session_id)[1]

    # Requests.

    def ask(self, account: Any, session_id: int, **changes: Any) -> bytes:
        ask = Ask(**changes)
        value = ask.callback_gas if ask.value is None else ask.value
        arguments = ask.arguments(session_id)
        receipt = self.send(account, self.router, Router.request, *arguments, value=value)
        (created,) = Router.request_created.find(receipt.logs, self.router)
        return bytes(created["requestId"])

    def reply(self, request_id: bytes, **changes: Any) -> Receipt:
        reply = Reply(**changes)
        worker = reply.worker or self.cast.worker
        arguments = reply.arguments(request_id)
        options = {"gas_limit": reply.gas_limit}
        return self.send(worker, self.router, Router.respond_to_request, *arguments, **options)

    def fetch(self, request_id: bytes) -> tuple[int, str, bytes]:
        status, message, response = self.read(self.router, Router.fetch_response, request_id)
        return status, message, response

    def record(self, request_id: bytes) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self.read(self.router, Router.get_request, request_id)
        return found

    def is_completed(self, request_id: bytes) -> bool:
        return bool(self.record(request_id)[2])

    # Nodes.

    def add_node(self, name: str, worker: Any) -> bytes:
        """Another node of the local node's user, which serves the same model."""
        manager, owner = self.contracts.node_manager, self.cast.owner
        node_id = keccak(text=f"node.{NODE_USER}.{name}")
        self.send(owner, manager, NodeManager.register_node, NODE_USER, name, address(worker))
        self.send(owner, manager, NodeManager.set_node_models, node_id, [MODEL])
        return node_id

    def add_namespace(self, name: str, owner: Any) -> bytes:
        namespaces = self.namespace_manager
        self.send(self.cast.owner, namespaces, REGISTER_NAMESPACE, name, address(owner))
        return keccak(text=name)

    @property
    def namespace_manager(self) -> str:
        """Read from the first slot of the model manager's storage."""
        slot = erc7201("ape-dtn.ModelManager")
        return address_at(self.provider, self.contracts.model_manager, slot)

    def sign_assignment(self, signer: Any, name: str, expiration: int) -> bytes:
        """Signature of a namespace owner that the local node is a member until the expiration."""
        fields = ("bytes32 targetId", "string namespace", "uint256 expiration")
        kinds = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields]
        domain = {
            "name": "DeepTrust Network",
            "version": "1",
            "chainId": self.provider.chain_id,
            "verifyingContract": self.contracts.node_manager,
        }
        values = {"targetId": NODE_ID, "namespace": name, "expiration": expiration}
        message = encode_typed_data(domain, {"NamespaceAssignment": kinds}, values)
        return bytes(signer.sign_message(message).encode_rsv())

    def join(self, name: str, expiration: int, signature: bytes) -> Receipt:
        """Makes the local node a member of this namespace only."""
        arguments = (NODE_ID, [name], [expiration], [signature])
        manager = self.contracts.node_manager
        # Not estimated: the estimate could run at a timestamp other than the block's.
        return self.send(
            self.cast.owner, manager, UPDATE_NAMESPACES, *arguments, gas_limit=1_000_000
        )

    # The chain.

    @property
    def time(self) -> int:
        """Timestamp of the latest block, in seconds."""
        block = rpc.result(self.provider, "eth_getBlockByNumber", ["latest", False])
        return as_int(block["timestamp"])

    def wait(self, seconds: int) -> None:
        rpc.result(self.provider, "evm_setNextBlockTimestamp", [self.time + seconds])
        rpc.result(self.provider, "evm_mine", [])

    def send_in_one_block(
        self, *calls: tuple[Any, str, Function, tuple[Any, ...]], gas: int = 1_000_000
    ) -> list[Any]:
        """Sends calls (sender, contract, function, arguments) and returns their receipts."""
        rpc.result(self.provider, "evm_setAutomine", [False])
        try:
            hashes = [
                rpc.result(
                    self.provider,
                    "eth_sendTransaction",
                    [
                        {
                            "from": address(sender),
                            "to": to,
                            "data": "0x" + function.encode(*args).hex(),
                            "gas": hex(gas),
                        }
                    ],
                )
                for sender, to, function, args in calls
            ]
            rpc.result(self.provider, "evm_mine", [])
        finally:
            rpc.result(self.provider, "evm_setAutomine", [True])
        receipts = [
            rpc.result(self.provider, "eth_getTransactionReceipt", [transaction_hash])
            for transaction_hash in hashes
        ]
        assert len({receipt["blockNumber"] for receipt in receipts}) == 1
        return receipts

    def ask_in_one_block(self, *asked: tuple[Any, int, Ask]) -> list[bytes]:
        """Sends requests (sender, session, request) and returns their ids."""
        receipts = self.send_in_one_block(
            *(
                (sender, self.router, Router.request, ask.arguments(session_id))
                for sender, session_id, ask in asked
            )
        )
        logs = [reads.to_log(log) for receipt in receipts for log in receipt["logs"]]
        return [event["requestId"] for event in Router.request_created.find(logs)]


def address(account: Any) -> str:
    return account if isinstance(account, str) else str(account.address)


def storage_at(provider: Any, contract: str, slot: int) -> int:
    return as_int(rpc.result(provider, "eth_getStorageAt", [contract, hex(slot), "latest"]))


def address_at(provider: Any, contract: str, slot: int) -> str:
    return to_checksum_address(storage_at(provider, contract, slot).to_bytes(20, "big"))


def erc7201(name: str) -> int:
    """The ERC-7201 location of a namespace."""
    inner = int.from_bytes(keccak(text=name), "big") - 1
    return int.from_bytes(keccak(encode(["uint256"], [inner])), "big") & ~0xFF


def raw(signature: str, *args: Any) -> str:
    """Revert data as text, which is the message of an unknown error."""
    return "0x" + Function(signature).encode(*args).hex()


@contextmanager
def refused(kind: type[DtnError], revert: str) -> Iterator[None]:
    """Passes if a contract reverts with exactly this and exactly this error is raised."""
    with pytest.raises(kind) as raised:
        yield
    assert raised.type is kind
    assert str(raised.value.revert) == revert


@pytest.fixture
def deployed(local_networks: dict[Variant, LocalNetwork], cast: Cast) -> Net:
    """The live network."""
    return _net(local_networks[Variant.LIVE], cast)


@pytest.fixture
def reference(local_networks: dict[Variant, LocalNetwork], cast: Cast) -> Net:
    """The reference network."""
    return _net(local_networks[Variant.REFERENCE], cast)


@pytest.fixture
def net(network: LocalNetwork, cast: Cast) -> Net:
    """Both variants in turn."""
    return _net(network, cast)


@pytest.fixture(params=list(FeeToken), ids=lambda token: token.name.lower())
def any_net(net: Net, variant: Variant, request: pytest.FixtureRequest) -> Net:
    """Both variants in turn, with a fee token like USDT and with one like USDC."""
    if request.param is not FeeToken.USDT:
        pay_in(net, variant, create_token(net.provider, net.cast.owner, request.param))
        for account in (net.cast.customer, net.cast.stranger):
            net.fund(account, 1_000_000_000)
    return net


def replace_sessions(net: Net) -> Contracts:
    """Replaces the session manager of the live router by one with a new token.

    Returns:
        The contracts before.
    """
    before = net.contracts
    pay_in(net, Variant.LIVE, create_token(net.provider, net.cast.owner, FeeToken.USDT))
    return before


def pay_in(net: Net, variant: Variant, token: str) -> None:
    """Changes the fee token of the network.

    The live router gets a new session manager. The reference router holds the tokens itself and is
    replaced.
    """
    before, owner = net.contracts, address(net.cast.owner)
    if variant is Variant.REFERENCE:
        initialization = Function("initialize(address)").encode(owner)
        router = net.create("DtnProxy", net.create("ReferenceRouter", token), initialization)
        managers = (before.node_manager, before.model_manager)
        net.send(net.cast.owner, router, "setManagers(address,address)", *managers)
        net.ai, net.router = DtnAi(router, net.provider), router
        net.node = DtnNode(net.ai, NODE, net.cast.worker)
        return
    initialization = Function("initialize(address,address,address)").encode(
        owner, token, net.router
    )
    sessions = net.create("DtnProxy", net.create("LiveSessionManager"), initialization)
    managers = (before.node_manager, sessions, before.model_manager)
    net.send(net.cast.owner, net.router, SET_MANAGERS, *managers)


# Clients and delegates. Their module needs this one, and is imported where it is used.


@pytest.fixture
def implementation(net: Net, cast: Cast) -> str:
    """The implementation of all clients."""
    from .client import IMPLEMENTATION, IMPLEMENTATION_CODE, create

    create(net, cast.owner, IMPLEMENTATION_CODE)
    return IMPLEMENTATION


@pytest.fixture
def client(net: Net, cast: Cast, implementation: str) -> Owned:
    """The customer's client, with an allowance for all of the customer's tokens."""
    from .client import new_client

    found = new_client(net, cast.customer)
    found.approve(1_000_000_000)
    return found


@pytest.fixture
def usdc(net: Net, cast: Cast, variant: Variant) -> str:
    """Sessions are paid in a token like USDC. Customer and stranger have 1,000."""
    from .client import pay_with

    return pay_with(net, variant, net.create("TestUSDC"))


@pytest.fixture
def hostile(net: Net, cast: Cast, variant: Variant, project: Any) -> str:
    """Sessions are paid in a token that misbehaves on request. Customer and stranger have 1,000."""
    from .client import pay_with

    return pay_with(net, variant, str(project.HostileToken.deploy(sender=cast.owner).address))


@pytest.fixture
def puppet(net: Net, project: Any) -> ScriptedContract:
    """A contract that makes scripted calls."""
    from .client import ScriptedContract

    return ScriptedContract(net, project)


def _net(network: LocalNetwork, cast: Cast) -> Net:
    network.node.forget()
    return Net(network, cast)
