"""How a request arrives at a door: through which proxies, and whether a database could hold what it says."""

from __future__ import annotations

from flask import Flask, abort, request
from werkzeug.middleware.proxy_fix import ProxyFix


def believe_proxies(app: Flask, hops: int) -> None:
    """Take the sender's address and the protocol from what the nearest `hops` proxies have noted; from nobody for 0, so
    that no sender can choose the address that their tries are counted for."""
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]


def came_by_tls() -> bool:
    """Whether this request came over TLS, also through a proxy that ends it."""
    # The header is believed here only: whoever forges it makes their own cookie stricter.
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def refuse_nul(*, in_forms: bool = True) -> None:
    """400 for an address or a form with a NUL character: PostgreSQL holds none in a text, and no person types one.
    in_forms: look into forms; where those hold uploads, they are not read before it is known whose they are."""
    pairs = [*request.args.items(multi=True), *(request.form.items(multi=True) if in_forms else ())]
    if "\0" in request.path or any("\0" in name or "\0" in value for name, value in pairs):
        abort(400)
