// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Live, Reference, Proof} from "./Proof.sol";
import {VM} from "./Symbols.sol";

/// @title What goes into a session, and comes out of it
abstract contract Sessions is Proof {
    /// @notice Whoever starts has what was deposited since the last start, and nothing besides.
    function check_a_session_holds_what_was_deposited(
        address caller,
        uint256 held,
        uint256 deposit
    ) external {
        VM.assume(caller != address(0));
        uint256 another = _start(BOB, held);
        uint256 sessionId = _start(caller, deposit);
        ISessionManager.Session memory started = sessions.getSessionById(sessionId);
        uint256 wrong = uint160(started.owner) ^ uint160(caller);
        wrong |= started.balance ^ deposit;
        wrong |= sessions.getSessionBalance(another) ^ held;
        wrong |= _bit(sessionId == another) | _bit(sessionId == 0);
        assert(wrong == 0);
    }

    /// @notice Without a deposit there is no session, whoever asks.
    function check_nothing_starts_from_nothing(address caller, uint256 held) external {
        _start(BOB, held);
        VM.prank(caller);
        (bool started, ) = address(router).call(abi.encodeCall(IDtnAi.startUserSession, ()));
        assert(!started);
    }

    /// @notice A session gives back what its answers have left, to its owner, once.
    function check_a_close_refunds_what_is_left(
        uint256 deposit,
        uint256 held,
        uint256 most,
        uint256 answered
    ) external {
        most = _cap(most);
        uint256 sessionId = _start(ALICE, deposit);
        uint256 another = _start(BOB, held);
        (bool made, bytes32 requestId) = _ask(ALICE, sessionId, 0, 0, most);
        VM.assume(made);
        VM.assume(answered <= most && answered <= deposit);
        // A failure costs one a byte.
        VM.assume(_answer(WORKER, requestId, 2, 0, answered));
        assert(_close(ALICE, sessionId));
        uint256 wrong = token.balanceOf(ALICE) ^ (deposit - answered);
        wrong |= token.balanceOf(WORKER) ^ answered;
        wrong |= token.balanceOf(address(sessions)) ^ held;
        wrong |= sessions.getSessionBalance(another) ^ held;
        wrong |= sessions.getSessionBalance(sessionId);
        assert(wrong == 0);
        assert(!_close(ALICE, sessionId));
    }

    /// @notice What is asked and not answered keeps nobody from their money, and costs nothing.
    function check_an_open_request_is_no_hindrance_to_a_close(
        uint256 deposit,
        uint256 held,
        uint256 most,
        uint256 answered
    ) external {
        most = _cap(most);
        uint256 sessionId = _start(ALICE, deposit);
        _start(BOB, held);
        (bool made, bytes32 requestId) = _ask(ALICE, sessionId, 0, 0, most);
        VM.assume(made);
        assert(_close(ALICE, sessionId));
        assert(!_answer(WORKER, requestId, 2, 0, answered));
        uint256 wrong = token.balanceOf(ALICE) ^ deposit;
        wrong |= token.balanceOf(WORKER);
        wrong |= token.balanceOf(address(sessions)) ^ held;
        assert(wrong == 0);
    }

    /// @dev The cap of a request that the claim is made for.
    function _cap(uint256 most) internal pure virtual returns (uint256) {
        return most;
    }
}

contract LiveSessions is Sessions, Live {}

/// @notice Caps are given, see `ReferenceCharging`.
contract ReferenceSessions is Sessions, Reference {
    function _cap(uint256) internal pure override returns (uint256) {
        return 1e6;
    }
}
