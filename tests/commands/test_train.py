"""`sg train`: runs, exact resume, refusals, signals, experiments from a shell."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgcli.models.checkpoint import kimg_of
from tests.cli import assert_refused, sg, sg_process

SMALL = ["--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2]


def train(data, outdir, *more, name="run"):
    return sg("train", data, *SMALL, "--outdir", outdir, "--name", name, *more)


def newest(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern), key=kimg_of)[-1]


def test_a_run_has_everything(faces, tmp_path):
    result = train(faces, tmp_path, "--kimg", 0.032, "--snap", 0.016)
    assert result.status == 0, result.err
    run = Path(result.text.strip())
    assert run == tmp_path / "00000-run"
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    for kimg in ("000000", "000000.016", "000000.032"):
        assert {f"model-{kimg}.safetensors", f"fakes-{kimg}.png"} <= names
    assert {"config.json", "log.txt", "stats.jsonl", "reals.png"} <= names
    assert len(list((run / "state").iterdir())) == 2  # the newest two
    config = json.loads((run / "config.json").read_text())
    assert (config["batch"], config["kimg"], config["G"]["z_dim"]) == (8, 0.032, 8)
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert lines[-1]["Progress/nimg"] == 32
    assert lines[-1]["Loss/G/loss"]["num"] > 0
    assert "r_t" in result.err and "kimg    0.032  " in result.err


def test_resume_gives_the_same_bits(faces, tmp_path):
    """Training to 128 images equals training to 64, stopping, and going on: networks, average, optimisers."""
    assert train(faces, tmp_path, "--kimg", 0.128, name="whole").status == 0
    assert train(faces, tmp_path, "--kimg", 0.064, name="parts").status == 0
    result = sg("train", "--resume", tmp_path / "00001-parts", "--kimg", 0.128)
    assert result.status == 0, result.err
    whole, parts = (
        load_file(newest(tmp_path / name / "state", "*.safetensors")) for name in ("00000-whole", "00001-parts")
    )
    assert whole.keys() == parts.keys()
    assert any(key.startswith("opt_D/") for key in whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
    stats = [json.loads(line) for line in (tmp_path / "00001-parts" / "stats.jsonl").read_text().splitlines()]
    seen = [line["Progress/nimg"] for line in stats]
    assert seen == sorted(set(seen))


def test_micro_batches_change_only_rounding(faces, tmp_path):
    """Random draws belong to images, so that splitting a batch changes the sum's order, and stddev groups, only."""
    common = ["--kimg", 0.016, "--batch", 8, "--gamma", 1]
    assert train(faces, tmp_path, *common, name="whole").status == 0
    assert train(faces, tmp_path, *common, "--batch-gpu", 4, name="split").status == 0
    stats = [
        json.loads((tmp_path / name / "stats.jsonl").read_text().splitlines()[0])
        for name in ("00000-whole", "00001-split")
    ]
    for key in ("Loss/G/loss", "Loss/D/loss"):
        assert stats[0][key]["mean"] == pytest.approx(stats[1][key]["mean"], rel=0.05)


def test_resume_refuses_another_configuration(faces, tmp_path):
    train(faces, tmp_path, "--kimg", 0.016)
    run = tmp_path / "00000-run"
    result = sg("train", faces, "--resume", run, "--gamma", 3, "--batch", 16)
    assert_refused(result, 2, "r1_gamma: 0.0064 in the run, 3.0 now", "batch: 8 in the run, 16 now", "--init-from")


def test_resume_refuses_what_is_no_run(faces, tmp_path):
    assert_refused(sg("train", faces, "--resume", tmp_path / "none"), 1, "no such run")
    assert_refused(sg("train", faces, "--resume", tmp_path), 1, "not a run folder")


def test_resume_auto_starts_then_goes_on_then_rests(faces, tmp_path):
    first = train(faces, tmp_path, "--kimg", 0.016, "--resume", "auto")
    second = train(faces, tmp_path, "--kimg", 0.032, "--resume", "auto")
    third = train(faces, tmp_path, "--kimg", 0.032, "--resume", "auto")
    assert (first.status, second.status, third.status) == (0, 0, 0)
    assert first.text == second.text == third.text
    assert "nothing to do" in third.err


def test_skip_existing(faces, tmp_path):
    first = train(faces, tmp_path, "--kimg", 0.008, "--skip-existing")
    again = train(faces, tmp_path, "--kimg", 0.008, "--skip-existing")
    other = train(faces, tmp_path, "--kimg", 0.008, "--skip-existing", name="other")
    assert first.text == again.text != other.text
    assert len(list(tmp_path.iterdir())) == 2


