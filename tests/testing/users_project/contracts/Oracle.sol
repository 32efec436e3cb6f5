// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

struct Routing {
    bytes32[] namespaces;
    bytes32[] nodes;
    uint32 redundancy;
    uint8 confidence;
    uint8 aggregation;
}

struct DtnRequest {
    bytes call;
    bytes extraParams;
    uint8 callType;
    uint256 feePerByteAsked;
    uint256 feePerByteAnswered;
    uint256 maxCost;
}

struct CallBack {
    bytes4 success;
    bytes4 failure;
    address target;
}

interface IAi {
    function startUserSession() external returns (uint256);
    function feeToken() external view returns (address);
    function feeTarget() external view returns (address);
    function request(
        uint256 sessionId,
        bytes32 model,
        Routing calldata routing,
        DtnRequest calldata dtnRequest,
        CallBack calldata callback,
        address user,
        uint256 callbackGas
    ) external payable returns (bytes32);
    function fetchResponse(bytes32) external view returns (uint8, string memory, bytes memory);
}

interface IToken {
    function balanceOf(address) external view returns (uint256);
    function transfer(address, uint256) external;
}

contract Oracle {
    IAi public immutable ai;
    bytes32 public immutable node;
    uint256 public session;
    bytes32 public last;
    string public answer;
    string public failure;

    constructor(IAi ai_, bytes32 node_) {
        ai = ai_;
        node = node_;
    }

    function start() external {
        IToken token = IToken(ai.feeToken());
        token.transfer(ai.feeTarget(), token.balanceOf(address(this)));
        session = ai.startUserSession();
    }

    function ask(string calldata prompt) external payable {
        string[] memory lines = new string[](1);
        lines[0] = prompt;
        bytes32[] memory nodes = new bytes32[](1);
        nodes[0] = node;
        last = ai.request{value: msg.value}(
            session,
            keccak256("model.system.openai-gpt-5"),
            Routing(new bytes32[](0), nodes, 1, 8, 0),
            DtnRequest(abi.encode(lines), "", 1, 10, 10, 10_000),
            CallBack(this.onAnswer.selector, this.onFailure.selector, address(this)),
            msg.sender,
            msg.value
        );
    }

    function onAnswer(bytes32 id) external {
        require(msg.sender == address(ai), "not the network");
        (, , bytes memory response) = ai.fetchResponse(id);
        answer = abi.decode(response, (string));
    }

    function onFailure(bytes32 id) external {
        require(msg.sender == address(ai), "not the network");
        (, failure, ) = ai.fetchResponse(id);
    }
}
