"""python -m backend.plugin: serve Label Studio's calls and the anonymized images."""

from __future__ import annotations

import sys

from backend import logs
from backend.errors import BackendError
from backend.plugin import wsgi
from backend.settings import Settings


def main() -> int:
    """Returns the exit status: 0, or 1 with one line that says what has to be mended."""
    try:
        settings = Settings.load()
        logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
        wsgi.serve(settings)
    except BackendError as error:
        print(f"plugin: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