def test_init_from_copies_what_fits(faces, tmp_path):
    train(faces, tmp_path, "--kimg", 0.008)
    result = train(faces, tmp_path, "--kimg", 0.001, "--init-from", tmp_path / "00000-run", name="next")
    assert "copied from" in result.err
    source, target = (load_file(newest(tmp_path / name, "model-*")) for name in ("00000-run", "00001-next"))
    start = load_file(tmp_path / "00001-next" / "model-000000.safetensors")
    assert torch.equal(start["G_ema/synthesis.b8.conv0.weight"], source["G_ema/synthesis.b8.conv0.weight"])
    assert not torch.equal(target["D/b8.conv0.weight"], source["D/b8.conv0.weight"])


def test_config_file_and_options_typed_over_it(faces, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"kimg": 0.008, "gamma": 2, "batch": 16}))
    result = train(faces, tmp_path, "--config", config, "--dry-run")
    plan = json.loads(result.text)["config"]
    assert (plan["r1_gamma"], plan["batch"], plan["kimg"]) == (2, 8, 0.008)
    config.write_text('{"gama": 2}')
    assert_refused(train(faces, tmp_path, "--config", config), 2, "'gama' is not a setting")
    config.write_text('{"batch": "many"}')
    assert_refused(train(faces, tmp_path, "--config", config), 2, "batch is 'many'", "int")
    config.write_text("{")
    assert_refused(train(faces, tmp_path, "--config", config), 1, "is not JSON")


def test_a_run_s_config_trains_it_again(faces, tmp_path):
    train(faces, tmp_path, "--kimg", 0.008, "--gamma", 2)
    result = sg(
        "train", faces, "--config", tmp_path / "00000-run" / "config.json", "--outdir", tmp_path, "--name", "again"
    )
    assert result.status == 0, result.err
    first, again = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("00000-run", "00001-again"))
    assert first == again


def test_dry_run_trains_nothing(faces, tmp_path):
    result = train(faces, tmp_path / "runs", "--kimg", 1, "--dry-run")
    plan = json.loads(result.text)
    assert plan["estimate"]["g_parameters"] > 1000
    assert all(value > 0 for value in plan["estimate"].values())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("connection", ["orig", "skip", "resnet"])
def test_connections_train(connection, faces, tmp_path):
    result = train(faces, tmp_path, "--kimg", 0.008, "--g-connection", connection, "--d-connection", connection)
    assert result.status == 0, result.err


def test_conditional(faces, tmp_path):
    folder = tmp_path / "classes"
    shutil.unpack_archive(faces, folder)
    (folder / "dataset.json").unlink()
    pictures = sorted(folder.rglob("*.png"))
    for number, picture in enumerate(pictures):
        place = folder / ("cats" if number % 3 else "dogs")
        place.mkdir(exist_ok=True)
        picture.rename(place / picture.name)
    result = train(folder, tmp_path, "--kimg", 0.016, "--cond", "--labels", "subfolders")
    assert result.status == 0, result.err
    config = json.loads((tmp_path / "00000-run" / "config.json").read_text())
    assert config["G"]["c_dim"] == config["D"]["c_dim"] == 2
    assert_refused(train(faces, tmp_path, "--cond"), 2, "has no labels", "--labels subfolders")


def test_grey_and_alpha_train(tmp_path):
    from PIL import Image

    for mode, channels in (("L", 1), ("RGBA", 4)):
        folder = tmp_path / mode
        folder.mkdir()
        for number in range(8):
            Image.new(mode, (16, 16), number if mode == "L" else (number, 2, 3, 200)).save(folder / f"{number}.png")
        result = train(folder, tmp_path / "runs", "--kimg", 0.008, name=mode)
        assert result.status == 0, result.err
        run = Path(result.text.strip())
        assert json.loads((run / "config.json").read_text())["G"]["img_channels"] == channels
        assert Image.open(run / "fakes-000000.png").mode == mode


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_everything(number, status, faces, tmp_path):
    process = sg_process("train", faces, *SMALL, "--kimg", 1000, "--outdir", tmp_path, "--name", "long")
    run = Path(process.stdout.readline().decode().strip())
    wait_until(lambda: (run / "stats.jsonl").exists())
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert b"everything is saved" in err and b"--resume" in err
    assert b"Traceback" not in err
    nimg = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])["Progress/nimg"]
    assert (
        newest(run, "model-*").name
        == f"model-{nimg // 1000:06d}" + (f".{nimg % 1000:03d}" if nimg % 1000 else "") + ".safetensors"
    )
    again = sg("train", "--resume", run, "--kimg", (nimg + 8) / 1000)
    assert again.status == 0, again.err


