"""Bad days: each test brings one about, and looks at what is left.

A full disk and two runs at once: tests/commands/test_train.py. Lost workers: test_workers.py.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from sgcli.data.dataset import ImageDataset
from sgcli.files import cache_folder
from sgcli.models.checkpoint import newest_model, open_model
from sgcli.training.batches import Batches
from sgcli.training.phases import Objectives
from tests.cli import assert_refused, sg, sg_process

SMALL = ["--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2]


def train(data, outdir, *more, name="run"):
    return sg("train", data, *SMALL, "--outdir", outdir, "--name", name, *more)


def is_sound(run: Path) -> bool:
    """Whether the newest model opens, holds finite numbers, and nothing half-written lies about."""
    G = open_model(newest_model(run)).load("G_ema")
    assert not list(run.rglob("*.tmp"))
    return all(bool(tensor.isfinite().all()) for tensor in G.state_dict().values())


@pytest.fixture
def folder(faces, tmp_path, monkeypatch):
    """Pictures that are read from the disk every time: kept in memory, they cannot be lost any more."""
    monkeypatch.setattr(ImageDataset, "_from_cache", lambda self, rows, cache: self._decode(rows))
    shutil.unpack_archive(faces, tmp_path / "set")
    return tmp_path / "set"


def test_files_that_are_lost_during_training(folder, tmp_path, monkeypatch):
    pictures = sorted(folder.rglob("*.png"))
    read, reads = ImageDataset.images, []

    def lose(self, indices):
        reads.append(indices)
        if len(reads) == 2:  # the first are for reals.png
            pictures[3].unlink()
            pictures[7].write_bytes(pictures[7].read_bytes()[:100])
        return read(self, indices)

    monkeypatch.setattr(ImageDataset, "images", lose)
    result = train(folder, tmp_path, "--kimg", 0.112)  # every picture comes twice
    assert result.status == 0, result.err
    warnings = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2, result.err
    assert any(pictures[3].name in line and "the next picture takes its place" in line for line in warnings)
    assert is_sound(tmp_path / "00000-run")


def test_a_disk_that_goes_away_during_training(folder, tmp_path, monkeypatch):
    at, reads = Batches.at, []

    def pull_the_plug(self, nimg):
        reads.append(nimg)
        if len(reads) == 2:
            shutil.rmtree(folder)
        return at(self, nimg)

    monkeypatch.setattr(Batches, "at", pull_the_plug)
    result = train(folder, tmp_path, "--kimg", 1)
    assert result.status == 1
    assert "No such file" in result.err and "Traceback" not in result.err
    assert is_sound(tmp_path / "00000-run")


def test_gradients_that_are_not_numbers(faces, tmp_path, monkeypatch):
    loss, calls = Objectives.generator_main, []

    def break_once(self, micro):
        calls.append(micro)
        return loss(self, micro) * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr(Objectives, "generator_main", break_once)
    result = train(faces, tmp_path, "--kimg", 0.04)
    assert result.status == 0, result.err
    assert len(calls) == 5
    assert is_sound(tmp_path / "00000-run")


@pytest.mark.parametrize("error", [RuntimeError("the reader broke"), MemoryError(), SystemExit(3)], ids=repr)
def test_a_reader_that_dies(error, faces, tmp_path, monkeypatch):
    read = Batches._read

    def die(self, nimg):
        if nimg >= 16:
            raise error
        return read(self, nimg)

    monkeypatch.setattr(Batches, "_read", die)
    result = train(faces, tmp_path, "--kimg", 0.08)
    assert result.status in (1, 3)
    assert "Traceback" not in result.err
    monkeypatch.undo()
    assert is_sound(tmp_path / "00000-run")
    assert sg("train", "--resume", tmp_path / "00000-run", "--kimg", 0.008).status == 0


@pytest.mark.parametrize("phase", ["generator_path_length", "discriminator_r1"])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")], ids=repr)
def test_memory_that_does_not_suffice(phase, error, faces, tmp_path, monkeypatch):
    compute = getattr(Objectives, phase)

    def run_out(self, micro):
        loss = compute(self, micro)
        if len(micro.latents) > 4:
            raise error
        return loss

    monkeypatch.setattr(Objectives, phase, run_out)
    result = train(faces, tmp_path, "--kimg", 0.016)
    assert result.status == 0, result.err
    assert "micro-batches of 4 instead of 8 from here on" in result.err
    config = json.loads((tmp_path / "00000-run" / "config.json").read_text())
    assert (config["batch"], config["batch_gpu"], config["D"]["mbstd_group_size"]) == (8, 4, 4)
    monkeypatch.undo()
    assert sg("train", "--resume", tmp_path / "00000-run", "--kimg", 0.024).status == 0


def test_memory_for_not_even_one_group(faces, tmp_path, monkeypatch):
    def run_out(self, micro):
        raise MemoryError

    monkeypatch.setattr(Objectives, "discriminator_main", run_out)
    result = train(faces, tmp_path, "--kimg", 0.016)
    assert result.status == 1
    assert "out of memory in Dmain with micro-batches of 4" in result.err and "hint: " in result.err


def test_halving_leaves_the_gradient_as_it_was(faces):
    """The same pictures in micro-batches of 8 and of 4: without the groups of minibatch stddev, the same mean."""
    from sgcli.distributed.group import Group
    from tests.training.test_distributed import gradients

    whole = gradients(Group(), str(faces), "sg2", {"batch_gpu": 8})
    halved = gradients(Group(), str(faces), "sg2", {"batch_gpu": 4})
    for name in ("Gmain", "Dmain", "Dreg"):
        assert torch.nn.functional.cosine_similarity(whole[name], halved[name], dim=0) > 0.98


def test_a_clock_that_goes_backwards(faces, tmp_path, monkeypatch):
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    assert train(faces, tmp_path, "--kimg", 0.016, "--snap", 0.008).status == 0
    result = train(faces, tmp_path, "--kimg", 0.024, "--resume", "auto")
    assert result.status == 0, result.err
    stats = [json.loads(line) for line in (tmp_path / "00000-run" / "stats.jsonl").read_text().splitlines()]
    assert [line["Progress/nimg"] for line in stats] == [8, 16, 24]
    assert all(line["Timing/sec_per_kimg"]["mean"] > 0 for line in stats)


@pytest.mark.parametrize("cache", ["/proc/nowhere", "a file"])
def test_a_cache_that_cannot_be_written(cache, faces, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SG_CACHE_DIR", cache if cache.startswith("/") else str(tmp_path / "file"))
    assert cache_folder() is None
    result = train(faces, tmp_path / "runs", "--kimg", 0.008)
    assert result.status == 0, result.err


def test_no_home(faces, tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_CACHE_HOME", "SG_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert train(faces, tmp_path / "runs", "--kimg", 0.008).status == 0


def test_paths_with_spaces_and_other_letters(faces, tmp_path):
    place = tmp_path / "мои лица 猫 & $(x) 'q'"
    place.mkdir()
    data = shutil.copy(faces, place / "ли ца.zip")
    result = train(data, place / "runs", "--kimg", 0.008, name="пробный 走る")
    assert result.status == 0, result.err
    run = Path(result.text.strip())
    assert run == place / "runs" / "00000-пробный 走る"
    assert sg("train", "--resume", run, "--kimg", 0.016).status == 0
    result = sg("generate", "--seeds", 0, "-m", run, "-o", place / "a b.png")
    assert result.status == 0, result.err
    assert (place / "a b.png").exists()


def test_sizes_that_fit(faces, tmp_path, monkeypatch):
    from sgcli.training import preflight

    result = train(faces, tmp_path, "--batch-gpu", "auto", "--dry-run")
    assert json.loads(result.text)["config"]["batch_gpu"] == 8
    assert all(f"{phase}: " in result.err for phase in ("Gmain", "Greg", "Dmain", "Dreg"))
    result = train(faces, tmp_path, "--batch", "auto", "--dry-run")
    assert json.loads(result.text)["config"]["batch"] == 64
    result = train(faces, tmp_path, "--batch", 64, "--batch-gpu", "auto", "--dry-run")
    assert json.loads(result.text)["config"]["batch_gpu"] == 64
    most = max(float(number) for number in re.findall(r": ([\d.e-]+) GB", result.err)) * 1e9
    monkeypatch.setattr(preflight, "free_memory", lambda device, workers: int(most))
    result = train(faces, tmp_path, "--batch", 64, "--batch-gpu", "auto", "--dry-run")
    config = json.loads(result.text)["config"]
    assert config["batch"] == 64 and 4 <= config["batch_gpu"] < 64
    monkeypatch.setattr(preflight, "free_memory", lambda device, workers: 10**4)
    assert_refused(train(faces, tmp_path, "--batch-gpu", "auto", "--dry-run"), 1, "not even one picture", "--tiny")
    assert_refused(train(faces, tmp_path, "--batch", "some"), 2, "a number from 1 on, or auto")
    assert_refused(train(faces, tmp_path, "--batch-gpu", 0), 2, "a number from 1 on, or auto")


@pytest.mark.slow
@pytest.mark.parametrize("batch_of_runs", range(5))
def test_signals_at_random_moments(batch_of_runs, faces, tmp_path):
    """Ten runs, fifty in all: the newest snapshot opens and resumes, and nothing is half-written."""
    rng = random.Random(batch_of_runs)
    for number in range(10):
        name = f"r{number}"
        process = sg_process(
            "train", faces, *SMALL, "--kimg", 1000, "--snap", 0.016, "--outdir", tmp_path, "--name", name
        )
        run = Path(process.stdout.readline().decode().strip())
        time.sleep(rng.uniform(0, 3))
        how = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
        assert process.returncode == (-9 if how == signal.SIGKILL else 128 + how), err
        assert b"Traceback" not in err
        if how == signal.SIGKILL:  # the operating system gives no chance to clean up; names begin with a dot
            leftovers = list(run.rglob("*.tmp"))
            assert len(leftovers) <= 1 and all(path.name.startswith(".") for path in leftovers)
            for path in leftovers:
                path.unlink()
        if not list(run.glob("model-*")):
            continue  # killed before the first snapshot was whole
        assert is_sound(run)
        if not list((run / "state").glob("0*")):
            continue  # killed between the first model and the first state
        nimg = round(1000 * float(sorted((run / "state").glob("0*"), key=os.path.getmtime)[-1].stem))
        again = sg("train", "--resume", run, "--kimg", (nimg + 8) / 1000)
        assert again.status == 0, again.err
