"""What the demonstration reports: what became of every photo, and who signs in where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from backend.labelstudio.client import LabelStudio
from worker.demo.api import Json
from worker.demo.intake import Intake
from worker.demo.label_studio import Person
from worker.demo.photos import Original
from worker.demo.site import Site
from worker.demo.terminal import say, shown, table


@dataclass(frozen=True, slots=True)
class Restored:
    """A photo that was given back, and whether it is the original bit for bit."""

    photo_id: str
    exact: bool


@dataclass(frozen=True)
class Done:
    """A project whose photos are settled. originals: what was handed in; results: what the intake said of each file."""

    site: Site
    intake: Intake
    project: Json
    originals: Sequence[Original]
    results: Sequence[Json]

    @cached_property
    def photos(self) -> list[Json]:
        """As the intake tells of them now that they are settled."""
        return self.intake.photos(self.project["project_id"])

    @property
    def complete(self) -> bool:
        """Whether there are photos, and all that was handed in is published."""
        accepted = all(one["photo_id"] is not None for one in self.results)
        return accepted and bool(self.photos) and all(photo["state"] == "published" for photo in self.photos)

    def name(self, photo: Json) -> str:
        """What a photo's file was called."""
        names = {one["photo_id"]: str(one["name"]) for one in self.results}
        return names.get(photo["photo_id"], str(photo["photo_id"]))

    def address(self, photo: Json) -> str:
        """Where a person finds a photo's task."""
        where = f"{self.site.url('label-studio')}/projects/{self.project['labelstudio_id']}"
        return f"{where}/data?task={photo['labelstudio_task_id']}"


def tell(done: Done, restored: Restored | None) -> bool:
    """Say what became of every photo; whether Label Studio holds all of them, predicted, and nothing of an original,
    and what was given back is the original."""
    rows: list[tuple[str, ...]] = [("", "photo", "faces", "original", "task")]
    for photo in done.photos:
        published = photo["state"] == "published"
        outcome = done.address(photo) if published else f"{photo['state']}: {photo['reason']}"
        mark = "✓" if published else "✗"
        rows.append((mark, done.name(photo), _faces(photo), _original(photo, restored), outcome))
    refused = [one for one in done.results if one["photo_id"] is None]
    rows += [("✗", one["name"], "", "", f"refused: {one['reason']}") for one in refused]
    say("\n" + table(rows))
    return _predicted(done) & _leaks_nothing(done) & (restored is None or restored.exact)


def _faces(photo: Json) -> str:
    replaced = sum(face["outcome"] == "anonymized" for face in photo["faces"])
    covered = len(photo["faces"]) - replaced
    return f"{replaced} replaced" + (f", {covered} covered" if covered else "")


def _original(photo: Json, restored: Restored | None) -> str:
    if restored is not None and restored.photo_id == photo["photo_id"]:
        return "sealed; restored bit for bit" if restored.exact else "✗ restored, but not the same"
    return "sealed" if photo["state"] == "published" and photo["faces"] else ""


def _predicted(done: Done) -> bool:
    client = LabelStudio(done.site.url("label-studio"), done.site.api_key)
    tasks = {task["id"]: task for task in client.tasks(done.project["labelstudio_id"])}
    shown_in = [photo["labelstudio_task_id"] for photo in done.photos]
    return all(task_id in tasks and tasks[task_id]["total_predictions"] > 0 for task_id in shown_in)


def _leaks_nothing(done: Done) -> bool:
    leaks = done.intake.leak_check(done.project["project_id"])
    for finding in leaks["findings"]:
        say(f"  ✗ leak check: {finding['kind']} ({finding['count']}). {finding['remedy']}")
    if not leaks["findings"]:
        say(f"\n  ✓ leak check: nothing of the originals in {leaks['tasks_checked']} tasks and around them")
    return not leaks["findings"]


def tell_where(site: Site, people: Mapping[str, Person], project: Json) -> None:
    """Say who signs in where."""
    annotate = f"{site.url('label-studio')}/projects/{project['labelstudio_id']}/data"

    def once(what: str, door: str, name: str) -> tuple[str, ...]:
        return what, site.url(door), people[name].email, f"{people[name].password} (once)"

    rows = [
        ("annotate", annotate, site.annotator.email, site.annotator.password),
        once("hand in", "intake", "manager"),
        once("ask for originals", "admin", "requester"),
        once("approve that", "admin", "approver"),
        once("keys, audit", "admin", "officer"),
        ("administer", site.url("label-studio"), site.admin.email, site.admin.password),
        ("ML backend", f"{site.url('plugin')}/health", "", ""),
        ("logs", shown(site.folder / "logs"), "", ""),
    ]
    say("\n" + table(rows))
