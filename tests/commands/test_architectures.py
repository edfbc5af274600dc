"""Every architecture of the registry: trains, resumes, saves, loads, draws."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from sgcli.models.registry import ROWS
from tests.cli import assert_refused, sg

SMALL = ["--tiny", "--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--batch", 4]


def train(data, outdir, *more):
    return sg("train", data, *SMALL, "--outdir", outdir, *more)


@pytest.mark.parametrize("arch", [row.name for row in ROWS])
def test_trains_resumes_and_draws(arch, faces, tmp_path):
    assert train(faces, tmp_path, "--arch", arch, "--kimg", 0.004, "--name", arch).status == 0
    result = sg("train", "--resume", tmp_path / f"00000-{arch}", "--kimg", 0.008)
    assert result.status == 0, result.err
    run = Path(result.text.strip())
    drawn = sg("generate", "-m", run, "--seeds", "0-2", "--noise", "random", "--format", "npy")
    assert drawn.status == 0, drawn.err
    pictures = np.load(io.BytesIO(drawn.out))
    assert pictures.shape == (3, 3, 16, 16) and np.isfinite(pictures).all()
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-4


@pytest.mark.parametrize("d_connection", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("g_connection", ["orig", "skip", "resnet"])
def test_nine_pairs_of_connections(g_connection, d_connection, faces, tmp_path):
    pair = ["--g-connection", g_connection, "--d-connection", d_connection]
    result = train(faces, tmp_path, "--arch", "sg2-e", *pair, "--kimg", 0.004)
    assert result.status == 0, result.err


@pytest.mark.parametrize("depth", [0, 1, 8])
@pytest.mark.parametrize("arch", ["progan", "sg1-b", "sg1-f", "sg2-f"])
def test_mapping_depths(arch, depth, faces, tmp_path):
    widths = ["--w-dim", 8] if arch.startswith(("sg1-f", "sg2")) else []
    result = train(faces, tmp_path, "--arch", arch, "--map-depth", depth, *widths, "--kimg", 0.004)
    assert result.status == 0, result.err


def test_labels(faces, tmp_path):
    import shutil

    folder = tmp_path / "classes"
    shutil.unpack_archive(faces, folder)
    (folder / "dataset.json").unlink()
    for number, picture in enumerate(sorted(folder.rglob("*.png"))):
        place = folder / "abc"[number % 3]
        place.mkdir(exist_ok=True)
        picture.rename(place / picture.name)
    for arch in ("progan", "sg1", "sg2-d"):
        options = ["--arch", arch, "--kimg", 0.008, "--cond", "--labels", "subfolders", "--name", arch]
        result = train(folder, tmp_path / "runs", *options)
        assert result.status == 0, result.err


@pytest.mark.parametrize("arch", ["progan", "sg1", "sg2-d"])
def test_one_way_to_connect_blocks(arch, faces, tmp_path):
    result = train(faces, tmp_path, "--arch", arch, "--g-connection", "skip")
    assert_refused(result, 2, "--g-connection", "one way to connect")
