"""The headers of every answer: nothing is loaded from or sent elsewhere, framed, guessed or kept."""

from __future__ import annotations

from flask import Response, request

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY.format(images="'self'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
WITH_PICTURES = {"Content-Security-Policy": _POLICY.format(images="'self' data:")}
"""For a page that holds pictures itself, under no address of their own."""


def harden(response: Response) -> Response:
    """Add what an answer has not set itself."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if (request.endpoint or "").rpartition(".")[2] != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
