"""The worker's side of the admin's HTTP API: originals asked for and, once other people have approved, retrieved.

A token for the requester's duty is all it has: it can ask and retrieve what was approved, approve nothing and open
nothing by itself. Errors say what the admin said, never the token or the address.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from backend.errors import OriginalsAwayError, OriginalsError

_CONNECT_S, _READ_S = 5.0, 300.0
_TRIES: Final = 3
_REFUSED: Final = (400, 404, 409, 410)  # about this one original, not about us
Json = dict[str, Any]
_Read = TypeVar("_Read")


class NotGivenError(OriginalsError):
    """This one original is not given: it is not kept, its time is over, or its subject has withdrawn."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request at the admin, as far as a pilot looks at it. state: open, approved, retrieved, refused, cancelled or
    expired. expires_at: the end of deciding; once it is approved, of retrieving."""

    request_id: str
    photo_id: str | None
    reference: str | None
    state: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Original:
    """A photo as a PNG file. bit_exact: the admin says that it has no forensic mark."""

    png: bytes = field(repr=False)
    bit_exact: bool


class Originals:
    """The admin at `url`, as a program with a requester's `token` sees it.

    All methods raise `OriginalsAwayError` when it cannot be reached or cannot do it now, and `OriginalsError` when it
    refuses. What it answers with 503 it did not do, so that is asked again.
    """

    def __init__(self, url: str, token: str, *, pause_s: float = 0.5) -> None:
        self._base = f"{url}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False  # a netrc file would replace our token, a proxy would see it
        self._session.headers["Authorization"] = f"Bearer {token}"
        # Only what surely did not happen is tried again: a connection that was not made, and 503.
        again = Retry(
            total=None,
            connect=_TRIES,
            status=_TRIES,
            read=0,
            redirect=0,
            status_forcelist=[503],
            allowed_methods=None,
            backoff_factor=pause_s,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again))

    def ask(self, photo_id: str, faces: Sequence[int], *, reason: str, reference: str) -> Request:
        """Ask for faces of a photo as they were. Raises `NotGivenError` when nothing of it is kept."""
        wanted = {"photo_id": photo_id, "faces": list(faces), "reason": reason, "reference": reference}
        return _request(self._json("POST", "/requests", json=wanted))

    def asked(self, project_id: str, *, reference: str, count: int) -> list[Request]:
        """Our requests of this reference, newest first; there are `count` at most."""
        mine = (one for one in self._own(project_id) if one.reference == reference)
        return list(itertools.islice(mine, count))

    def cancel(self, request_ids: Collection[str]) -> None:
        """Take requests back; those that have ended meanwhile stay as they are."""
        for request_id in request_ids:
            try:
                self._json("POST", f"/requests/{request_id}/cancel")
            except NotGivenError:
                continue

    def retrieve(self, request_id: str) -> Original:
        """The original of an approved request: this once. Raises `NotGivenError`."""
        return self._call(
            lambda answer: Original(answer.content, answer.headers.get("X-Bit-Exact") == "true"),
            "POST",
            f"/requests/{request_id}/retrieve",
        )

    def _own(self, project_id: str) -> Iterator[Request]:
        before: dict[str, str] = {}
        while True:
            page = self._json("GET", "/requests", params={"project_id": project_id, **before})
            yield from map(_request, page["requests"])
            if page["next"] is None:
                return
            before = {"before": page["next"]}

    def _json(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = self._call(lambda it: it.json(), method, path, **options)
        return answer

    def _call(self, read: Callable[[requests.Response], _Read], method: str, path: str, **options: Any) -> _Read:
        try:
            answer = self._session.request(
                method, self._base + path, timeout=(_CONNECT_S, _READ_S), allow_redirects=False, **options
            )
            if answer.status_code in (200, 201):
                return read(answer)
        except (requests.RequestException, ValueError):
            raise OriginalsAwayError("the admin does not answer") from None
        if answer.status_code >= 500:
            raise OriginalsAwayError("the admin cannot do it just now")
        if answer.status_code == 401:
            raise OriginalsError("the admin does not know the workers' token: it is wrong, or its days are over")
        if answer.status_code == 403:
            raise OriginalsError("the workers' token is not for asking for originals (admin:request)")
        kind = NotGivenError if answer.status_code in _REFUSED else OriginalsError
        raise kind(f"the admin refused: {_said(answer)}")


def _request(told: Json) -> Request:
    """Raises `OriginalsAwayError` for what is no request."""
    try:
        return Request(
            str(told["request_id"]),
            told["photo_id"],
            told["reference"],
            str(told["state"]),
            datetime.fromisoformat(told["expires_at"]),
        )
    except (KeyError, TypeError, ValueError):
        raise OriginalsAwayError("what answers at the admin's address is not the admin") from None


def _said(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (KeyError, TypeError, ValueError):
        return f"it answered {answer.status_code}"
