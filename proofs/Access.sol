// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Live, Reference, Proof} from "./Proof.sol";
import {ANY, VM} from "./Symbols.sol";

/// @title Proofs of access control
abstract contract Access is Proof {
    /// @notice Only its owner can close a session. The zero address is excluded: to the live network,
    ///         which it cannot call, it is the owner of sessions that do not exist.
    function check_only_its_owner_closes_a_session(
        address caller,
        uint256 sessionId,
        uint256 deposit,
        uint256 held
    ) external {
        VM.assume(caller != address(0));
        uint256 aliceSession = _start(ALICE, deposit);
        uint256 bobSession = _start(BOB, held);
        bool isOwner =
            (sessionId == aliceSession && _isOwner(caller, ALICE)) ||
                (sessionId == bobSession && _isOwner(caller, BOB));
        assert(_close(caller, sessionId) == isOwner);
    }

    /// @notice Only its owner can spend a session.
    function check_only_its_owner_spends_a_session(
        address caller,
        uint256 sessionId,
        uint256 deposit,
        uint256 held
    ) external {
        VM.assume(caller != address(0));
        uint256 aliceSession = _start(ALICE, deposit);
        uint256 bobSession = _start(BOB, held);
        bool isOwner =
            (sessionId == aliceSession && _isOwner(caller, ALICE)) ||
                (sessionId == bobSession && _isOwner(caller, BOB));
        if (isOwner) sessionId = sessionId == aliceSession ? aliceSession : bobSession;
        (bool made, ) = _ask(caller, sessionId, 0, 0, 1);
        assert(made == isOwner);
    }

    /// @notice Only the worker of a node can respond for it.
    function check_only_its_worker_answers_by_a_node(address caller, uint256 answered) external {
        (, bytes32 requestId) = _ask(ALICE, _start(ALICE, 1e6), 0, 0, 1e6);
        _assertAccepted(_answer(caller, requestId, 2, 0, answered), _isOwner(caller, WORKER));
    }

    /// @notice A request is answered and paid once.
    function check_a_request_is_answered_once(
        uint8[2] calldata status,
        uint256[2] calldata sizes
    ) external {
        (, bytes32 requestId) = _ask(ALICE, _start(ALICE, 1e6), 1, 1, 1e6);
        VM.assume(_answer(WORKER, requestId, status[0], 0, sizes[0]));
        uint256 paid = token.balanceOf(WORKER);
        assert(!_answer(WORKER, _same(requestId), status[1], 0, sizes[1]));
        assert(token.balanceOf(WORKER) == paid);
    }

    /// @notice No call of a stranger, who has a session, changes the session and the tokens of the
    ///         owner, or the network.
    function check_strangers_change_nothing_of_others_at_the_router(
        address stranger,
        uint256 deposit,
        uint256 own
    ) external {
        VM.assume(!_isOwner(stranger, ALICE) && stranger != address(network));
        VM.assume(stranger != address(0) && stranger != WORKER);
        uint256 sessionId = _start(ALICE, deposit);
        _start(stranger, own);
        VM.assume(_callAsStranger(stranger, address(router), "Router"));
        ISessionManager.Session memory left = sessions.getSessionById(sessionId);
        uint256 wrong = uint160(left.owner) ^ uint160(ALICE);
        wrong |= left.balance ^ deposit;
        wrong |= _bit(token.balanceOf(address(sessions)) < deposit);
        wrong |= uint160(router.sessionManager()) ^ uint160(address(sessions));
        assert(wrong == 0);
    }

    /// @dev Whether a caller is the owner.
    function _isOwner(address caller, address owner) internal pure virtual returns (bool) {
        return caller == owner;
    }

    /// @dev Request that is answered again.
    function _same(bytes32 requestId) internal virtual returns (bytes32) {
        return requestId;
    }

    /// @dev Whether the proof covers calls of this function.
    function _isCovered(bytes4 selector) internal pure virtual returns (bool);

    /// @dev Any successful call that is not a view.
    function _callAsStranger(
        address stranger,
        address target,
        string memory name
    ) internal returns (bool done) {
        name = string.concat(_variant(), name);
        bytes memory call = ANY.createCalldata("Shipped.sol", name, false);
        VM.assume(call.length < 4 || _isCovered(bytes4(call)));
        VM.prank(stranger);
        (done, ) = target.call(call);
    }
}

contract LiveAccess is Access, Live {
    function _isCovered(bytes4) internal pure override returns (bool) {
        return true;
    }

    /// @notice Only the router and the network's owner can change the session manager.
    function check_strangers_do_nothing_where_the_sessions_are(
        address stranger,
        uint256 deposit
    ) external {
        VM.assume(!_isOwner(stranger, address(router)) && stranger != address(network));
        // Nobody can call from it, and it is the pending owner while there is none.
        VM.assume(stranger != address(0));
        _start(ALICE, deposit);
        assert(!_callAsStranger(stranger, address(sessions), "SessionManager"));
    }
}

contract ReferenceAccess is Access, Reference {
    /// @dev halmos cannot determine the length of a stored request. Access to these two functions is
    ///      proved above.
    function _isCovered(bytes4 selector) internal pure override returns (bool) {
        return selector != IDtnAi.request.selector && selector != IDtnAi.respondToRequest.selector;
    }
}
