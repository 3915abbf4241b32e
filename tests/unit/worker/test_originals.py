"""The worker's side of the admin's API, against the admin as it is served and against what is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pilot_site
import pytest
from admin_office import APPROVES, programs_token
from pilot_site import PilotSite

from backend.admin.actors import Scope
from backend.errors import OriginalsAwayError, OriginalsError
from g2face_model import images
from worker.originals import NotGivenError, Originals

SECRET = "g2f_" + "s" * 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PilotSite]:
    with pilot_site.running(tmp_path_factory.mktemp("admin"), photos=1) as running:
        yield running


@contextmanager
def answering(*answers: tuple[int, bytes], seen: list[str] | None = None) -> Iterator[str]:
    """Something at an address that gives these answers, the last one again and again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            (seen if seen is not None else []).append(self.path)
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def photo_id(site: PilotSite) -> str:
    return site.restricted.office.ledger.photos(site.project.project_id)[0].photo_id


def test_an_original_is_asked_for_and_given_once(site: PilotSite) -> None:
    originals = site.originals()
    asked = originals.ask(photo_id(site), [0, 1], reason="why", reference="pilot a")
    assert (asked.state, asked.reference, asked.photo_id) == ("open", "pilot a", photo_id(site))
    with pytest.raises(NotGivenError, match="second person"):
        originals.retrieve(asked.request_id)
    site.approve()
    given = originals.retrieve(asked.request_id)
    photo = site.restricted.office.ledger.photo(photo_id(site))
    assert given.bit_exact
    assert (images.decode(given.png) == site.restricted.workshop.restored(photo)).all()
    assert "png" not in repr(given)
    with pytest.raises(NotGivenError, match="retrieved"):
        originals.retrieve(asked.request_id)


def test_ones_own_requests_are_found_by_their_reference_over_many_pages(site: PilotSite) -> None:
    originals = site.originals()
    wanted = [originals.ask(photo_id(site), [0], reason="why", reference="pilot b").request_id for _ in range(3)]
    for _ in range(55):
        originals.ask(photo_id(site), [0], reason="why", reference="pilot c")
        site.later(seconds=1)
    found = originals.asked(site.project.project_id, reference="pilot b", count=3)
    assert {one.request_id for one in found} == set(wanted)
    assert originals.asked("0" * 32, reference="pilot b", count=3) == []
    originals.cancel([*wanted, *wanted])
    again = originals.asked(site.project.project_id, reference="pilot b", count=3)
    assert {one.state for one in again} == {"cancelled"}


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda them, _: them.ask("f" * 32, [0], reason="why", reference="r"), "refused"),
        (lambda them, photo: them.ask(photo, [7], reason="why", reference="r"), "Choose at least one"),
        (lambda them, _: them.retrieve("f" * 32), "no such request"),
    ],
)
def test_what_is_not_given_is_told_apart(site: PilotSite, ask: Callable[[Originals, str], object], says: str) -> None:
    with pytest.raises(NotGivenError, match=says) as refused:
        ask(site.originals(), photo_id(site))
    assert not refused.value.retryable


def test_a_token_for_another_duty_or_of_nobody_is_refused(site: PilotSite) -> None:
    approver = programs_token(site.restricted, site.restricted.account(APPROVES).account_id, [Scope.APPROVE])
    with pytest.raises(OriginalsError, match="not for asking"):
        Originals(site.url, approver, pause_s=0.0).ask(photo_id(site), [0], reason="why", reference="r")
    with pytest.raises(OriginalsError, match="does not know") as refused:
        Originals(site.url, SECRET, pause_s=0.0).asked(site.project.project_id, reference="r", count=1)
    assert not isinstance(refused.value, NotGivenError)
    assert not refused.value.retryable


def test_what_surely_did_not_happen_is_tried_again() -> None:
    empty = json.dumps({"requests": [], "next": None}).encode()
    seen: list[str] = []
    with answering((503, b""), (503, b""), (200, empty), seen=seen) as url:
        assert Originals(url, SECRET, pause_s=0.0).asked("a" * 32, reference="r", count=1) == []
    assert len(seen) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (503, b""),
        (500, b"<html>"),
        (502, b""),
        (200, b"no JSON"),
        (200, b'{"requests": [{"state": "open"}], "next": null}'),
    ],
)
def test_what_is_away_or_is_no_admin_can_be_asked_again_later(answer: tuple[int, bytes]) -> None:
    with answering(answer) as url, pytest.raises(OriginalsAwayError) as away:
        Originals(url, SECRET, pause_s=0.0).asked("a" * 32, reference="r", count=1)
    assert away.value.retryable
    assert SECRET not in str(away.value)
    assert "127.0.0.1" not in str(away.value)
    assert away.value.__cause__ is None


def test_a_retrieval_that_may_have_happened_is_not_repeated() -> None:
    seen: list[str] = []
    with answering((500, b""), seen=seen) as url, pytest.raises(OriginalsAwayError):
        Originals(url, SECRET, pause_s=0.0).retrieve("a" * 32)
    assert len(seen) == 1


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with answering((302, b"")) as url, pytest.raises(OriginalsError, match="302"):
        Originals(url, SECRET, pause_s=0.0).asked("a" * 32, reference="r", count=1)


def test_nobody_there_can_be_asked_again_later(tmp_path: Path) -> None:
    with pytest.raises(OriginalsAwayError, match="does not answer"):
        Originals("http://127.0.0.1:1", SECRET, pause_s=0.0).retrieve("a" * 32)
    assert list(tmp_path.iterdir()) == []
