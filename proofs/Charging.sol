// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Live} from "./Proof.sol";
import {VM} from "./Symbols.sol";

/// @title What an answer costs on the network as it is deployed
/// @dev The reference router packs what is asked, and halmos cannot tell how long that gets for
///      prices that it does not know. What it takes for a fee is claimed in `Fee.sol`, and
///      what it does with one in `Ledger.sol`.
contract LiveCharging is Live {
    /// @notice A session, a request, and what the node says of its answer.
    struct Answered {
        uint256 balance;
        uint256 ofAnother;
        uint256 feePerByteAsked;
        uint256 feePerByteAnswered;
        uint256 most;
        uint8 status;
        uint256 asked;
        uint256 answered;
    }

    /// @notice A worker is paid its fee, up to what the request may cost and the session has; the
    ///         session pays just that, and nobody else anything.
    function check_an_answer_costs_its_fee(Answered memory its) external {
        (bool fits, uint256 fee) = _fee(its);
        VM.assume(fits);
        (uint256 sessionId, bytes32 requestId) = _asked(its);
        uint256 another = _start(BOB, its.ofAnother);
        _minimum(fee, its.most);
        _minimum(_least(fee, its.most), its.balance);
        _isTaken(_answer(WORKER, requestId, its.status, its.asked, its.answered), true);
        uint256 charge = token.balanceOf(WORKER);
        assert(_isRight(its, fee, charge));
        uint256 left = its.balance - charge;
        uint256 wrong = sessions.getSessionBalance(sessionId) ^ left;
        wrong |= sessions.getSessionBalance(another) ^ its.ofAnother;
        wrong |= token.balanceOf(address(sessions)) ^ (left + its.ofAnother);
        assert(wrong == 0);
    }

    /// @notice Sizes whose fee 256 bits are not enough for are refused, and cost nothing.
    function check_sizes_beyond_all_measure_are_refused(Answered memory its) external {
        (bool fits, ) = _fee(its);
        VM.assume(!fits);
        (uint256 sessionId, bytes32 requestId) = _asked(its);
        _isTaken(_answer(WORKER, requestId, its.status, its.asked, its.answered), false);
        assert(token.balanceOf(WORKER) == 0);
        assert(sessions.getSessionBalance(sessionId) == its.balance);
    }

    /// @dev Whether a charge is the least of the fee, what the request may cost and what is there.
    function _isRight(
        Answered memory its,
        uint256 fee,
        uint256 charge
    ) internal pure virtual returns (bool) {
        uint256 within = _bit(charge <= fee) & _bit(charge <= its.most) & _bit(charge <= its.balance);
        uint256 exact = _bit(charge == fee) | _bit(charge == its.most) | _bit(charge == its.balance);
        return within & exact == 1;
    }

    /// @dev A session that has asked.
    function _asked(
        Answered memory its
    ) internal returns (uint256 sessionId, bytes32 requestId) {
        VM.assume(its.status <= 2);
        sessionId = _start(ALICE, its.balance);
        bool made;
        (made, requestId) = _ask(
            ALICE,
            sessionId,
            its.feePerByteAsked,
            its.feePerByteAnswered,
            its.most
        );
        VM.assume(made);
    }

    /// @dev The fee, and whether 256 bits are enough for it.
    function _fee(Answered memory its) internal pure virtual returns (bool, uint256) {
        if (its.status != 1) return _sum(its.asked, its.answered);
        (bool first, uint256 asked) = _product(its.asked, its.feePerByteAsked);
        (bool second, uint256 answered) = _product(its.answered, its.feePerByteAnswered);
        (bool both, uint256 fee) = _sum(asked, answered);
        return (_bit(first) & _bit(second) & _bit(both) == 1, fee);
    }
}
