"""How the web server serves a door."""

from __future__ import annotations

from typing import Any

_NEVER = 2**62  # bytes


def options(*, max_body_bytes: int) -> dict[str, Any]:
    """For waitress. Neither what arrives nor what leaves overflows into a temporary file, since it may be an original.
    What proxies have noted reaches the application, which decides whom it believes (see `arriving`)."""
    return {
        "threads": 8,
        "ident": None,
        "max_request_body_size": max_body_bytes,
        "inbuf_overflow": _NEVER,
        "outbuf_overflow": _NEVER,
        "clear_untrusted_proxy_headers": False,
    }
