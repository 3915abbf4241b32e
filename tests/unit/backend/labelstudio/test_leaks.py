from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backend.labelstudio.leaks import Finding, Leaks, leak_check

OWN = "images.example:9090"
OURS = {"image": f"http://{OWN}/images/K?e=0&s=abc", "privacy_key": "https://not-looked-at.example/a.png"}


class Shelf:
    """A project that holds what it is given."""

    def __init__(self, *tasks: dict[str, Any], **rest: list[dict[str, Any]]) -> None:
        self._tasks, self._rest = tasks, rest

    def tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        assert project_id == 3
        return iter({"id": 10 + place, **task} for place, task in enumerate(self._tasks))

    def file_uploads(self, project_id: int) -> list[dict[str, Any]]:
        return self._listed("file_uploads", project_id)

    def storages(self, project_id: int) -> list[dict[str, Any]]:
        return self._listed("storages", project_id)

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        return self._listed("webhooks", project_id)

    def ml_backends(self, project_id: int) -> list[dict[str, Any]]:
        return self._listed("ml_backends", project_id)

    def _listed(self, name: str, project_id: int) -> list[dict[str, Any]]:
        assert project_id == 3
        return self._rest.get(name, [])


def _check(shelf: Shelf) -> Leaks:
    return leak_check(shelf, 3, own_host=OWN, backend_hosts=["plugin:9090"])


def test_a_project_with_our_images_alone_is_clean() -> None:
    backend = {"url": "http://plugin:9090/secret"}
    hook = {"url": "http://plugin:9090/secret/webhook"}
    found = _check(Shelf({"data": OURS, "meta": {"privacy": {}}}, ml_backends=[backend], webhooks=[hook]))
    assert found == Leaks(1, ())
    assert found.clean


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ({"data": {"image": "/data/upload/3/ab-anna.png"}}, "foreign_image"),
        ({"data": {"image": "s3://bucket/anna.png"}}, "foreign_image"),
        ({"data": {"image": f"http://{OWN}.evil.example/images/K"}}, "foreign_image"),
        ({"data": {"image": f"http://{OWN}/elsewhere/K"}}, "foreign_image"),
        ({"data": {**OURS, "before": "https://host.example/anna"}}, "foreign_image"),
        ({"data": {**OURS, "file": "holiday/anna.JPG"}}, "other_address"),
        ({"data": {**OURS, "more": {"list": ["gs://bucket/anna"]}}}, "other_address"),
        ({"data": OURS, "meta": {"source": "anna.heic"}}, "other_address"),
        ({"data": OURS, "file_upload": "ab-anna.png"}, "uploaded_file"),
        ({"data": OURS, "storage_filename": "bucket/anna"}, "source_name"),
    ],
)
def test_a_tasks_leak_is_found_with_its_id_and_no_word_of_it(task: dict[str, Any], kind: str) -> None:
    found = _check(Shelf({"data": OURS}, task))
    (finding,) = found.findings
    assert (finding.kind, finding.count, finding.task_ids) == (kind, 1, (11,))
    assert found.tasks_checked == 2
    assert finding.remedy
    assert "anna" not in str(found)


def test_only_five_examples_are_given() -> None:
    found = _check(Shelf(*[{"data": {"image": "http://a.example/b"}}] * 8))
    assert found.findings[0].count == 8
    assert found.findings[0].task_ids == (10, 11, 12, 13, 14)


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ({"file_uploads": [{"id": 1, "file": "upload/3/ab-anna.png"}]}, "upload"),
        ({"storages": [{"type": "s3"}]}, "storage"),
        ({"webhooks": [{"url": "http://plugin:9090/secret/webhook"}]}, "webhook"),
        ({"ml_backends": [{"url": "http://evil.example/"}]}, "ml_backend"),
    ],
)
def test_what_is_around_the_tasks_is_found(rest: dict[str, list[dict[str, Any]]], kind: str) -> None:
    (finding,) = _check(Shelf({"data": OURS}, **rest)).findings
    assert isinstance(finding, Finding)
    assert (finding.kind, finding.count, finding.task_ids) == (kind, 1, ())


def test_a_strange_backends_webhook_is_strange_too() -> None:
    strange = {"ml_backends": [{"url": "http://evil.example"}], "webhooks": [{"url": "http://evil.example/webhook"}]}
    assert [finding.kind for finding in _check(Shelf(**strange)).findings] == ["webhook", "ml_backend"]
