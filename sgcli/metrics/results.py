"""What a metric hands back, and the line of JSON that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Value:
    """One number that a metric found."""

    number: float
    facts: dict[str, Any] = field(default_factory=dict)  # what else was found (a standard error), and by what rules
    name: str = ""  # of a metric with several numbers ("precision"); "" takes the metric's own


def result_line(name: str, value: Value, provenance: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """One JSON object: name, value, what else was found, then what it was found on and with, version, seconds."""
    from sgcli import __version__

    return {
        "name": name,
        "value": float(value.number),
        **value.facts,
        **provenance,
        "version": __version__,
        "seconds": round(seconds, 2),
    }
