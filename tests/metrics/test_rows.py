"""Rows in blocks: what was stopped goes on, workers share; and every metric of the registry does both."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgcli.distributed.group import ALONE, Group
from sgcli.errors import SgError
from sgcli.features.classifier import Classifier, Panel
from sgcli.features.extractors import Extractor, Protocol, RandomNetwork
from sgcli.metrics import equivariance, feature_store, job, ppl, rows, separability, spectrum
from sgcli.metrics.job import Job
from sgcli.metrics.open_source import open_source
from sgcli.metrics.registry import METRICS, Metric
from sgcli.metrics.results import Value
from sgcli.metrics.rows import compute_rows, forget_finished, key_of
from sgcli.models.checkpoint import save_model
from sgcli.models.registry import build_network, resolve
from tests.distributed.in_processes import run_in_group

NUM = 12  # pictures, in blocks of 4
NAMES = [*METRICS, "separability", "spectrum"]


# ----- the mechanism


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    shrink(monkeypatch.setattr, tmp_path / "cache")
    return tmp_path / "cache"


def shrink(set_attribute: Any, cache: Path) -> None:
    """Small blocks, a cache of one's own, and a distance that needs no weights."""
    for module in (rows, feature_store):
        set_attribute(module, "cache_folder", lambda: cache)
    for module in (rows, job):
        set_attribute(module, "BLOCK_ROWS", 4)
    set_attribute(equivariance, "BLOCK", 4)
    set_attribute(ppl, "perceptual_distance", lambda *_: ppl.squared_difference)
    set_attribute(ppl, "MIN_LPIPS_SIDE", 1)


class Squares:
    """Computes n² for number n, and notes which were asked for; `fails` at one of them."""

    def __init__(self, fails: int | None = None):
        self.fails, self.seen = fails, []

    def __call__(self, start: int, stop: int) -> np.ndarray:
        if self.fails in range(start, stop):
            raise KeyboardInterrupt
        self.seen += range(start, stop)
        return np.square(np.arange(start, stop, dtype=np.float64))


def test_whole_blocks_survive_a_stop(cache, capsys):
    key = key_of("squares")
    with pytest.raises(KeyboardInterrupt):
        compute_rows("squares", 10, Squares(fails=6), key=key)
    again = Squares()
    assert compute_rows("squares", 10, again, key=key).tolist() == [n * n for n in range(10)]
    assert again.seen == [4, 5, 6, 7, 8, 9]
    assert "squares: 4 of 10 are there already" in capsys.readouterr().err
    forget_finished()
    assert not list(cache.rglob("*.npy"))


def test_damaged_blocks_are_computed_again(cache, capsys):
    key = key_of("squares")
    whole = compute_rows("squares", 10, Squares(), key=key)
    first, second, _ = sorted(cache.rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:40])
    np.save(second, np.full(4, np.nan))
    again = Squares()
    assert np.array_equal(compute_rows("squares", 10, again, key=key), whole)
    assert again.seen == list(range(8))
    assert capsys.readouterr().err.count("damaged, computed again") == 2


def test_what_is_not_known_well_enough_is_not_stored(cache):
    assert key_of("squares", None) is None
    compute_rows("squares", 10, Squares(), key=None)
    assert not cache.exists()


def test_a_full_disk_does_not_stop_the_work(monkeypatch, capsys):
    def full(path):
        raise SgError(f"{path}: no space left")

    monkeypatch.setattr(rows, "atomic_path", full)
    assert compute_rows("squares", 10, Squares(), key=key_of("squares"))[9] == 81
    assert capsys.readouterr().err.count("no space left") == 1


# ----- all metrics


@pytest.fixture(scope="module")
def models(model_file, tmp_path_factory) -> tuple[Path, Path]:
    """A StyleGAN2 and a StyleGAN3."""
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 128, "channel_max": 8}
    networks = {"G": {**resolve("sg3-t", tiny=True).G, **sizes, "z_dim": 12, "w_dim": 10}}
    path = tmp_path_factory.mktemp("sg3") / "sg3.safetensors"
    save_model(path, {"G_ema": build_network(networks["G"])}, {"arch": "sg3-t", "networks": networks, "kimg": 1})
    return model_file, path


class Measuring:
    """One metric, measured once. Counts the pictures that the model draws, and is interrupted after `most`."""

    def __init__(self, name: str, models: tuple[Path, Path], faces: Path, group: Group = ALONE, most: float = np.inf):
        self.drawn, self.most = 0, most
        path = models[name.startswith("eq-")]
        self.job = Job(open_source(path, batch=2), open_source(faces), num=NUM, group=group)
        self.job.extractors = {name: random_extractor(name) for name in ("inception", "vgg")}
        self.job.G.synthesis.register_forward_pre_hook(self.count)
        self.values = [(value.number, value.facts) for value in metric_of(name, path).measure(self.job, NUM)]
        forget_finished()
        group.wait()

    def count(self, module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.drawn += len(inputs[0])
        if self.drawn > self.most:
            raise KeyboardInterrupt


def metric_of(name: str, model: Path) -> Metric:
    """Of the registry, or of a subcommand without a row there."""
    if name == "separability":
        judge = Classifier(model, ["bright", "red"], None, 3, lambda images: images.mean(dim=(2, 3))[:, :2])
        return Metric(name, partial(separability.measure, panel=Panel([judge])), NUM)
    if name == "spectrum":
        return Metric(name, measure_spectrum, NUM)
    return METRICS[name]


def measure_spectrum(job: Job, num: int) -> list[Value]:
    pictures = job.pictures("fake")
    found = spectrum.average_spectrum(pictures, num, *spectrum.pixel_statistics(pictures, num, job.rows()), job.rows())
    return [Value(float(found.power.sum()), {"radial": found.radial().tolist()})]


def random_extractor(name: str) -> Extractor:
    network = RandomNetwork()
    classes = lambda features: features.softmax(dim=1)  # noqa: E731
    return Extractor(name, "random", Protocol.named("nvidia"), torch.device("cpu"), network, classes)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_goes_on_after_a_stop(name, models, faces, tmp_path, monkeypatch, capsys):
    whole = Measuring(name, models, faces)
    shrink(monkeypatch.setattr, tmp_path / "another cache")
    with pytest.raises(KeyboardInterrupt):
        Measuring(name, models, faces, most=whole.drawn // 2)
    capsys.readouterr()
    again = Measuring(name, models, faces)
    assert "are there already" in capsys.readouterr().err
    assert 0 < again.drawn < whole.drawn
    assert again.values == whole.values


def fail(rank: int, start: int, stop: int) -> np.ndarray:
    if rank == 1:
        raise SgError("worker 1 cannot")
    return np.zeros(stop - start)


def measure_all(group: Group, models: tuple[Path, Path], faces: Path, cache: Path) -> dict:
    shrink(setattr, cache)
    found = {name: Measuring(name, models, faces, group) for name in NAMES}
    message = ""
    try:  # one fails, and none waits for it
        compute_rows("squares", 10, partial(fail, group.rank), group=group)
    except Exception as error:
        message = str(error)
    assert message == "worker 1 cannot", message
    return {name: (one.values, one.drawn) for name, one in found.items()}


def test_two_workers_find_what_one_does(models, faces, tmp_path):
    (first, second) = run_in_group(measure_all, 2, models, faces, tmp_path / "theirs")
    for name in NAMES:
        one = Measuring(name, models, faces)
        assert first[name][0] == second[name][0] == one.values, name
        drawn = [first[name][1], second[name][1]]
        assert max(drawn) < one.drawn, f"{name}: two workers drew {drawn} pictures, one {one.drawn}"
