"""toyfaces: the same seed gives the same bytes, attributes are true to what is seen, and files appear whole or not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgcli.data.toyfaces import ATTRIBUTES, Face, detail_rng, draw_face, face_at, synthesize
from sgcli.errors import SgError, UsageError


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a data set by its name, from a folder or a zip."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def draw(face: Face, index: int, size: int = 32) -> np.ndarray:
    return draw_face(face, size, detail_rng(0, index))


def test_same_seed_gives_same_bytes_and_another_seed_others(tmp_path):
    digests = []
    for name, seed in (("a.zip", 3), ("b.zip", 3), ("c.zip", 4)):
        path = synthesize(tmp_path / name, count=5, size=16, seed=seed)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_folder_and_zip_hold_the_same_files(tmp_path):
    folder = contents(synthesize(tmp_path / "folder", count=4, size=16, seed=0))
    archive = contents(synthesize(tmp_path / "archive.zip", count=4, size=16, seed=0))
    assert folder == archive
    assert sorted(folder) == [*(f"00000/img0000000{k}.png" for k in range(4)), "dataset.json"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["archive.zip", "folder"]


def test_images_depend_on_neither_count_nor_workers(tmp_path):
    few = contents(synthesize(tmp_path / "few.zip", count=20, size=16, seed=0))
    alone = synthesize(tmp_path / "alone.zip", count=150, size=16, seed=0, workers=1)
    together = synthesize(tmp_path / "together.zip", count=150, size=16, seed=0, workers=2)
    assert alone.read_bytes() == together.read_bytes()
    many = contents(alone)
    assert all(many[name] == data for name, data in few.items() if name.endswith(".png"))


def test_zip_is_stored_with_fixed_times(tmp_path):
    with zipfile.ZipFile(synthesize(tmp_path / "set.zip", count=2, size=16, seed=0)) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_dataset_json_records_attributes_and_source(tmp_path):
    without = [("beard", "long_hair")]
    files = contents(synthesize(tmp_path / "set", count=12, size=24, seed=7, without=without))
    content = json.loads(files["dataset.json"])
    assert content["labels"] is None
    assert content["attributes"]["names"] == list(ATTRIBUTES)
    for index, (name, values) in enumerate(content["attributes"]["values"].items()):
        face = face_at(7, index, without)
        assert values == face.attribute_values()
        picture = np.asarray(Image.open(io.BytesIO(files[name])))
        np.testing.assert_array_equal(picture, draw_face(face, 24, detail_rng(7, index)))
    expected = {"name": "toyfaces", "version": 1, "seed": 7, "count": 12, "size": 24, "without": ["beard+long_hair"]}
    assert content["source"] == expected


def test_attributes_are_as_frequent_as_said_and_independent():
    values = np.array([face_at(1, index).attribute_values() for index in range(3000)])
    assert len(ATTRIBUTES) >= 12
    np.testing.assert_allclose(values.mean(axis=0), list(ATTRIBUTES.values()), atol=0.04)
    correlation = np.corrcoef(values.T) - np.eye(len(ATTRIBUTES))
    assert np.abs(correlation).max() < 0.08


def test_without_removes_the_combination_and_nothing_else():
    without = [("beard", "long_hair"), ("hat",)]
    for index in range(400):
        plain, face = face_at(2, index), face_at(2, index, without)
        assert not (face.beard and face.long_hair) and not face.hat
        if not (plain.beard and plain.long_hair) and not plain.hat:
            assert face == plain
        assert (face.skin, face.turn, face.hair_volume) == (plain.skin, plain.turn, plain.hair_volume)


# Mean absolute difference in 8-bit levels over the whole picture: hats are large, freckles are few pixels.
@pytest.mark.parametrize(
    ("attribute", "least"),
    [(name, 0.3) for name in ATTRIBUTES if name not in ("hat", "long_hair", "glasses", "curly_hair", "beard", "scarf")]
    + [(name, 2.5) for name in ("hat", "long_hair", "glasses", "curly_hair", "beard", "scarf")],
)
def test_attribute_is_visible_at_32_pixels(attribute, least):
    differences = []
    for index in range(40):
        face = face_at(0, index)
        off, on = (draw(dataclasses.replace(face, **{attribute: value}), index) for value in (False, True))
        differences.append(np.abs(on.astype(int) - off).mean())
    assert np.mean(differences) > least
    assert np.min(differences) > 0.05


def test_every_size_shows_the_same_face():
    face = face_at(0, 5)
    reference = Image.fromarray(draw(face, 5, 512))
    for size in (16, 32, 48, 64, 128, 256):
        picture = draw(face, 5, size)
        assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
        reduced = np.asarray(reference.resize((size, size), Image.Resampling.BOX))
        assert np.abs(picture.astype(int) - reduced).mean() < 5


def test_extreme_faces_are_drawn():
    face = face_at(0, 0)
    for shift in (-3.0, 3.0):  # out of the picture, on either side
        assert draw(dataclasses.replace(face, shift_x=shift, shift_y=shift), 0).shape == (32, 32, 3)
    for turn in (-60.0, 60.0):
        assert draw(dataclasses.replace(face, turn=turn, tilt=turn), 0).std() > 10


def test_fine_detail_differs_where_the_face_is_the_same():
    face = dataclasses.replace(face_at(0, 3), freckles=True)
    first, second = (draw_face(face, 64, detail_rng(0, index)).astype(int) for index in (0, 1))
    assert 0.5 < np.abs(first - second).mean() < 8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"count": 0}, "count 0"),
        ({"size": 0}, "size 0"),
        ({"size": 4096}, "8 to 1024"),
        ({"workers": 0}, "workers 0"),
        ({"without": [("beard", "wings")]}, "'wings' is not an attribute; there are glasses, hat"),
        ({"without": [()]}, "empty combination"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, arguments, told):
    with pytest.raises(UsageError, match=told) as caught:
        synthesize(tmp_path / "set", **{"count": 2, "size": 16, "seed": 0, **arguments})
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_what_exists_is_not_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.png").write_bytes(b"precious")
    (tmp_path / "old.zip").write_bytes(b"precious")
    for name in ("full", "old.zip"):
        with pytest.raises(SgError, match="exists already"):
            synthesize(tmp_path / name, count=2, size=16, seed=0)
    assert (tmp_path / "old.zip").read_bytes() == b"precious"
    (tmp_path / "empty").mkdir()
    synthesize(tmp_path / "empty", count=2, size=16, seed=0)


def test_unwritable_place_is_explained(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("file/set", "file/set.zip"):
        with pytest.raises(SgError, match="stands where a folder is needed"):
            synthesize(tmp_path / name, count=2, size=16, seed=0)


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_interruption_leaves_nothing_behind(tmp_path, monkeypatch, name):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sgcli.data.toyfaces.write.draw_face", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / name, count=20, size=16, seed=0)
    assert not list(tmp_path.iterdir())
