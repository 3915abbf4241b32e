"""The same over HTTP and JSON, under /api/v1, for programs with a bearer token; described in openapi.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from importlib import resources

import yaml
from flask import Blueprint, Response, g, jsonify, request

from backend.admin import downloads, told
from backend.admin.actors import Actor
from backend.admin.arguments import Body, choice, identifier, moment, name, number
from backend.admin.auth import Door
from backend.admin.disputes import Decision
from backend.admin.office import PAGE, Office
from backend.custody.records import RequestState, WithdrawalState

Answer = Response | tuple[Response, int]
Clock = Callable[[], datetime]
_OPEN_TO_ALL = "api.description"


def blueprint(office: Office, door: Door, *, clock: Clock) -> Blueprint:
    """All routes. No cookie counts here, so no other site's page can ask in a person's name."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    described = yaml.safe_load(resources.files("backend.admin").joinpath("openapi.yaml").read_text("utf-8"))

    @api.get("/openapi.json")
    def description() -> Answer:
        return jsonify(described)

    @api.before_request
    def admit() -> None:
        if request.endpoint != _OPEN_TO_ALL:
            g.actor = door.program(request)

    _add_photos(api, office)
    _add_requests(api, office, clock)
    _add_steps(api, office, clock)
    _add_withdrawals(api, office, clock)
    _add_audit(api, office, clock)
    return api


def _me() -> Actor:
    actor: Actor = g.actor
    return actor


def _id_asked_for(argument: str) -> str | None:
    said = request.args.get(argument)
    return None if said is None else identifier(said)


def _add_photos(api: Blueprint, office: Office) -> None:
    @api.get("/projects")
    def projects() -> Answer:
        return jsonify(projects=[told.project(one) for one in office.projects(_me())])

    @api.get("/photos")
    def find() -> Answer:
        """?task=: the photo behind a Label Studio task's address or number."""
        return jsonify(told.photo(office.find(_me(), request.args.get("task", ""))))

    @api.get("/photos/<photo_id>/image")
    def image(photo_id: str) -> Answer:
        data, kind = office.image(_me(), identifier(photo_id))
        return Response(data, mimetype=f"image/{kind}")

    @api.get("/photos/<photo_id>/labels")
    def labels(photo_id: str) -> Answer:
        found = office.labels(_me(), identifier(photo_id))
        return jsonify(labels=[dataclasses.asdict(label) for label in found])


def _add_requests(api: Blueprint, office: Office, clock: Clock) -> None:
    @api.get("/requests")
    def requests() -> Answer:
        """?state=&project_id=&before=: a page, newest first; `next` is the `before` of the page behind it."""
        rows = office.requests(
            _me(),
            state=choice(RequestState, request.args.get("state")),
            project_id=_id_asked_for("project_id"),
            before=moment(request.args.get("before")),
            now=clock(),
        )
        behind = rows[-1].created_at.isoformat() if len(rows) == PAGE else None
        return jsonify(requests=[told.request(one) for one in rows], next=behind)

    @api.post("/requests")
    def ask() -> Answer:
        body = Body.of(request, "photo_id", "faces", "reason", "reference")
        asked = office.request(
            _me(),
            photo_id=identifier(body.text("photo_id")),
            face_indices=body.numbers("faces"),
            reason=body.text("reason"),
            reference=body.optional_text("reference"),
            now=clock(),
        )
        return jsonify(told.request(asked)), 201

    @api.post("/access-requests")
    def ask_for_access() -> Answer:
        body = Body.of(request, "project_id", "subject_id", "reason", "reference")
        asked = office.request_access(
            _me(),
            project_id=identifier(body.text("project_id")),
            subject_id=body.text("subject_id"),
            reason=body.text("reason"),
            reference=body.optional_text("reference"),
            now=clock(),
        )
        return jsonify(told.request(asked)), 201

    @api.get("/requests/<request_id>")
    def one_request(request_id: str) -> Answer:
        return jsonify(told.request(office.get(_me(), identifier(request_id), now=clock())))


