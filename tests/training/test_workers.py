"""`sg train --procs 2` and torchrun, as processes: what is lost when a worker is, and what the others say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgcli.models.checkpoint import kimg_of
from tests.cli import assert_refused, sg, sg_process

SMALL = [
    "--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2,
    "--snap", 0.016, "--name", "run",
]  # fmt: skip
SECONDS = 240


def start(faces, outdir, *more, patience: float = 60, procs: int = 2) -> subprocess.Popen:
    environment = {**os.environ, "SG_PATIENCE": str(patience), "OMP_NUM_THREADS": "1"}
    return sg_process("train", faces, *SMALL, "--outdir", outdir, "--procs", procs, *more, env=environment)


def wait_for_state(run: Path) -> None:
    end = time.monotonic() + SECONDS
    while not list((run / "state").glob("*.016.safetensors")):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def workers_of(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sorted(map(int, children))


def newest_state(run: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted((run / "state").glob("*.safetensors"), key=kimg_of)[-1])


def test_a_worker_that_is_killed(faces, tmp_path):
    process = start(faces, tmp_path, "--kimg", 1000)
    run = Path(process.stdout.readline().decode().strip())
    wait_for_state(run)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    started = time.monotonic()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert time.monotonic() - started < 60
    assert b"worker 1 of 2 was killed (SIGKILL)" in err and b"--resume auto" in err
    assert b"worker 0 of 2 lost another one at" in err
    assert b"Traceback" not in err
    # With another number of workers it goes on from the newest snapshot.
    nimg = round(1000 * float(sorted((run / "state").glob("*.safetensors"), key=kimg_of)[-1].stem))
    result = sg("train", faces, *SMALL, "--outdir", tmp_path, "--resume", "auto", "--kimg", (nimg + 8) / 1000)
    assert result.status == 0, result.err
    assert Path(result.text.strip()) == run


@pytest.mark.slow
def test_a_worker_that_hangs(faces, tmp_path):
    process = start(faces, tmp_path, "--kimg", 1000, patience=8)
    run = Path(process.stdout.readline().decode().strip())
    wait_for_state(run)
    stopped = workers_of(process)[1]
    os.kill(stopped, signal.SIGSTOP)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert b"error: worker 0 of 2 waited" in err and b"worker 1 was last seen at '" in err
    assert b"hint: " in err and b"Traceback" not in err
    assert not Path(f"/proc/{stopped}").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_reach_all_workers(number, status, faces, tmp_path):
    process = start(faces, tmp_path, "--kimg", 1000)
    run = Path(process.stdout.readline().decode().strip())
    wait_for_state(run)
    process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == status, err
    assert err.count(b"everything is saved") == 1
    assert b"Traceback" not in err and b"lost" not in err


@pytest.mark.slow
def test_the_launcher_that_is_killed(faces, tmp_path):
    """Workers whose launcher is gone save and end, and do not train on unseen."""
    process = start(faces, tmp_path, "--kimg", 1000, patience=8)
    run = Path(process.stdout.readline().decode().strip())
    wait_for_state(run)
    workers = workers_of(process)
    process.kill()
    end = time.monotonic() + SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end, "the workers train on"
        time.sleep(0.1)


@pytest.mark.slow
def test_two_machines_under_torchrun(faces, tmp_path):
    """Two agents with a worker each, on ports of this machine, compute what `--procs 2` computes."""
    whole = start(faces, tmp_path / "procs", "--kimg", 0.032)
    out, err = whole.communicate(timeout=SECONDS)
    assert whole.returncode == 0, err
    agents = []
    for rank in range(2):
        torchrun = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", 2, "--node-rank", rank, "--nproc-per-node", 1,
            "--master-addr", "127.0.0.1", "--master-port", 29517, "-m", "sgcli",
        ]  # fmt: skip
        command = [*torchrun, "train", faces, *SMALL, "--outdir", tmp_path / "torchrun", "--kimg", 0.032]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        agents.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, env=environment))
    paths = [agent.communicate(timeout=SECONDS)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0]
    assert paths[1] == b""  # worker 0 alone prints and writes
    one, two = newest_state(Path(out.decode().strip())), newest_state(Path(paths[0].decode().strip()))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_workers_that_cannot_share_a_batch(faces, tmp_path):
    refused = sg("train", faces, *SMALL, "--outdir", tmp_path, "--procs", 3)
    assert_refused(refused, 2, "--batch 8 cannot be dealt to 3 workers", "--batch 9")
    refused = sg("train", faces, *SMALL, "--outdir", tmp_path, "--procs", 2, "--batch-gpu", 3)
    assert_refused(refused, 2, "of which each of 2 workers has 4", "--batch-gpu 4")
    assert not list(tmp_path.iterdir())


def test_a_run_whose_groups_do_not_fit(faces, tmp_path):
    assert sg("train", faces, *SMALL, "--outdir", tmp_path, "--kimg", 0.008).status == 0
    refused = sg("train", "--resume", tmp_path / "00000-run", "--kimg", 0.016, "--procs", 4)
    assert_refused(refused, 2, "compares groups of 4 pictures, micro-batches of 2 hold none", "--batch-gpu 4")
