"""Shards named by patterns and lists, without an index: what is read, remembered, resumed and refused."""

from __future__ import annotations

import json
import tarfile

import fsspec
import numpy as np
import pytest

from sgcli.data import shard_scan
from sgcli.data.dataset import open_dataset
from sgcli.data.pack import pack
from sgcli.data.shard_names import expand, is_sharded, name_of
from sgcli.errors import FormatError, SgError, UsageError
from tests.cli import assert_refused, sg
from tests.data.test_tars import make_tar

BOTH = "memory://bucket/shard-{00000..00001}.zip"


@pytest.fixture
def bucket(folder, tmp_path):
    """Six labelled pictures of 8² in zips of 4 and 2, without their index, as memory://bucket/."""
    pack(folder, tmp_path / "shards", 8, labels="subfolders", shard_size=4)
    fs = fsspec.filesystem("memory")
    for path in (tmp_path / "shards").glob("*.zip"):
        fs.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield fs
    fs.rm("/bucket", recursive=True)


def test_patterns():
    assert expand("s3://b/f-{008..010}.tar") == ["s3://b/f-008.tar", "s3://b/f-009.tar", "s3://b/f-010.tar"]
    assert expand("f-{8..10}.zip") == ["f-8.zip", "f-9.zip", "f-10.zip"]
    assert expand("{a,b}/{0..1}.zip") == ["a/0.zip", "a/1.zip", "b/0.zip", "b/1.zip"]
    with pytest.raises(UsageError, match="more than 1000000 shards"):
        expand("s3://b/{0..999999999999}.tar")
    with pytest.raises(SgError, match="names no shards"):
        expand("f-{9..1}.zip")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("s3://bucket/faces-{000..099}.tar", "faces"),
        ("s3://bucket/faces/", "faces"),
        ("s3://bucket/faces/index.json", "faces"),
        ("gs://bucket/*.zip", "shards"),
        ("lists/faces.txt", "faces"),
        ("https://host/faces.zip", "faces"),
    ],
)
def test_names(path, name):
    assert is_sharded(path) and name_of(path) == name


def test_files_with_such_names_are_files(folder, tmp_path):
    pack(folder, tmp_path / "a{1,2}*.zip", 8)
    assert not is_sharded(tmp_path / "a{1,2}*.zip")
    assert open_dataset(tmp_path / "a{1,2}*.zip").num_images == 6


def test_same_as_with_an_index(bucket, tmp_path):
    shards = tmp_path / "shards"
    (tmp_path / "list.txt").write_text("# my faces\nshards/shard-00000.zip\n\nshards/shard-*1.zip\n")
    bucket.pipe("/bucket/all.txt", b"shard-00000.zip\nmemory://bucket/shard-00001.zip\n")
    indexed = open_dataset(shards, mirror=True)
    for path in (
        "memory://bucket/*.zip",
        "memory://bucket/shard-{00000..00001}.zip",
        "memory://bucket/all.txt",
        f"file://{shards}/shard-{{00000,00001}}.zip",
        f"{shards}/shard-*.zip",
        tmp_path / "list.txt",
    ):
        dataset = open_dataset(path, mirror=True)
        assert dataset.shard_sizes == [4, 2] and dataset.class_names == ["cat", "dog"]
        assert np.array_equal(dataset.images(range(12)), indexed.images(range(12)))
        assert np.array_equal(dataset.labels(range(12)), indexed.labels(range(12)))
        assert dataset.fingerprint() == open_dataset(path, mirror=True).fingerprint()
    assert open_dataset("memory://bucket/*.zip", labels="none").label_dim == 0
    assert open_dataset("memory://bucket/shard-00001.zip").num_images == 2


def test_looked_at_once_and_again_when_changed(bucket, folder, tmp_path, monkeypatch):
    looked, scan = [], shard_scan._scan

    def note(address, title):
        looked.append(title)
        return scan(address, title)

    monkeypatch.setattr(shard_scan, "_scan", note)
    first = open_dataset(BOTH).fingerprint()
    open_dataset(BOTH)
    assert looked == ["memory://bucket/shard-00000.zip (1 of 2)", "memory://bucket/shard-00001.zip (2 of 2)"]
    pack(folder, tmp_path / "new.zip", 8, labels="subfolders", drop_duplicates=True)
    bucket.pipe("/bucket/shard-00001.zip", (tmp_path / "new.zip").read_bytes())
    dataset = open_dataset(BOTH)
    assert looked[2:] == ["memory://bucket/shard-00001.zip (2 of 2)"]
    assert dataset.shard_sizes == [4, 6] and dataset.fingerprint() != first


