"""Bad days: each test brings one about, and looks at what is left.

A full disk and two runs at once: tests/commands/test_train.py. Lost workers: test_workers.py.
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from sgcli.data.dataset import ImageDataset, open_dataset
from sgcli.files import cache_folder
from sgcli.models.checkpoint import newest_model, open_model
from sgcli.training.batches import Batches
from sgcli.training.config import resolve_config
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


@pytest.mark.parametrize(
    ("free", "asked", "chosen"),
    [
        (100e8, {"batch": 8, "batch_gpu": "auto"}, {"batch_gpu": 8}),
        (100e8, {"batch": "auto"}, {"batch": 64}),
        (33e8, {"batch": "auto"}, {"batch": 32}),
        (32e8, {"batch": "auto"}, {"batch": 16}),
        (17e8, {"batch": 64, "batch_gpu": "auto"}, {"batch_gpu": 16}),
        (17e8, {"batch": "auto", "batch_gpu": "auto"}, {"batch": 16, "batch_gpu": 16}),
        (3e8, {"batch": 8, "batch_gpu": "auto"}, {"batch_gpu": 2}),
        (17e8, {"batch": "auto", "batch_gpu": 3}, {"batch": 48}),
    ],
)
def test_sizes_that_fit(free, asked, chosen, faces, monkeypatch):
    from sgcli.distributed.group import ALONE
    from sgcli.training import preflight

    phases = ("Gmain", "Greg", "Dmain", "Dreg")
    monkeypatch.setattr(preflight, "measure", lambda *_: {n: dict.fromkeys(phases, n * 10**8) for n in (2, 4)})
    monkeypatch.setattr(preflight, "state_bytes", lambda config: 10**8)
    monkeypatch.setattr(preflight, "USABLE", {"cpu": 1.0})
    monkeypatch.setattr(preflight, "PROCESS_BYTES", 0)
    monkeypatch.setattr(preflight, "free_memory", lambda device, workers: int(free))
    data = {"resolution": 16, "num_channels": 3, "label_dim": 0}
    resolve = functools.partial(resolve_config, "sg2", data, tiny=True)
    found, lines = preflight.choose_sizes(resolve, asked, torch.device("cpu"), ALONE, 1, 1)
    assert found == chosen
    assert [line.split(":")[0] for line in lines] == [*phases] and all(line.endswith(" GB") for line in lines)


def test_a_disk_that_is_full_as_safetensors_tells_it(faces, tmp_path, monkeypatch):
    save_file, saved = safetensors.torch.save_file, []

    def fill(tensors, path, metadata):
        saved.append(path)
        if len(saved) > 4:
            Path(path).write_bytes(b"half of it")
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        save_file(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", fill)
    result = train(faces, tmp_path, "--kimg", 1, "--snap", 0.008)
    assert result.status == 1
    assert "the disk is full" in result.err and "hint: free some space" in result.err and "defect" not in result.err
    assert is_sound(tmp_path / "00000-run")


def test_sizes_that_nothing_fits(faces, tmp_path, monkeypatch):
    from sgcli.training import preflight

    monkeypatch.setattr(preflight, "free_memory", lambda device, workers: 10**4)
    assert_refused(train(faces, tmp_path, "--batch-gpu", "auto", "--dry-run"), 1, "not even one picture", "--tiny")
    assert_refused(train(faces, tmp_path, "--batch", "some"), 2, "a number from 1 on, or auto")
    assert_refused(train(faces, tmp_path, "--batch-gpu", 0), 2, "a number from 1 on, or auto")


def test_measuring_memory_changes_nothing(faces, tmp_path):
    for name, size in (("auto", "auto"), ("plain", 8)):
        assert train(faces, tmp_path, "--batch-gpu", size, "--kimg", 0.016, name=name).status == 0
    one, two = (load_file(tmp_path / f"0000{n}" / "state" / "000000.016.safetensors") for n in ("0-auto", "1-plain"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    again = train(faces, tmp_path, "--batch", "auto", "--kimg", 0.024, "--resume", "auto", name="plain")
    assert again.status == 0, again.err  # the run's own batch


def test_memory_that_ends_while_it_is_measured(faces, monkeypatch):
    from sgcli.training import preflight

    run_once, phases = preflight.run_once, ("Gmain", "Greg", "Dmain", "Dreg")
    kept = {1: 5, 2: 10, 4: 20}  # what is known before anything is tried
    monkeypatch.setattr(preflight, "phase_bytes", lambda config, size: dict.fromkeys(phases, kept[size]))

    def run_out(phase, config, size, device):
        if size > 2 and phase.name == "Greg":
            raise MemoryError
        return run_once(phase, config, size, device)

    options = {"channel_base": 128, "channel_max": 8, "batch": 4}
    config = resolve_config("sg2", open_dataset(faces).describe(), options, tiny=True)
    whole = preflight.measure(config, torch.device("cpu"), 20)
    assert [tuple(whole[size]) for size in (2, 4)] == [phases, phases]
    assert all(whole[2][name] < whole[4][name] for name in phases)
    assert list(preflight.measure(config, torch.device("cpu"), 19)) == [1, 2]
    assert list(preflight.measure(config, torch.device("cpu"), 9)) == [1]
    assert preflight.measure(config, torch.device("cpu"), 4) == {}
    monkeypatch.setattr(preflight, "run_once", run_out)
    assert list(preflight.measure(config, torch.device("cpu"), 20)) == [2]


@pytest.mark.slow
def test_a_run_stays_within_what_was_free(faces, tmp_path, monkeypatch):
    """By the peak of resident memory, in a process of its own."""
    free = 300 << 20
    script = (
        "import resource, sys; from sgcli.training import preflight; from sgcli.__main__ import run\n"
        "import torch, sgcli.training.loop, sgcli.commands.train, torch.profiler\n"
        f"preflight.free_memory = lambda device, workers: {free}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "status = run(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)\n"
        "sys.exit(status)\n"
    )
    arguments = ["train", faces, "--tiny", "--batch", 1024, "--batch-gpu", "auto", "--kimg", 1.024]
    command = [sys.executable, "-c", script, *arguments, "--outdir", tmp_path, "--name", "run"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    config = json.loads((tmp_path / "00000-run" / "config.json").read_text())
    assert 4 < config["batch_gpu"] < 1024
    grown = int(result.stdout.split()[-1])
    assert 0.3 * free < grown < free, (config["batch_gpu"], grown, result.stderr)


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
