from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pictures
import pytest
from intake_counter import Counter as Intake
from intake_counter import open_counter
from PIL import Image as Pillow
from pilot_steps import ended, published
from s3_server import Bucket

from backend.errors import ForbiddenError, IntakeError, LedgerError
from backend.intake.__main__ import Counter, parser
from backend.ledger.records import PhotoState


class Terminal:
    """Runs commands and keeps what they write."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.lines: list[str] = []

    def __call__(self, *arguments: str | Path) -> int:
        self.lines.clear()
        options = parser().parse_args([str(argument) for argument in arguments])
        counter = Counter(self._intake.desk, self._intake.accounts, self._intake.clock, self.lines.append)
        status: int = options.run(counter, options)
        return status

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return open_counter(tmp_path / "data")


@pytest.fixture
def run(intake: Intake) -> Terminal:
    return Terminal(intake)


def photo(number: int) -> bytes:
    return pictures.saved(Pillow.new("RGB", (20, 16), (number, 7, 77)), "PNG")


def test_folders_archives_and_a_list_are_handed_in(intake: Intake, run: Terminal, tmp_path: Path) -> None:
    project = intake.project()
    (tmp_path / "ward" / "monday").mkdir(parents=True)
    (tmp_path / "ward" / "monday" / "a.png").write_bytes(photo(1))
    (tmp_path / "ward" / "b.png").write_bytes(photo(2))
    (tmp_path / "ward" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "ward" / ".DS_Store").write_bytes(b"litter")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("c.png", photo(3))
    who = tmp_path / "who.csv"
    who.write_text("file,subject_id\nward/monday/a.png,P-1\nc.png,P-3\n")

    status = run("upload", project.project_id, tmp_path / "ward", tmp_path / "more.zip", "--manifest", who)

    assert status == 1
    assert run.lines[-1] == "3 accepted, 1 refused"
    assert "refused   ward/broken.jpg: not a picture" in run.text
    subjects = {photo.subject_id for photo in intake.desk.ledger.photos(project.project_id)}
    assert subjects == {"P-1", "P-3", None}


def test_more_photos_than_fit_into_a_part_all_arrive(intake: Intake, run: Terminal, tmp_path: Path) -> None:
    project = intake.project()
    for number in range(45):
        (tmp_path / f"{number}.png").write_bytes(photo(number))

    assert run("upload", project.project_id, *tmp_path.glob("*.png")) == 0
    assert run.lines[-1] == "45 accepted, 0 refused"
    assert len(intake.desk.ledger.photos(project.project_id)) == 45


def test_what_lies_in_s3_is_handed_in(intake: Intake, bucket: Bucket) -> None:
    intake = intake.with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",))
    run, project = Terminal(intake), intake.project()
    bucket.put({f"ward/{number:02}.png": photo(number) for number in range(21)})
    bucket.put({"ward/notes.txt": b"no picture", "ward/who.csv": b"file,subject_id\n00.png,P-1\n"})

    status = run("collect", project.project_id, f"s3://{bucket.name}/ward")

    assert status == 1
    assert [line for line in run.lines if line.endswith(" of 22")] == ["0 of 22", "20 of 22", "22 of 22"]
    assert "refused   notes.txt: not a picture" in run.text
    assert run.lines[-1] == "21 accepted, 1 refused"
    assert len(intake.desk.ledger.photos(project.project_id)) == 21
    with pytest.raises(IntakeError, match="not under a prefix"):
        run("collect", project.project_id, f"s3://{bucket.name}")


def test_a_file_that_is_not_there_is_said_without_its_name(intake: Intake, run: Terminal) -> None:
    project = intake.project()

    with pytest.raises(IntakeError, match="a file cannot be read: No such file") as caught:
        run("upload", project.project_id, "/nowhere/Ludmilla.jpg")
    assert "Ludmilla" not in str(caught.value)


def test_a_policy_is_shown_and_changed(intake: Intake, run: Terminal) -> None:
    project = intake.project()

    assert run("policy", project.project_id) == 0
    assert run.lines[0].startswith("revision 1 of 2 Mar 2026")
    run("policy", project.project_id, "--recovery", "none", "--retention-days", "30", "--suggest-expressions", "yes")
    assert run.lines[0].startswith("revision 2")
    assert {"recovery: none", "retention_days: 30", "suggest_expressions: True"} <= set(run.lines)
    run("policy", project.project_id, "--retention-days", "none")
    assert "retention_days: None" in run.lines
    with pytest.raises(IntakeError, match="1 to 36500 days"):
        run("policy", project.project_id, "--retention-days", "-3")


def test_projects_switches_progress_and_cancelling(intake: Intake, run: Terminal, tmp_path: Path) -> None:
    project = intake.project()
    (tmp_path / "a.png").write_bytes(photo(1))
    run("upload", project.project_id, tmp_path / "a.png")

    assert run("projects") == 0
    assert run.text == f"{project.project_id}  on   Label Studio 7  0/1 published, 0 failed  Waiting room"
    assert run("switch", project.project_id, "--on", "no", "--adopts", "yes") == 0
    assert run.text == "off, tasks are taken over"
    assert run("progress", project.project_id) == 0
    assert run.text == "0 of 1 published, 0 ready, 0 in work, 1 waiting, 0 failed, waiting for a worker"
    run("cancel", project.project_id)
    assert run.text == "1 photos are cancelled"


def test_failures_are_listed_and_tried_again(intake: Intake, run: Terminal) -> None:
    project, ledger, now = intake.project(), intake.desk.ledger, intake.clock()
    photo, _ = ledger.add_photo(project.project_id, origin="intake", source_sha256="0" * 64, now=now)
    ledger.claim(photo.photo_id, revision=1, now=now, lease_s=60)
    ledger.fail(photo.photo_id, reason="it is damaged", now=now)

    assert run("progress", project.project_id) == 1
    run("failures", project.project_id, "--retry")

    assert run.lines == [f"{photo.photo_id}  it is damaged", "1 are tried again"]
    assert ledger.photo(photo.photo_id).state is PhotoState.WAITING


def test_accounts_are_made_reset_and_shut(intake: Intake, run: Terminal) -> None:
    run("account", "add", "pm@example.org")
    first = run.text.removeprefix("one-time password: ")
    run("account", "reset", "PM@example.org")
    second = run.text.removeprefix("one-time password: ")

    with pytest.raises(ForbiddenError):
        intake.accounts.verify("pm@example.org", first, now=intake.clock())
    assert intake.accounts.verify("pm@example.org", second, now=intake.clock()).must_change
    run("account", "off", "pm@example.org")
    run("account", "list")
    assert run.text == "pm@example.org  off  manager"
    with pytest.raises(IntakeError, match="no account of this e-mail address"):
        run("account", "reset", "other@example.org")
    with pytest.raises(IntakeError, match="give an e-mail address"):
        run("account", "add")


def test_a_token_opens_the_api(intake: Intake, run: Terminal) -> None:
    intake.account("pm@example.org")
    run("token", "pm@example.org", "--days", "1")

    headers = {"Authorization": f"Bearer {run.text}"}

    assert intake.app.test_client().get("/api/v1/projects", headers=headers).status_code == 200


def test_an_unknown_project_is_an_error(run: Terminal) -> None:
    with pytest.raises(LedgerError):
        run("progress", "0" * 32)


def test_the_command_as_people_start_it(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "G2FACE_DATA_DIR": str(tmp_path),
        "G2FACE_REDIS_URL": "redis://127.0.0.1:1",
    }
    command = [sys.executable, "-m", "backend.intake"]
    root = Path(__file__).parents[4]

    def started(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment | more, cwd=root, capture_output=True, text=True, timeout=60
        )

    assert started("account", "add", "pm@example.org").stdout.startswith("one-time password: ")
    failed = started("progress", "0" * 32)
    assert (failed.returncode, "Traceback" in failed.stderr) == (2, False)
    assert (
        "G2FACE_REDIS_ULR is not a setting; is G2FACE_REDIS_URL meant?"
        in started("projects", G2FACE_REDIS_ULR="x").stderr
    )


def test_a_pilot_report_is_asked_for_followed_and_written_to_a_file(
    intake: Intake, run: Terminal, tmp_path: Path
) -> None:
    project = intake.project()
    with pytest.raises(IntakeError, match="no photo is published"):
        run("pilot", project.project_id)
    published(intake, project, 2)
    assert run("pilot", project.project_id, "--photos", "1") == 0
    assert "Asking: The originals are about to be asked for." in run.text
    with pytest.raises(IntakeError, match="no pilot report"):
        run("report", project.project_id, tmp_path / "report.html")
    (pilot,) = intake.desk.ledger.pilots(project.project_id)
    ended(intake, pilot)
    assert run("pilots", project.project_id) == 0
    assert f"{pilot.pilot_id}  Done: 0 of 1 photos were measured." in run.text
    assert run("report", project.project_id, tmp_path / "report.html", "--language", "ja") == 0
    assert (tmp_path / "report.html").read_text() == "<h1>報告</h1>"
    with pytest.raises(IntakeError, match="cannot be written"):
        run("report", project.project_id, tmp_path / "missing" / "report.html")
