"""From the settings to the admin, as they say."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.admin import wsgi
from backend.custody import master
from backend.errors import MasterKeyError
from backend.settings import Settings


def settings(folder: Path, **groups: Any) -> Settings:
    made = Settings(data_dir=folder, **groups)
    if not made.master_private_key().exists():
        master.create_master_key(made.master_private_key(), made.master_public_key())
    return made


def test_the_rules_are_the_settings(tmp_path: Path) -> None:
    admin = {"approvals": 2, "request_hours": 5, "retrieval_minutes": 7, "forensic_mark": True}
    with ExitStack() as stack:
        rules = wsgi.open_office(settings(tmp_path, admin=admin), stack).rules
    assert (rules.approvals, rules.forensic_mark) == (2, True)
    assert (rules.request_lasts, rules.retrieval_lasts) == (timedelta(hours=5), timedelta(minutes=7))


def test_without_a_master_key_there_is_no_office(tmp_path: Path) -> None:
    with ExitStack() as stack, pytest.raises(MasterKeyError):
        wsgi.open_office(Settings(data_dir=tmp_path), stack)


@pytest.mark.parametrize("given", [{}, {"oidc_issuer": "https://id.example.org", "oidc_client_id": "g2face"}])
def test_an_openid_provider_is_offered_where_one_is_set(tmp_path: Path, given: dict[str, str]) -> None:
    chosen = settings(tmp_path, admin=given)
    with ExitStack() as stack:
        app = wsgi.build_app(chosen, wsgi.open_office(chosen, stack))
        rules = {str(rule) for rule in app.url_map.iter_rules()}
        page = app.test_client().get("/sign-in").text
    assert ("/sign-in/provider" in rules) == bool(given)
    assert ('href="/sign-in/provider"' in page) == bool(given)


@pytest.mark.parametrize("key", [None, "0" * 40])
def test_label_studio_is_asked_where_there_is_a_key(tmp_path: Path, key: str | None) -> None:
    chosen = settings(tmp_path, labelstudio={} if key is None else {"api_key": key})
    with ExitStack() as stack:
        assert (wsgi.open_office(chosen, stack).labelstudio is None) == (key is None)


def test_who_signs_in_is_in_the_log(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with ExitStack() as stack:
        office = wsgi.open_office(chosen, stack)
        app = wsgi.build_app(chosen, office)
        app.config["WTF_CSRF_ENABLED"] = False
        answer = app.test_client().post("/sign-in", data={"email": "somebody@example.org", "password": "guess"})
        assert answer.status_code == 403
        assert [(one.actor, one.action) for one in office.audit.events()] == [("nobody", "sign_in.refused.password")]
        counted = app.test_client().get("/metrics").text
    assert 'g2face_sign_ins_total{outcome="refused_password"} 1.0' in counted
    assert "somebody" not in counted


def test_what_is_secret_is_for_the_owner_alone(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with ExitStack() as stack:
        wsgi.build_app(chosen, wsgi.open_office(chosen, stack))
    keys = [path for path in (tmp_path / "admin").iterdir() if path.suffix == ".key"]
    assert {"master.key", "session.key", "second-factor.key", "pseudonym.key", "signing.key"} <= {p.name for p in keys}
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}
