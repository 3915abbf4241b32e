"""What importing the package does to a process."""

import os
import subprocess
import sys

_TELL = "import g2face_model, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


def _told(**environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    told = subprocess.run([sys.executable, "-c", _TELL], env=inherited | environment, capture_output=True, text=True)
    return told.stdout.strip()


def test_threads_that_wait_give_their_core_away_before_torch_is_loaded() -> None:
    assert _told() == "PASSIVE False"


def test_what_the_operator_chose_is_kept() -> None:
    assert _told(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE False"
