"""Names of metrics, the job that they share, and what is stored on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sgcli.errors import UsageError
from sgcli.files import cache_folder
from sgcli.metrics import feature_store, rows
from sgcli.metrics.job import Job
from sgcli.metrics.open_source import open_source
from sgcli.metrics.registry import METRICS, all_requests, parse_metrics, run, run_request
from sgcli.metrics.rows import forget_finished


@pytest.fixture
def job(model_file, faces, tmp_path, monkeypatch) -> Job:
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))
    return Job(open_source(model_file), open_source(faces), num=30, extractor="random")


def test_names_are_read():
    requests = parse_metrics("swd, fid1k,kid5k-random,pr500,recall2k")
    assert [(request.metric.name, request.num, request.extractor) for request in requests] == [
        ("swd", None, None),
        ("fid", 1000, None),
        ("kid", 5000, "random"),
        ("pr", 500, None),
        ("pr", 2000, None),
    ]
    assert requests[3].result_names() == ["precision500", "recall500"]
    assert requests[4].result_names() == ["precision2k", "recall2k"]
    assert [request.name for request in requests[:3]] == ["swd", "fid1k", "kid5k-random"]


@pytest.mark.parametrize("text", ["fidd", "fid0", "fid1m", "fid-resnet", "swd-random", "fid1k random", "1k"])
def test_other_names_are_refused(text):
    with pytest.raises(UsageError, match="is not a metric"):
        parse_metrics(text)


def test_every_metric_reads_its_own_name():
    for name in METRICS:
        (request,) = parse_metrics(f"{name}2k")
        assert request.metric.name == name and request.num == 2000


@pytest.mark.parametrize("name", ["fid", "kid", "pr", "swd", "ms-ssim"])
def test_lines_carry_provenance(name, job):
    for line in run(METRICS[name], job):
        json.dumps(line, allow_nan=False)
        assert np.isfinite(line["value"])
        assert line["num_fake"] == 30
        assert {"model", "model_sha256", "arch", "kimg", "seed", "version", "seconds"} <= set(line)
        if "data" in METRICS[name].uses:
            assert len(line["data_fingerprint"]) == 64
        if METRICS[name].extractor:
            assert line["extractor"] == "random" and len(line["extractor_sha256"]) == 64
            assert line["protocol"] == "nvidia"
            assert line["name"].endswith("30-random")


def test_same_seed_same_value(job, model_file, faces):
    again = Job(open_source(model_file, batch=5), open_source(faces), num=30, extractor="random")
    first, second = (run(METRICS["fid"], each)[0]["value"] for each in (job, again))
    assert first == pytest.approx(second, rel=1e-3)


def test_what_cannot_be_asked_is_left_out_of_all(job, faces):
    assert {request.metric.name for request in all_requests(job)} >= {"fid", "kid", "swd"}
    alone = all_requests(Job(open_source(faces)))
    assert all("data" not in request.metric.uses and not request.metric.looks_inside for request in alone)


def test_pictures_and_features_are_shared(job, monkeypatch):
    drawn = []
    original = type(job.fake)._draw
    monkeypatch.setattr(type(job.fake), "_draw", lambda self, numbers: drawn.extend(numbers) or original(self, numbers))
    job.fake.keep(30)
    for request in parse_metrics("fid,kid,pr,swd,ms-ssim"):
        run_request(request, job)
    assert sorted(drawn) == list(range(30))


def test_a_stopped_extraction_goes_on(job, monkeypatch, capsys):
    monkeypatch.setattr(rows, "BLOCK_ROWS", 8)
    calls = []
    extractor = job.load_extractor("random")

    def counted(images):
        calls.append(len(images))
        return extractor(images)

    def stopped(images):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return counted(images)

    with pytest.raises(KeyboardInterrupt):
        feature_store.extract(job.pictures("fake"), Wrapped(extractor, stopped), 30)
    found = feature_store.extract(job.pictures("fake"), Wrapped(extractor, counted), 30)
    assert "16 of 30" in capsys.readouterr().err
    assert sum(calls) == 30
    fresh = extractor(job.pictures("fake").read(range(30))).numpy()
    assert np.allclose(found, fresh, atol=2e-2)  # pixels may differ by one level with the size of the batch
    folder = cache_folder() / "rows"
    assert len(list(folder.glob("*/*.npy"))) == 4
    forget_finished()
    assert not list(folder.glob("*/*.npy"))


class Wrapped:
    """An extractor that does something else on the way."""

    def __init__(self, extractor, call):
        self._extractor, self._call = extractor, call

    def __getattr__(self, name):
        return getattr(self._extractor, name)

    def __call__(self, images):
        return self._call(images)


@pytest.mark.parametrize("folder", ["statistics", "rows"])
def test_damaged_files_of_the_cache_are_made_again(folder, job, model_file, faces, capsys):
    name = "fid" if folder == "statistics" else "kid"
    (line,) = run(METRICS[name], job)
    forget_finished()
    paths = [path for path in (cache_folder() / folder).rglob("*") if path.is_file()]
    assert paths
    for path in paths:
        path.write_bytes(path.read_bytes()[:50])
    again = Job(open_source(model_file), open_source(faces), num=30, extractor="random")
    assert run(METRICS[name], again)[0]["value"] == pytest.approx(line["value"], rel=1e-4)
    assert "damaged, computed again" in capsys.readouterr().err


def test_statistics_of_a_data_set_are_remembered(job, model_file, faces, monkeypatch):
    (line,) = run(METRICS["fid"], job)
    forget_finished()
    for path in (cache_folder() / "rows").rglob("*.npy"):
        path.unlink()
    again = Job(open_source(model_file), open_source(faces), num=30, extractor="random")
    monkeypatch.setattr(type(again.real), "read", lambda self, numbers: pytest.fail("the data set was read"))
    assert run(METRICS["fid"], again)[0]["value"] == pytest.approx(line["value"], rel=1e-4)


def test_keys_hold_everything(job, faces):
    real, extractor = job.pictures("data"), job.load_extractor("random")
    clean = Job(open_source(faces), extractor="random", protocol=type(job.protocol).named("clean"))
    keys = {
        feature_store._key(real, extractor, 48),
        feature_store._key(real, extractor, 20),
        feature_store._key(real, clean.load_extractor("random"), 48),
        feature_store._key(job.pictures("fake"), extractor, 48),
    }
    assert len(keys) == 4
