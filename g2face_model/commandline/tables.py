"""Figures as text: aligned columns, shares with their intervals; and as plain values for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2face_model.evaluation.identification import Share


def aligned(rows: Sequence[Sequence[str]], *, labels: int = 1) -> str:
    """Rows of equally many cells, the heading first: the first `labels` columns to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:labels], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[labels:], widths[labels:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return "\n".join(lines)


def number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float, digits: int = 1) -> str:
    return number(100 * value, digits)


def share(counted: Share) -> str:
    """Percent, and in brackets the 95 % interval."""
    low, high = counted.interval
    return f"{percent(counted.value)} ({percent(low, 0)}-{percent(high, 0)})" if counted.total else "-"


def plain(value: Any) -> Any:
    """Dataclasses, shares and numpy's numbers as JSON knows them; what is not a finite number becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        interval = getattr(value, "interval", None)
        return fields if interval is None else {**fields, "interval": [round(end, 5) for end in interval]}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return round(float(value), 5) if math.isfinite(value) else None
