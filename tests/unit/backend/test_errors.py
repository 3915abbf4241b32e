"""Which errors are worth another try, and that there is one root."""

from __future__ import annotations

import inspect

from backend import errors


def test_there_is_one_root_and_only_absences_are_tried_again() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    ours = [kind for kind in kinds if issubclass(kind, Exception)]
    assert all(issubclass(kind, errors.BackendError) for kind in ours)
    assert {kind.__name__ for kind in ours if kind.retryable} == {
        "AuditError",
        "CustodyUnavailableError",
        "LabelStudioError",
        "LedgerUnavailableError",
        "OriginalsAwayError",
        "QueueError",
        "StorageError",
    }
    assert all(kind.__doc__ for kind in ours)
