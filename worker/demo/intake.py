"""The demonstration's side of the intake's HTTP API: what a project manager's own program would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from worker.demo.api import Api, Json
from worker.demo.photos import Original

_PART_BYTES = 64 * 2**20


class Intake(Api):
    """The API of a project manager. Every method raises `DemoError` when it is refused."""

    name = "intake"

    def create_project(self, title: str, policy: Mapping[str, object]) -> Json:
        """Make a project in Label Studio with our labelling configuration, and connect it."""
        return self._call("POST", "/projects", json={"title": title, "policy": policy})

    def connect_project(self, labelstudio_id: int, *, adopts: bool) -> Json:
        """Connect a project that Label Studio has, and take over the tasks that it holds, or only those handed in."""
        made = self._call("POST", "/projects", json={"labelstudio_id": labelstudio_id})
        return self._call("PATCH", f"/projects/{made['project_id']}", json={"adopts": adopts})

    def hand_in(self, project_id: str, originals: Sequence[Original]) -> list[Json]:
        """Hand in files in parts that a request holds; what became of each. A list goes along with every part."""
        lists = [one for one in originals if one.name.endswith(".csv")]
        photos = [one for one in originals if one not in lists]
        results: list[Json] = []
        for part in _parts(photos):
            files = [("files", (one.name, one.data)) for one in (*part, *lists)]
            form = {"total": str(len(photos))}
            results += self._call("POST", f"/projects/{project_id}/photos", files=files, data=form)["results"]
        return results

    def progress(self, project_id: str) -> Json:
        """Counts per state, the rate and the time left."""
        return self._call("GET", f"/projects/{project_id}/progress")

    def photos(self, project_id: str) -> list[Json]:
        """All photos of a project."""
        found: list[Json] = []
        after: str | None = None
        while True:
            page = self._call("GET", f"/projects/{project_id}/photos", params={"after": after} if after else None)
            found += page["photos"]
            after = page["next"]
            if after is None:
                return found

    def leak_check(self, project_id: str) -> Json:
        """What of the originals Label Studio shows."""
        return self._call("POST", f"/projects/{project_id}/leak-check")


def _parts(photos: Sequence[Original]) -> Iterator[list[Original]]:
    part: list[Original] = []
    for photo in photos:
        if part and sum(len(one.data) for one in part) + len(photo.data) > _PART_BYTES:
            yield part
            part = []
        part.append(photo)
    if part:
        yield part
