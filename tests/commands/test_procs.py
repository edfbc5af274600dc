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
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_metrics(metric, model_file, faces):
    measure = [metric, "-m", model_file, "--data", faces, "--num", 40, "--extractor", "random", "--json"]
    (one,) = (json.loads(line) for line in sg("metrics", *measure).text.splitlines())
    (two,) = (json.loads(line) for line in with_workers(0, "metrics", "--procs", 2, *measure).splitlines())
    assert one["value"] == pytest.approx(two["value"], rel=1e-4)
    assert (one["num_fake"], one["num_real"]) == (two["num_fake"], two["num_real"])


def test_what_one_worker_does(model_file):
    assert_refused(sg("metrics", "--procs", 2, "plot", "x"), 2, "the work of one")
    assert_refused(sg("generate", "--seeds", 0, "-m", model_file, "--show", "--procs", 2), 2, "--show")
