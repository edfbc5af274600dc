"""Data sets in shards: packed, read from folders and URLs, refused when something is wrong with them."""

from __future__ import annotations

import json
import sys
import zipfile

import fsspec
import numpy as np
import pytest

from sgcli.data import remote
from sgcli.data.dataset import open_dataset
from sgcli.data.pack import pack
from sgcli.errors import FormatError, SgError, UsageError
from tests.cli import assert_refused, sg


@pytest.fixture
def shards(folder, tmp_path):
    """Six labelled pictures of 8² in shards of 4 and 2."""
    assert pack(folder, tmp_path / "shards", 8, labels="subfolders", shard_size=4) == 6
    return tmp_path / "shards"


@pytest.fixture
def in_memory(shards):
    fs = fsspec.filesystem("memory")
    for path in shards.iterdir():
        fs.pipe(f"/bucket/shards/{path.name}", path.read_bytes())
    yield "memory://bucket/shards"
    fs.rm("/bucket", recursive=True)


def test_what_is_packed(shards):
    index = json.loads((shards / "index.json").read_text())
    assert [(entry["name"], entry["count"]) for entry in index["shards"]] == [
        ("shard-00000.zip", 4),
        ("shard-00001.zip", 2),
    ]
    assert (index["resolution"], index["num_channels"], index["class_names"]) == (8, 3, ["cat", "dog"])
    alone = open_dataset(shards / "shard-00001.zip")  # each shard is a data set of its own
    assert alone.num_images == 2
    assert alone.labels([0]).tolist() == [[0, 1]]


def test_packing_twice_gives_the_same_bytes(folder, tmp_path):
    for name in ("a", "b"):
        pack(folder, tmp_path / name, 8, labels="subfolders", shard_size=4)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_same_images_and_labels_as_one_zip(folder, shards, in_memory, tmp_path):
    pack(folder, tmp_path / "one.zip", 8, labels="subfolders")
    one = open_dataset(tmp_path / "one.zip", mirror=True)
    for path in (shards, shards / "index.json", f"file://{shards}", in_memory, f"{in_memory}/index.json"):
        many = open_dataset(path, mirror=True)
        assert len(many) == len(one) == 12
        indices = [11, 0, 5, 3, 3, 8]
        assert np.array_equal(many.images(indices), one.images(indices))
        assert np.array_equal(many.labels(indices), one.labels(indices))
        assert many.class_names == ["cat", "dog"]
        assert json.loads(json.dumps(many.describe()))["resolution"] == 8
    assert open_dataset(shards, labels="none").label_dim == 0


def test_fetched_once_and_made_room_for(in_memory, tmp_path, monkeypatch):
    dataset = open_dataset(in_memory)
    dataset.images(range(6))
    fetched = tmp_path / "cache" / "fetched"
    assert len(list(fetched.glob("*.zip"))) == 2
    fsspec.filesystem("memory").rm("/bucket/shards/shard-00000.zip")
    open_dataset(in_memory).images([0])  # from the cache
    monkeypatch.setattr(remote, "CACHE_BYTES", 10)
    fsspec.filesystem("memory").pipe("/bucket/shards/index.json", b"{}")
    dataset.images(range(6))  # open files outlive their removal
    remote._make_room(fetched, 5)
    assert not list(fetched.glob("*.zip"))


def test_only_few_shards_stay_open(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sgcli.data.shards.SHARDS_OPEN", 2)
    pack(folder, tmp_path / "s", 8, shard_size=1)
    dataset = open_dataset(tmp_path / "s")
    dataset.images(range(6))
    assert len(dataset._open._sources) == 2


def test_damage_is_named(shards, in_memory):
    fs = fsspec.filesystem("memory")
    data = fs.cat("/bucket/shards/shard-00001.zip")
    fs.pipe("/bucket/shards/shard-00001.zip", data[:-1] + b"x")
    with pytest.raises(FormatError, match=r"shard-00001.zip: not the file that the index describes"):
        open_dataset(in_memory).images([5])
    fs.pipe("/bucket/shards/shard-00001.zip", data + b"x" * 100)
    with pytest.raises(FormatError, match="not the file"):
        open_dataset(in_memory).images([5])
    fs.rm("/bucket/shards/shard-00001.zip")
    with pytest.raises(SgError, match=r"shard-00001\.zip: cannot be read"):
        open_dataset(in_memory).images([5])
    (shards / "shard-00000.zip").write_bytes(b"short")
    with pytest.raises(FormatError, match="5 bytes, the index says"):
        open_dataset(shards).images([0])


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["shards"][0].update(name="../other.zip"),
        lambda index: index["shards"][0].update(name="/etc/passwd"),
        lambda index: index["shards"][0].update(count=-1),
        lambda index: index.update(shards=[]),
        lambda index: index.update(version=2),
        lambda index: index.update(resolution="8"),
        lambda index: index.update(format="other"),
        lambda index: index.pop("shards"),
    ],
)
def test_hostile_indices(shards, change):
    index = json.loads((shards / "index.json").read_text())
    change(index)
    (shards / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match="not the index of a data set"):
        open_dataset(shards)


def test_text_that_is_no_index(shards):
    for text in ("", "[", "[" * 100_000, "null", "[]"):
        (shards / "index.json").write_text(text)
        with pytest.raises(FormatError):
            open_dataset(shards)


def test_addresses_that_lead_nowhere(monkeypatch):
    for url, message in (
        ("http://example.org/shards", "only encrypted connections"),
        ("nosuch://bucket/shards", "nosuch"),
        ("memory://nothing/here", "cannot be read"),
        ("file:///nothing/here", "cannot be read"),
    ):
        with pytest.raises(SgError, match=message) as error:
            open_dataset(url)
        assert error.value.hint
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match="need fsspec") as error:
        open_dataset("s3://bucket/shards")
    assert "pip install" in error.value.hint


def test_choices_that_need_all_images(shards):
    with pytest.raises(UsageError, match="--max-images"):
        open_dataset(shards, max_images=2)
    with pytest.raises(UsageError, match="--labels subfolders"):
        open_dataset(shards, labels="subfolders")


def test_the_command(folder, tmp_path):
    result = sg("data", "pack", folder, tmp_path / "out", "--size", 8, "--shard-size", 4)
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.json",
        "shard-00000.zip",
        "shard-00001.zip",
    ]
    assert zipfile.ZipFile(tmp_path / "out" / "shard-00001.zip").testzip() is None
    assert_refused(
        sg("data", "pack", folder, tmp_path / "x.zip", "--size", 8, "--shard-size", 4), 2, "shards go to a folder"
    )
