"""The same over HTTP and JSON, under /api/v1, for programs with a bearer token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from backend.errors import IntakeError, LedgerError
from backend.intake import bodies, policies
from backend.intake.auth import Door
from backend.intake.collecting import Collecting, Collection
from backend.intake.desk import Desk
from backend.intake.pilot_pages import REPORT_HEADERS
from backend.ledger.records import Photo, PhotoState, Pilot, Policy, Progress, Project

PAGE_OF_PHOTOS = 100

Json = dict[str, Any]
Answer = Response | tuple[Response, int]


def blueprint(desk: Desk, door: Door, *, collecting: Collecting, clock: Callable[[], datetime]) -> Blueprint:
    """All routes. No cookie counts here, so no other site's page can ask in a manager's name."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")

    @api.before_request
    def admit() -> None:
        door.program(request)

    _add_projects(api, desk, clock)
    _add_photos(api, desk, clock)
    _add_collections(api, collecting)
    _add_pilots(api, desk, clock)
    return api


def project_json(project: Project) -> Json:
    """A project with its current policy."""
    return {
        "project_id": project.project_id,
        "title": project.title,
        "labelstudio_id": project.labelstudio_id,
        "on": project.on,
        "adopts": project.adopts,
        "created_at": project.created_at.isoformat(),
        "refusal": project.refusal,
        "refused_at": None if project.refused_at is None else project.refused_at.isoformat(),
        "policy": policy_json(project.policy),
    }


def policy_json(policy: Policy) -> Json:
    """One revision of a policy."""
    return {
        "revision": policy.revision,
        **{name: getattr(policy, name) for name in policies.CHOICES},
        "suggest_expressions": policy.suggest_expressions,
        "retention_days": policy.retention_days,
        "created_at": policy.created_at.isoformat(),
    }


def progress_json(progress: Progress) -> Json:
    """Counts per state with their total, the rate and the time left."""
    return {**asdict(progress), "total": progress.total}


def collection_json(collection: Collection) -> Json:
    """How far the photos under an S3 prefix are; `photos` are those that need a look."""
    return {
        "collection_id": collection.collection_id,
        "address": collection.address,
        "state": collection.state,
        "problem": collection.problem,
        "total": collection.total,
        "accepted": collection.accepted,
        "refused": collection.refused,
        "photos": [asdict(result) for result in collection.told],
        "started_at": collection.started_at.isoformat(),
        "ended_at": None if collection.ended_at is None else collection.ended_at.isoformat(),
    }


def pilot_json(pilot: Pilot) -> Json:
    """A pilot; neither which photos are in it nor where its reports lie."""
    moments = ("asked_at", "requested_at", "expires_at", "measuring_at", "ended_at")
    said = {name: getattr(pilot, name) for name in moments}
    return {
        "pilot_id": pilot.pilot_id,
        "state": pilot.state.value,
        "reason": pilot.reason,
        "photos": len(pilot.photos),
        "approved": pilot.approved,
        "measured": pilot.measured,
        "reports": sorted(pilot.reports),
        **{name: None if at is None else at.isoformat() for name, at in said.items()},
    }


def photo_json(photo: Photo) -> Json:
    """What a manager may know of a photo; neither who is on it nor where its image lies."""
    return {
        "photo_id": photo.photo_id,
        "state": photo.state.value,
        "reason": photo.reason,
        "origin": photo.origin,
        "labelstudio_task_id": photo.labelstudio_task_id,
        "policy_revision": photo.policy_revision,
        "faces": [{"outcome": face.outcome, "reasons": list(face.reasons)} for face in photo.faces],
        "attempts": photo.attempts,
        "created_at": photo.created_at.isoformat(),
        "updated_at": photo.updated_at.isoformat(),
    }


def _add_projects(api: Blueprint, desk: Desk, clock: Callable[[], datetime]) -> None:
    @api.get("/labelstudio/projects")
    def candidates() -> Answer:
        return jsonify(projects=[asdict(candidate) for candidate in desk.candidates()])

    @api.get("/projects")
    def projects() -> Answer:
        rows = desk.projects(now=clock())
        return jsonify(
            projects=[{**project_json(project), "progress": progress_json(progress)} for project, progress in rows]
        )

    @api.post("/projects")
    def connect() -> Answer:
        """{"labelstudio_id": 7} or {"title": "...", "config": "expression"}, both with "policy": {...} if wanted."""
        body = _body("labelstudio_id", "title", "config", "policy")
        policy = policies.of_mapping(_mapping(body.get("policy", {})))
        labelstudio_id = body.get("labelstudio_id")
        if isinstance(labelstudio_id, int) and not isinstance(labelstudio_id, bool):
            project = desk.connect(labelstudio_id, policy=policy, now=clock())
        elif isinstance(body.get("title"), str):
            config = str(body.get("config", "expression"))
            project = desk.create(body["title"], config=config, policy=policy, now=clock())
        else:
            raise IntakeError("give labelstudio_id, a number, or the title of a project to make")
        return jsonify(project_json(project)), 201

    @api.get("/projects/<project_id>")
    def project(project_id: str) -> Answer:
        return jsonify(project_json(desk.ledger.project(project_id)))

    @api.patch("/projects/<project_id>")
    def switch(project_id: str) -> Answer:
        """{"on": true, "adopts": false}, or one of them."""
        body = _body("on", "adopts")
        if not all(isinstance(value, bool) for value in body.values()):
            raise IntakeError("on and adopts are true or false")
        return jsonify(project_json(desk.switch(project_id, on=body.get("on"), adopts=body.get("adopts"))))

    @api.post("/projects/<project_id>/policy")
    def revise(project_id: str) -> Answer:
        """The fields that change."""
        changes = policies.of_mapping(_mapping(request.get_json()))
        return jsonify(policy_json(desk.revise(project_id, changes=changes, now=clock()))), 201

    @api.post("/projects/<project_id>/leak-check")
    def leak_check(project_id: str) -> Answer:
        return jsonify(asdict(desk.leak_check(project_id)))


