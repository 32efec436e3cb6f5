// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DtnRequests} from "@dtn/DtnRequests.sol";
import {IModelManager} from "@dtn/network/interfaces/IModelManager.sol";
import {INamespaceManager} from "@dtn/network/interfaces/INamespaceManager.sol";
import {INodeManager} from "@dtn/network/interfaces/INodeManager.sol";
import {IRouter} from "@dtn/network/interfaces/IRouter.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {TestUSDC} from "@dtn/mocks/TestUSDC.sol";
import {VM} from "./Cheats.sol";

/// @notice View of the clients' implementation.
interface IClients {
    /// @notice Address of an account's client, also before it is created.
    function clientOf(address account) external view returns (address);
}

/// @notice View of the reference session manager alone.
interface IReserving {
    /// @notice Amount reserved for the pending requests of a session.
    function getReserved(uint256 sessionId) external view returns (uint256);
}

/// @title Network of the shipped artifacts, as `ape_dtn.deployment.assemble` deploys it
/// @notice It has three models and two nodes. The first node serves the first two models, the second
///         node the last two.
contract Network {
    /// @notice Number of models.
    uint256 public constant MODELS = 3;
    /// @notice Number of nodes.
    uint256 public constant NODES = 2;
    /// @notice Deterministic deployment proxy.
    address public constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    /// @notice Token that sessions are paid in.
    TestUSDC public immutable token;
    /// @notice Router.
    IRouter public immutable router;
    /// @notice Session manager, which is the fee target.
    ISessionManager public immutable sessions;
    /// @notice Implementation of all clients.
    IClients public immutable clients;
    /// @notice EIP-7702 delegate.
    address public immutable delegate;
    /// @notice Ids of the models.
    bytes32[MODELS] public models;
    /// @notice Ids of the nodes.
    bytes32[NODES] public nodes;

    string private artifacts;

    /// @param artifacts_ Folder of the artifacts.
    /// @param variant Variant, `Reference` or `Live`.
    /// @param workers Worker of each node.
    constructor(string memory artifacts_, string memory variant, address[NODES] memory workers) {
        artifacts = artifacts_;
        token = TestUSDC(_create("TestUSDC", ""));
        address us = address(this);
        address names = _behindProxy(
            "NamespaceManager",
            abi.encodeWithSignature("initialize(address)", us)
        );
        address modelManager = _behindProxy(
            "ModelManager",
            abi.encodeWithSignature("initialize(address,address)", us, names)
        );
        address nodeManager = _behindProxy(
            string.concat(variant, "NodeManager"),
            abi.encodeWithSignature("initialize(address,address)", us, names)
        );
        if (keccak256(bytes(variant)) == keccak256("Reference")) {
            (router, sessions) = _reference(nodeManager, modelManager);
        } else {
            (router, sessions) = _live(nodeManager, modelManager);
        }
        _call(names, abi.encodeWithSignature("setRegistrar(address)", nodeManager));
        _registerModels(INamespaceManager(names), IModelManager(modelManager));
        _registerNodes(INodeManager(nodeManager), workers);
        clients = IClients(_createAnywhere(_code("DtnClient")));
        delegate = _createAnywhere(_code("DtnDelegate"));
    }

    /// @notice Creates the client of an account, as anybody may.
    /// @param owner The account.
    /// @return client Its client.
    function createClient(address owner) external returns (address client) {
        bytes memory runtime = abi.encodePacked(
            hex"363d3d373d3d3d363d73",
            clients,
            hex"5af43d82803e903d91602b57fd5bf3",
            owner
        );
        client = _createAnywhere(abi.encodePacked(hex"6100413d81600a3d39f3", runtime));
        require(client == clients.clientOf(owner), "A client is not where it should be");
    }

    /// @notice Whether a node serves a model.
    /// @param node The node's index.
    /// @param model The model's index.
    /// @return Whether it does.
    function serves(uint256 node, uint256 model) external pure returns (bool) {
        return model == node || model == node + 1;
    }

    /// @dev The router keeps the sessions itself.
    function _reference(
        address nodeManager,
        address modelManager
    ) private returns (IRouter, ISessionManager) {
        address all = _create(
            "DtnProxy",
            abi.encode(
                _create("ReferenceRouter", abi.encode(token)),
                abi.encodeWithSignature("initialize(address)", address(this))
            )
        );
        _call(
            all,
            abi.encodeWithSignature("setManagers(address,address)", nodeManager, modelManager)
        );
        return (IRouter(all), ISessionManager(all));
    }

    function _live(
        address nodeManager,
        address modelManager
    ) private returns (IRouter, ISessionManager) {
        address us = address(this);
        address asked = _behindProxy(
            "LiveRouter",
            abi.encodeWithSignature("initialize(address)", us)
        );
        address keeper = _behindProxy(
            "LiveSessionManager",
            abi.encodeWithSignature("initialize(address,address,address)", us, token, asked)
        );
        _call(
            asked,
            abi.encodeWithSignature(
                "setManagers(address,address,address)",
                nodeManager,
                keeper,
                modelManager
            )
        );
        return (IRouter(asked), ISessionManager(keeper));
    }

    function _registerModels(INamespaceManager names, IModelManager manager) private {
        names.registerNamespace("api.system", address(this));
        names.registerNamespace("model.system", address(this));
        manager.registerModelAPI("api.system", "text", "string[] -> string", "");
        string[MODELS] memory called = ["small", "middle", "large"];
        for (uint256 i = 0; i < MODELS; ++i) {
            models[i] = manager.registerModel("model.system", called[i], "api.system.text");
        }
    }

    function _registerNodes(INodeManager manager, address[NODES] memory workers) private {
        string[NODES] memory users = ["alice", "bob"];
        bytes32[] memory served = new bytes32[](2);
        for (uint256 i = 0; i < NODES; ++i) {
            manager.registerUser(users[i], address(this));
            manager.registerNode(users[i], "first", workers[i]);
            nodes[i] = DtnRequests.id(string.concat("node.", users[i], ".first"));
            (served[0], served[1]) = (models[i], models[i + 1]);
            manager.setNodeModels(nodes[i], served);
        }
    }

    function _behindProxy(string memory name, bytes memory initialize) private returns (address) {
        return _create("DtnProxy", abi.encode(_create(name, ""), initialize));
    }

    function _create(string memory name, bytes memory args) private returns (address created) {
        bytes memory code = abi.encodePacked(_code(name), args);
        assembly {
            created := create(0, add(code, 32), mload(code))
        }
        require(created != address(0), string.concat(name, " cannot be created"));
    }

    function _createAnywhere(bytes memory code) private returns (address) {
        bytes memory created = _call(DEPLOYER, abi.encodePacked(bytes32(0), code));
        return address(bytes20(created));
    }

    function _code(string memory name) private view returns (bytes memory) {
        return VM.getCode(string.concat(artifacts, "/", name, ".json"));
    }

    function _call(address target, bytes memory data) private returns (bytes memory) {
        (bool ok, bytes memory returned) = target.call(data);
        require(ok, "The network cannot be set up");
        return returned;
    }
}
