// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Sessions} from "@dtn/network/reference/Sessions.sol";
import {TestToken} from "@dtn/mocks/TestToken.sol";
import {VM} from "./Symbols.sol";

/// @title What the reference router does with its sessions, for all amounts
/// @notice It is of the sources of the shipped router. What a request may cost goes through its
///         packing there, of which halmos cannot tell how long it gets; here it does not.
contract Ledger is Sessions {
    /// @notice Keeps sessions of a token.
    constructor(IERC20 token) Sessions(token) {}

    /// @notice Opens a session.
    function open(address owner) external returns (uint256) {
        return _open(owner);
    }

    /// @notice Sets aside what a request may cost.
    function reserve(uint256 sessionId, address caller, uint256 most) external {
        _reserve(sessionId, caller, most);
    }

    /// @notice Pays for a response.
    function charge(uint256 sessionId, uint256 most, uint256 fee, address to) external {
        _charge(sessionId, most, fee, to);
    }

    /// @notice Closes a session.
    function close(uint256 sessionId, address caller) external {
        _close(sessionId, caller);
    }
}

/// @title What a session sets aside, pays and gives back
contract ReferenceLedger {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);
    address private constant WORKER = address(0x30173);

    TestToken private token;
    Ledger private ledger;

    /// @notice Creates a ledger.
    function setUp() external {
        token = new TestToken("Token", "T", 18);
        ledger = new Ledger(token);
    }

    /// @notice A session is asked just what it can pay for besides all it was asked before, and can
    ///         still do so when it has paid; the fee goes to the worker, and all else back.
    function check_a_session_can_pay_for_all_it_has_asked(
        uint96 deposit,
        uint96 held,
        uint256 before,
        uint256 most,
        uint256 fee
    ) external {
        VM.assume(deposit != 0 && held != 0);
        token.mint(address(ledger), held);
        uint256 another = ledger.open(BOB);
        token.mint(address(ledger), deposit);
        uint256 sessionId = ledger.open(ALICE);
        VM.assume(before <= deposit);
        ledger.reserve(sessionId, ALICE, before);
        (bool made, ) = address(ledger).call(
            abi.encodeCall(Ledger.reserve, (sessionId, ALICE, most))
        );
        assert(made == (most <= deposit - before));
        VM.assume(made);
        assert(_reserved(sessionId) == before + most);
        VM.assume(fee <= before); // as the router sees to
        ledger.charge(sessionId, before, fee, WORKER);
        assert(_reserved(sessionId) == most);
        assert(most <= ledger.getSessionBalance(sessionId));
        assert(ledger.getSessionBalance(sessionId) == deposit - fee);
        assert(ledger.getSessionBalance(another) == held);
        ledger.close(sessionId, ALICE);
        assert(token.balanceOf(WORKER) == fee);
        assert(token.balanceOf(ALICE) == deposit - fee);
        assert(token.balanceOf(address(ledger)) == held);
    }

    function _reserved(uint256 sessionId) internal view virtual returns (uint256) {
        return ledger.getReserved(sessionId);
    }
}
