"""Train on few and on many invented faces, with and without ADA, and write the table and plots of docs/ada.md.

    python docs/make_ada.py             # four trainings, about three hours on one CPU core
    python docs/make_ada.py --kimg 1    # a taste

Called again, it goes on where it stopped; what is trained and measured is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from sgcli.__main__ import run as sg
from sgcli.commands.metrics_plot import curves_of, discriminator_plots
from sgcli.data.dataset import open_dataset
from sgcli.data.toyfaces import synthesize
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.grid import make_table, stack
from sgcli.media.pictures import to_uint8, write_png
from sgcli.media.plots import Series, line_plot
from sgcli.metrics.job import Job
from sgcli.metrics.open_source import open_source
from sgcli.metrics.registry import METRICS
from sgcli.metrics.swd import noise_floor, sliced_wasserstein
from sgcli.models.checkpoint import kimg_of, open_model
from sgcli.models.growing import enlarge
from sgcli.training.run import Run, find_runs

DOCS = Path(__file__).parent
START, END = "<!-- written by make_ada.py -->", "<!-- end -->"

RESOLUTION, NUM_TRAIN, NUM_HELD_OUT = 32, 8000, 1000
FEW = 500
NUM_SWD, NUM_FEATURES = 500, 1000  # pictures on both sides of a distance
NUM_SNAPSHOTS = 8
NUM_SHOWN, ZOOM = 12, 2
RECIPE = {
    "--arch": "sg2", "--channels-base": 512, "--channels-max": 64, "--batch": 16, "--lr": 0.005, "--gamma": 1,
    "--ema-kimg": 2,
}  # fmt: skip
AUG_TARGET = 0.5  # of r_t: on the full set r_t stays below that; the published 0.6 is reached late by so small a D
AUG_KIMG = 60  # p may move by 1 in that time: 500 kimg, as published, would leave it near 0
MEASURES = {"FID": ".3f", "recall": ".2f", "SWD x 1000": ".1f"}  # and how they are printed


@dataclass(frozen=True)
class Case:
    """One training."""

    images: int
    aug: str

    def kimg(self, longest: float) -> float:
        """Many pictures are trained on for half of the time: D has seen each of them but a few times by then."""
        return longest if self.images == FEW else longest / 2

    @property
    def name(self) -> str:
        return f"{self.images} pictures, {'ADA' if self.aug == 'ada' else 'no augmentation'}"


CASES = [Case(images, aug) for images in (FEW, NUM_TRAIN) for aug in ("none", "ada")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train with and without ADA, and write docs/ada.md.")
    parser.add_argument("--kimg", type=float, default=480, help="of the trainings on few pictures")
    parser.add_argument("--outdir", type=Path, default=Path("ada"), help="where data, runs and numbers go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where ada.md and its images are")
    options = parser.parse_args()

    train_set, held_out = options.outdir / "faces.zip", options.outdir / "held-out.zip"
    for path, count, seed in ((train_set, NUM_TRAIN, 0), (held_out, NUM_HELD_OUT, 1)):
        if not path.exists():
            synthesize(path, count, RESOLUTION, seed)
    pictures = torch.from_numpy(open_dataset(held_out).images(range(2 * NUM_SWD)))
    floor = noise_floor(pictures, seed=0)[1]

    snap = options.kimg / NUM_SNAPSHOTS
    runs = {case: train(case, train_set, held_out, case.kimg(options.kimg), snap, options.outdir) for case in CASES}
    numbers = {case: measured(run, held_out, pictures[:NUM_SWD]) for case, run in runs.items()}
    images = options.docs / "images"
    write_png(images / "ada-curves.png", draw_curves(runs, numbers, floor))
    few = [runs[case] for case in CASES if case.images == FEW]
    write_png(images / "ada-discriminator.png", stack([discriminator_plots(run)[0] for run in few]))
    write_png(
        images / "ada-fakes.png", make_table([draw(run) for run in runs.values()], [], [case.name for case in runs])
    )
    insert_table(options.docs / "ada.md", runs, numbers, floor)


def train(case: Case, train_set: Path, held_out: Path, kimg: float, snap: float, outdir: Path) -> Run:
    """Train, or go on, or find it finished."""
    name = f"{case.images}-{case.aug}-{kimg:g}"
    command = ["train", train_set, "--tiny", "--kimg", kimg, "--snap", snap, "--holdout", held_out]
    command += [part for pair in RECIPE.items() for part in pair]
    command += ["--max-images", case.images, "--aug", case.aug]
    if case.aug == "ada":
        command += ["--aug-target", AUG_TARGET, "--aug-kimg", AUG_KIMG]
    command += ["--outdir", outdir / "runs", "--name", name, "--resume", "auto"]
    if sg([str(part) for part in command]) != 0:
        sys.exit(f"{case.name}: did not train")
    return find_runs(outdir / "runs", name)[-1]


def measured(run: Run, held_out: Path, reals: torch.Tensor) -> dict[float, dict[str, float]]:
    """By kimg, what every trained snapshot's pictures have in common with faces that were not trained on.

    Remembered in the run's folder.
    """
    file = run.path / "measured.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    for model in run.models()[1:]:
        if model.name in known:
            continue
        job = Job(open_source(model), open_source(held_out), num=NUM_FEATURES, extractor="random")
        fid = METRICS["fid"].measure(job, NUM_FEATURES)[0].number
        recall = METRICS["pr"].measure(job, NUM_FEATURES)[1].number
        swd = sliced_wasserstein(reals, fakes(model, len(reals)), seed=0)[1]
        known[model.name] = dict(zip(MEASURES, (fid, recall, swd), strict=True))
        file.write_text(json.dumps(known) + "\n")
    return {kimg_of(Path(name)): numbers for name, numbers in known.items()}


def fakes(model: Path, count: int) -> torch.Tensor:
    """Pictures of the first seeds, uint8 `[count, 3, R, R]`."""
    G = open_model(model).load_generator()
    z = torch.from_numpy(latents_of_seeds(range(count), G.z_dim))
    return torch.stack([to_uint8(picture) for picture in draw_pictures(G, z, range(count), batch=50)])


def draw(run: Run) -> list[torch.Tensor]:
    return [enlarge(picture[None], ZOOM)[0] for picture in fakes(run.models()[-1], NUM_SHOWN)]


def draw_curves(runs: dict[Case, Run], numbers: dict[Case, dict[float, dict[str, float]]], floor: float):
    """SWD, FID, recall, r_t, r_v and p of all trainings over time."""
    panels = []
    for measure, title in (
        ("FID", "FID (random features) to held-out faces"),
        ("recall", "recall: the share of held-out faces that look like a generated one"),
        ("SWD x 1000", "SWD x 1000 to held-out faces"),
    ):
        lines = [Series(case.name, [*line], [at[measure] for at in line.values()]) for case, line in numbers.items()]
        if measure.startswith("SWD"):
            lines.append(Series("two sets of real faces", [0, max(lines[0].x)], [floor, floor]))
        panels.append(line_plot(lines, title=title, x_label="kimg", log_y=measure != "recall", size=(900, 360)))
    for key, title in (
        ("Progress/r_t", "r_t: mean sign of D for training pictures"),
        ("Progress/r_v", "r_v: where held-out pictures lie, from training pictures (0) to fakes (1)"),
        ("Progress/augment", "p: strength of augmentation"),
    ):
        found = [(case, curves_of(run).get(key)) for case, run in runs.items()]
        lines = [Series(case.name, *smoothed(*curve)) for case, curve in found if curve]
        panels.append(line_plot(lines, title=title, x_label="kimg", size=(900, 320)))
    return stack(panels)


def smoothed(x: list[float], y: list[float], width: int = 8) -> tuple[list[float], list[float]]:
    """Means of `width` neighbouring ticks."""
    groups = range(0, len(x) - width + 1, width) if len(x) >= width else [0]
    return (
        [sum(x[i : i + width]) / len(x[i : i + width]) for i in groups],
        [sum(y[i : i + width]) / len(y[i : i + width]) for i in groups],
    )


def insert_table(page: Path, runs: dict[Case, Run], numbers: dict[Case, dict], floor: float) -> None:
    """Put the table between the two marks of the page."""
    times = sorted({kimg for line in numbers.values() for kimg in line})
    rows = [["", "", *(f"{kimg:g} kimg" for kimg in times)], ["---"] * (len(times) + 2)]
    for case, run in runs.items():
        line, curves = numbers[case], curves_of(run)
        for measure, form in MEASURES.items():
            name = case.name if measure == "FID" else ""
            rows.append([name, measure, *(format(line[kimg][measure], form) if kimg in line else "" for kimg in times)])
        for key, label in (("Progress/r_t", "r_t"), ("Progress/r_v", "r_v"), ("Progress/augment", "p")):
            if key in curves:
                means = (f"{mean_before(*curves[key], kimg, times[0]):.2f}" if kimg in line else "" for kimg in times)
                rows.append(["", label, *means])
    table = ["| " + " | ".join(row) + " |" for row in rows]
    lines = [f"Noise floor of SWD (two sets of {NUM_SWD} real faces): {floor:.1f}.", "", *table]
    before, rest = page.read_text().split(START)
    after = rest.split(END)[1]
    page.write_text("\n".join([before + START, *lines, END]) + after)


def mean_before(x: list[float], y: list[float], end: float, span: float) -> float:
    """Mean of y over the ticks in the `span` kimg up to `end`."""
    some = [value for kimg, value in zip(x, y, strict=True) if end - span < kimg <= end + 0.05]
    return sum(some) / len(some) if some else float("nan")


if __name__ == "__main__":
    main()
