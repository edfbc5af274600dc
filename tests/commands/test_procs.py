"""`--procs`: pictures and numbers do not depend on how many workers made them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.cli import assert_refused, sg, sg_process


def with_workers(count: int, *arguments: object, stdin: bytes | None = None) -> bytes:
    process = sg_process(*arguments, *(["--procs", count] if count else []), stdin=-1)
    out, err = process.communicate(stdin, timeout=240)
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err
    return out


def test_a_folder_of_pictures(model_file, tmp_path):
    common = ["generate", "--seeds", "0-4", "-m", model_file, "--noise", "random", "-q"]
    assert sg(*common, "-o", tmp_path / "one").status == 0
    with_workers(2, *common, "-o", tmp_path / "two")
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "two").iterdir())] and len(names) == 5
    for name in names:
        one, two = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("one", "two"))
        assert abs(one - two).max() <= 1


@pytest.mark.slow
def test_an_array_from_latents_on_stdin(model_file, tmp_path):
    latents = sg("sample", "--seeds", "0-4", "--space", "w", "-m", model_file).out
    common = ["generate", "-", "-m", model_file, "-q", "--format", "npy", "-o"]
    assert sg(*common, tmp_path / "one.npy", stdin=latents).status == 0
    with_workers(3, *common, tmp_path / "three.npy", stdin=latents)
    assert np.allclose(np.load(tmp_path / "one.npy"), np.load(tmp_path / "three.npy"), atol=1e-5)


@pytest.mark.slow
def test_one_picture_for_more_workers_than_that(model_file):
    common = ["generate", "--seeds", 7, "-m", model_file, "-q"]
    one, two = (np.asarray(Image.open(io.BytesIO(data))) for data in (sg(*common).out, with_workers(2, *common)))
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_metrics(model_file, faces):
    measure = ["all", "-m", model_file, "--data", faces, "--num", 80, "--metrics", "fid-random,swd,ppl2-l2-wend"]
    one, two = (
        {line["name"]: line["value"] for line in map(json.loads, text.splitlines())}
        for text in (sg("metrics", *measure).out, with_workers(2, "metrics", *measure))
    )
    assert len(one) == 3 and two == pytest.approx(one, rel=1e-4)


def test_what_one_worker_does(model_file):
    assert_refused(sg("metrics", "plot", "x", "--procs", 2), 2, "--procs")
    assert_refused(sg("generate", "--seeds", 0, "-m", model_file, "--show", "--procs", 2), 2, "--show")
