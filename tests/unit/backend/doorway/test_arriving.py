"""Whom a door takes a request to come from, and which it cannot read."""

from __future__ import annotations

import pytest
from flask import Flask, request

from backend.doorway import arriving

NUL = "%00"


def application(hops: int) -> Flask:
    app = Flask(__name__)
    arriving.believe_proxies(app, hops)
    app.before_request(arriving.refuse_nul)
    app.add_url_rule("/from", "from", view_func=lambda: f"{request.remote_addr} {request.scheme} {request.host}")
    app.add_url_rule("/tls", "tls", view_func=lambda: str(arriving.came_by_tls()))
    app.add_url_rule("/say/<what>", "say", view_func=lambda what: what, methods=["GET", "POST"])
    return app


@pytest.mark.parametrize(
    ("hops", "noted", "believed"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first is what the sender has made up
        (2, "198.51.100.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "203.0.113.9", "127.0.0.1"),  # it came past one of the proxies
        (1, "", "127.0.0.1"),
    ],
)
def test_a_sender_is_who_the_trusted_proxies_say_and_nobody_else_s_word_counts(
    hops: int, noted: str, believed: str
) -> None:
    headers = {"X-Forwarded-For": noted, "X-Forwarded-Host": "elsewhere.example", "X-Forwarded-Proto": "https"}
    answer = application(hops).test_client().get("/from", headers=headers).text
    assert answer == f"{believed} {'https' if hops == 1 else 'http'} localhost"


@pytest.mark.parametrize("hops", [0, 1])
def test_tls_in_front_makes_cookies_stricter_whoever_says_so(hops: int) -> None:
    client = application(hops).test_client()
    assert client.get("/tls").text == "False"
    assert client.get("/tls", headers={"X-Forwarded-Proto": "HTTPS"}).text == "True"
    assert client.get("/tls", base_url="https://localhost").text == "True"


@pytest.mark.parametrize("path", [f"/say/a{NUL}", f"/say/a?b=c&b={NUL}d", f"/say/a?{NUL}=b", f"/say/a?b={NUL}"])
def test_an_address_with_a_nul_is_refused(path: str) -> None:
    assert application(0).test_client().get(path).status_code == 400


def test_a_form_with_a_nul_is_refused_unless_forms_are_not_looked_into() -> None:
    app = application(0)
    for form in ({"a": "b\0"}, {"a\0": "b"}, {"a": ["b", "\0"]}):
        assert app.test_client().post("/say/a", data=form).status_code == 400
    assert app.test_client().post("/say/a", data={"a": "b\n☃"}).text == "a"
    app.before_request_funcs[None] = [lambda: arriving.refuse_nul(in_forms=False)]
    assert app.test_client().post("/say/a", data={"a": "\0"}).status_code == 200