def test_two_runs_start_at_once(faces, tmp_path):
    processes = [
        sg_process("train", faces, *SMALL, "--kimg", 0.008, "--outdir", tmp_path, "--name", "same") for _ in range(2)
    ]
    runs = {process.communicate(timeout=100)[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert {Path(run.decode().strip()).name for run in runs} == {"00000-same", "00001-same"}


def test_one_run_is_not_trained_twice_at_once(faces, tmp_path):
    process = sg_process("train", faces, *SMALL, "--kimg", 1000, "--outdir", tmp_path, "--name", "busy")
    run = Path(process.stdout.readline().decode().strip())
    wait_until(lambda: list((run / "state").glob("*.safetensors")))
    try:
        assert_refused(sg("train", "--resume", run), 1, "another process is training in it")
    finally:
        process.kill()
        process.communicate()


def test_bad_data_is_refused_before_a_run_exists(faces, tmp_path):
    runs = tmp_path / "runs"
    (tmp_path / "empty").mkdir()
    assert_refused(train(tmp_path / "empty", runs), 1, "empty")
    assert_refused(train(tmp_path / "missing", runs), 1, "missing")
    half = tmp_path / "half.zip"
    half.write_bytes(faces.read_bytes()[: faces.stat().st_size // 2])
    assert_refused(train(half, runs), 1, "half.zip")
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.png").write_text("not a picture")
    assert_refused(train(text, runs), 1, "a.png")
    assert not runs.exists()


def test_bad_options(faces, tmp_path):
    assert_refused(train(faces, tmp_path, "--arch", "sg22"), 2, "unknown architecture", "--arch sg2")
    assert_refused(train(faces, tmp_path, "--batch", 8, "--batch-gpu", 3), 2, "--batch-gpu 3")
    assert_refused(train(faces, tmp_path, "--device", "tpu9"), 2, "--device tpu9")
    assert_refused(train(faces, tmp_path, "--precision", "int4"), 2, "--precision int4")
    assert_refused(train(faces, tmp_path, "--g-connection", "dense"), 2, "dense")
    assert_refused(train(faces, tmp_path, name="a/b"), 2, "--name")
    assert_refused(sg("train"), 2, "DATA is missing")


def test_words_are_looked_at_before_the_data(tmp_path):
    def refuse(*more, words):
        assert_refused(sg("train", tmp_path / "missing", *more), 2, *words)

    refuse("--arch", "sg22", words=["unknown architecture"])
    refuse("--aug", "some", words=["--aug some"])
    refuse("--aug", "ada", "--aug-pipe", "all", words=["--aug-pipe all"])
    refuse("--precision", "int4", words=["--precision int4"])
    refuse("--metrics", "nope", "--dry-run", words=["'nope' is not a metric"])
    refuse("--metrics", "swd8", "--keep-best", "swd", "--batch", "auto", words=["--metrics gives swd8"])


def test_a_subset_larger_than_the_data_is_mentioned(faces, tmp_path):
    result = train(faces, tmp_path, "--max-images", 100, "--holdout", 8, "--dry-run")
    assert "warning: --max-images 100: there are 40" in result.err
    assert "--max-images" not in train(faces, tmp_path, "--max-images", 40, "--holdout", 8, "--dry-run").err


def test_unwritable_outdir(faces, tmp_path):
    stands_in_the_way = tmp_path / "file"
    stands_in_the_way.write_text("")
    assert_refused(train(faces, stands_in_the_way / "runs"), 1, "a file stands where a folder is needed")
    assert_refused(train(faces, "/proc/runs"), 1, "/proc/runs")


def test_a_full_disk_is_found_before_training(faces, tmp_path, monkeypatch):
    from sgcli.training import reports

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(reports.shutil, "disk_usage", lambda path: usage)
    assert_refused(train(faces, tmp_path), 1, "one snapshot takes")
    assert not list(tmp_path.iterdir())  # not even an empty run


def test_a_disk_that_fills_up_leaves_the_last_snapshot(faces, tmp_path, monkeypatch):
    import errno

    from sgcli.models import checkpoint

    save_file = checkpoint.safetensors.torch.save_file

    def fail_later(tensors, path, metadata=None):
        if "000000.016" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoint.safetensors.torch, "save_file", fail_later)
    result = train(faces, tmp_path, "--kimg", 0.032, "--snap", 0.016)
    assert result.status == 1
    assert "the disk is full" in result.err and "Traceback" not in result.err
    run = tmp_path / "00000-run"
    assert [path.name for path in run.glob("model-*")] == ["model-000000.safetensors"]
    assert not list(run.rglob("*.tmp"))
    monkeypatch.undo()
    assert sg("train", "--resume", run).status == 0


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_bf16_trains(faces, tmp_path):
    result = train(faces, tmp_path, "--kimg", 0.016, "--precision", "bf16")
    assert result.status == 0, result.err
    stats = json.loads((tmp_path / "00000-run" / "stats.jsonl").read_text().splitlines()[0])
    assert 0 < stats["Loss/G/loss"]["mean"] < 10
