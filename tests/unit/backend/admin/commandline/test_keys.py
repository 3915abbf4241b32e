"""The master key on the command line: changed, split, joined and given to others, and never half of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import terminal
import transit_server
from sealed_photos import NOW, PROJECT, record
from transit_server import Transit

from backend.admin import keys
from backend.admin.__main__ import main
from backend.custody import database, key_files, master, seal
from backend.custody.audit import AuditLog
from backend.custody.keyring import Keyring
from backend.custody.records import SubjectRef
from backend.custody.unseal import MasterKey
from backend.settings import Settings

SUBJECT = SubjectRef(PROJECT, "Ada Example")


class Desk:
    """A data folder with a master key and a subject, and what the command line said."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch
        self.set(DATA_DIR=str(folder))
        assert self.run("init-keys")[0] == 0
        self.private = folder / "admin" / "master.key"
        with subjects_keys() as keyring:
            self.subject = keyring.ensure(SUBJECT, now=NOW)
        self.record = record(self.subject)

    def set(self, **values: str) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(f"G2FACE_{name}", value)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and everything that was said."""
        self._capsys.readouterr()
        status = main(arguments)
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def kept_by(self) -> str | None:
        return key_files.wrapped_by(self.private.read_bytes(), key_files.Purpose.MASTER)

    def key_id(self) -> str:
        return seal.key_id(master.read_public(self.folder / "master.pub")).hex()

    def events(self) -> list[tuple[str, str, object]]:
        engine = database.open_vault(Settings.load().vault())
        events = [(event.action, event.target, event.detail.get("provider")) for event in AuditLog(engine).events()]
        engine.dispose()
        return events

    def opens(self, key: MasterKey) -> bool:
        with subjects_keys() as keyring:
            held = keyring.get(SUBJECT)
        assert held is not None
        return key.unseal(self.record, held) == b"pixels"


def subjects_keys() -> closing[Keyring]:
    return closing(keys.keyring(Settings.load()))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path / "data", capsys, monkeypatch)


@pytest.fixture
def transit() -> Iterator[Transit]:
    with transit_server.running() as server:
        yield server


def test_a_rotation_says_what_it_did(desk: Desk) -> None:
    old = desk.key_id()
    status, said = desk.run("rotate-master-key")
    assert status == 0
    assert old in said
    assert desk.key_id() in said
    assert "1 keys sealed anew" in said
    assert desk.key_id() != old
    assert desk.opens(MasterKey(desk.private))
    assert [action for action, *_ in desk.events()] == ["master_key.rotation_started", "master_key.rotation_finished"]


def test_a_rotation_that_leaves_something_says_so(desk: Desk) -> None:
    with subjects_keys() as keyring:
        sealed = desk.subject.sealed_private_key
        keyring.reseal(SUBJECT, old=sealed, new=sealed[:-1])
    status, said = desk.run("rotate-master-key")
    assert status == 1
    assert "1 keys are damaged" in said
    assert "Ada" not in said
    status, said = desk.run("rotate-master-key", "--anew")
    assert (status, "changed from master key" in said) == (1, True)


def test_shares_open_the_file_and_can_be_joined_again(desk: Desk, tmp_path: Path) -> None:
    before, shares = desk.private.read_bytes().split()[-1], tmp_path / "shares"
    shares.mkdir()
    status, said = desk.run("split-master-key", "--shares", "3", "--threshold", "2", "--into", str(shares))
    assert status == 0
    assert "G2FACE_CUSTODY__KEY_PROVIDER=shares" in said
    written = sorted(shares.iterdir())
    assert [path.name for path in written] == [f"share-{number}-of-3.txt" for number in (1, 2, 3)]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert not any(path.read_text().split()[5] in said for path in written)
    assert desk.kept_by() == "shares"
    assert not any(before in path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())
    status, said = desk.run("rotate-master-key")
    assert (status, "kept by 'shares', not by 'file'" in said) == (2, True)
    desk.set(CUSTODY__KEY_PROVIDER="shares", CUSTODY__SHARE_FILES=f"{written[2]},{written[0]}")
    assert desk.run("rotate-master-key")[0] == 0
    assert desk.kept_by() == "shares"
    assert desk.run("join-master-key")[0] == 0
    assert desk.kept_by() == "file"
    assert desk.opens(MasterKey(desk.private))
    wrappings = [event for event in desk.events() if "rotation" not in event[0]]
    assert [(action, provider) for action, _, provider in wrappings] == [
        ("master_key.wrapping", "shares"),
        ("master_key.wrapped", "shares"),
        ("master_key.wrapping", "file"),
        ("master_key.wrapped", "file"),
    ]


def test_the_ceremony_at_a_terminal(desk: Desk) -> None:
    """Three people read a share each; two of them type theirs, one with a mistake at first."""
    environment = {"G2FACE_DATA_DIR": str(desk.folder)}
    arguments = ("split-master-key", "--shares", "3", "--threshold", "2")
    shares: list[str] = []
    with terminal.running("backend.admin", *arguments, environment=environment) as person:
        for number in (1, 2, 3):
            shown = person.read_until("press Enter for the next person. ")
            shares.append(shown.split(f"Share {number} of 3:")[1].split("Write it down")[0].strip())
            person.type("")
        person.read_until("Share 1 of the master key: ")
        typed_from = len(person.shown)
        person.type(" ".join(shares[2].split()[:-1]))
        person.read_until("look for a word that is mistyped")
        person.read_until("Share 1 of the master key: ")
        person.type(shares[2])
        person.read_until("Share 2 of 2 of the master key: ")
        person.type(shares[0])
        person.read_until("shares keeps master key")
        assert person.exit_status() == 0
    assert shares[2].split()[10] not in person.shown[typed_from:].split()
    assert desk.kept_by() == "shares"
    with terminal.running(
        "backend.admin", "join-master-key", environment=environment | {"G2FACE_CUSTODY__KEY_PROVIDER": "shares"}
    ) as person:
        for share in shares[1:]:
            person.read_until(" of the master key: ")
            person.type(share)
        assert person.exit_status() == 0
    assert desk.opens(MasterKey(desk.private))


def test_a_ceremony_that_is_broken_off_changes_nothing(desk: Desk) -> None:
    arguments = ("split-master-key", "--shares", "2", "--threshold", "2")
    before = desk.private.read_bytes()
    with terminal.running("backend.admin", *arguments, environment={"G2FACE_DATA_DIR": str(desk.folder)}) as person:
        for _ in range(2):
            person.read_until("press Enter")
            person.type("")
        person.read_until("Share 1 of the master key: ")
        person.type("\x04")
        assert person.exit_status() == 2
    assert "no more shares were given" in person.shown
    assert desk.private.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--shares", "3", "--threshold", "2"), "at a terminal"),
        (("--shares", "2", "--threshold", "3", "--into", "{folder}"), "at least 2"),
        (("--shares", "2", "--threshold", "2", "--into", "{folder}/none"), "No such file"),
        (("--shares", "2", "--threshold", "2", "--into", "{folder}"), "File exists"),
    ],
)
def test_a_split_that_cannot_be_changes_nothing(
    desk: Desk, tmp_path: Path, arguments: tuple[str, ...], match: str
) -> None:
    before = desk.private.read_bytes()
    (tmp_path / "share-1-of-2.txt").write_text("somebody's")
    status, said = desk.run("split-master-key", *(part.format(folder=tmp_path) for part in arguments))
    assert (status, match in said) == (2, True), said
    assert desk.private.read_bytes() == before
    assert (tmp_path / "share-1-of-2.txt").read_text() == "somebody's"
    assert str(tmp_path) not in said


def test_a_vault_can_keep_it_and_give_it_back(desk: Desk, transit: Transit) -> None:
    desk.set(CUSTODY__TRANSIT_URL=transit.url, CUSTODY__TRANSIT_TOKEN=transit_server.TOKEN)
    assert desk.run("wrap-master-key", "--provider", "vault")[0] == 0
    assert desk.kept_by() == "vault"
    desk.set(CUSTODY__KEY_PROVIDER="vault")
    assert desk.run("rotate-master-key")[0] == 0
    assert desk.kept_by() == "vault"
    assert desk.run("wrap-master-key", "--provider", "file")[0] == 0
    assert desk.opens(MasterKey(desk.private))


def test_a_vault_that_refuses_changes_nothing(desk: Desk, transit: Transit) -> None:
    before = desk.private.read_bytes()
    desk.set(CUSTODY__TRANSIT_URL=transit.url, CUSTODY__TRANSIT_TOKEN="hvs.other")
    status, said = desk.run("wrap-master-key", "--provider", "vault")
    assert (status, "Forbidden" in said) == (2, True)
    assert desk.private.read_bytes() == before
    assert [action for action, *_ in desk.events()] == ["master_key.wrapping"]


def test_a_vault_keeps_a_new_master_key(desk: Desk, transit: Transit, tmp_path: Path) -> None:
    desk.set(
        DATA_DIR=str(tmp_path / "new"),
        CUSTODY__KEY_PROVIDER="vault",
        CUSTODY__TRANSIT_URL=transit.url,
        CUSTODY__TRANSIT_TOKEN=transit_server.TOKEN,
    )
    assert desk.run("init-keys")[0] == 0
    content = (tmp_path / "new" / "admin" / "master.key").read_bytes()
    assert key_files.wrapped_by(content, key_files.Purpose.MASTER) == "vault"
    (tmp_path / "new" / "master.pub").unlink()
    assert desk.run("init-keys")[0] == 0
    assert (tmp_path / "new" / "master.pub").exists()


def test_a_new_master_key_cannot_be_made_of_shares(desk: Desk, tmp_path: Path) -> None:
    desk.set(DATA_DIR=str(tmp_path / "new"), CUSTODY__KEY_PROVIDER="shares")
    status, said = desk.run("init-keys")
    assert (status, "split-master-key" in said) == (2, True)
    assert not (tmp_path / "new" / "admin" / "master.key").exists()


def test_a_rotation_is_finished_before_the_file_changes_hands(desk: Desk, transit: Transit) -> None:
    desk.set(CUSTODY__TRANSIT_URL=transit.url, CUSTODY__TRANSIT_TOKEN=transit_server.TOKEN)
    (desk.folder / "admin" / "retired").mkdir()
    desk.private.rename(desk.folder / "admin" / "retired" / f"{desk.key_id()}.key")
    (desk.folder / "master.pub").unlink()
    desk.run("init-keys")
    status, said = desk.run("wrap-master-key", "--provider", "vault")
    assert (status, "rotate-master-key first" in said) == (2, True)
    status, said = desk.run("rotate-master-key")
    assert (status, "finished the change" in said) == (0, True)
    assert desk.run("wrap-master-key", "--provider", "vault")[0] == 0


def test_without_the_log_the_file_does_not_change_hands(desk: Desk, transit: Transit) -> None:
    desk.set(
        CUSTODY__TRANSIT_URL=transit.url,
        CUSTODY__TRANSIT_TOKEN=transit_server.TOKEN,
        CUSTODY__VAULT_URL="postgresql://nobody@127.0.0.1:1/none",
    )
    before = desk.private.read_bytes()
    for command in (("wrap-master-key", "--provider", "vault"), ("rotate-master-key",)):
        status, said = desk.run(*command)
        assert (status, "custody database" in said) == (2, True)
    assert desk.private.read_bytes() == before
    assert transit.asked == []
