"""`sg metrics plot`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.cli import assert_refused, sg


def numbers(mean, quantiles=None):
    return {"num": 8, "mean": mean, "std": 0.1, **({"quantiles": quantiles} if quantiles else {})}


@pytest.fixture
def runs(tmp_path):
    """Two runs: with held-out pictures and metrics, and with neither."""
    for number, name in enumerate(("00000-watched", "00001-plain")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        lines = []
        for tick in range(1, 6):
            line = {
                key: numbers(1 / tick) for key in ("Loss/G/loss", "Loss/D/loss", "Progress/r_t", "Progress/augment")
            }
            line["Loss/scores/real"] = numbers(tick, [tick + i for i in range(7)])
            line["Loss/scores/fake"] = numbers(-tick, [i - tick for i in range(7)])
            if number == 0:
                line["Loss/scores/held_out"] = numbers(0, list(range(7)))
                line["Progress/r_v"] = numbers(1e8 if tick == 1 else 0.5)
            else:
                line["Progress/augment"] = numbers(0)
            lines.append(json.dumps({**line, "Progress/nimg": 4000 * tick, "timestamp": 0.0}))
        (folder / "stats.jsonl").write_text("\n".join(lines) + '\n{"Loss/G/l')  # cut off while it was written
    (tmp_path / "00000-watched" / "metrics.jsonl").write_text(
        "".join(json.dumps({"name": "swd", "value": 30 - kimg, "kimg": kimg}) + "\n" for kimg in (0, 10, 20))
    )
    return tmp_path


def size_of(result, path):
    assert result.status == 0, result.err
    return Image.open(path).size


def test_metrics_first_and_else_losses(runs, tmp_path):
    out = tmp_path / "c.png"
    assert size_of(sg("metrics", "plot", runs / "00000-watched", "-o", out), out) == (900, 360)
    plain = sg("metrics", "plot", runs / "00001-plain", "-o", out)
    assert size_of(plain, out) == (900, 3 * 360)  # losses and r_t; p is always 0
    both = sg("metrics", "plot", runs / "00000-watched", runs / "00001-plain", "--key", "Progress/augment", "-o", out)
    assert size_of(both, out) == (900, 360)
    assert "00001-plain: has no Progress/augment" in both.err


def test_discriminator(runs, tmp_path):
    out = tmp_path / "d.png"
    watched = sg("metrics", "plot", runs / "00000-watched", "--discriminator", "-o", out)
    assert size_of(watched, out) == (900, 480 + 360) and watched.err == ""
    colors = {color for _, color in Image.open(out).convert("RGB").getcolors(2**24)}
    assert (213, 94, 0) in colors  # that of the second line
    plain = sg("metrics", "plot", runs / "00001-plain", "--discriminator", "-o", out)
    assert plain.status == 0 and "no scores of held-out pictures" in plain.err


def test_strength_is_drawn_however_high_and_a_meaningless_r_v_is_not(runs, tmp_path, monkeypatch):
    from sgcli.media import plots

    drawn = {}

    def line_plot(lines, **options):
        drawn.update({line.label: list(line.y) for line in lines})
        return np.zeros([8, 8, 3], dtype=np.uint8)

    monkeypatch.setattr(plots, "line_plot", line_plot)
    stats = runs / "00000-watched" / "stats.jsonl"
    rows = [json.loads(line) for line in stats.read_text().splitlines()[:-1]]
    strengths = [0.5, 1.0, 2.0, 3.0, 5.0]
    for row, p in zip(rows, strengths, strict=True):
        row["Progress/augment"] = numbers(p)
    stats.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = sg("metrics", "plot", runs / "00000-watched", "--discriminator", "-o", tmp_path / "d.png")
    assert result.status == 0, result.err
    assert drawn["p"] == strengths
    assert np.isnan(drawn["r_v"][0]) and drawn["r_v"][1:] == [0.5] * 4


def test_refusals(runs, tmp_path):
    run, out = runs / "00000-watched", tmp_path / "c.png"
    assert_refused(sg("metrics", "plot", tmp_path, "-o", out), 1, "not a run folder")
    assert_refused(sg("metrics", "plot", run, "--key", "Los/G/loss", "-o", out), 2, "not in these runs", "--key Loss/G")
    assert_refused(sg("metrics", "plot", run, "-o", tmp_path / "c.jpg"), 2, "drawn as a PNG", "c.png")
    assert_refused(sg("metrics", "plot", run, run, "--discriminator", "-o", out), 2, "draws one run")
    (run / "stats.jsonl").write_text("")
    (run / "metrics.jsonl").unlink()
    assert_refused(sg("metrics", "plot", run, "-o", out), 1, "no line in its stats.jsonl yet")
    assert not out.exists()