def _add_photos(api: Blueprint, desk: Desk, clock: Callable[[], datetime]) -> None:
    @api.post("/projects/<project_id>/photos")
    def hand_in(project_id: str) -> Answer:
        """multipart/form-data: photos, archives and at most one CSV, each as a field named files."""
        files, total = bodies.handed_in(request), bodies.total(request)
        results = desk.hand_in(project_id, files=files, now=clock(), total=total)
        return jsonify(results=[asdict(result) for result in results])

    @api.get("/projects/<project_id>/photos")
    def photos(project_id: str) -> Answer:
        """?state=failed&after=PHOTO: a page of photos, oldest first; `next` is the `after` of the page behind it."""
        desk.ledger.project(project_id)
        found = desk.ledger.photos(project_id, state=_state(), after=request.args.get("after"), limit=PAGE_OF_PHOTOS)
        behind = found[-1].photo_id if len(found) == PAGE_OF_PHOTOS else None
        return jsonify(photos=[photo_json(photo) for photo in found], next=behind)

    @api.get("/projects/<project_id>/progress")
    def progress(project_id: str) -> Answer:
        return jsonify(progress_json(desk.ledger.progress(project_id, now=clock())))

    @api.post("/projects/<project_id>/photos/<photo_id>/retry")
    def retry(project_id: str, photo_id: str) -> Answer:
        return jsonify(photo_json(desk.retry(project_id, photo_id=photo_id, now=clock())))

    @api.post("/projects/<project_id>/retry")
    def retry_all(project_id: str) -> Answer:
        return jsonify(retried=desk.retry_all(project_id, now=clock()))

    @api.post("/projects/<project_id>/cancel")
    def cancel(project_id: str) -> Answer:
        return jsonify(cancelled=desk.cancel(project_id, now=clock()))


def _add_collections(api: Blueprint, collecting: Collecting) -> None:
    @api.post("/projects/<project_id>/collection")
    def collect(project_id: str) -> Answer:
        """{"address": "s3://bucket/folder"}: all photos under it are collected from now on."""
        address = _body("address").get("address")
        if not isinstance(address, str):
            raise IntakeError("give an address, as s3://bucket/folder")
        return jsonify(collection_json(collecting.start(project_id, address=address))), 202

    @api.get("/projects/<project_id>/collection")
    def collection(project_id: str) -> Answer:
        found = collecting.of(project_id)
        if found is None:
            raise LedgerError(f"nothing is collected for project {project_id}")
        return jsonify(collection_json(found))

    @api.delete("/projects/<project_id>/collection")
    def stop(project_id: str) -> Answer:
        return jsonify(collection_json(collecting.stop(project_id)))


def _add_pilots(api: Blueprint, desk: Desk, clock: Callable[[], datetime]) -> None:
    @api.post("/projects/<project_id>/pilots")
    def ask_pilot(project_id: str) -> Answer:
        """{"photos": 20}, or {} for as many as are usual: a pilot report is made, once somebody has approved."""
        photos = _body("photos").get("photos")
        if photos is not None and (not isinstance(photos, int) or isinstance(photos, bool)):
            raise IntakeError("photos is a whole number")
        return jsonify(pilot_json(desk.pilots.ask(project_id, photos=photos, now=clock()))), 201

    @api.get("/projects/<project_id>/pilots")
    def pilots(project_id: str) -> Answer:
        """The last ones, newest first."""
        desk.ledger.project(project_id)
        return jsonify(pilots=[pilot_json(pilot) for pilot in desk.ledger.pilots(project_id)])

    @api.get("/projects/<project_id>/pilots/<pilot_id>")
    def pilot(project_id: str, pilot_id: str) -> Answer:
        return jsonify(pilot_json(desk.pilots.of(project_id, pilot_id)))

    @api.get("/projects/<project_id>/pilots/<pilot_id>/report")
    def pilot_report(project_id: str, pilot_id: str) -> Answer:
        """?language=ja: the report as one HTML page."""
        page = desk.pilots.report(project_id, pilot_id, language=request.args.get("language", "en"))
        return Response(page, mimetype="text/html", headers=REPORT_HEADERS)

    @api.delete("/projects/<project_id>/pilots/<pilot_id>")
    def discard_pilot(project_id: str, pilot_id: str) -> Answer:
        desk.pilots.discard(project_id, pilot_id, now=clock())
        return jsonify(discarded=pilot_id)


def _body(*known: str) -> Json:
    """The JSON object of the request. Raises `IntakeError` when it has other than the `known` keys."""
    body = _mapping(request.get_json())
    if unknown := sorted(body.keys() - set(known)):
        raise IntakeError(f"unknown fields: {', '.join(unknown)}")
    return dict(body)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise IntakeError("a JSON object is expected")
    return value


def _state() -> PhotoState | None:
    wanted = request.args.get("state")
    try:
        return None if wanted is None else PhotoState(wanted)
    except ValueError:
        raise IntakeError(f"state is one of: {', '.join(PhotoState)}") from None