def _add_steps(api: Blueprint, office: Office, clock: Clock) -> None:
    @api.post("/requests/<request_id>/approve")
    def approve(request_id: str) -> Answer:
        return jsonify(told.request(office.approve(_me(), identifier(request_id), now=clock())))

    @api.post("/requests/<request_id>/refuse")
    def refuse(request_id: str) -> Answer:
        return jsonify(told.request(office.refuse(_me(), identifier(request_id), now=clock())))

    @api.post("/requests/<request_id>/cancel")
    def cancel(request_id: str) -> Answer:
        return jsonify(told.request(office.cancel(_me(), identifier(request_id), now=clock())))

    @api.post("/requests/<request_id>/retrieve")
    def retrieve(request_id: str) -> Answer:
        """PNG for a disputed photo, ZIP for an access; this once."""
        return downloads.attachment(office.retrieve(_me(), identifier(request_id), now=clock()))

    @api.post("/requests/<request_id>/decision")
    def decide(request_id: str) -> Answer:
        decision = Body.of(request, "decision").choice("decision", Decision)
        office.decide(_me(), identifier(request_id), decision, now=clock())
        return jsonify(decision=decision.value)


def _add_withdrawals(api: Blueprint, office: Office, clock: Clock) -> None:
    @api.get("/withdrawals")
    def withdrawals() -> Answer:
        state = choice(WithdrawalState, request.args.get("state"))
        rows = office.withdrawals(_me(), state=state, before=_id_asked_for("before"))
        behind = rows[-1].withdrawal_id if len(rows) == PAGE else None
        return jsonify(withdrawals=[told.withdrawal(one) for one in rows], next=behind)

    @api.post("/withdrawals")
    def withdraw() -> Answer:
        """Of one subject or, without `subject_id`, of everybody in the project."""
        body = Body.of(request, "project_id", "subject_id")
        project_id, subject_id = identifier(body.text("project_id")), body.optional_text("subject_id")
        if subject_id is None:
            made = office.withdraw_project(_me(), project_id, now=clock())
        else:
            made = (office.withdraw(_me(), project_id, subject_id, now=clock()),)
        return jsonify(withdrawals=[told.withdrawal(one) for one in made]), 201

    @api.post("/withdrawals/<withdrawal_id>/cancel")
    def cancel_withdrawal(withdrawal_id: str) -> Answer:
        return jsonify(told.withdrawal(office.cancel_withdrawal(_me(), identifier(withdrawal_id), now=clock())))

    @api.get("/withdrawals/<withdrawal_id>/receipt")
    def receipt(withdrawal_id: str) -> Answer:
        return jsonify(office.receipt(_me(), identifier(withdrawal_id)))

    @api.post("/sweep")
    def sweep() -> Answer:
        return jsonify(dataclasses.asdict(office.sweep(_me(), now=clock())))


def _add_audit(api: Blueprint, office: Office, clock: Clock) -> None:
    @api.get("/events")
    def events() -> Answer:
        """?action=&target=&by=&before=: a page of the audit log, newest first."""
        args = request.args
        rows = office.events(
            _me(),
            action=name(args.get("action")),
            target=name(args.get("target")),
            by=name(args.get("by")),
            before=number(args.get("before")),
        )
        behind = rows[-1].seq if len(rows) == PAGE else None
        return jsonify(events=[told.event(one) for one in rows], next=behind)

    @api.post("/audit/verify")
    def verify() -> Answer:
        return jsonify(dataclasses.asdict(office.verify(_me(), now=clock())))

    @api.get("/audit/export")
    def export() -> Answer:
        return Response("".join(office.export(_me(), now=clock())), mimetype="application/x-ndjson")

    @api.get("/keys")
    def keys() -> Answer:
        state = office.keys(_me())
        retired = [{"key_id": key_id, "sealed": sealed} for key_id, sealed in state.retired]
        return jsonify(key_id=state.key_id, sealed=state.sealed, shredded=state.shredded, retired=retired)
