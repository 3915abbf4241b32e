"""How all doors' pages look."""

from __future__ import annotations

from flask import Blueprint


def blueprint() -> Blueprint:
    """Serves the style sheet that every page begins with, under /shared."""
    return Blueprint("shared", __name__, static_folder="static", static_url_path="/shared")
