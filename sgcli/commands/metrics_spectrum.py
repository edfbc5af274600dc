"""`sg metrics spectrum`: average power spectra, side by side."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options
from sgcli.errors import SgError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from sgcli.metrics.rows import Compute
    from sgcli.metrics.sources import Pictures
    from sgcli.metrics.spectrum import Spectrum

DECIBELS = (-40, 20)  # range of the heat maps
DECIBEL_STEP = 5
HEAT_SIZE = 256  # pixels
PLOT_SIZE = (560, 400)


def spectrum(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE…", help="Models, runs, folders or zips; the first sets the scale.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.png", help="Draw the spectra and their slices.")
    ] = None,
    num: Annotated[int, typer.Option("--num", min=1, help="Pictures of each source, at most.")] = 1000,
    seed: options.Seed = 0,
    trunc: options.Truncation = 1.0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare sets of pictures, drawn or real, by their average power spectrum.

    sg metrics spectrum faces.zip runs/00000-sg2-faces runs/00001-sg3-t-faces -o spectrum.png
    """
    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: spectra are drawn as a PNG", f"-o {output.with_suffix('.png')}")

    from sgcli.metrics.rows import compute_rows, key_of
    from sgcli.metrics.spectrum import average_spectrum, pixel_statistics

    group = options.join_group(device)
    sets = [open_pictures(path, num, seed, trunc, batch, device) for path in sources]
    for path, pictures in zip(sources, sets, strict=True):
        if pictures.resolution != sets[0].resolution:
            sizes = f"{sources[0]} has {sets[0].resolution}², {path} has {pictures.resolution}²"
            raise UsageError(f"spectra of one resolution can be compared, and {sizes}", "compare them one by one")

    def rows(what: str, count: int, compute: Compute, block: int | None = None) -> np.ndarray:
        key = key_of(what, block, num, sets[0].key, pictures.key)
        return compute_rows(what, count, compute, block, key=key, group=group)

    pictures = sets[0]
    mean, std = pixel_statistics(pictures, pictures.count(num), rows)
    if std == 0:
        raise SgError(f"{sources[0]}: all its pictures are of one colour", "name a set of real pictures first")
    spectra = []
    for path, pictures in zip(sources, sets, strict=True):
        started = time.monotonic()
        count = pictures.count(num)
        spectra.append(average_spectrum(pictures, count, mean, std, rows))
        protocol = {"num": count, "seed": seed, "mean": round(mean, 4), "std": round(std, 4)}
        facts = describe(spectra[-1], path, pictures, protocol, time.monotonic() - started)
        if group.leads:
            report(facts, as_json or not sys.stdout.isatty())
    if output is not None and group.leads:
        draw(spectra, [path.name.removesuffix(path.suffix) for path in sources], output)
    shared.finish(group)


def open_pictures(path: Path, num: int, seed: int, trunc: float, batch: int | None, device: str) -> Pictures:
    """The pictures of a model or a data set; `num` of a model are kept. Raises UsageError for anything else."""
    from sgcli.metrics.open_source import open_source
    from sgcli.metrics.sources import DrawnPictures, Pictures

    where = options.resolve_device(device)
    pictures = open_source(path, seed=seed, batch=batch, device=where, truncation_psi=trunc)
    if not isinstance(pictures, Pictures):
        raise UsageError(f"{path}: spectra are of pictures", "give a model, a run, a folder or a zip")
    if isinstance(pictures, DrawnPictures):
        pictures.keep(num)
    return pictures


def describe(
    spectrum: Spectrum, path: Path, pictures: Pictures, protocol: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """One line of results: power in dB at whole frequencies, of all directions, along the axis, along the diagonal."""
    from sgcli import __version__
    from sgcli.metrics.spectrum import INTERPOLATION, KAISER_BETA

    def rounded(values: np.ndarray) -> list[float]:
        return [round(float(value), 3) for value in values]

    return {
        "name": "spectrum",
        "value": rounded(spectrum.radial()),
        "slice_0": rounded(spectrum.slice_0()[1]),
        "slice_45": rounded(spectrum.slice_45()[1]),
        "source": str(path),
        "resolution": pictures.resolution,
        "kaiser_beta": KAISER_BETA,
        "interpolation": INTERPOLATION,
        **protocol,
        **pictures.facts("data" if pictures.limit is not None else "fake"),
        "version": __version__,
        "seconds": round(seconds, 2),
    }


def report(facts: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or the power at each octave."""
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    octaves = [2**i for i in range((facts["resolution"] // 2).bit_length())]
    powers = "  ".join(f"{frequency}: {facts['value'][frequency]:.1f}" for frequency in octaves)
    print(f"{facts['source']}  (cycles: dB)  {powers}", flush=True)


def draw(spectra: list[Spectrum], names: list[str], path: Path) -> None:
    """Heat maps in a row, and below them the slices across and along the diagonal."""
    from sgcli.media.grid import make_table, stack
    from sgcli.media.heat import heat_map
    from sgcli.media.pictures import write_png
    from sgcli.media.plots import Series, line_plot

    heats = [heat_map(spectrum.heat_map(), *DECIBELS, DECIBEL_STEP, HEAT_SIZE) for spectrum in spectra]
    title = f"Average power spectra, {DECIBELS[0]} to {DECIBELS[1]} dB"
    slices = [
        line_plot(
            [Series(name, *curve(spectrum)) for name, spectrum in zip(names, spectra, strict=True)],
            title=heading,
            x_label="cycles per picture width",
            y_label="dB",
            size=PLOT_SIZE,
        )
        for heading, curve in (
            ("Along the axis", lambda spectrum: spectrum.slice_0()),
            ("Along the diagonal", lambda spectrum: spectrum.slice_45()),
        )
    ]
    write_png(path, stack([make_table([heats], names, title=title), make_table([slices])]))
