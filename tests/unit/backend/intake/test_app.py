from __future__ import annotations

import logging
from pathlib import Path

import pytest
from intake_counter import Counter, open_counter

from backend.errors import (
    AuditError,
    BackendError,
    LabelStudioError,
    LedgerUnavailableError,
    QueueError,
    StorageError,
)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    opened = open_counter(tmp_path)
    opened.account()
    return opened


def test_health_needs_nobody_s_name(counter: Counter) -> None:
    assert counter.app.test_client().get("/health").json == {"status": "UP"}


def test_no_page_loads_or_sends_anything_elsewhere(counter: Counter) -> None:
    client = counter.signed_in()

    for path in ("/", "/static/intake.js", "/nothing", "/sign-in"):
        answer = client.get(path)
        answer.close()
        headers = answer.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert client.get("/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("template", sorted((Path(__file__).parents[4] / "backend/intake/templates").glob("*.html")))
def test_no_template_holds_what_the_content_policy_forbids(template: Path) -> None:
    text = template.read_text()

    for inline in (" style=", "<style", " onclick", " onsubmit", "javascript:", "|safe", "http://", "https://"):
        assert inline not in text.replace('xmlns="http://www.w3.org/2000/svg"', ""), inline
    assert "<script" not in text or "<script src=" in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LabelStudioError("Label Studio could not be reached"), 502),
        (LedgerUnavailableError("db host"), 503),
        (QueueError("redis host"), 503),
        (StorageError("disk"), 503),
        (AuditError("chain"), 503),
        (BackendError("hidden reason"), 500),
        (ValueError("/srv/secret/path"), 500),
    ],
)
def test_one_table_says_how_errors_are_answered(
    counter: Counter, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    class Broken:
        def projects(self) -> None:
            raise error

    broken = counter.with_desk(ledger=Broken())
    broken.app.config["PROPAGATE_EXCEPTIONS"] = None
    page = broken.signed_in().get("/")

    assert page.status_code == status
    assert "<h1>" in page.text
    if status != 502:
        assert str(error) not in page.text
        assert str(error) not in caplog.text
    assert "Traceback" not in page.text


def test_an_application_knows_its_own_limits(counter: Counter) -> None:
    project = counter.project()

    page = counter.signed_in().get(f"/projects/{project.project_id}").text

    assert f'data-max-bytes="{32 * 2**20}"' in page
    assert counter.app.config["MAX_CONTENT_LENGTH"] == 32 * 2**20
