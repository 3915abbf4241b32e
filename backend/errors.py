"""What can go wrong in the backend. Messages carry ids, never a path, an address, a token or a person's name.

`retryable` says whether trying the same thing again later can help. Only the worker's entry points read it.
"""

from __future__ import annotations

from typing import ClassVar


class BackendError(Exception):
    """Root of everything this package raises on purpose."""

    retryable: ClassVar[bool] = False


class ConfigError(BackendError):
    """A setting or a labelling config cannot be used; the message says which one and how to mend it."""


class LabelStudioError(BackendError):
    """Label Studio could not be reached or failed on its side."""

    retryable: ClassVar[bool] = True


class LabelStudioRefusedError(LabelStudioError):
    """Label Studio answered that it will not do this (4xx): asking again changes nothing."""

    retryable: ClassVar[bool] = False


class LabelStudioForbiddenError(LabelStudioRefusedError):
    """Label Studio does not let the owner of the API key do this (401, 403)."""


class LabelStudioMissingError(LabelStudioRefusedError):
    """Label Studio has no such thing, or this installation does not offer it (404)."""


class PredictionError(BackendError):
    """Regions that Label Studio would store but could not show; the message names the region."""


class StorageError(BackendError):
    """A blob could not be read or written."""

    retryable: ClassVar[bool] = True


class BlobMissingError(StorageError):
    """There is no blob of this name."""

    retryable: ClassVar[bool] = False


class QueueError(BackendError):
    """The queue (Redis) cannot be reached. What was asked is in the ledger and is queued again by reconciling."""

    retryable: ClassVar[bool] = True


class LedgerError(BackendError):
    """The ledger has no such project or photo, or a photo is not in the state that a step needs."""


class LedgerUnavailableError(LedgerError):
    """The ledger's database cannot be reached or is locked."""

    retryable: ClassVar[bool] = True


class ClaimLostError(LedgerError):
    """The photo is no longer in this worker's hands: its lease lapsed, or it was cancelled."""


class IntakeError(BackendError):
    """An upload that its sender can mend; the message is shown to them."""


class OriginalsError(BackendError):
    """The admin does not give an original out: no token for it is set, or it refused; the message says what it said."""


class OriginalsAwayError(OriginalsError):
    """The admin cannot be reached, or something that it needs."""

    retryable: ClassVar[bool] = True


class OfficeError(BackendError):
    """What an admin asked for cannot be done as it was asked; the message says how to mend it."""


class CustodyError(BackendError):
    """Root of everything that keeps originals locked."""


class OriginalGoneError(CustodyError):
    """An original was kept and is no more: its time was over, or its subject's key was destroyed."""


class KeyShreddedError(OriginalGoneError):
    """The subject's key was destroyed: their originals can never be opened again."""


class SealBrokenError(CustodyError):
    """A sealed record does not open: wrong key, wrong context or changed bytes."""


class AuditError(CustodyError):
    """The audit log could not be written, so nothing was done."""

    retryable: ClassVar[bool] = True


class AuditBrokenError(AuditError):
    """The audit log is not what was written, so nothing is built on it; the message names the event."""

    retryable: ClassVar[bool] = False


class CustodyUnavailableError(CustodyError):
    """A database of custody cannot be reached or is locked."""

    retryable: ClassVar[bool] = True


class MasterKeyError(CustodyError):
    """The master key or the inbox key is missing, malformed or readable by others."""


class SignatureError(CustodyError):
    """A signed document (a receipt, a head of the audit log) was changed, or another key signed it."""


class AccessError(BackendError):
    """Root of refusals: who asks may not have what they ask for."""


class ForbiddenError(AccessError):
    """Not signed in, or not allowed to do this."""


class ApprovalRequiredError(AccessError):
    """A second person has to approve first."""


class RequestMissingError(CustodyError):
    """There is no such request for recovery, or no such withdrawal."""


class RequestStateError(CustodyError):
    """A request for recovery or a withdrawal is not in the state that a step needs; the message says in which it is."""
