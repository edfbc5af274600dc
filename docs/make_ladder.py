"""Train StyleGAN's and StyleGAN2's ladders on invented faces and write the table of docs/ladder.md.

    python docs/make_ladder.py                              # all rungs, about 35 minutes of one CPU core
    python docs/make_ladder.py --kimg 2 --rungs sg1-e sg2-e  # a taste

Called again, it goes on where it stopped; rungs that are trained and measured are not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from sgcli.__main__ import run as sg
from sgcli.data.dataset import open_dataset
from sgcli.data.toyfaces import synthesize
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.metrics.ppl import Paths, path_lengths, squared_difference, trimmed_mean
from sgcli.metrics.swd import noise_floor, sliced_wasserstein
from sgcli.models.base import Generator
from sgcli.models.checkpoint import open_model
from sgcli.models.growing import enlarge
from sgcli.models.registry import ARCHITECTURES, resolve
from sgcli.training.run import Run, find_runs

DOCS = Path(__file__).parent
START, END = "<!-- written by make_ladder.py -->", "<!-- end -->"

RESOLUTION, NUM_TRAIN, NUM_HELD_OUT, NUM_PAIRS = 32, 8000, 2000, 4000
BATCH = 16
CHANNEL_SHARE, CHANNEL_MAX = 64, 64  # half as wide as --tiny
GAMMA = 1  # wherever there is R1; the published values, scaled, let D run away in runs as short as these
NUM_SHOWN, ZOOM = 16, 2
TRAINED_AS = {"sg2-a": "sg1-f"}  # the same network, trained alike
RUNGS = [f"{family}-{letter}" for family in ("sg1", "sg2") for letter in "abcdef"]

# FID on FFHQ as published (spec progan-stylegan1 §4, stylegan2-ada §10).
PUBLISHED_FID = {
    "sg1-a": 8.04, "sg1-b": 5.25, "sg1-c": 4.85, "sg1-d": 4.88, "sg1-e": 4.42, "sg1-f": 4.40,
    "sg2-a": 4.40, "sg2-b": 4.39, "sg2-c": 4.38, "sg2-d": 4.34, "sg2-e": 3.31, "sg2-f": 2.84,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the ladders and write docs/ladder.md.")
    parser.add_argument("--kimg", type=float, default=30)
    parser.add_argument("--rungs", nargs="+", default=RUNGS, choices=RUNGS)
    parser.add_argument("--outdir", type=Path, default=Path("ladder"), help="where data, runs and numbers go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where ladder.md and images/ladder.png are")
    options = parser.parse_args()

    train_set, held_out = options.outdir / "faces.zip", options.outdir / "held-out.zip"
    for path, count, seed in ((train_set, NUM_TRAIN, 0), (held_out, NUM_HELD_OUT, 1)):
        if not path.exists():
            synthesize(path, count, RESOLUTION, seed)
    reals = torch.from_numpy(open_dataset(held_out).images(range(NUM_HELD_OUT)))
    others = torch.from_numpy(open_dataset(train_set).images(range(NUM_HELD_OUT)))
    floor = noise_floor(torch.cat([reals, others]), seed=0)[1]

    rows, shown = [], []
    for rung in options.rungs:
        run = train(TRAINED_AS.get(rung, rung), train_set, options.kimg, options.outdir)
        rows.append(measured_once(rung, run, reals, options.outdir))
        shown.append([enlarge(picture[None], ZOOM)[0] for picture in draw(load(run), NUM_SHOWN)])
        print(rows[-1], file=sys.stderr)
    write_png(options.docs / "images" / "ladder.png", make_table(shown, row_captions=options.rungs))
    insert_table(options.docs / "ladder.md", rows, floor, options.kimg)


def train(arch: str, train_set: Path, kimg: float, outdir: Path) -> Run:
    """Train `arch`, or go on, or find it finished."""
    name = f"{arch}-{kimg:g}"
    channel_base = resolve(arch).G["channel_base"] // CHANNEL_SHARE
    sizes = ["--tiny", "--channels-base", channel_base, "--channels-max", CHANNEL_MAX, "--batch", BATCH]
    loss = ["--gamma", GAMMA] if resolve(arch).training["loss"] == "logistic" else []
    length = ["--kimg", kimg, "--snap", kimg / 4, "--keep-last", 1]
    place = ["--outdir", outdir / "runs", "--name", name, "--resume", "auto"]
    command = ["train", train_set, "--arch", arch, *sizes, *loss, *length, *place]
    if sg([str(part) for part in command]) != 0:
        sys.exit(f"{arch}: did not train")
    return find_runs(outdir / "runs", name)[-1]


def measured_once(rung: str, run: Run, reals: torch.Tensor, outdir: Path) -> dict[str, Any]:
    """The rung's row, from the file that remembers it or measured now."""
    file = outdir / "measured" / f"{run.name}.json"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(measure(run, reals)) + "\n")
    return {"rung": rung, **json.loads(file.read_text())}


def measure(run: Run, reals: torch.Tensor) -> dict[str, Any]:
    G = load(run)
    numbers = {"swd": sliced_wasserstein(reals, draw(G, len(reals)), seed=0)[1]}
    for space in "zw":
        paths = Paths(space, "full", crop=True)
        numbers[f"ppl_{space}"] = trimmed_mean(path_lengths(G, squared_difference, paths, range(NUM_PAIRS), batch=64))
    if resolve(open_model(run.path).arch).G["mapping_layers"] == 0:
        numbers["ppl_w"] = None  # W is Z there
    last = json.loads((run.path / "stats.jsonl").read_text().splitlines()[-1])
    numbers["sec_per_kimg"] = last["Timing/total_sec"]["mean"] / last["Progress/kimg"]["mean"]
    return numbers


def load(run: Run) -> Generator:
    return open_model(run.path).load_generator()


def draw(G: Generator, count: int) -> torch.Tensor:
    """Pictures of the first seeds, uint8 `[count, C, R, R]`."""
    z = torch.from_numpy(latents_of_seeds(range(count), G.z_dim))
    return torch.stack([to_uint8(picture) for picture in draw_pictures(G, z, range(count), batch=64)])


def insert_table(page: Path, rows: list[dict[str, Any]], floor: float, kimg: float) -> None:
    """Put the table between the two marks of the page."""
    lines = [
        f"{kimg:g} kimg each; noise floor of SWD {floor:.1f}.",
        "",
        "| rung | what changed | SWD x 1000 | PPL in Z | PPL in W | s/kimg | published FID |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ppl_w = "–" if row["ppl_w"] is None else f"{row['ppl_w']:.2f}"
        what = ARCHITECTURES[row["rung"]].what
        lines.append(
            f"| `{row['rung']}` | {what} | {row['swd']:.1f} | {row['ppl_z']:.2f} | {ppl_w} "
            f"| {row['sec_per_kimg']:.1f} | {PUBLISHED_FID[row['rung']]:.2f} |"
        )
    lines += ["", "![The same seeds for every rung](images/ladder.png)"]
    before, rest = page.read_text().split(START)
    after = rest.split(END)[1]
    page.write_text("\n".join([before + START, *lines, END]) + after)


if __name__ == "__main__":
    main()
