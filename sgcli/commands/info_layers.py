"""`sg info --layers`, `--plot`: what each style of a generator controls, and how StyleGAN3 treats frequencies there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgcli.errors import UsageError

if TYPE_CHECKING:
    from sgcli.models.base import Generator
    from sgcli.models.stylegan3_design import LayerDesign

HEADINGS = {
    "index": "w",
    "name": "layer",
    "resolution": "rate",
    "cutoff": "cutoff",
    "stopband": "stopband",
    "half_width": "half-width",
    "up": "up",
    "down": "down",
    "up_taps": "up taps",
    "down_taps": "down taps",
    "size": "size",
    "channels": "channels",
    "critical": "critical",
    "band": "band",
}
DESIGN_COLUMNS = list(HEADINGS)[3:-1]


def describe_layers(file: Path) -> list[dict[str, Any]]:
    """One row for each style, from coarse to fine; frequencies in cycles, rates in samples per picture width."""
    from sgcli.models.style_layers import band_of

    G = _build_without_weights(file)
    designs = {plan.name: plan for plan in getattr(G.synthesis, "designs", [])}
    rows = []
    for index, layer in enumerate(G.synthesis.style_layers()):
        row = {"index": index, "name": layer.name, "resolution": layer.resolution}
        if designs:
            row |= dict.fromkeys(DESIGN_COLUMNS) | _describe_design(designs.get(layer.name))
            row["cutoff"] = layer.cutoff
        rows.append({**row, "band": band_of(layer, G.img_resolution)})
    return rows


def _describe_design(plan: LayerDesign | None) -> dict[str, Any]:
    """The columns of a layer; the input has none but its cutoff."""
    if plan is None:
        return {}
    taps = f"{plan.down_taps}x{plan.down_taps}" if plan.down_radial and plan.down_taps > 1 else plan.down_taps
    return {
        "stopband": plan.result.stopband,
        "half_width": plan.result.half_width,
        "up": plan.up,
        "down": plan.down,
        "up_taps": plan.up_taps,
        "down_taps": taps,
        "size": plan.result.size,
        "channels": plan.result.channels,
        "critical": plan.is_critical,
    }


def _build_without_weights(file: Path) -> Generator:
    import torch

    from sgcli.models.checkpoint import open_model
    from sgcli.models.registry import build_generator

    with torch.device("meta"):
        return build_generator(open_model(file).header["networks"]["G"])


def print_layers(rows: list[dict[str, Any]]) -> None:
    """A table with headings, numbers to the right."""
    table = [[HEADINGS[key] for key in rows[0]]] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        cells = [
            text.ljust(width) if i == 1 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))


def _cell(value: Any) -> str:
    if value is None or value is False:
        return "-"
    if value is True:
        return "yes"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def plot_layers(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the staircase of cutoffs, stopbands and sampling rates. Raises UsageError where there is none."""
    if "cutoff" not in rows[0]:
        hint = "leave it out; --layers lists the layers"
        raise UsageError("--plot draws the cutoffs of a StyleGAN3; this generator has none", hint)

    from sgcli.media.pictures import write_png
    from sgcli.media.plots import Series, line_plot

    layers = [row for row in rows if row["size"] is not None]
    numbers = list(range(len(layers)))
    edges = [edge for number in numbers for edge in (number - 0.5, number + 0.5)]
    nyquist = [row["resolution"] / 2 for row in layers for _ in (0, 1)]
    picture = line_plot(
        [
            Series("cutoff", numbers, [row["cutoff"] for row in layers]),
            Series("stopband", numbers, [row["stopband"] for row in layers]),
            Series("half the sampling rate", edges, nyquist),
        ],
        title="Frequencies, layer by layer",
        x_label="layer",
        y_label="cycles per picture width",
        log_y=True,
    )
    write_png(path, picture)
