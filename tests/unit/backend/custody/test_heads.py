"""Heads of the audit log in a file: whole lines only, whoever dies or writes at once, and none that we did not sign."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from sealed_photos import NOW

from backend.custody import heads
from backend.custody.audit import START, Head
from backend.custody.heads import AuditHeads, SignedHead
from backend.custody.signing import SigningKey
from backend.errors import AuditError, SignatureError

FIRST, SECOND = Head(3, "a" * 64), Head(9, "b" * 64)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.ensure(tmp_path / "signing.key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin" / "heads.jsonl"


def test_the_last_one_is_known(path: Path, key: SigningKey) -> None:
    delivered: list[bytes] = []
    exported = AuditHeads(path, key, carry=delivered.append)
    assert exported.last() is None
    for head in (START, FIRST, SECOND):
        assert exported.export(lambda head=head: head, now=NOW) == head
        exported.deliver()
        assert exported.last() == head == AuditHeads(path, key).last()
    assert b"".join(delivered) == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_all_of_them_can_be_read_by_whoever_has_the_public_half(path: Path, key: SigningKey) -> None:
    exported = AuditHeads(path, key)
    exported.export(lambda: FIRST, now=NOW)
    exported.export(lambda: SECOND, now=NOW.astimezone(timezone(timedelta(hours=9))))
    with path.open("rb") as file:
        assert list(heads.read(file, key.public)) == [SignedHead(FIRST, NOW), SignedHead(SECOND, NOW)]


def test_many_heads_are_no_slower_to_look_at(path: Path, key: SigningKey) -> None:
    exported = AuditHeads(path, key)
    for number in range(40):
        exported.export(lambda number=number: Head(number, f"{number:064x}"), now=NOW)
    assert path.stat().st_size > heads._CHUNK_BYTES
    assert exported.last() == Head(39, f"{39:064x}")


def test_who_was_shredded_is_remembered(path: Path, key: SigningKey) -> None:
    exported, crowd = AuditHeads(path, key), [f"{number:064x}" for number in range(300)]
    assert exported.shredded() == frozenset()
    exported.export(lambda: FIRST, now=NOW, shredded=["c" * 64])
    exported.export(lambda: FIRST, now=NOW)
    exported.export(lambda: SECOND, now=NOW, shredded=crowd)
    assert exported.last() == SECOND, "however long its line is"
    assert exported.shredded() == {"c" * 64, *crowd}
    path.write_bytes(path.read_bytes()[:-1])
    assert (exported.last(), exported.shredded()) == (FIRST, {"c" * 64})
    path.write_bytes(b"x\n" + path.read_bytes())
    with pytest.raises(AuditError, match="line 1 of the heads"):
        exported.shredded()


def test_requests_that_ended_are_remembered_and_delivered_with_the_next_sweeps(path: Path, key: SigningKey) -> None:
    delivered: list[bytes] = []
    exported, one, other = AuditHeads(path, key, carry=delivered.append), "1" * 32, "2" * 32
    assert exported.swept() is None
    exported.export(lambda: FIRST, now=NOW, ended=[one])
    assert (exported.last(), exported.swept(), exported.ended(one), exported.ended(other)) == (FIRST, None, True, False)
    exported.export(lambda: SECOND, now=NOW, shredded=["c" * 64])
    exported.deliver()
    exported.export(lambda: SECOND, now=NOW, ended=[other])
    assert (exported.swept(), exported.ended(other), exported.shredded()) == (SECOND, True, {"c" * 64})
    exported.export(lambda: SECOND, now=NOW)
    exported.deliver()
    assert b"".join(delivered) == path.read_bytes()
    assert len(delivered) == 2
    path.write_bytes(path.read_bytes() + b'{"ended":["' + b"3" * 32 + b'"]}\n')
    with pytest.raises(AuditError, match="cannot be relied on"):
        exported.ended("3" * 32)
    assert not exported.ended("4" * 32), "only what names the request is looked at"


def test_heads_from_before_requests_were_remembered_are_read(path: Path, key: SigningKey) -> None:
    document = {"kind": "audit-head", "version": 1, "seq": 3, "hash": "a" * 64, "at": NOW.isoformat(), "shredded": []}
    path.parent.mkdir()
    path.write_bytes(json.dumps(key.sign(document)).encode() + b"\n")
    exported = AuditHeads(path, key)
    assert (exported.last(), exported.swept(), exported.ended("1" * 32)) == (FIRST, FIRST, False)


def test_no_head_stands_behind_a_later_one(path: Path, key: SigningKey) -> None:
    """Each is read once the file is nobody else's, so that they grow with the log."""
    exported, log = AuditHeads(path, key), itertools.count(1)

    def write(number: int) -> None:
        exported.export(lambda: Head(next(log), f"{number:064x}"), now=NOW)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(60)))
    with path.open("rb") as file:
        assert [signed.head.seq for signed in heads.read(file, key.public)] == list(range(1, 61))


