"""Logs that say what happened to which id, and nothing about whom. The only door to the JSON formatter.

Two fences: of the fields that a line may carry, only known ones are let through; and every text, a library's included,
is cleaned of addresses' secrets, tokens, keys, file names and e-mail addresses. Tracebacks show places, never values.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Final, Literal

from pythonjsonlogger.json import JsonFormatter

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Extra = bool | int | float | str | None

FIELDS: Final = frozenset(
    {
        "account_id", "attempts", "count", "event", "face_index", "job_id", "kind", "labelstudio_id", "method",
        "model_version", "outcome", "photo_id", "pilot_id", "project_id", "queue", "reason", "record_id", "revision",
        "route", "seconds", "seq", "stage", "state", "status", "step", "task_id", "version",
    }
)  # fmt: skip
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

_IMAGE = r"\.(?:png|jpe?g|jfif|webp|tiff?|bmp|gif|heic|avif|zip|csv)\b"
_HIDDEN: Final = (
    # The order matters: what is part of an address is judged there.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]*@", re.I), r"\1"),  # user:password@
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#'\"]*)[?#][^\s'\"]*", re.I), r"\1"),  # ?query#fragment
    (re.compile(r"\b(bearer|token|basic)(\s+)[\w.~+/=-]{8,}", re.I), r"\1\2[hidden]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)*"), "[e-mail]"),
    (re.compile(rf"(['\"])[^'\"\n]*{_IMAGE}\1", re.I), "[file]"),
    (re.compile(rf"[^\s'\"/\\<>|]+{_IMAGE}", re.I), "[file]"),
    (re.compile(r"\bb'(?:\\.|[^'\\])*'|\bb\"(?:\\.|[^\"\\])*\""), "[bytes]"),
    (re.compile(r"\b(?:array|tensor)\([^)]*\)?", re.I), "[array]"),
    (re.compile(r"\b[0-9a-f]{40}\b", re.I), "[token]"),
    (re.compile(r"(?<![\w+/=-])(?!(?:photo|pilot|publish)-[0-9a-f]{32}\b)[\w+/-]{41,}={0,2}"), "[key]"),
    (re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+"), " "),  # a line of the log is one line
)
# What these say is about code. Whatever else a library raises may repeat what it was given, so it is not quoted.
_SPEAKS_OF_CODE: Final = (AttributeError, ImportError, MemoryError, NameError, RuntimeError, TypeError)


def configure(level: Level, *, json_lines: bool) -> None:
    """Send all logs of this process to stderr, through both fences; ours from `level`, libraries' from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(_json_formatter() if json_lines else _LineFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in ("backend", "worker", "g2face_model"):
        logging.getLogger(package).setLevel(level)


def get(name: str) -> logging.Logger:
    """The logger of a module, by its `__name__`. Facts go into `extra`, under one of `FIELDS`."""
    return logging.getLogger(name)


def cleaned(text: str) -> str:
    """`text` without what must not be in a log."""
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Lets every record through, cleaned. What it cannot clean it leaves out."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _message(record), None
        if record.exc_info:
            error = record.exc_info[1]
            record.exc_text = None if error is None else "\n".join(_told(error))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = "[traceback]"
        record.stack_info = None
        for name in set(vars(record)) - _STANDARD:
            if name in FIELDS:
                setattr(record, name, _plain(getattr(record, name)))
            else:
                delattr(record, name)
        return True


def _message(record: logging.LogRecord) -> str:
    message, args = _plain(record.msg), record.args
    if args:
        safe = {key: _plain(value) for key, value in args.items()} if isinstance(args, dict) else None
        try:
            message = str(message) % (tuple(_plain(value) for value in args) if safe is None else safe)
        except (KeyError, TypeError, ValueError):
            message = f"{message} [arguments do not fit]"
    return cleaned(str(message))


def _plain(value: object) -> Extra:
    """Numbers as they are, texts cleaned, errors told; of anything that may hold pixels or people, its kind."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, BaseException):
        return _headline(value)
    return f"[{type(value).__name__}]"


def _told(error: BaseException) -> Iterator[str]:
    """The traceback from the first cause on: files, lines and functions, and what may be quoted of the messages."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _told(before)
        yield "then:"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    yield _headline(error)


def _headline(error: BaseException) -> str:
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in {"backend", "worker", "g2face_model"}
    if ours or isinstance(error, _SPEAKS_OF_CODE):
        return f"{kind.__name__}: {cleaned(str(error))}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{kind.__name__}: [Errno {error.errno}] {error.strerror}"
    return kind.__name__


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "at", "levelname": "level"},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )


class _LineFormatter(logging.Formatter):
    """Lines that people read: time, level, message, then the fields."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        told = " ".join(f"{name}={value}" for name, value in sorted(vars(record).items()) if name in FIELDS)
        return f"{super().formatMessage(record)} {told}".rstrip()
