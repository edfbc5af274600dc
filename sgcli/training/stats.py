"""Numbers gathered during a tick and written as one line of stats.jsonl: {name: {num, mean, std}, …} (spec §7)."""

from __future__ import annotations

import torch


class Stats:
    """Collects values by name; `flush` returns their count, mean and standard deviation and forgets them."""

    def __init__(self) -> None:
        self._values: dict[str, list[torch.Tensor]] = {}

    def report(self, name: str, values: torch.Tensor | float) -> None:
        """Add all elements of `values`. Nothing waits for the device before `flush`."""
        self._values.setdefault(name, []).append(torch.as_tensor(values).detach().flatten().float())

    def latest(self, name: str) -> float:
        """Mean of what was last reported under `name`; nan if nothing was since the last flush."""
        return float(self._values[name][-1].mean()) if name in self._values else float("nan")

    def flush(self) -> dict[str, dict[str, float]]:
        summary = {}
        for name, parts in self._values.items():
            values = torch.cat(parts).double()
            std = float(values.std(correction=0)) if len(values) else 0.0
            summary[name] = {"num": len(values), "mean": float(values.mean()), "std": std}
        self._values.clear()
        return summary