def test_an_interrupted_scan_goes_on(bucket, monkeypatch):
    scan = shard_scan._scan

    def stop(address, title):
        if "(2 of" in title:
            raise KeyboardInterrupt
        return scan(address, title)

    monkeypatch.setattr(shard_scan, "_scan", stop)
    with pytest.raises(KeyboardInterrupt):
        open_dataset(BOTH)
    looked = []
    monkeypatch.setattr(shard_scan, "_scan", lambda *task: looked.append(task) or scan(*task))
    assert open_dataset(BOTH).num_images == 6
    assert len(looked) == 1


def test_shards_that_do_not_fit_together(bucket, folder, tmp_path):
    pack(folder, tmp_path / "large.zip", 16)
    bucket.pipe("/bucket/shard-00002.zip", (tmp_path / "large.zip").read_bytes())
    with pytest.raises(SgError, match=r"shard-00002.zip: 16x16 RGB, no labels; .*00000.zip: 8x8 RGB, labels") as error:
        open_dataset("memory://bucket/*.zip")
    assert "--size 8" in error.value.hint
    pack(folder, tmp_path / "plain.zip", 8)
    bucket.pipe("/bucket/shard-00002.zip", (tmp_path / "plain.zip").read_bytes())
    with pytest.raises(SgError, match="no labels"):
        open_dataset("memory://bucket/*.zip")
    assert open_dataset("memory://bucket/*.zip", labels="none").num_images == 12


def test_hostile_shards(bucket, folder, tmp_path):
    evil = [("../evil.png", b"x", tarfile.REGTYPE), ("link.png", b"", tarfile.SYMTYPE)]
    tar = make_tar(tmp_path / "evil.tar", folder, extra=evil)
    bucket.pipe("/bucket/evil.tar", tar.read_bytes())
    with pytest.raises(SgError, match=r"memory://bucket/evil.tar: 2 of its files") as error:
        open_dataset("memory://bucket/{shard-00000.zip,evil.tar}")
    assert "lead out" in error.value.message and "sg data pack memory://bucket/evil.tar" in error.value.hint
    bucket.pipe("/bucket/short.tar", tar.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"memory://bucket/short\.tar: not a whole tar"):
        open_dataset("memory://bucket/short.tar")


def test_lists_that_lead_astray(bucket, tmp_path):
    for line in (b"/etc/passwd", b"../secret.zip", b"a/../../b.zip"):
        bucket.pipe("/bucket/list.txt", line)
        with pytest.raises(FormatError, match="leads out of its folder"):
            open_dataset("memory://bucket/list.txt")
    bucket.pipe("/bucket/list.txt", b"\xff\xfe")
    with pytest.raises(FormatError, match="not a list of shards"):
        open_dataset("memory://bucket/list.txt")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for path, message in (
        (tmp_path / "empty.txt", "names no shards"),
        ("memory://bucket/none-*.tar", "names no shards"),
        (tmp_path / "none-*.zip", "names no shards"),
        ("memory://bucket/none-{0..1}.tar", "none-0.tar: cannot be read"),
        (tmp_path / "none-{0..1}.tar", "none-0.tar: cannot be read"),
        (tmp_path / "gone.txt", "gone.txt: cannot be read"),
    ):
        with pytest.raises(SgError, match=message):
            open_dataset(path)


def test_data_tools(bucket, tmp_path):
    result = sg("data", "check", "memory://bucket/*.zip")
    assert result.status == 0 and "6 images, 8x8 RGB" in result.text + result.err
    again = sg("data", "pack", "memory://bucket/*.zip", tmp_path / "again", "--size", 8, "--shard-size", 5)
    assert again.status == 0, again.err
    one, two = open_dataset(tmp_path / "again"), open_dataset("memory://bucket/*.zip")
    assert one.shard_sizes == [5, 1]
    assert np.array_equal(one.images(range(6)), two.images(range(6)))
    assert np.array_equal(one.labels(range(6)), two.labels(range(6))) and one.class_names == ["cat", "dog"]
    indexed = sg("data", "check", tmp_path / "shards")
    assert indexed.status == 0 and "6 images, 8x8 RGB" in indexed.text + indexed.err
    bucket.pipe("/bucket/bad.zip", b"no zip")
    assert_refused(sg("data", "check", "memory://bucket/*.zip"), 1, "bucket/bad.zip: not a whole zip")
    assert_refused(sg("train", "memory://bucket/*.zip", "--dry-run"), 1, "bucket/bad.zip: not a whole zip")
    assert_refused(sg("data", "pack", "memory://bucket/gone-*.tar", tmp_path / "x", "--size", 8), 1, "names no shards")


def test_annotations_that_contradict_each_other(folder, tmp_path):
    for number, names in enumerate((["cat", "dog"], ["dog", "cat"])):
        content = {"labels": [["cat/0.png", 0]], "class_names": names}
        data = [("dataset.json", json.dumps(content).encode(), tarfile.REGTYPE)]
        make_tar(tmp_path / f"t{number}.tar", folder, extra=data)
    result = sg("data", "check", tmp_path / "t*.tar")
    assert result.status == 1 and "other class_names" in result.text + result.err
