"""The data set as training sees it: pixels, subset, mirror, labels, attributes, caches."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sgcli.data.dataset import open_dataset
from sgcli.data.faults import UnreadableFile
from sgcli.errors import SgError, UsageError

NAMES = ["cat/0.png", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png"]


def pixels(folder):
    return np.stack([np.asarray(Image.open(folder / name)).transpose(2, 0, 1) for name in NAMES])


def test_images(folder):
    dataset = open_dataset(folder)
    assert (dataset.path, dataset.name, len(dataset), dataset.num_images) == (folder, "set", 6, 6)
    assert (dataset.resolution, dataset.num_channels, dataset.label_dim) == (8, 3, 0)
    images = dataset.images([4, 0, 4])
    assert images.dtype == np.uint8
    assert np.array_equal(images, pixels(folder)[[4, 0, 4]])
    assert dataset.images([]).shape == (0, 3, 8, 8)
    assert dataset.labels([1, 2]).shape == (2, 0)


def test_the_result_is_the_callers_own(folder):
    dataset = open_dataset(folder)
    dataset.images([0])[:] = 0
    assert np.array_equal(dataset.images([0]), pixels(folder)[:1])


def test_a_set_too_large_for_memory_is_decoded_each_time(folder):
    cached, uncached = open_dataset(folder), open_dataset(folder, cache_bytes=6 * 8 * 8 * 3 - 1)
    for dataset in (cached, uncached):
        assert np.array_equal(dataset.images(range(6)), pixels(folder))
    (folder / NAMES[0]).unlink()
    assert np.array_equal(cached.images([0]), pixels_of_first(cached))
    with pytest.raises(UnreadableFile, match="No such file"):
        uncached.images([0])


def pixels_of_first(dataset):
    return dataset.images(range(6))[:1]


def test_a_file_that_changes_while_in_use(folder, draw):
    dataset = open_dataset(folder)
    draw(folder / NAMES[0], (16, 16))
    with pytest.raises(UnreadableFile, match="changed while it was in use"):
        dataset.images([0])


def test_mirror(folder):
    plain, mirrored = open_dataset(folder), open_dataset(folder, labels="subfolders", mirror=True)
    assert len(mirrored) == 12 and mirrored.num_images == 6
    assert np.array_equal(mirrored.images(range(6)), plain.images(range(6)))
    assert np.array_equal(mirrored.images(range(6, 12)), plain.images(range(6))[:, :, :, ::-1])
    assert np.array_equal(mirrored.labels(range(6)), mirrored.labels(range(6, 12)))


@pytest.mark.parametrize("index", [-1, 6])
def test_indices_out_of_range(folder, index):
    dataset = open_dataset(folder)
    with pytest.raises(IndexError, match="from 0 to 5"):
        dataset.images([index])
    with pytest.raises(IndexError):
        dataset.labels([index])


def test_max_images_takes_the_fields_own_subset(tmp_path, draw):
    for number in range(10):
        draw(tmp_path / "set" / f"{number}.png")
    # RandomState(0) shuffles 0..9 to 2 8 4 9 1 6 7 3 0 5; the first four are kept and sorted.
    dataset = open_dataset(tmp_path / "set", max_images=4)
    assert dataset.file_names == ["2.png", "4.png", "8.png", "9.png"]
    assert len(open_dataset(tmp_path / "set", max_images=4, mirror=True)) == 8
    assert open_dataset(tmp_path / "set", max_images=4, seed=1).file_names != dataset.file_names
    assert len(open_dataset(tmp_path / "set", max_images=10)) == 10
    assert len(open_dataset(tmp_path / "set", max_images=99)) == 10
    with pytest.raises(UsageError, match="at least one"):
        open_dataset(tmp_path / "set", max_images=0)


def test_a_subset_keeps_the_classes_of_the_whole(folder):
    dataset = open_dataset(folder, labels="subfolders", max_images=1)
    assert dataset.label_dim == 2 and dataset.labels([0]).shape == (1, 2)


def test_labels(folder):
    dataset = open_dataset(folder, labels="subfolders")
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.labels([0, 5]).tolist() == [[1, 0], [0, 1]]
    assert dataset.labels([0]).dtype == np.float32
    vectors = [[name, [number, -0.5]] for number, name in enumerate(NAMES)]
    (folder / "dataset.json").write_text(json.dumps({"labels": vectors}))
    assert open_dataset(folder).labels([3, 1]).tolist() == [[3, -0.5], [1, -0.5]]
    assert open_dataset(folder, labels="none").labels([0]).shape == (1, 0)


def test_attributes(folder):
    values = {name: [number % 2, 1] for number, name in enumerate(NAMES)}
    content = {"labels": None, "attributes": {"names": ["odd", "one"], "values": values}}
    (folder / "dataset.json").write_text(json.dumps(content))
    attributes = open_dataset(folder).attributes
    assert attributes.names == ["odd", "one"]
    assert attributes.values.tolist() == [[number % 2, 1] for number in range(6)]
    assert attributes.values.dtype == np.float32
    assert open_dataset(folder, max_images=2).attributes.values.shape == (2, 2)


def test_missing_label_is_refused_by_name(folder):
    (folder / "dataset.json").write_text(json.dumps({"labels": [[name, 0] for name in NAMES[1:]]}))
    with pytest.raises(SgError, match=r"no label: 1\n  cat/0.png") as caught:
        open_dataset(folder)
    assert "--skip-faulty" in caught.value.hint
    assert open_dataset(folder, labels="none").label_dim == 0


def test_unequal_sizes_are_refused(folder, draw):
    draw(folder / "large.png", (16, 16))
    with pytest.raises(SgError, match=r"large.png \(16x16, most are 8x8\)") as caught:
        open_dataset(folder)
    assert caught.value.hint == f"sg data pack {folder} set-8.zip --size 8 --crop center"


def test_describe_is_json(folder):
    described = open_dataset(folder, labels="subfolders", max_images=5, seed=3, mirror=True).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["subset_seed"] == 3 and described["num_images"] == 5 and described["mirror"]
    assert open_dataset(folder, seed=3).describe()["subset_seed"] is None


def test_fingerprint_tells_what_is_returned(folder, tmp_path):
    whole = open_dataset(folder).fingerprint()
    assert open_dataset(folder, max_images=6, seed=5).fingerprint() == whole
    others = [
        open_dataset(folder, max_images=3).fingerprint(),
        open_dataset(folder, max_images=3, seed=1).fingerprint(),
        open_dataset(folder, mirror=True).fingerprint(),
        open_dataset(folder, labels="subfolders").fingerprint(),
    ]
    assert len({whole, *others}) == 5
    shutil.copytree(folder, tmp_path / "copy")  # keeps modification times
    assert open_dataset(tmp_path / "copy").fingerprint() == whole
