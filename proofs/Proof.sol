// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DtnDefaults} from "@dtn/DtnDefaults.sol";
import {IDtnAi} from "@dtn/IDtnAi.sol";
import {IRouter} from "@dtn/network/interfaces/IRouter.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {TestUSDC} from "@dtn/mocks/TestUSDC.sol";
import {Network} from "@invariants/Network.sol";
import {Numbers} from "./Numbers.sol";
import {VM} from "./Symbols.sol";

/// @title What all proofs begin with: a network, two customers and a worker
/// @notice What a proof is given stands for anything at all: a claim is proved when halmos finds
///         nothing that it could be for which the claim does not hold.
abstract contract Proof is Numbers {
    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0b);
    address internal constant WORKER = address(0x30173);

    Network internal network;
    TestUSDC internal token;
    IRouter internal router;
    ISessionManager internal sessions;

    /// @notice Deploys the network of the shipped artifacts.
    function setUp() public virtual {
        // The deterministic deployment proxy, which halmos does not bring along.
        VM.etch(
            0x4e59b44847b379578588920cA78FbF26c0B4956C,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
            hex"3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        network = new Network(
            "../.tools/proofs/out/Shipped.sol",
            _behaviour(),
            [WORKER, address(0)]
        );
        (token, router, sessions) = (network.token(), network.router(), network.sessions());
    }

    /// @dev Prepares for a deposit.
    function _deposits(uint256 deposit) internal virtual;

    /// @dev Claims that an answer is taken, or that it is not.
    function _isTaken(bool taken, bool claimed) internal pure virtual;

    /// @dev Whose artifacts, `Reference` or `Live`.
    function _behaviour() internal pure virtual returns (string memory);

    /// @dev Opens a session with so much.
    function _start(address owner, uint256 deposit) internal virtual returns (uint256) {
        VM.assume(deposit != 0);
        _deposits(deposit);
        token.mint(router.feeTarget(), deposit);
        VM.prank(owner);
        return router.startUserSession();
    }

    /// @dev Asks the worker's node, which may cost so much.
    function _ask(
        address caller,
        uint256 sessionId,
        uint256 feeAsked,
        uint256 feeAnswered,
        uint256 most
    ) internal returns (bool made, bytes32 requestId) {
        IDtnAi.DtnRequest memory asked;
        asked.calltype = IDtnAi.CallType.DIRECT;
        (asked.feePerByteReq, asked.feePerByteRes) = (feeAsked, feeAnswered);
        asked.totalFeePerRes = most;
        bytes memory call = abi.encodeCall(
            IDtnAi.request,
            (
                sessionId,
                network.models(0),
                DtnDefaults.anyOf(DtnDefaults.one(network.nodes(0))),
                asked,
                DtnDefaults.noCallback(),
                address(0),
                0
            )
        );
        bytes memory returned;
        VM.prank(caller);
        (made, returned) = address(router).call(call);
        if (made) requestId = abi.decode(returned, (bytes32));
    }

    /// @dev Answers by the worker's node, with what it says of itself.
    function _answer(
        address caller,
        bytes32 requestId,
        uint8 status,
        uint256 asked,
        uint256 answered
    ) internal returns (bool made) {
        bytes memory call = abi.encodeWithSelector(
            IDtnAi.respondToRequest.selector,
            requestId,
            _known(status),
            "",
            "",
            network.nodes(0),
            asked,
            answered
        );
        VM.prank(caller);
        (made, ) = address(router).call(call);
    }

    /// @dev The same number, which on each of its paths is no unknown any more. What is written of an
    ///      answer is packed, and halmos does not know how long that is for what it does not know.
    function _known(uint8 status) private pure returns (uint256) {
        if (status == 0) return 0;
        if (status == 1) return 1;
        if (status == 2) return 2;
        return status;
    }

    /// @dev Closes a session, as somebody.
    function _close(address caller, uint256 sessionId) internal returns (bool closed) {
        VM.prank(caller);
        (closed, ) = address(router).call(abi.encodeCall(IDtnAi.closeUserSession, (sessionId)));
    }
}

/// @title On the network as it is deployed
abstract contract Live is Proof {
    function _behaviour() internal pure override returns (string memory) {
        return "Live";
    }

    function _deposits(uint256) internal pure override {}

    function _isTaken(bool taken, bool claimed) internal pure override {
        assert(taken == claimed);
    }
}

/// @title On the network as the product documentation describes it
abstract contract Reference is Proof {
    function _behaviour() internal pure override returns (string memory) {
        return "Reference";
    }

    /// @dev A session holds at most 96 bits.
    function _deposits(uint256 deposit) internal override {
        VM.assume(deposit <= type(uint96).max);
        uint256 before = token.balanceOf(address(sessions));
        _selects(deposit <= before + deposit, deposit);
        _minimum(deposit, type(uint96).max);
    }

    /// @dev Unless there is too little gas for a callback: halmos does not count gas.
    function _isTaken(bool taken, bool claimed) internal pure override {
        assert(claimed || !taken);
        VM.assume(taken == claimed);
    }
}
