// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DtnDefaults} from "@dtn/DtnDefaults.sol";
import {DtnRequests} from "@dtn/DtnRequests.sol";
import {IDtnAi} from "@dtn/IDtnAi.sol";
import {IRouter} from "@dtn/network/interfaces/IRouter.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {TestUSDC} from "@dtn/mocks/TestUSDC.sol";
import {Network} from "@invariants/Network.sol";
import {Numbers} from "./Numbers.sol";
import {VM} from "./Symbols.sol";

/// @title Base of the proofs: a network, two customers and a worker
/// @notice Arguments of a proof are symbolic: a claim is proved if halmos finds no values for which
///         it does not hold.
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
        // The deterministic deployment proxy, which halmos lacks.
        VM.etch(
            0x4e59b44847b379578588920cA78FbF26c0B4956C,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
            hex"3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        network = new Network("../.tools/proofs/out/Shipped.sol", _variant(), [WORKER, address(0)]);
        (token, router, sessions) = (network.token(), network.router(), network.sessions());
    }

    /// @dev Prepares for a deposit.
    function _deposits(uint256 deposit) internal virtual;

    /// @dev Asserts that a response is accepted, or that it is not.
    function _assertAccepted(bool accepted, bool expected) internal pure virtual;

    /// @dev Variant of the artifacts, `Reference` or `Live`.
    function _variant() internal pure virtual returns (string memory);

    /// @dev Opens a session with a deposit.
    function _start(address owner, uint256 deposit) internal virtual returns (uint256) {
        VM.assume(deposit != 0);
        _deposits(deposit);
        token.mint(router.feeTarget(), deposit);
        VM.prank(owner);
        return router.startUserSession();
    }

    /// @dev Sends a request to the worker's node.
    function _ask(
        address caller,
        uint256 sessionId,
        uint256 feePerByteReq,
        uint256 feePerByteRes,
        uint256 maxFee
    ) internal returns (bool made, bytes32 requestId) {
        IDtnAi.DtnRequest memory dtnRequest;
        dtnRequest.calltype = IDtnAi.CallType.DIRECT;
        (dtnRequest.feePerByteReq, dtnRequest.feePerByteRes) = (feePerByteReq, feePerByteRes);
        dtnRequest.totalFeePerRes = maxFee;
        bytes memory call = abi.encodeCall(
            IDtnAi.request,
            (
                sessionId,
                network.models(0),
                DtnDefaults.defaultCustomNodesValidatedAny(
                    DtnDefaults.singleArray(network.nodes(0))
                ),
                dtnRequest,
                DtnRequests.noCallback(),
                address(0),
                0
            )
        );
        bytes memory returned;
        VM.prank(caller);
        (made, returned) = address(router).call(call);
        if (made) requestId = abi.decode(returned, (bytes32));
    }

    /// @dev Responds for the worker's node, with stated sizes.
    function _answer(
        address caller,
        bytes32 requestId,
        uint8 status,
        uint256 requestSize,
        uint256 responseSize
    ) internal returns (bool made) {
        bytes memory call = abi.encodeWithSelector(
            IDtnAi.respondToRequest.selector,
            requestId,
            _concrete(status),
            "",
            "",
            network.nodes(0),
            requestSize,
            responseSize
        );
        VM.prank(caller);
        (made, ) = address(router).call(call);
    }

    /// @dev The same number, concrete on each path: a stored response is packed, and halmos cannot
    ///      determine the packed length of a symbolic status.
    function _concrete(uint8 status) private pure returns (uint256) {
        if (status == 0) return 0;
        if (status == 1) return 1;
        if (status == 2) return 2;
        return status;
    }

    /// @dev Closes a session.
    function _close(address caller, uint256 sessionId) internal returns (bool closed) {
        VM.prank(caller);
        (closed, ) = address(router).call(abi.encodeCall(IDtnAi.closeUserSession, (sessionId)));
    }
}

/// @title Proofs about the live variant
abstract contract Live is Proof {
    function _variant() internal pure override returns (string memory) {
        return "Live";
    }

    function _deposits(uint256) internal pure override {}

    function _assertAccepted(bool accepted, bool expected) internal pure override {
        assert(accepted == expected);
    }
}

/// @title Proofs about the reference variant
abstract contract Reference is Proof {
    function _variant() internal pure override returns (string memory) {
        return "Reference";
    }

    /// @dev A session holds at most 96 bits.
    function _deposits(uint256 deposit) internal override {
        VM.assume(deposit <= type(uint96).max);
        uint256 before = token.balanceOf(address(sessions));
        _selects(deposit <= before + deposit, deposit);
        _minimum(deposit, type(uint96).max);
    }

    /// @dev A response may also fail for too little callback gas: halmos does not count gas.
    function _assertAccepted(bool accepted, bool expected) internal pure override {
        assert(expected || !accepted);
        VM.assume(accepted == expected);
    }
}
