"""The registry of metrics: what an evaluation computes, in the order in which a report tells it.

A metric is a module in `metrics/` with NAME, NEEDS (what has to be tried for it, see `trials.Need`) and a pure function
`compute(measurements) -> Findings`. It never fails for a lack of photographs: it leaves figures out and says why in a
note. To add one, write the module and name it in METRICS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from g2face_model.evaluation.findings import Findings
from g2face_model.evaluation.measurements import Measurements
from g2face_model.evaluation.metrics import attack, cost, fairness, identity, realism, recovery, robustness, utility
from g2face_model.evaluation.trials import Need


class Metric(Protocol):
    """A module in `metrics/`."""

    @property
    def NAME(self) -> str: ...  # noqa: N802
    @property
    def NEEDS(self) -> frozenset[Need]: ...  # noqa: N802
    def compute(self, measurements: Measurements) -> Findings: ...


_ALL: tuple[Metric, ...] = (identity, attack, utility, realism, recovery, robustness, fairness, cost)
METRICS: Mapping[str, Metric] = {metric.NAME: metric for metric in _ALL}


def needs(names: Iterable[str]) -> frozenset[Need]:
    """All that the named metrics need."""
    return frozenset(need for name in names for need in METRICS[name].NEEDS)


def compute(measurements: Measurements, names: Iterable[str]) -> tuple[Findings, ...]:
    """The findings of the named metrics, in the registry's order."""
    wanted = set(names)
    return tuple(metric.compute(measurements) for name, metric in METRICS.items() if name in wanted)
