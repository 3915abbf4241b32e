"""Pixels -> anonymized faces."""

import os

# Torch's threads wait for one another many times in every layer. By default they spin meanwhile, which on a busy
# machine takes the core away from the very thread that is waited for: four times as slow, measured. OpenMP reads this
# once, when torch is loaded; here is the one place that is always before that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