@pytest.mark.parametrize("left", [1, 50, 299])
def test_a_line_that_was_cut_short_was_never_exported(path: Path, key: SigningKey, left: int) -> None:
    exported = AuditHeads(path, key)
    exported.export(lambda: FIRST, now=NOW)
    whole = path.read_bytes()
    path.write_bytes(whole + heads.encode(SECOND, key, now=NOW)[:left])
    assert exported.last() == FIRST
    with path.open("rb") as file:
        assert [signed.head for signed in heads.read(file, key.public)] == [FIRST]
    exported.export(lambda: SECOND, now=NOW)
    assert path.read_bytes() == whole + heads.encode(SECOND, key, now=NOW)


def test_a_first_line_that_was_cut_short_is_none(path: Path, key: SigningKey) -> None:
    path.parent.mkdir()
    path.write_bytes(heads.encode(FIRST, key, now=NOW)[:20])
    exported = AuditHeads(path, key)
    assert exported.last() is None
    exported.export(lambda: SECOND, now=NOW)
    assert exported.last() == SECOND


def export(path: Path, key_path: Path, number: int) -> None:
    exported = AuditHeads(path, SigningKey(key_path))
    for head in range(20):
        exported.export(lambda head=head: Head(head, f"{number:064x}"), now=NOW)


def test_several_write_whole_lines(path: Path, key: SigningKey, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    with context.Pool(3) as pool:
        pool.starmap(_export_in_another_process, [(path, tmp_path / "signing.key", number) for number in range(3)])
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda number: export(path, tmp_path / "signing.key", number), range(3, 6)))
    with path.open("rb") as file:
        assert len(list(heads.read(file, key.public))) == 120


def _export_in_another_process(path: Path, key_path: Path, number: int) -> None:
    export(path, key_path, number)


@pytest.mark.parametrize("line", [b"{}\n", b"\n", b"x\n", b"\xff\n", b'{"a":' * 1000 + b"\n"])
def test_a_last_line_that_we_did_not_sign_is_not_relied_on(path: Path, key: SigningKey, line: bytes) -> None:
    exported = AuditHeads(path, key)
    exported.export(lambda: FIRST, now=NOW)
    with path.open("ab") as file:
        file.write(line)
    with pytest.raises(AuditError, match="cannot be relied on"):
        exported.last()
    with path.open("rb") as file, pytest.raises(SignatureError, match="line 2 of the heads"):
        list(heads.read(file, key.public))


def test_neither_is_somebody_elses_nor_a_changed_one(path: Path, key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.ensure(tmp_path / "other.key")
    line = json.loads(heads.encode(FIRST, key, now=NOW))
    changed = line | {"document": line["document"] | {"seq": 1}}
    for wrong in (heads.encode(FIRST, other, now=NOW), json.dumps(changed).encode()):
        with pytest.raises(SignatureError):
            heads.decode(wrong, key.public)
    AuditHeads(path, other).export(lambda: FIRST, now=NOW)
    with pytest.raises(AuditError, match="cannot be relied on"):
        AuditHeads(path, key).last()


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "withdrawal-receipt", "version": 1, "seq": 1, "hash": "a", "at": NOW.isoformat()},
        {"kind": "audit-head", "version": 2, "seq": 1, "hash": "a", "at": NOW.isoformat()},
        {"kind": "audit-head", "version": 1, "hash": "a", "at": NOW.isoformat()},
        {"kind": "audit-head", "version": 1, "seq": "x", "hash": "a", "at": NOW.isoformat()},
        {"kind": "audit-head", "version": 1, "seq": 1, "hash": "a", "at": "yesterday"},
        {"kind": "audit-head", "version": 1, "seq": 1, "hash": "a", "at": NOW.isoformat(), "shredded": 7},
        {"kind": "audit-head", "version": 1, "seq": 1, "hash": "a", "at": 7},
    ],
)
def test_what_we_signed_as_something_else_is_no_head(key: SigningKey, document: dict[str, object]) -> None:
    with pytest.raises(SignatureError, match="no head of an audit log"):
        heads.decode(json.dumps(key.sign(document)).encode(), key.public)


def test_a_folder_that_cannot_be_written_to_is_told_without_its_name(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "file").write_bytes(b"")
    exported = AuditHeads(tmp_path / "file" / "heads.jsonl", key)
    for call in (lambda: exported.export(lambda: FIRST, now=NOW), exported.last, exported.swept, exported.deliver):
        with pytest.raises(AuditError) as caught:
            call()
        assert str(tmp_path) not in str(caught.value)
