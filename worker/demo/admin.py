"""The demonstration's side of the admin's HTTP API: what two people do with programs of their own in a dispute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2face_model import images
from worker.demo.api import Api, Json


class Admin(Api):
    """The API of the restricted endpoint. Every method raises `DemoError` when it is refused."""

    name = "admin"

    def find(self, task: str) -> Json:
        """The photo behind the address of a Label Studio task."""
        return self._call("GET", "/photos", params={"task": task})

    def ask(self, photo_id: str, faces: Sequence[int], *, reason: str) -> str:
        """Ask for faces of a photo as they were; the request's id."""
        wanted = {"photo_id": photo_id, "faces": list(faces), "reason": reason}
        request_id: str = self._call("POST", "/requests", json=wanted)["request_id"]
        return request_id

    def approve(self, request_id: str) -> None:
        """Approve somebody else's request."""
        self._call("POST", f"/requests/{request_id}/approve")

    def retrieve(self, request_id: str) -> bytes:
        """The photo as a PNG file; this once."""
        return self._read(lambda answer: answer.content, "POST", f"/requests/{request_id}/retrieve")


def recovers(requester: Admin, approver: Admin, *, task: str, original: bytes) -> bool:
    """Go the whole way of a dispute, for the photo of a task with all its faces: one person asks, another approves, the
    first retrieves. Whether that is the picture in the file `original`, bit for bit."""
    photo = requester.find(task)
    faces = [face["index"] for face in photo["faces"]]
    request_id = requester.ask(photo["photo_id"], faces, reason="a demonstration: does the label fit the original?")
    approver.approve(request_id)
    return np.array_equal(images.decode(requester.retrieve(request_id)), images.decode(original))
