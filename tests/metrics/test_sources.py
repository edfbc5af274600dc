"""What metrics measure: pictures by number, labels, features and statistics from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sgcli.data.dataset import open_dataset
from sgcli.errors import FormatError, SgError, UsageError
from sgcli.metrics.open_source import check_comparable, open_source
from sgcli.metrics.sources import (
    SEEDS_APART,
    DataPictures,
    DrawnPictures,
    FeatureFile,
    StatisticsFile,
    usual_batch,
)
from sgcli.models.checkpoint import open_model
from sgcli.models.registry import build_network
from tests.cli import sg


@pytest.fixture
def drawn(model_file) -> DrawnPictures:
    source = open_source(model_file, batch=4)
    assert isinstance(source, DrawnPictures)
    return source


def test_pictures_depend_on_their_number_only(drawn, model_file):
    some = drawn.read(range(6))
    assert some.shape == (6, 3, 16, 16) and some.dtype == torch.uint8
    assert torch.equal(drawn.read(range(3, 6)), some[3:])
    other_batch = open_source(model_file, batch=1)
    assert (other_batch.read(range(6)).int() - some.int()).abs().max() <= 1
    assert not torch.equal(open_source(model_file, seed=1).read(range(6)), some)


def test_pictures_are_those_that_generate_draws(drawn, model_file, tmp_path):
    seeds = f"{SEEDS_APART}-{SEEDS_APART + 1}"
    sg("generate", "-m", model_file, "--seeds", seeds, "--noise", "random", "--format", "npy", "-o", tmp_path / "p.npy")
    generated = torch.from_numpy(np.load(tmp_path / "p.npy"))
    second = open_source(model_file, seed=1).read(range(2))
    assert ((generated * 127.5 + 128).clamp(0, 255).to(torch.uint8).int() - second.int()).abs().max() <= 1


def test_kept_pictures_are_the_drawn_ones(drawn, model_file):
    fresh = open_source(model_file).read(range(9))
    drawn.keep(4)
    assert torch.equal(drawn.read(range(2)), fresh[:2])
    drawn.keep(9)
    assert torch.equal(drawn.take(9), fresh)
    assert torch.equal(drawn.read([7, 1]), fresh[[7, 1]])
    drawn.G = None  # nothing needs to be drawn any more
    assert torch.equal(drawn.take(9), fresh)


def test_keys_change_with_what_is_drawn(model_file):
    keys = {open_source(model_file, seed=seed, truncation_psi=psi).key for seed in (0, 1) for psi in (1.0, 0.7)}
    assert len(keys) == 4
    assert open_source(model_file).key == open_source(model_file, batch=3).key


def test_diverged_models_are_refused(drawn):
    with torch.no_grad():
        drawn.G.synthesis.b16.torgb.bias.fill_(float("nan"))
    with pytest.raises(SgError, match="NaN"):
        drawn.read(range(1))


def test_labels_come_from_the_data_set(model_file, tmp_path):
    from sgcli.data.toyfaces import synthesize

    faces = synthesize(tmp_path / "faces.zip", count=6, size=16, seed=0)
    dataset = open_dataset(faces)
    specification = open_model(model_file).header["networks"]["G"]
    G = build_network({**specification, "c_dim": 3})
    dataset.label_dim, dataset._labels = 3, np.array([0, 0, 2, 2, 2, 2])
    labels = DrawnPictures(G, "G", labels_from=dataset).labels(list(range(300)))
    shares = labels.mean(dim=0)
    assert shares[1] == 0
    assert shares[2] == pytest.approx(2 / 3, abs=0.1)
    uniform = DrawnPictures(G, "G").labels(list(range(300)))
    assert uniform.mean(dim=0).numpy() == pytest.approx(np.full(3, 1 / 3), abs=0.1)


def test_some_pictures_of_a_data_set_are_spread_over_it(faces):
    source = open_source(faces)
    assert isinstance(source, DataPictures)
    assert list(source.numbers(4)) == [0, 12, 24, 36]
    assert list(source.numbers(48)) == list(range(48))
    assert torch.equal(source.take(4)[1], source.read([12])[0])
    assert source.count(None) == 48
    assert source.count(1000) == 48
    with pytest.raises(UsageError, match="48 pictures, at least 50"):
        source.count(1000, at_least=50)


def test_features_from_a_file(tmp_path):
    path = tmp_path / "f.npy"
    np.save(path, np.arange(12.0).reshape(4, 3))
    source = open_source(path)
    assert isinstance(source, FeatureFile) and source.features.shape == (4, 3)
    np.save(path, np.full((4, 3), np.nan))
    with pytest.raises(FormatError, match="NaN"):
        open_source(path)
    np.save(path, np.zeros((4, 3, 2)))
    with pytest.raises(FormatError, match=r"\[N, F\]"):
        open_source(path)


def test_statistics_from_a_file(tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))  # as other programs write it
    source = open_source(path)
    assert isinstance(source, StatisticsFile) and source.num == 0
    for mu, sigma in ((np.zeros(3), np.eye(4)), (np.zeros(3), np.full((3, 3), np.inf)), ("a", np.eye(3))):
        np.savez(path, mu=mu, sigma=sigma)
        with pytest.raises(FormatError):
            open_source(path)
    np.savez(path, mu=np.zeros(3))
    with pytest.raises(FormatError, match="mu and sigma"):
        open_source(path)


def test_other_paths_are_refused(tmp_path):
    with pytest.raises(SgError, match="no such file"):
        open_source(tmp_path / "nothing.zip")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(SgError):
        open_source(tmp_path / "text.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SgError, match="no images"):
        open_source(Path(tmp_path / "empty"))


def test_colour_must_be_the_same(faces, drawn, capsys):
    real = open_source(faces)
    check_comparable(real, drawn)
    assert capsys.readouterr().err == ""
    drawn.num_channels = 1
    with pytest.raises(SgError, match="greyscale"):
        check_comparable(real, drawn)


def test_small_pictures_are_computed_many_at_a_time():
    assert [usual_batch(side) for side in (4, 32, 64, 128, 1024)] == [64, 64, 64, 16, 16]
