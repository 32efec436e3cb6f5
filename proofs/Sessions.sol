// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Live, Reference, Proof} from "./Proof.sol";
import {VM} from "./Symbols.sol";

/// @title Proofs of deposits and refunds
abstract contract Sessions is Proof {
    /// @notice A new session holds the deposits since the last start, and nothing else.
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

    /// @notice Nobody can start a session without a deposit.
    function check_no_session_starts_without_a_deposit(address caller, uint256 held) external {
        _start(BOB, held);
        VM.prank(caller);
        (bool started, ) = address(router).call(abi.encodeCall(IDtnAi.startUserSession, ()));
        assert(!started);
    }

    /// @notice A close refunds the deposit less the fees to the owner, once.
    function check_a_close_refunds_what_is_left(
        uint256 deposit,
        uint256 held,
        uint256 maxFee,
        uint256 answered
    ) external {
        maxFee = _maxFee(maxFee);
        uint256 sessionId = _start(ALICE, deposit);
        uint256 another = _start(BOB, held);
        (bool made, bytes32 requestId) = _ask(ALICE, sessionId, 0, 0, maxFee);
        VM.assume(made);
        VM.assume(answered <= maxFee && answered <= deposit);
        // A FAILURE costs 1 unit per byte.
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

    /// @notice A pending request does not prevent a close, and costs nothing.
    function check_a_pending_request_does_not_prevent_a_close(
        uint256 deposit,
        uint256 held,
        uint256 maxFee,
        uint256 answered
    ) external {
        maxFee = _maxFee(maxFee);
        uint256 sessionId = _start(ALICE, deposit);
        _start(BOB, held);
        (bool made, bytes32 requestId) = _ask(ALICE, sessionId, 0, 0, maxFee);
        VM.assume(made);
        assert(_close(ALICE, sessionId));
        assert(!_answer(WORKER, requestId, 2, 0, answered));
        uint256 wrong = token.balanceOf(ALICE) ^ deposit;
        wrong |= token.balanceOf(WORKER);
        wrong |= token.balanceOf(address(sessions)) ^ held;
        assert(wrong == 0);
    }

    /// @dev Maximum fee of a request.
    function _maxFee(uint256 maxFee) internal pure virtual returns (uint256) {
        return maxFee;
    }
}

contract LiveSessions is Sessions, Live {}

/// @notice The maximum fee is concrete: halmos cannot determine the packed length of a symbolic one.
contract ReferenceSessions is Sessions, Reference {
    function _maxFee(uint256) internal pure override returns (uint256) {
        return 1e6;
    }
}
