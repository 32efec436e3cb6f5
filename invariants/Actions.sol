// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AtomicSessions} from "@dtn/client/AtomicSessions.sol";
import {DtnClient} from "@dtn/client/DtnClient.sol";
import {DtnDefaults} from "@dtn/DtnDefaults.sol";
import {DtnRequests} from "@dtn/DtnRequests.sol";
import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Books} from "./Books.sol";
import {VM} from "./Cheats.sol";
import {IReserving, Network} from "./Network.sol";

/// @title Handler of the invariant tests: every action of every actor on a network
/// @notice Forge chooses actions and arguments at random. An action that is impossible in the current
///         state is discarded. Every other action must have exactly the expected effect, or revert
///         with exactly the expected reason.
contract Actions is Books {
    using Math for uint256;

    /// @notice Random numbers that a request is made of.
    /// @param model Model.
    /// @param trusted Nodes that may respond.
    /// @param redundancy Number of responses, mostly one.
    /// @param maxFee Maximum fee.
    /// @param feePerByteReq Fee per byte of the request.
    /// @param feePerByteRes Fee per byte of the response.
    /// @param user User of the request.
    struct RequestSeed {
        uint256 model;
        uint256 trusted;
        uint256 redundancy;
        uint256 maxFee;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        uint256 user;
    }

    /// @notice Request in the books.
    /// @param sessionId Session that pays.
    /// @param model Index of the model.
    /// @param trusted Nodes that may respond, one bit each.
    /// @param responded Nodes that have responded, one bit each.
    /// @param responses Number of responses.
    /// @param redundancy Requested number of responses.
    /// @param aggregation How they are combined.
    /// @param maxFee Maximum fee for one response.
    /// @param feePerByteReq Fee per byte of the request.
    /// @param feePerByteRes Fee per byte of the response.
    /// @param answer Hash of the final response, zero while it is pending.
    struct BookedRequest {
        uint256 sessionId;
        uint256 model;
        uint256 trusted;
        uint256 responded;
        uint256 responses;
        uint32 redundancy;
        IDtnAi.AggregationType aggregation;
        uint256 maxFee;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        bytes32 answer;
    }

    /// @notice Status and sizes that a node states in its response.
    /// @param status SUCCESS, FAILURE or neither.
    /// @param requestSize Size of the request, in bytes.
    /// @param responseSize Size of the response, in bytes.
    struct Bill {
        IDtnAi.ResponseStatus status;
        uint256 requestSize;
        uint256 responseSize;
    }

    uint256 private constant CUSTOMERS = 4;
    uint256 private constant MAX_AMOUNT = 100e6;
    uint256 private constant MAX_BATCH = 4;
    uint256 private constant NODES = 2;
    uint256 private constant MODELS = 3;
    string private constant OF_ANOTHER_MODEL = "Node does not serve requested model";

    address[CUSTOMERS] private customers;
    address[NODES] private workers;
    address private thief;
    mapping(address account => uint256) private keys;
    mapping(address account => bool) private delegated;

    mapping(bytes32 requestId => BookedRequest) private requests;
    bytes32[] private requestIds;
    uint256 private authorizations;

    /// @dev Discards three of four calls.
    modifier rarely(uint256 which) {
        VM.assume(which % 4 == 0);
        _;
    }

    /// @notice Gives funds to every actor. Of the four customers the first three have clients, and the
    ///         last two have delegated accounts: one has both.
    constructor(
        Network network_,
        bool isReference_,
        address[NODES] memory workers_
    ) Books(network_, isReference_) {
        workers = workers_;
        for (uint256 i = 0; i < CUSTOMERS; ++i) {
            uint256 key = uint256(keccak256(abi.encode("customer", i)));
            customers[i] = VM.addr(key);
            keys[customers[i]] = key;
            people.push(customers[i]);
            if (i < 3) _createClient(customers[i]);
            if (i >= 2) _delegate(customers[i]);
        }
        thief = address(0x7417ef);
        people.push(thief);
        for (uint256 i = 0; i < NODES; ++i) people.push(workers[i]);
        for (uint256 i = 0; i < people.length; ++i) token.mint(people[i], FUNDS);
    }

    // Two bare transactions.

    function deposit(uint256 who, uint256 amount) external {
        _pay(_person(who), address(manager), _amount(amount));
    }

    function claim(uint256 who) external {
        _startBare(customers[who % CUSTOMERS]);
    }

    function steal() external {
        _startBare(thief);
    }

    function startWithNothing(uint256 who) external {
        VM.assume(_unclaimed() == 0);
        bytes memory reason = abi.encodeWithSelector(ISessionManager.InvalidAmount.selector);
        _refused(
            _person(who),
            address(router),
            abi.encodeCall(IDtnAi.startUserSession, ()),
            reason
        );
    }

    // One transaction.

    function startByAllowance(uint256 who, uint256 amount) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        // More than needed: strangers must not be able to use the rest.
        _succeed(
            account,
            address(token),
            abi.encodeCall(IERC20.approve, (address(client), 2 * amount))
        );
        _startAtOnce(
            address(client),
            abi.encodeCall(AtomicSessions.start, (router, amount)),
            amount
        );
    }

    function startByPermit(uint256 who, uint256 amount, bool seen) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        bytes32 kind = token.PERMIT_TYPEHASH();
        uint256 deadline = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _sign(
            account,
            abi.encode(kind, account, client, amount, token.nonces(account), deadline)
        );
        if (seen) {
            _succeed(
                thief,
                address(token),
                abi.encodeCall(
                    IERC20Permit.permit,
                    (account, address(client), amount, deadline, v, r, s)
                )
            );
        }
        _startAtOnce(
            address(client),
            abi.encodeCall(DtnClient.startWithPermit, (router, amount, deadline, v, r, s)),
            amount
        );
    }

    function startByAuthorization(uint256 who, uint256 amount, bool seen) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        bytes32 kind = token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH();
        bytes32 nonce = bytes32(++authorizations);
        uint256 end = block.timestamp + 1;
        (uint8 v, bytes32 r, bytes32 s) = _sign(
            account,
            abi.encode(kind, account, client, amount, 0, end, nonce)
        );
        if (seen) {
            _refused(
                thief,
                address(token),
                abi.encodeCall(
                    IERC3009.receiveWithAuthorization,
                    (account, address(client), amount, 0, end, nonce, v, r, s)
                ),
                _error("FiatTokenV2: caller must be the payee")
            );
        }
        _startAtOnce(
            address(client),
            abi.encodeCall(
                DtnClient.startWithAuthorization,
                (router, amount, 0, end, nonce, v, r, s)
            ),
            amount
        );
    }

    function startFromHere(uint256 who, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        uint256 before = token.balanceOf(address(client));
        bytes memory start = abi.encodeCall(DtnClient.startFromHere, (router, amount));
        _start(address(client), start, amount);
        require(
            token.balanceOf(address(client)) == before - amount,
            "The client paid another amount"
        );
    }

    function startByDelegate(uint256 who, uint256 amount) external {
        address account = customers[2 + (who % 2)];
        amount = _amount(amount);
        bytes memory start = abi.encodeCall(AtomicSessions.start, (router, amount));
        _start(account, start, amount);
    }

    // Requests.

    function ask(uint256 which, RequestSeed calldata seed) external {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, seed, 1);
        bytes memory returned = _succeed(
            owner,
            address(router),
            _requestCall(draft, seed.user % 2)
        );
        _bookRequest(abi.decode(returned, (bytes32)), draft, false);
    }

    function askByClient(uint256 which, RequestSeed calldata seed) external {
        _askAtomically(_sessionOf(which, _isClient), seed);
    }

    function askByDelegate(uint256 which, RequestSeed calldata seed) external {
        _askAtomically(_sessionOf(which, _isDelegated), seed);
    }

    function askManyByClient(uint256 which, uint256 count, RequestSeed calldata seed) external {
        _askMany(_sessionOf(which, _isClient), count, seed);
    }

    function askManyByDelegate(uint256 which, uint256 count, RequestSeed calldata seed) external {
        _askMany(_sessionOf(which, _isDelegated), count, seed);
    }

    /// @dev The live router accepts the request, and the node is paid what is left.
    function askTooMuch(uint256 which, RequestSeed calldata seed) external {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, seed, 1);
        (draft.redundancy, draft.maxFee) = (1, _left(sessionId) + 1 + (seed.maxFee % MAX_AMOUNT));
        bytes memory call = _requestCall(draft, seed.user % 2);
        if (!isReference) {
            _bookRequest(
                abi.decode(_succeed(owner, address(router), call), (bytes32)),
                draft,
                false
            );
            return;
        }
        bytes memory reason = abi.encodeWithSignature(
            "InsufficientFunds(uint256,uint256,uint256)",
            sessionId,
            draft.maxFee,
            _available(sessionId)
        );
        _refused(owner, address(router), call, reason);
    }

    function askOnSessionOfAnother(uint256 who, uint256 which, RequestSeed calldata seed) external {
        uint256 sessionId = _openSession(which);
        address stranger = _person(who);
        VM.assume(stranger != booked[sessionId - 1].owner);
        bytes memory call = _requestCall(_draft(sessionId, seed, 1), seed.user % 2);
        bytes memory reason =
            isReference
                ? abi.encodeWithSignature("SessionNotFound(uint256)", sessionId)
                : _error("Session not related to the user");
        _refused(stranger, address(router), call, reason);
    }

    // Responses.

    function answer(
        uint256 which,
        uint256 status,
        uint16 requestSize,
        uint16 responseSize
    ) external {
        _answer(which, Bill(IDtnAi.ResponseStatus(status % 3), requestSize, responseSize));
    }

    function answerStatingHugeSizes(uint256 which, uint256 status, uint128 requestSize) external {
        Bill memory bill = Bill(IDtnAi.ResponseStatus(status % 3), requestSize, type(uint128).max);
        _answer(which, bill);
    }

    function answerStatingImpossibleSizes(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnswerable);
        Bill memory bill = Bill(IDtnAi.ResponseStatus.FAILURE, type(uint256).max, 1);
        if (isReference) {
            _answerBy(id, node, bill);
            return;
        }
        bytes memory overflow = abi.encodeWithSignature("Panic(uint256)", 0x11);
        _refused(workers[node], address(router), _response(id, node, bill), overflow);
    }

    function answerTwice(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnsweredBy);
        string memory reason =
            _isCompleted(requests[id]) ? "Request already completed" : "Node already responded";
        _refused(workers[node], address(router), _response(id, node, _smallBill()), _error(reason));
    }

    /// @dev No variant combines several responses. The reference router refuses the request, the live
    ///      router the last response.
    function answerWithOtherStrategy(uint256 which, RequestSeed calldata seed) external {
        bytes memory reason = _error("Response strategy not implemented");
        if (isReference) {
            uint256 sessionId = _sessionOf(which, _isAccount);
            address owner = booked[sessionId - 1].owner;
            BookedRequest memory draft = _draft(sessionId, seed, 1);
            draft.redundancy = seed.redundancy % 2 == 0 ? 0 : 2;
            _refused(owner, address(router), _requestCall(draft, seed.user % 2), reason);
            return;
        }
        (bytes32 id, uint256 node) = _requestThat(which, _isNeverCompleted);
        _refused(workers[node], address(router), _response(id, node, _smallBill()), reason);
    }

    function answerAfterClose(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isStranded);
        string memory signature =
            isReference ? "SessionAlreadyClosed(uint256)" : "InvalidSession(uint256)";
        bytes memory reason = abi.encodeWithSignature(signature, requests[id].sessionId);
        _refused(workers[node], address(router), _response(id, node, _smallBill()), reason);
    }

    function answerUninvited(uint256 which, uint256 who) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isUnanswered);
        address caller = _person(who);
        BookedRequest storage request = requests[id];
        string memory reason;
        if (caller != workers[node]) reason = "Not the node worker";
        else if (isReference && !network.serves(node, request.model)) reason = OF_ANOTHER_MODEL;
        else if (!_has(request.trusted, node))
            reason = "Node does not have required trust namespace";
        else if (!network.serves(node, request.model)) reason = OF_ANOTHER_MODEL;
        else VM.assume(false);
        _refused(caller, address(router), _response(id, node, _smallBill()), _error(reason));
    }

    // Closing. Rarely, so that sessions stay open for some requests.

    function close(uint256 which) external rarely(which) {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _close(owner, address(router), call, sessionId, owner);
    }

    function closeByClient(uint256 which) external rarely(which) {
        uint256 sessionId = _sessionOf(which, _isClient);
        address client = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(AtomicSessions.close, (router, sessionId));
        _close(accountOf[client], client, call, sessionId, accountOf[client]);
    }

    function closeByDelegate(uint256 which) external rarely(which) {
        uint256 sessionId = _sessionOf(which, _isDelegated);
        address account = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(AtomicSessions.close, (router, sessionId));
        _close(account, account, call, sessionId, account);
    }

    function closeTo(uint256 which, uint256 to) external rarely(which) {
        uint256 sessionId = _sessionOf(which, _isClient);
        address client = booked[sessionId - 1].owner;
        address recipient = _recipient(to);
        bytes memory call = abi.encodeCall(DtnClient.closeTo, (router, _one(sessionId), recipient));
        _close(accountOf[client], client, call, sessionId, recipient);
    }

    function closeAll(uint256 which) external rarely(which) {
        uint256 sessionId = _sessionOf(which, _isAtomic);
        address owner = booked[sessionId - 1].owner;
        address account = _principal(owner);
        uint256[] memory ids = _openIdsOf(owner);
        uint256 due = token.balanceOf(account);
        for (uint256 i = 0; i < ids.length; ++i) due += _left(ids[i]);
        uint256 kept = owner == account ? due : token.balanceOf(owner);
        _succeed(account, owner, abi.encodeCall(AtomicSessions.closeMany, (router, ids)));
        for (uint256 i = 0; i < ids.length; ++i) _closed(ids[i]);
        require(token.balanceOf(account) == due, "The refund went elsewhere");
        require(token.balanceOf(owner) == kept, "The client kept tokens");
    }

    function closeTwice(uint256 which) external {
        VM.assume(booked.length > 0);
        uint256 sessionId = 1 + (which % booked.length);
        BookedSession storage session = booked[sessionId - 1];
        VM.assume(session.closed);
        bytes memory reason =
            isReference
                ? abi.encodeWithSignature("SessionAlreadyClosed(uint256)", sessionId)
                : abi.encodeWithSelector(ISessionManager.Unauthorized.selector, router, address(0));
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _refused(_principal(session.owner), address(router), call, reason);
    }

    function closeSessionOfAnother(uint256 who, uint256 which) external {
        uint256 sessionId = _openSession(which);
        address owner = booked[sessionId - 1].owner;
        address stranger = _person(who);
        VM.assume(stranger != owner);
        bytes memory reason =
            isReference
                ? abi.encodeWithSignature("SessionNotFound(uint256)", sessionId)
                : abi.encodeWithSelector(ISessionManager.Unauthorized.selector, router, owner);
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _refused(stranger, address(router), call, reason);
    }

    // Tokens of clients.

    function give(uint256 who, uint256 to, uint256 amount) external {
        _pay(_person(who), _recipient(to), _amount(amount));
    }

    function fillClient(uint256 who, uint256 from, uint256 amount) external {
        (, DtnClient client) = _client(who);
        _pay(_person(from), address(client), _amount(amount));
    }

    function sweep(uint256 who) external {
        (address account, DtnClient client) = _client(who);
        uint256 held = token.balanceOf(address(client));
        VM.assume(held > 0);
        bytes memory call = abi.encodeCall(DtnClient.sweep, (address(token)));
        _sent(address(client), call, account, held);
    }

    function sweepTo(uint256 who, uint256 to, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        address recipient = _recipient(to);
        bytes memory call = abi.encodeCall(DtnClient.sweepTo, (address(token), recipient, amount));
        _sent(address(client), call, recipient, amount);
    }

    function execute(uint256 who, uint256 to, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        address recipient = _recipient(to);
        bytes memory transfer = abi.encodeCall(IERC20.transfer, (recipient, amount));
        bytes memory call = abi.encodeCall(DtnClient.execute, (address(token), 0, transfer));
        _sent(address(client), call, recipient, amount);
    }

    // Calls of strangers that would take tokens or sessions if they were not refused.

    function useClientAsStranger(uint256 who, uint256 by, uint256 how, uint256 amount) external {
        (address account, DtnClient client) = _client(who);
        _callAsStranger(
            account,
            address(client),
            _person(by),
            _clientCalls(client, by, amount),
            how
        );
    }

    function useDelegateAsStranger(uint256 who, uint256 by, uint256 how, uint256 amount) external {
        address account = customers[2 + (who % 2)];
        _callAsStranger(
            account,
            account,
            _person(by),
            _sessionCalls(account, _amount(amount)),
            how
        );
    }

    function wait(uint256 time) external {
        VM.warp(block.timestamp + 1 + (time % 1 days));
    }

    /// @notice Ends a run: after any actions, requests can be answered, sessions closed, and no tokens
    ///         stay behind.
    function finish() external {
        _everyRequestIsAsBooked();
        _newcomerIsServed();
        _everyRequestIsAnswered();
        _everySessionIsClosed();
        _everyRequestIsAsBooked();
        require(token.balanceOf(address(manager)) == _unclaimed(), "Tokens are stuck");
        if (_unclaimed() > 0) _startBare(thief);
        _everySessionIsClosed();
        require(token.balanceOf(address(manager)) == 0, "A deposit is stuck");
    }

    /// @dev A new account opens a session, gets a response, and closes the session.
    function _newcomerIsServed() private {
        address newcomer = address(0x4e3);
        people.push(newcomer);
        token.mint(newcomer, FUNDS);
        uint256 due = _unclaimed() + MAX_AMOUNT;
        _pay(newcomer, address(manager), MAX_AMOUNT);
        _startBare(newcomer);
        uint256 sessionId = booked.length;
        BookedRequest memory draft;
        (draft.sessionId, draft.model, draft.trusted, draft.redundancy) = (sessionId, 1, 3, 1);
        (draft.maxFee, draft.feePerByteReq, draft.feePerByteRes) = (MAX_AMOUNT, 1, 1);
        bytes memory returned = _succeed(newcomer, address(router), _requestCall(draft, 0));
        bytes32 id = abi.decode(returned, (bytes32));
        _bookRequest(id, draft, true);
        _answerBy(id, 1, _smallBill());
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _close(newcomer, address(router), call, sessionId, newcomer);
        uint256 left = token.balanceOf(newcomer);
        require(left == FUNDS - MAX_AMOUNT + due - 2, "A new account did not pay exactly the fee");
    }

    function _everyRequestIsAnswered() private {
        for (uint256 i = 0; i < requestIds.length; ++i) {
            for (uint256 node = 0; node < NODES; ++node) {
                if (!_isAnswerable(requests[requestIds[i]], node)) continue;
                _answerBy(requestIds[i], node, _smallBill());
            }
        }
    }

    /// @dev Each owner closes its sessions and gets their balance.
    function _everySessionIsClosed() private {
        while (open.length > 0) {
            uint256 sessionId = open[open.length - 1];
            address owner = booked[sessionId - 1].owner;
            address account = _principal(owner);
            bytes memory call =
                _isClient(owner)
                    ? abi.encodeCall(AtomicSessions.close, (router, sessionId))
                    : abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
            _close(account, _isClient(owner) ? owner : address(router), call, sessionId, account);
        }
    }

    /// @dev Responses have not changed, and requests are listed in order of creation; once each in the
    ///      reference variant, where ids are unique.
    function _everyRequestIsAsBooked() private view {
        bytes32[] memory made = router.getPendingRequests(0, requestsMade);
        require(!isReference || made.length == requestIds.length, "Two requests share an id");
        for (uint256 i = 0; i < made.length; ++i) {
            require(
                isReference ? made[i] == requestIds[i] : requests[made[i]].sessionId != 0,
                "The list has an unknown request"
            );
            BookedRequest storage request = requests[made[i]];
            require(_answerTo(made[i]) == request.answer, "A response has changed");
            require(
                router.getRequest(made[i]).sessionId == request.sessionId,
                "A request has changed"
            );
        }
        bytes32[] memory completed = router.getCompletedRequests(0, requestsCompleted);
        if (!isReference) return; // an id can be completed again after a collision
        for (uint256 i = 0; i < completed.length; ++i) {
            require(
                _isCompleted(requests[completed[i]]),
                "A pending request is listed as completed"
            );
            for (uint256 j = 0; j < i; ++j) {
                require(completed[i] != completed[j], "A request was completed twice");
            }
        }
    }

    function _answerTo(bytes32 id) private view returns (bytes32) {
        try router.fetchResponse(id) returns (
            IDtnAi.ResponseStatus status,
            string memory,
            bytes memory response
        ) {
            return _hash(status, response);
        } catch {
            return bytes32(0);
        }
    }

    // Actions, and their entries in the books.

    function _createClient(address account) private {
        DtnClient client = DtnClient(payable(network.createClient(account)));
        clientOf[account] = client;
        accountOf[address(client)] = account;
    }

    function _delegate(address account) private {
        delegated[account] = true;
        VM.signAndAttachDelegation(network.delegate(), keys[account]);
    }

    function _startBare(address account) private {
        VM.assume(_unclaimed() > 0);
        bytes memory call = abi.encodeCall(IDtnAi.startUserSession, ());
        _opened(account, abi.decode(_succeed(account, address(router), call), (uint256)));
    }

    /// @dev Starts a session with a client, which must keep no tokens.
    function _startAtOnce(address client, bytes memory call, uint256 amount) private {
        uint256 kept = token.balanceOf(client);
        _start(client, call, amount);
        require(token.balanceOf(client) == kept, "The client kept tokens");
    }

    function _start(address owner, bytes memory call, uint256 amount) private {
        uint256 due = _unclaimed() + amount;
        uint256 sessionId = abi.decode(_succeed(_principal(owner), owner, call), (uint256));
        require(
            _opened(owner, sessionId) == due,
            "The balance of the session is not the amount paid"
        );
    }

    function _askAtomically(uint256 sessionId, RequestSeed calldata seed) private {
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, seed, 1);
        bytes memory call = abi.encodeCall(
            AtomicSessions.request,
            (
                router,
                sessionId,
                network.models(draft.model),
                _routing(draft),
                _request(draft),
                DtnRequests.noCallback(),
                0
            )
        );
        bytes memory returned = _succeed(_principal(owner), owner, call);
        _bookRequest(abi.decode(returned, (bytes32)), draft, true);
    }

    function _askMany(uint256 sessionId, uint256 count, RequestSeed calldata seed) private {
        address owner = booked[sessionId - 1].owner;
        count = 1 + (count % MAX_BATCH);
        BookedRequest memory draft = _draft(sessionId, seed, count);
        IDtnAi.DtnRequest[] memory batch = new IDtnAi.DtnRequest[](count);
        for (uint256 i = 0; i < count; ++i) batch[i] = _request(draft);
        bytes memory call = abi.encodeCall(
            AtomicSessions.requestMany,
            (
                router,
                sessionId,
                network.models(draft.model),
                _routing(draft),
                batch,
                DtnRequests.noCallback(),
                0
            )
        );
        bytes memory returned = _succeed(_principal(owner), owner, call);
        bytes32[] memory ids = abi.decode(returned, (bytes32[]));
        require(ids.length == count, "The number of requests is wrong");
        for (uint256 i = 0; i < count; ++i) _bookRequest(ids[i], draft, true);
    }

    function _bookRequest(bytes32 id, BookedRequest memory draft, bool unique) private {
        BookedRequest storage before = requests[id];
        if (before.sessionId == 0) requestIds.push(id);
        else require(!isReference && !unique, "Two requests share an id");
        // After a collision the live router still knows which nodes have responded.
        draft.responded = before.responded;
        requests[id] = draft;
        requestsMade += 1;
        _promised(draft.sessionId, draft.maxFee, Math.max(draft.redundancy, 1));
    }

    function _answer(uint256 which, Bill memory bill) private {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnswerable);
        _answerBy(id, node, bill);
    }

    function _answerBy(bytes32 id, uint256 node, Bill memory bill) private {
        BookedRequest storage request = requests[id];
        _succeed(workers[node], address(router), _response(id, node, bill));
        uint256 fee =
            bill.status == IDtnAi.ResponseStatus.SUCCESS
                ? bill.requestSize * request.feePerByteReq +
                    bill.responseSize * request.feePerByteRes
                : bill.requestSize.saturatingAdd(bill.responseSize);
        uint256 charge = Math.min(Math.min(fee, request.maxFee), _left(request.sessionId));
        _charged(request.sessionId, charge, request.maxFee, workers[node]);
        request.responded |= 1 << node;
        request.responses += 1;
        if (request.redundancy > 1) return;
        request.answer = _hash(bill.status, abi.encode(requestsCompleted));
        requestsCompleted += 1;
    }

    function _close(
        address caller,
        address target,
        bytes memory call,
        uint256 sessionId,
        address to
    ) private {
        address owner = booked[sessionId - 1].owner;
        uint256 due = token.balanceOf(to) + _left(sessionId);
        uint256 kept = owner == to ? due : token.balanceOf(owner);
        // A refund to the network itself does not change its balance.
        if (to == address(manager)) due -= _left(sessionId);
        _succeed(caller, target, call);
        _closed(sessionId);
        require(token.balanceOf(to) == due, "The refund went elsewhere");
        require(token.balanceOf(owner) == kept, "The client kept tokens");
    }

    function _pay(address from, address to, uint256 amount) private {
        _succeed(from, address(token), abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// @dev Sends tokens of a client, called by its owner.
    function _sent(address client, bytes memory call, address to, uint256 amount) private {
        uint256 due = token.balanceOf(to) + (to == client ? 0 : amount);
        _succeed(accountOf[client], client, call);
        require(token.balanceOf(to) == due, "The recipient did not get the amount");
    }

    function _callAsStranger(
        address owner,
        address target,
        address stranger,
        bytes[] memory calls,
        uint256 how
    ) private {
        VM.assume(stranger != owner);
        bytes memory reason = abi.encodeWithSelector(AtomicSessions.NotOwner.selector, stranger);
        _refused(stranger, target, calls[how % calls.length], reason);
    }

    /// @dev Calls that use an owner's tokens and sessions.
    function _sessionCalls(
        address owner,
        uint256 amount
    ) private view returns (bytes[] memory calls) {
        uint256[] memory ids = _openIdsOf(owner);
        uint256 id = ids.length == 0 ? 1 : ids[0];
        BookedRequest memory draft;
        (draft.sessionId, draft.trusted, draft.redundancy) = (id, 1, 1);
        IDtnAi.DtnRequest[] memory batch = new IDtnAi.DtnRequest[](1);
        batch[0] = _request(draft);
        IDtnAi.CallBack memory none = DtnRequests.noCallback();
        bytes32 model = network.models(0);
        calls = new bytes[](5);
        calls[0] = abi.encodeCall(AtomicSessions.start, (router, amount));
        calls[1] = abi.encodeCall(
            AtomicSessions.request,
            (router, id, model, _routing(draft), batch[0], none, 0)
        );
        calls[2] = abi.encodeCall(
            AtomicSessions.requestMany,
            (router, id, model, _routing(draft), batch, none, 0)
        );
        calls[3] = abi.encodeCall(AtomicSessions.close, (router, id));
        calls[4] = abi.encodeCall(AtomicSessions.closeMany, (router, ids));
    }

    /// @dev The same, and calls that take tokens of a client.
    function _clientCalls(
        DtnClient client,
        uint256 by,
        uint256 amount
    ) private view returns (bytes[] memory calls) {
        address to = _person(by);
        uint256 held = token.balanceOf(address(client));
        bytes[] memory sessionCalls = _sessionCalls(address(client), _amount(amount));
        calls = new bytes[](sessionCalls.length + 7);
        for (uint256 i = 0; i < sessionCalls.length; ++i) calls[i] = sessionCalls[i];
        uint256 next = sessionCalls.length;
        uint256[] memory ids = _openIdsOf(address(client));
        calls[next++] = abi.encodeCall(DtnClient.startFromHere, (router, held));
        calls[next++] = abi.encodeCall(DtnClient.closeTo, (router, ids, to));
        calls[next++] = abi.encodeCall(DtnClient.sweep, (address(token)));
        calls[next++] = abi.encodeCall(DtnClient.sweepTo, (address(token), to, held));
        calls[next++] = abi.encodeCall(
            DtnClient.execute,
            (address(token), 0, abi.encodeCall(IERC20.transfer, (to, held)))
        );
        // With an invalid signature: a permit is optional where the allowance suffices.
        calls[next++] = abi.encodeCall(
            DtnClient.startWithPermit,
            (router, _amount(amount), 0, 27, 0, 0)
        );
        calls[next++] = abi.encodeCall(
            DtnClient.startWithAuthorization,
            (router, _amount(amount), 0, block.timestamp + 1, 0, 27, 0, 0)
        );
    }

    function _sign(
        address account,
        bytes memory data
    ) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 domain = token.DOMAIN_SEPARATOR();
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, keccak256(data)));
        return VM.sign(keys[account], digest);
    }

    // Requests and responses.

    /// @dev Request that its session can pay for `count` times.
    function _draft(
        uint256 sessionId,
        RequestSeed calldata seed,
        uint256 count
    ) private view returns (BookedRequest memory draft) {
        uint256 redundancy = seed.redundancy % 16;
        draft.sessionId = sessionId;
        draft.model = seed.model % MODELS;
        draft.trusted = 1 + (seed.trusted % 3);
        draft.redundancy = redundancy < 4 && !isReference ? uint32(redundancy) : 1;
        if (redundancy == 4 && !isReference) draft.aggregation = IDtnAi.AggregationType.VOTE;
        uint256 answers = count * Math.max(draft.redundancy, 1);
        draft.maxFee = seed.maxFee % (_available(sessionId) / 2 / answers + 1);
        draft.feePerByteReq = seed.feePerByteReq % 1_000;
        draft.feePerByteRes = seed.feePerByteRes % 1_000;
    }

    function _requestCall(
        BookedRequest memory draft,
        uint256 user
    ) private view returns (bytes memory) {
        return
            abi.encodeCall(
                IDtnAi.request,
                (
                    draft.sessionId,
                    network.models(draft.model),
                    _routing(draft),
                    _request(draft),
                    DtnRequests.noCallback(),
                    address(uint160(user)),
                    0
                )
            );
    }

    function _routing(
        BookedRequest memory draft
    ) private view returns (IDtnAi.DtnRouting memory routing) {
        bytes32[] memory both = new bytes32[](2);
        (both[0], both[1]) = (network.nodes(0), network.nodes(1));
        routing = DtnDefaults.defaultCustomNodesValidatedAny(
            draft.trusted == 3 ? both : DtnDefaults.singleArray(both[draft.trusted - 1])
        );
        routing.redundancy = draft.redundancy;
        routing.aggregationType = draft.aggregation;
    }

    function _request(
        BookedRequest memory draft
    ) private pure returns (IDtnAi.DtnRequest memory request) {
        request = DtnRequests.text("Hello?", draft.feePerByteReq, draft.maxFee);
        request.feePerByteRes = draft.feePerByteRes;
    }

    function _response(
        bytes32 id,
        uint256 node,
        Bill memory bill
    ) private view returns (bytes memory) {
        return
            abi.encodeCall(
                IDtnAi.respondToRequest,
                (
                    id,
                    bill.status,
                    "",
                    abi.encode(requestsCompleted),
                    network.nodes(node),
                    bill.requestSize,
                    bill.responseSize
                )
            );
    }

    function _hash(
        IDtnAi.ResponseStatus status,
        bytes memory response
    ) private pure returns (bytes32) {
        return keccak256(abi.encode(status, response));
    }

    function _smallBill() private pure returns (Bill memory) {
        return Bill(IDtnAi.ResponseStatus.SUCCESS, 1, 1);
    }

    function _available(uint256 sessionId) private view returns (uint256) {
        // The live router does not check the balance: use twice as much.
        if (!isReference) return 2 * _left(sessionId);
        return _left(sessionId) - IReserving(address(manager)).getReserved(sessionId);
    }

    // Which requests.

    /// @dev First matching request and node, from a random one on.
    function _requestThat(
        uint256 which,
        function(BookedRequest storage, uint256) view returns (bool) matches
    ) private view returns (bytes32 id, uint256 node) {
        uint256 count = requestIds.length * NODES;
        for (uint256 i = 0; i < count; ++i) {
            uint256 candidate = addmod(which, i, count);
            (id, node) = (requestIds[candidate / NODES], candidate % NODES);
            if (matches(requests[id], node)) return (id, node);
        }
        VM.assume(false);
    }

    function _isAnswerable(
        BookedRequest storage request,
        uint256 node
    ) private view returns (bool) {
        return _mayRespond(request, node) && !_isClosed(request) && _canBeRecorded(request);
    }

    function _isNeverCompleted(
        BookedRequest storage request,
        uint256 node
    ) private view returns (bool) {
        return _mayRespond(request, node) && !_isClosed(request) && !_canBeRecorded(request);
    }

    function _isStranded(BookedRequest storage request, uint256 node) private view returns (bool) {
        return _mayRespond(request, node) && _isClosed(request);
    }

    function _isUnanswered(
        BookedRequest storage request,
        uint256 node
    ) private view returns (bool) {
        return !_isCompleted(request) && !_has(request.responded, node);
    }

    function _isCompleted(BookedRequest storage request) private view returns (bool) {
        return request.answer != bytes32(0);
    }

    function _isAnsweredBy(
        BookedRequest storage request,
        uint256 node
    ) private view returns (bool) {
        return _has(request.responded, node);
    }

    function _mayRespond(BookedRequest storage request, uint256 node) private view returns (bool) {
        return
            _isUnanswered(request, node) &&
            _has(request.trusted, node) &&
            network.serves(node, request.model);
    }

    function _isClosed(BookedRequest storage request) private view returns (bool) {
        return booked[request.sessionId - 1].closed;
    }

    /// @dev Not the last of several responses, or the only one, which needs no aggregation.
    function _canBeRecorded(BookedRequest storage request) private view returns (bool) {
        if (request.responses + 1 < request.redundancy) return true;
        return request.redundancy <= 1 && request.aggregation == IDtnAi.AggregationType.ANY;
    }

    function _has(uint256 bits, uint256 node) private pure returns (bool) {
        return (bits >> node) & 1 == 1;
    }

    // Which sessions.

    /// @dev Live session managers keep closed sessions in the list.
    function _openIdsOf(address owner) private view returns (uint256[] memory ids) {
        uint256[] memory all = manager.getUserSessionIds(owner);
        uint256 count = 0;
        ids = new uint256[](all.length);
        for (uint256 i = 0; i < all.length; ++i) {
            if (!booked[all[i] - 1].closed) ids[count++] = all[i];
        }
        require(!isReference || count == all.length, "A closed session is listed");
        assembly {
            mstore(ids, count)
        }
    }

    function _openSession(uint256 which) private view returns (uint256) {
        VM.assume(open.length > 0);
        return open[which % open.length];
    }

    /// @dev First session with a matching owner, from a random one on.
    function _sessionOf(
        uint256 which,
        function(address) view returns (bool) matches
    ) private view returns (uint256 sessionId) {
        for (uint256 i = 0; i < open.length; ++i) {
            sessionId = open[addmod(which, i, open.length)];
            if (matches(booked[sessionId - 1].owner)) return sessionId;
        }
        VM.assume(false);
    }

    function _isClient(address owner) private view returns (bool) {
        return accountOf[owner] != address(0);
    }

    function _isAccount(address owner) private view returns (bool) {
        return !_isClient(owner);
    }

    function _isDelegated(address owner) private view returns (bool) {
        return delegated[owner];
    }

    function _isAtomic(address owner) private view returns (bool) {
        return _isClient(owner) || _isDelegated(owner);
    }

    // Actors and amounts.

    function _person(uint256 who) private view returns (address) {
        return people[who % people.length];
    }

    function _client(uint256 who) private view returns (address account, DtnClient client) {
        account = customers[who % 3];
        return (account, clientOf[account]);
    }

    /// @dev Any account or client, or the network itself.
    function _recipient(uint256 to) private view returns (address) {
        to %= people.length + 4;
        if (to < people.length) return people[to];
        if (to < people.length + 3) return address(clientOf[customers[to - people.length]]);
        return address(manager);
    }

    function _amount(uint256 seed) private pure returns (uint256) {
        return 1 + (seed % MAX_AMOUNT);
    }

    function _upTo(uint256 seed, uint256 most) private pure returns (uint256) {
        VM.assume(most > 0);
        return 1 + (seed % most);
    }

    function _one(uint256 value) private pure returns (uint256[] memory array) {
        array = new uint256[](1);
        array[0] = value;
    }

    function _error(string memory reason) private pure returns (bytes memory) {
        return abi.encodeWithSignature("Error(string)", reason);
    }
}
