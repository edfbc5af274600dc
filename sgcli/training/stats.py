"""Numbers gathered during a tick and written as one line of stats.jsonl: {name: {num, mean, std}, …} (spec §7).

D's outputs, `Loss/scores/…`, also get `quantiles`, which tell their distribution.
"""

from __future__ import annotations

from typing import Any

import torch

from sgcli.distributed.group import ALONE, Group

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


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

    def newest(self, name: str) -> torch.Tensor | None:
        """What was last reported under `name`; None if nothing was since the last flush."""
        return self._values[name][-1] if name in self._values else None

    def mark(self) -> dict[str, int]:
        """For `rewind`, which forgets what was reported since."""
        return {name: len(parts) for name, parts in self._values.items()}

    def rewind(self, mark: dict[str, int]) -> None:
        self._values = {name: parts[: mark[name]] for name, parts in self._values.items() if name in mark}

    def flush(self, group: Group = ALONE) -> dict[str, dict[str, Any]]:
        """Of what all workers of `group` reported: each reports the same names equally often."""
        summary: dict[str, dict[str, Any]] = {}
        for name, parts in self._values.items():
            values = torch.cat(parts).double()
            values = group.collect_rows(values, len(values) * group.world)
            std = float(values.std(correction=0)) if len(values) else 0.0
            summary[name] = {"num": len(values), "mean": float(values.mean()), "std": std}
            if name.startswith("Loss/scores/"):
                shares = torch.tensor(QUANTILES, dtype=values.dtype, device=values.device)
                summary[name]["quantiles"] = [round(value, 4) for value in values.quantile(shares).tolist()]
        self._values.clear()
        return summary
