"""The public names of all errors: nothing is defined here, nor imported until it is used.

Every error descends from :class:`DtnError`, which descends from Ape's own root, so that the command
line prints it as a clean error. The same classes are raised on both variants of the contracts, for
what is refused before sending, for what fails at gas estimation and for what fails once mined.

``code`` names the cause for machines, ``exit_code`` is what ``ape dtn`` exits with, and ``hint``
says what mends it. Where a contract reverted, ``revert`` holds its decoded error and raw data.

.. code-block:: text

    DtnError
      BadInput
        InvalidAmount
          TooManyDecimals
          WrongToken
        EmptyPrompt
        InvalidPrompt
        InvalidName
        InvalidAddress
        InvalidCall
        MissingExtra
        NotWritten
        InvalidOption
        NoAccount
        InvalidCid
        FilesExist
        NotNodeOwner
        InvalidCursor
        KeyReused
        NotCancellable
        InvalidBackend
        NoBackend
        NotTheWorker
        FeeTooHigh
        NobodyTrusted
        DeploymentUnusable
        DeploymentDiffers
        UnknownContract
        UnknownMethod
        CassetteUnusable
      NoNetwork
        NotConnected
        ChainUnreachable
        RpcRefused
          TransactionRefused
        WrongChain
        NotLocal
        NoContractAtAddress
        UnknownChain
        CannotFork
        StateFixed
      Refused
        ContractReverted
        NoMoneyForGas
        SigningDeclined
        OwnersMissing
        SessionNotFound
          SessionAlreadyClosed
          NotSessionOwner
        InsufficientFunds
        NothingDeposited
        DepositTaken
        DepositTaxed
        PaymentRefused
        NotClientOwner
        ModelNotFound
        NodeNotFound
        NodesNotListed
        RequestNotFound
        CallbackGasMissing
        OverLimit
        UnsafeDeposit
        MethodUnavailable
        CannotComplete
          NobodyCanAnswer
          NodeUnavailable
        RequestReplaced
        RequestsPending
        ConsentMissing
        NoRemedy
        RefusedBefore
      CallbackFailed
        CallbackOutOfGas
      UndecodableAnswer
      PartlySent
      TransactionPending
      BackendFailed
        BackendUnavailable
          StoreUnavailable
        StoreRefused
          WrongCid
      ContentUnavailable
        WrongContent
        ContentTooLarge
      DepositWaiting
      RequestPending
        RequestStranded
      NodeFailure
      JournalUnusable
      NoEffect
      PaymentCancelled
      WalletPending
      LedgerUnusable
      DevnetFailed
        AnvilMissing
        AnvilFailed
        PortTaken
        StateUnusable
      NotRecorded
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ape_dtn.answers.errors import InvalidCursor, NodeFailure, RequestStranded
    from ape_dtn.chain.errors import (
        ChainUnreachable,
        ContractReverted,
        NoContractAtAddress,
        NoMoneyForGas,
        NotConnected,
        NotLocal,
        OwnersMissing,
        PartlySent,
        RpcRefused,
        SigningDeclined,
        TransactionPending,
        TransactionRefused,
        WrongChain,
    )
    from ape_dtn.deployment.errors import DeploymentDiffers, DeploymentUnusable
    from ape_dtn.devnet.errors import (
        AnvilFailed,
        AnvilMissing,
        CannotFork,
        DevnetFailed,
        PortTaken,
        StateUnusable,
    )
    from ape_dtn.funding.errors import MethodUnavailable, UnsafeDeposit
    from ape_dtn.ipfs.errors import (
        BackendFailed,
        BackendUnavailable,
        ContentTooLarge,
        ContentUnavailable,
        InvalidCid,
        StoreRefused,
        StoreUnavailable,
        WrongCid,
        WrongContent,
    )
    from ape_dtn.journal.errors import (
        JournalUnusable,
        KeyReused,
        NoEffect,
        NotCancellable,
        OverLimit,
        PaymentCancelled,
        RefusedBefore,
        WalletPending,
    )
    from ape_dtn.network.errors import (
        CallbackGasMissing,
        DepositTaken,
        DepositTaxed,
        DepositWaiting,
        InsufficientFunds,
        ModelNotFound,
        NodeNotFound,
        NodesNotListed,
        NodeState,
        NotClientOwner,
        NothingDeposited,
        NotNodeOwner,
        NotSessionOwner,
        Offer,
        PaymentRefused,
        RequestNotFound,
        RequestPending,
        SessionAlreadyClosed,
        SessionNotFound,
        UnknownChain,
    )
    from ape_dtn.node.errors import InvalidBackend, LedgerUnusable, NoBackend, NotTheWorker
    from ape_dtn.rehearsal.errors import UnknownContract, UnknownMethod
    from ape_dtn.requests.errors import (
        CannotComplete,
        FeeTooHigh,
        NobodyCanAnswer,
        NobodyTrusted,
        NodeUnavailable,
        RequestReplaced,
    )
    from ape_dtn.rescue.errors import ConsentMissing, NoRemedy
    from ape_dtn.scaffold.errors import FilesExist
    from ape_dtn.sessions.errors import RequestsPending
    from ape_dtn.testing.errors import CassetteUnusable, NotRecorded, StateFixed
    from ape_dtn.types.errors import (
        BAD_INPUT,
        NO_ANSWER_YET,
        NO_NETWORK,
        NODE_FAILED,
        REFUSED,
        UNKNOWN_OUTCOME,
        BadInput,
        CallbackFailed,
        CallbackOutOfGas,
        DtnError,
        EmptyPrompt,
        InvalidAddress,
        InvalidAmount,
        InvalidCall,
        InvalidName,
        InvalidOption,
        InvalidPrompt,
        MissingExtra,
        NoAccount,
        NoNetwork,
        NotWritten,
        Refused,
        TooManyDecimals,
        UndecodableAnswer,
        WrongToken,
    )

# The package that raises each of them.
_PACKAGES = {
    "AnvilFailed": "devnet",
    "AnvilMissing": "devnet",
    "BAD_INPUT": "types",
    "BackendFailed": "ipfs",
    "BackendUnavailable": "ipfs",
    "BadInput": "types",
    "CallbackFailed": "types",
    "CallbackGasMissing": "network",
    "CallbackOutOfGas": "types",
    "CannotComplete": "requests",
    "CannotFork": "devnet",
    "CassetteUnusable": "testing",
    "ChainUnreachable": "chain",
    "ConsentMissing": "rescue",
    "ContentTooLarge": "ipfs",
    "ContentUnavailable": "ipfs",
    "ContractReverted": "chain",
    "DeploymentDiffers": "deployment",
    "DeploymentUnusable": "deployment",
    "DepositTaken": "network",
    "DepositTaxed": "network",
    "DepositWaiting": "network",
    "DevnetFailed": "devnet",
    "DtnError": "types",
    "EmptyPrompt": "types",
    "FeeTooHigh": "requests",
    "FilesExist": "scaffold",
    "InsufficientFunds": "network",
    "InvalidAddress": "types",
    "InvalidAmount": "types",
    "InvalidBackend": "node",
    "InvalidCall": "types",
    "InvalidCid": "ipfs",
    "InvalidCursor": "answers",
    "InvalidName": "types",
    "InvalidOption": "types",
    "InvalidPrompt": "types",
    "JournalUnusable": "journal",
    "KeyReused": "journal",
    "LedgerUnusable": "node",
    "MethodUnavailable": "funding",
    "MissingExtra": "types",
    "ModelNotFound": "network",
    "NODE_FAILED": "types",
    "NO_ANSWER_YET": "types",
    "NO_NETWORK": "types",
    "NoAccount": "types",
    "NoBackend": "node",
    "NoContractAtAddress": "chain",
    "NoEffect": "journal",
    "NoMoneyForGas": "chain",
    "NoNetwork": "types",
    "NoRemedy": "rescue",
    "NobodyCanAnswer": "requests",
    "NobodyTrusted": "requests",
    "NodeFailure": "answers",
    "NodeNotFound": "network",
    "NodeState": "network",
    "NodeUnavailable": "requests",
    "NodesNotListed": "network",
    "NotCancellable": "journal",
    "NotClientOwner": "network",
    "NotConnected": "chain",
    "NotLocal": "chain",
    "NotNodeOwner": "network",
    "NotRecorded": "testing",
    "NotSessionOwner": "network",
    "NotTheWorker": "node",
    "NotWritten": "types",
    "NothingDeposited": "network",
    "Offer": "network",
    "OverLimit": "journal",
    "OwnersMissing": "chain",
    "PartlySent": "chain",
    "PaymentCancelled": "journal",
    "PaymentRefused": "network",
    "PortTaken": "devnet",
    "REFUSED": "types",
    "Refused": "types",
    "RefusedBefore": "journal",
    "RequestNotFound": "network",
    "RequestPending": "network",
    "RequestReplaced": "requests",
    "RequestStranded": "answers",
    "RequestsPending": "sessions",
    "RpcRefused": "chain",
    "SessionAlreadyClosed": "network",
    "SessionNotFound": "network",
    "SigningDeclined": "chain",
    "StateFixed": "testing",
    "StateUnusable": "devnet",
    "StoreRefused": "ipfs",
    "StoreUnavailable": "ipfs",
    "TooManyDecimals": "types",
    "TransactionPending": "chain",
    "TransactionRefused": "chain",
    "UNKNOWN_OUTCOME": "types",
    "UndecodableAnswer": "types",
    "UnknownChain": "network",
    "UnknownContract": "rehearsal",
    "UnknownMethod": "rehearsal",
    "UnsafeDeposit": "funding",
    "WalletPending": "journal",
    "WrongChain": "chain",
    "WrongCid": "ipfs",
    "WrongContent": "ipfs",
    "WrongToken": "types",
}

__all__ = [
    "BAD_INPUT",
    "NODE_FAILED",
    "NO_ANSWER_YET",
    "NO_NETWORK",
    "REFUSED",
    "UNKNOWN_OUTCOME",
    "AnvilFailed",
    "AnvilMissing",
    "BackendFailed",
    "BackendUnavailable",
    "BadInput",
    "CallbackFailed",
    "CallbackGasMissing",
    "CallbackOutOfGas",
    "CannotComplete",
    "CannotFork",
    "CassetteUnusable",
    "ChainUnreachable",
    "ConsentMissing",
    "ContentTooLarge",
    "ContentUnavailable",
    "ContractReverted",
    "DeploymentDiffers",
    "DeploymentUnusable",
    "DepositTaken",
    "DepositTaxed",
    "DepositWaiting",
    "DevnetFailed",
    "DtnError",
    "EmptyPrompt",
    "FeeTooHigh",
    "FilesExist",
    "InsufficientFunds",
    "InvalidAddress",
    "InvalidAmount",
    "InvalidBackend",
    "InvalidCall",
    "InvalidCid",
    "InvalidCursor",
    "InvalidName",
    "InvalidOption",
    "InvalidPrompt",
    "JournalUnusable",
    "KeyReused",
    "LedgerUnusable",
    "MethodUnavailable",
    "MissingExtra",
    "ModelNotFound",
    "NoAccount",
    "NoBackend",
    "NoContractAtAddress",
    "NoEffect",
    "NoMoneyForGas",
    "NoNetwork",
    "NoRemedy",
    "NobodyCanAnswer",
    "NobodyTrusted",
    "NodeFailure",
    "NodeNotFound",
    "NodeState",
    "NodeUnavailable",
    "NodesNotListed",
    "NotCancellable",
    "NotClientOwner",
    "NotConnected",
    "NotLocal",
    "NotNodeOwner",
    "NotRecorded",
    "NotSessionOwner",
    "NotTheWorker",
    "NotWritten",
    "NothingDeposited",
    "Offer",
    "OverLimit",
    "OwnersMissing",
    "PartlySent",
    "PaymentCancelled",
    "PaymentRefused",
    "PortTaken",
    "Refused",
    "RefusedBefore",
    "RequestNotFound",
    "RequestPending",
    "RequestReplaced",
    "RequestStranded",
    "RequestsPending",
    "RpcRefused",
    "SessionAlreadyClosed",
    "SessionNotFound",
    "SigningDeclined",
    "StateFixed",
    "StateUnusable",
    "StoreRefused",
    "StoreUnavailable",
    "TooManyDecimals",
    "TransactionPending",
    "TransactionRefused",
    "UndecodableAnswer",
    "UnknownChain",
    "UnknownContract",
    "UnknownMethod",
    "UnsafeDeposit",
    "WalletPending",
    "WrongChain",
    "WrongCid",
    "WrongContent",
    "WrongToken",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return getattr(import_module(f"ape_dtn.{_PACKAGES[name]}.errors"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
