from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ready_photos import LINKS, NOW, face, ready, waiting

from backend.errors import LedgerUnavailableError, QueueError
from backend.labelstudio import labels
from backend.labelstudio.predictions import prediction
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, Project
from backend.plugin.predictor import Predictor, Task

CONFIG = labels.expression_config()
FIT = labels.fit(CONFIG)
VERSION = "g2face-7"
FOREIGN = "/data/upload/7/ab-anna.png"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite3")
    yield opened
    opened.close()


class Adoptions:
    """What was asked to be adopted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int], str]] = []
        self.error: Exception | None = None

    def __call__(self, project: Project, tasks: Sequence[Task], data_key: str) -> None:
        self.asked.append((project.project_id, [task["id"] for task in tasks], data_key))
        if self.error is not None:
            raise self.error


@pytest.fixture
def adoptions() -> Adoptions:
    return Adoptions()


@pytest.fixture
def predictor(ledger: Ledger, adoptions: Adoptions) -> Predictor:
    return Predictor(ledger, LINKS, model_version=VERSION, adopt=adoptions)


def _task(task_id: int, image: object, *, project: object = 7) -> dict[str, Any]:
    return {"id": task_id, "project": project, "data": {"image": image}}


def _ours(photo: Photo) -> str:
    assert photo.image_key is not None
    return LINKS.address(photo.image_key, NOW)


def test_every_task_has_its_answer_in_its_place(ledger: Ledger, predictor: Predictor) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, suggest_expressions=True)
    first, second = (ready(ledger, project, number=number) for number in range(2))
    ledger.published({first.photo_id: 70}, now=NOW)
    tasks = [_task(1, _ours(second)), _task(2, FOREIGN), _task(3, _ours(first)), _task(4, _ours(second))]
    answers = predictor.predict(tasks, CONFIG)
    expected = prediction(first, FIT, suggest_expressions=True, model_version=VERSION)
    assert answers == [expected, [], expected, expected]
    assert expected["model_version"] == predictor.model_version == VERSION


def test_the_policy_decides_about_suggestions(ledger: Ledger, predictor: Predictor) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, suggest_expressions=False)
    (answer,) = predictor.predict([_task(1, _ours(ready(ledger, project)))], CONFIG)
    assert isinstance(answer, dict)
    assert {region["type"] for region in answer["result"]} == {"rectanglelabels", "keypointlabels"}


def test_what_is_not_ready_is_pending(ledger: Ledger, predictor: Predictor) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    photo = ready(ledger, project)
    assert predictor.predict([_task(1, _ours(photo))], CONFIG) != [[]]
    ledger.refuse_publishing([photo.photo_id], reason="no", now=NOW)
    assert predictor.predict([_task(1, _ours(photo))], CONFIG) == [[]]


def test_an_image_that_nobody_knows_is_pending(ledger: Ledger, predictor: Predictor) -> None:
    waiting(ledger, ledger.add_project("Faces", 7, now=NOW))
    assert predictor.predict([_task(1, LINKS.address("u" * 43, NOW))], CONFIG) == [[]]


def test_another_projects_photo_is_not_told(ledger: Ledger, predictor: Predictor) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    ledger.add_project("Others", 8, now=NOW)
    address = _ours(ready(ledger, project))
    assert predictor.predict([_task(1, address, project=8), _task(1, address, project=9)], CONFIG) == [[], []]


def test_a_project_that_is_off_has_no_answers_and_adopts_nothing(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    address = _ours(ready(ledger, project))
    ledger.switch(project.project_id, on=False)
    assert predictor.predict([_task(1, address), _task(2, FOREIGN)], CONFIG) == [[], []]
    assert adoptions.asked == []


def test_foreign_tasks_of_an_adopting_project_are_adopted(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    other = ledger.add_project("Others", 8, now=NOW)
    tasks = [
        _task(1, FOREIGN),
        _task(2, _ours(ready(ledger, project))),
        _task(3, FOREIGN),
        _task(4, FOREIGN, project=8),
    ]
    answers = predictor.predict(tasks, CONFIG)
    assert [bool(answer) for answer in answers] == [False, True, False, False]
    assert adoptions.asked == [(project.project_id, [1, 3], "image")]
    assert other.project_id not in str(adoptions.asked)


def test_a_queue_that_is_away_costs_nobody_an_answer(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    adoptions.error = QueueError("the queue cannot be reached")
    answers = predictor.predict([_task(1, FOREIGN), _task(2, _ours(ready(ledger, project)))], CONFIG)
    assert [bool(answer) for answer in answers] == [False, True]


@pytest.mark.parametrize(
    "task",
    [
        {},
        None,
        5,
        {"id": 1, "project": 7},
        {"id": 1, "project": 7, "data": None},
        {"id": 1, "project": 7, "data": {"image": 5}},
        {"id": "x", "project": 7, "data": {"image": "/data/a"}},
        {"id": 1, "project": "7.123", "data": {"image": "/data/a"}},
    ],
)
def test_a_task_of_another_shape_spoils_nothing(ledger: Ledger, predictor: Predictor, task: Any) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    good = _task(2, _ours(ready(ledger, project)))
    answers = predictor.predict([task, good, task], CONFIG)
    assert [bool(answer) for answer in answers] == [False, True, False]


def test_a_configuration_that_does_not_fit_has_no_answers_and_adopts_nothing(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    tasks = [_task(1, _ours(ready(ledger, project))), _task(2, FOREIGN)]
    assert predictor.predict(tasks, "<View/>") == [[], []]
    assert predictor.predict(tasks, "not xml") == [[], []]
    assert adoptions.asked == []


def test_faces_that_make_no_prediction_cost_only_their_own_answer(ledger: Ledger, predictor: Predictor) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    good, bad = ready(ledger, project), ready(ledger, project, face(box=(900, 10, 950, 20)), number=1)
    answers = predictor.predict([_task(1, _ours(bad)), _task(2, _ours(good))], CONFIG)
    assert [bool(answer) for answer in answers] == [False, True]


def test_a_ledger_that_is_away_is_everybodys_later(
    ledger: Ledger, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    address = _ours(ready(ledger, project))

    def away(_: object) -> None:
        raise LedgerUnavailableError("the database cannot be reached")

    monkeypatch.setattr(ledger, "photos_of_images", away)
    with caplog.at_level(logging.WARNING):
        assert predictor.predict([_task(1, address), _task(2, FOREIGN)], CONFIG) == [[], []]
    assert "no answer for tasks" in caplog.text


def test_many_tasks_are_answered_in_few_looks(
    ledger: Ledger, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    address = _ours(ready(ledger, project))
    looks = []
    look = ledger.photos_of_images
    monkeypatch.setattr(ledger, "photos_of_images", lambda keys: looks.append(len(keys)) or look(keys))
    tasks = [_task(number, LINKS.address(f"{number:043}", NOW)) for number in range(1200)]
    answers = predictor.predict([*tasks, _task(1, address)], CONFIG)
    assert len(answers) == 1201
    assert looks == [500, 500, 200]


def test_a_hint_is_only_about_foreign_tasks_of_adopting_projects(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions
) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    ledger.add_project("Others", 8, now=NOW)
    told = [{"id": 1, "data": {"image": FOREIGN}}, {"id": 2, "data": {"image": _ours(ready(ledger, project))}}]
    predictor.notice(7, told, CONFIG)
    predictor.notice(8, told, CONFIG)
    predictor.notice(9, told, CONFIG)
    predictor.notice(7, told, "<View/>")
    predictor.notice(7, [None, 5, {}], CONFIG)  # type: ignore[list-item]
    assert adoptions.asked == [(project.project_id, [1], "image")]


def test_a_long_hint_is_cut(ledger: Ledger, predictor: Predictor, adoptions: Adoptions) -> None:
    ledger.add_project("Faces", 7, now=NOW, adopts=True)
    predictor.notice(7, [{"id": number, "data": {"image": FOREIGN}} for number in range(1000)], CONFIG)
    ((_, task_ids, _),) = adoptions.asked
    assert task_ids == list(range(200))


def test_no_address_reaches_the_log(
    ledger: Ledger, predictor: Predictor, adoptions: Adoptions, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.add_project("Faces", 7, now=NOW)
    ledger.add_project("Others", 8, now=NOW, adopts=True)
    adoptions.error = QueueError("away")
    with caplog.at_level(logging.DEBUG):
        predictor.predict([_task(1, FOREIGN), _task(2, FOREIGN, project=8)], CONFIG)
    assert len(caplog.records) == 2
    assert "anna" not in caplog.text + str([vars(record) for record in caplog.records])
