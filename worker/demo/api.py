"""A JSON API of ours as a program with a bearer token has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import requests

from worker.demo.processes import DemoError

_TIMEOUT_S = 120.0

Json = dict[str, Any]
_Read = TypeVar("_Read")


class Api:
    """What lies below `url`/api/v1, in the name of `token`'s owner. Methods raise `DemoError` when it refuses."""

    name: ClassVar[str]
    """What messages call it."""

    def __init__(self, url: str, token: str) -> None:
        self._base = f"{url}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _call(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = self._read(lambda it: it.json(), method, path, **options)
        return answer

    def _read(self, read: Callable[[requests.Response], _Read], method: str, path: str, **options: Any) -> _Read:
        try:
            answer = self._session.request(method, self._base + path, timeout=_TIMEOUT_S, **options)
            if not answer.ok:
                raise DemoError(f"the {self.name} refused: {answer.json()['error']['message']}")
            return read(answer)
        except requests.RequestException as error:
            raise DemoError(f"the {self.name} does not answer ({type(error).__name__})") from None
