// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Live, Reference, Proof} from "./Proof.sol";
import {ANY, VM} from "./Symbols.sol";

/// @title Who may do what on a network
abstract contract Access is Proof {
    /// @notice A session is closed by its owner, and by nobody else. Of the zero address, by which
    ///         nobody can call, the deployed network takes sessions that do not exist to be.
    function check_only_its_owner_closes_a_session(
        address caller,
        uint256 sessionId,
        uint256 deposit,
        uint256 held
    ) external {
        VM.assume(caller != address(0));
        uint256 ofAlice = _start(ALICE, deposit);
        uint256 ofBob = _start(BOB, held);
        bool isOwner = (sessionId == ofAlice && _isOwner(caller, ALICE)) ||
            (sessionId == ofBob && _isOwner(caller, BOB));
        assert(_close(caller, sessionId) == isOwner);
    }

    /// @notice Only its owner spends a session.
    function check_only_its_owner_spends_a_session(
        address caller,
        uint256 sessionId,
        uint256 deposit,
        uint256 held
    ) external {
        VM.assume(caller != address(0));
        uint256 ofAlice = _start(ALICE, deposit);
        uint256 ofBob = _start(BOB, held);
        bool isOwner = (sessionId == ofAlice && _isOwner(caller, ALICE)) ||
            (sessionId == ofBob && _isOwner(caller, BOB));
        if (isOwner) sessionId = sessionId == ofAlice ? ofAlice : ofBob;
        (bool made, ) = _ask(caller, sessionId, 0, 0, 1);
        assert(made == isOwner);
    }

    /// @notice Only a node's worker answers by it.
    function check_only_its_worker_answers_by_a_node(address caller, uint256 answered) external {
        (, bytes32 requestId) = _ask(ALICE, _start(ALICE, 1e6), 0, 0, 1e6);
        _isTaken(_answer(caller, requestId, 2, 0, answered), _isOwner(caller, WORKER));
    }

    /// @notice An answer is the last, and paid once.
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

    /// @notice Whatever a stranger calls, with a session of its own, the owner's session, her
    ///         tokens and the network stay what they are.
    function check_strangers_change_nothing_of_others_at_the_router(
        address stranger,
        uint256 deposit,
        uint256 own
    ) external {
        VM.assume(!_isOwner(stranger, ALICE) && stranger != address(network));
        VM.assume(stranger != address(0) && stranger != WORKER);
        uint256 sessionId = _start(ALICE, deposit);
        _start(stranger, own);
        VM.assume(_trespass(stranger, address(router), "Router"));
        ISessionManager.Session memory left = sessions.getSessionById(sessionId);
        uint256 wrong = uint160(left.owner) ^ uint160(ALICE);
        wrong |= left.balance ^ deposit;
        wrong |= _bit(token.balanceOf(address(sessions)) < deposit);
        wrong |= uint160(router.sessionManager()) ^ uint160(address(sessions));
        assert(wrong == 0);
    }

    /// @dev Whether a caller is the one who may.
    function _isOwner(address caller, address owner) internal pure virtual returns (bool) {
        return caller == owner;
    }

    /// @dev The request that is to be answered again.
    function _same(bytes32 requestId) internal virtual returns (bytes32) {
        return requestId;
    }

    /// @dev Whether strangers are claimed to try this.
    function _isTried(bytes4 selector) internal pure virtual returns (bool);

    /// @dev Any call that changes something.
    function _trespass(
        address stranger,
        address target,
        string memory name
    ) internal returns (bool done) {
        name = string.concat(_behaviour(), name);
        bytes memory call = ANY.createCalldata("Shipped.sol", name, false);
        VM.assume(call.length < 4 || _isTried(bytes4(call)));
        VM.prank(stranger);
        (done, ) = target.call(call);
    }
}

contract LiveAccess is Access, Live {
    function _isTried(bytes4) internal pure override returns (bool) {
        return true;
    }

    /// @notice Where the sessions are kept, only the router and the network's owner do anything.
    function check_strangers_do_nothing_where_the_sessions_are(
        address stranger,
        uint256 deposit
    ) external {
        VM.assume(!_isOwner(stranger, address(router)) && stranger != address(network));
        // Nobody can call by it, and what is offered to nobody is offered to it.
        VM.assume(stranger != address(0));
        _start(ALICE, deposit);
        assert(!_trespass(stranger, address(sessions), "SessionManager"));
    }
}

contract ReferenceAccess is Access, Reference {
    /// @dev Of what is written of any request halmos cannot tell how long it is. Who may make and
    ///      answer one is claimed above.
    function _isTried(bytes4 selector) internal pure override returns (bool) {
        return selector != IDtnAi.request.selector && selector != IDtnAi.respondToRequest.selector;
    }
}
