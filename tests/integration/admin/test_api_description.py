"""The admin's API does what openapi.yaml says: schemathesis sends what it allows and what it does not, as everybody."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import admin_office
import label_studio_double
import pytest
import schemathesis
import yaml
from admin_office import Restricted, programs_token
from hypothesis import HealthCheck, given, settings
from intake_counter import Clock
from recovery_site import picture
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.admin import api
from backend.admin.actors import ROLE_OF, Scope
from backend.admin.disputes import Decision
from backend.labelstudio.labels import expression_config

CHECKS = [
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
MADE_UP = [*CHECKS, ignored_auth, negative_data_rejection]
DESCRIBED = yaml.safe_load((Path(api.__file__).parent / "openapi.yaml").read_text("utf-8"))
OPERATIONS = [(path, method) for path, methods in DESCRIBED["paths"].items() for method in methods]
EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 6}
SAME_EVERY_TIME = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
ID, NAME = re.compile("[0-9a-f]{32}"), re.compile("[A-Za-z0-9]{1,200}")


@dataclass(frozen=True)
class Site:
    """An admin with something of everything, a token for each duty, ids that there are, and those that a step can be
    taken with."""

    restricted: Restricted
    tokens: dict[Scope, str]
    known: dict[str, list[str]]
    ready: dict[str, dict[str, str]]

    def headers(self, scope: Scope) -> dict[str, str]:
        """What a program of this duty sends."""
        return {"Authorization": f"Bearer {self.tokens[scope]}"}

    def operation(self, path: str, method: str) -> Any:
        """As the admin describes it."""
        return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", self.restricted.app)[path][method]

    def with_known_ids(self, case: Case) -> None:
        """Ids that there are in the place of most ids that were made up, since nobody guesses one."""
        known = self.known | {
            name: [value] for name, value in self.ready.get(case.path, {}).items() if name == "project_id"
        }
        for values in (case.path_parameters, case.query, case.body):
            for name in known.keys() & (values.keys() if isinstance(values, dict) else ()):
                made_up, pattern = values[name], NAME if name == "subject_id" else ID
                if (
                    isinstance(made_up, str)
                    and pattern.fullmatch(made_up)
                    and (draw := zlib.crc32(made_up.encode())) % 4
                ):
                    values[name] = known[name][draw // 4 % len(known[name])]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, clock, token = tmp_path_factory.mktemp("admin") / "data", Clock(), label_studio_double.TOKEN
    with (
        label_studio_double.running(expression_config()) as double,
        admin_office.opened(folder, clock=clock, labelstudio_url=double.url, token=token) as restricted,
    ):
        tasks = [double.add_task(7, {"image": "https://images.example/x"}) for _ in range(3)]
        yield filled(restricted, clock, tasks)


def filled(restricted: Restricted, clock: Clock, tasks: list[int]) -> Site:
    """Three photos of Ada's, requests in every state, withdrawals that wait, and one that was carried out."""
    office, project = restricted.office, restricted.project()
    photos = [
        restricted.photo(project, picture(60, 80, seed=task_id), task_id=task_id, subject_id="Ada").photo_id
        for task_id in tasks
    ]
    people = {scope: restricted.actor(f"{scope.name}@example.org", [ROLE_OF[scope]]) for scope in Scope}
    asks, approves, keeps = people[Scope.REQUEST], people[Scope.APPROVE], people[Scope.KEYS]
    gone = office.withdraw(keeps, project.project_id, "Cy", now=clock())
    clock.at = gone.due_at + timedelta(hours=1)
    assert office.sweep(keeps, now=clock()).shredded == 1
    waiting = [office.withdraw(keeps, project.project_id, name, now=clock()) for name in ("Bo", "Dee", "Eve")]
    asked = [
        office.request(
            asks, photo_id=photos[number % 3], face_indices=[0, 1], reason="why", reference="LS-1", now=clock()
        ).request_id
        for number in range(30)
    ]
    for request_id in asked[:20]:
        office.approve(approves, request_id, now=clock())
    for request_id in asked[:10]:
        office.retrieve(asks, request_id, now=clock())
    known = {
        "project_id": [project.project_id],
        "photo_id": photos,
        "request_id": asked,
        "subject_id": ["Ada", "Bo", "Cy"],
        "withdrawal_id": [gone.withdrawal_id, *(one.withdrawal_id for one in waiting[:2])],
        "before": [waiting[0].withdrawal_id],
    }
    # Those that nothing else is done with while the others are fuzzed.
    steps = ("decision", "retrieve", "cancel", "refuse", "approve")
    ready = {f"/requests/{{request_id}}/{step}": {"request_id": asked.pop()} for step in steps}
    ready["/withdrawals/{withdrawal_id}/cancel"] = {"withdrawal_id": waiting[2].withdrawal_id}
    ready["/withdrawals/{withdrawal_id}/receipt"] = {"withdrawal_id": gone.withdrawal_id}
    ready["/withdrawals"] = {"project_id": restricted.project("Nobody's", labelstudio_id=8).project_id}
    seen, to_see = (ready[f"/requests/{{request_id}}/{step}"]["request_id"] for step in steps[:2])
    for request_id in (seen, to_see):
        office.approve(approves, request_id, now=clock())
    office.retrieve(asks, seen, now=clock())
    tokens = {scope: programs_token(restricted, actor.account_id, [scope]) for scope, actor in people.items()}
    return Site(restricted, tokens, known, ready)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_nothing_is_answered_that_is_not_described(site: Site, path: str, method: str) -> None:
    operation = site.operation(path, method)
    for scope in Scope:
        for mode in modes(operation):

            @settings(SAME_EVERY_TIME, max_examples=EXAMPLES[mode])
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Case) -> None:
                site.with_known_ids(case)
                case.call_and_validate(headers=site.headers(scope), checks=MADE_UP)  # noqa: B023

            send()


def modes(operation: Any) -> list[GenerationMode]:
    """What is not allowed can be made up where something is said at all."""
    takes_something = operation.path_parameters or operation.query or operation.body
    return list(EXAMPLES) if takes_something else [GenerationMode.POSITIVE]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_works_for_the_duties_that_are_described_and_no_other(site: Site, path: str, method: str) -> None:
    said = DESCRIBED["paths"][path][method]
    duties = set(re.findall(r"`(admin:\w+)`", said.get("description", ""))) or set(Scope)
    content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    values: dict[str, Any] = {name: ids[-1] for name, ids in site.known.items()}
    values |= {"task": "1", "faces": [0], "reason": "why", "subject_id": "Ada", "decision": Decision.STANDS}
    values |= site.ready.get(path, {})
    parameters = {part["name"]: values[part["name"]] for part in said.get("parameters", []) if part["required"]}
    case = site.operation(path, method).Case(
        path_parameters={name: value for name, value in parameters.items() if "_id" in name},
        query={name: value for name, value in parameters.items() if "_id" not in name},
        **({"body": {name: values[name] for name in content["schema"]["required"]}} if content else {}),
    )
    for scope in sorted(Scope, key=lambda scope: scope in duties):
        answer = case.call(headers=site.headers(scope))
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code in ({200, 201} if scope in duties else {403}), answer.text
