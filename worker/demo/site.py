"""Where everything of one run of the demonstration is: its folder, its ports, who may sign in where."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker.demo import photos
from worker.demo.label_studio import Person
from worker.demo.processes import DemoError, free_port, run

_PORTS = {"label-studio": 8080, "plugin": 9090, "intake": 9092, "admin": 9191}


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything of one run is, and who may sign in where."""

    folder: Path
    ports: dict[str, int]
    admin: Person
    annotator: Person
    api_key: str
    path_secret: str

    def url(self, name: str) -> str:
        return f"http://localhost:{self.ports[name]}"

    @property
    def backend_url(self) -> str:
        return f"{self.url('plugin')}/{self.path_secret}"

    @property
    def group(self) -> Path:
        """The generated group's photo."""
        return self.folder / photos.GROUP

    def settings(self, *, with_api_key: bool) -> dict[str, str]:
        """The environment of our own programs. Only those that speak to Label Studio get its key."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name}
        given = {
            "DATA_DIR": str(self.folder),
            "LABELSTUDIO__URL": self.url("label-studio"),
            "PLUGIN__PORT": str(self.ports["plugin"]),
            "PLUGIN__PUBLIC_URL": self.url("plugin"),
            "PLUGIN__PATH_SECRET": self.path_secret,
            "INTAKE__PORT": str(self.ports["intake"]),
            "ADMIN__PORT": str(self.ports["admin"]),
            "ADMIN__PUBLIC_URL": self.url("admin"),
            "WORKER__MAX_ATTEMPTS": "2",
        }
        if with_api_key:
            given["LABELSTUDIO__API_KEY"] = self.api_key
        return kept | {f"G2FACE_{name}": value for name, value in given.items()}

    def ours(self, module: str, *arguments: str) -> str:
        """What a short program of ours printed. Raises `DemoError` when it fails."""
        command = [sys.executable, "-m", module, *arguments]
        return run(f"{module} {arguments[0]}", command, self.settings(with_api_key=False))


def new_site(data_dir: Path) -> Site:
    """A folder below `data_dir`, free ports and fresh secrets. Raises `DemoError`."""
    folder = (data_dir / f"{datetime.now(UTC):%Y%m%d-%H%M%S}").absolute()
    try:
        folder.mkdir(parents=True, mode=0o700)
        (folder / "logs").mkdir()
    except OSError as error:
        raise DemoError(f"a folder for this run cannot be made: {error.strerror}") from None
    ports: dict[str, int] = {}
    for name, wanted in _PORTS.items():
        ports[name] = free_port(wanted)
    return Site(
        folder,
        ports,
        admin=Person("admin@example.org", secrets.token_urlsafe(12)),
        annotator=Person("annotator@example.org", secrets.token_urlsafe(12)),
        api_key=secrets.token_hex(20),
        path_secret=secrets.token_urlsafe(24),
    )
