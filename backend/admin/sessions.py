"""The sessions that are open, in this process's memory alone: a restart ends them, and a stolen database holds none."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

COOKIE = "g2face_admin"
IDLE = timedelta(minutes=15)
LASTS = timedelta(hours=8)
HALF_LASTS = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in since when. version: the account's `session_version` then. whole: the second factor was right;
    until then it opens nothing but the page that asks for it. enrolment: the number of the one that was begun with it.
    by_provider: an OpenID provider has asked for the factors instead."""

    account_id: str
    version: int
    begun_at: datetime
    seen_at: datetime
    whole: bool
    enrolment: int | None = None
    by_provider: bool = False

    def is_over(self, now: datetime) -> bool:
        """Whether it has lasted too long, or nothing was heard of it for too long."""
        if not self.whole:
            return now - self.begun_at > HALF_LASTS
        return now - self.seen_at > IDLE or now - self.begun_at > LASTS


class OpenSessions:
    """All of them, by the name that their cookie holds."""

    def __init__(self, new_name: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> None:
        self._new_name, self._lock = new_name, threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, session: Session) -> str:
        """Keep `session` under a new name, and nothing that is over."""
        name = self._new_name()
        with self._lock:
            now = session.begun_at
            self._sessions = {other: kept for other, kept in self._sessions.items() if not kept.is_over(now)}
            self._sessions[name] = session
        return name

    def find(self, name: str, *, now: datetime) -> Session | None:
        """The session of this name, seen just now; None when there is none or it is over."""
        with self._lock:
            session = self._sessions.get(name)
            if session is None or session.is_over(now):
                self._sessions.pop(name, None)
                return None
            self._sessions[name] = session = replace(session, seen_at=now)
            return session

    def end(self, name: str) -> None:
        """Forget it: its cookie is worth nothing from now on, wherever it was copied to."""
        with self._lock:
            self._sessions.pop(name, None)
