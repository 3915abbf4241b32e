"""A Label Studio for the demonstration alone: its own process, database and folder, on the loopback interface."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import requests

from worker.demo.processes import DemoError

_TIMEOUT_S = 60.0
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in."""

    email: str
    password: str


def program(venv: Path) -> Path:
    """The label-studio to start: that of `venv`, else the one in PATH. Raises `DemoError` when there is none."""
    own = venv / "bin" / "label-studio"
    if own.exists():
        return own.absolute()
    if found := shutil.which("label-studio"):
        return Path(found)
    raise DemoError(f"there is no Label Studio: python3 -m venv {venv} && {venv}/bin/pip install label-studio==1.23.2")


def command(label_studio: Path, port: int) -> list[str]:
    """How to start it. Who may sign in comes by the environment: arguments are everybody's to read."""
    address = ["--internal-host", "127.0.0.1", "--port", str(port)]
    return [str(label_studio), "start", "--no-browser", *address, "--enable-legacy-api-token"]


def environment(label_studio: Path, folder: Path, url: str, *, admin: Person, token: str) -> dict[str, str]:
    """Its settings: nothing is reported to anyone, nobody signs up without a link, and it may talk to the plugin on the
    loopback interface while the addresses where clouds keep credentials stay closed."""
    return {
        "PATH": f"{label_studio.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_HOST": url,
        "LABEL_STUDIO_USERNAME": admin.email,
        "LABEL_STUDIO_PASSWORD": admin.password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "ENABLE_LOCAL_FILES_STORAGE": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def sign_up(url: str, token: str, person: Person) -> None:
    """Make `person` an annotator by the invite link, the way vendors get in. Raises `DemoError`."""
    try:
        answer = requests.get(f"{url}/api/invite", headers={"Authorization": f"Token {token}"}, timeout=_TIMEOUT_S)
        link = f"{url}{answer.json()['invite_url']}"
        with requests.Session() as session:
            found = _CSRF.search(session.get(link, timeout=_TIMEOUT_S).text)
            secret = found[1] if found else ""
            form = {"email": person.email, "password": person.password, "csrfmiddlewaretoken": secret}
            joined = session.post(link, data=form, headers={"Referer": url}, timeout=_TIMEOUT_S)
            joined.raise_for_status()
    except (requests.RequestException, KeyError, ValueError):
        raise DemoError("Label Studio did not let an annotator join by its invite link") from None
