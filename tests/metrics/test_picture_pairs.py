"""What belongs together in two files, folders or zips."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from sgcli.errors import SgError, UsageError
from sgcli.media.pictures import encode_png, write_png
from sgcli.metrics.picture_pairs import open_pairs


def picture(value: int, channels: int = 3, side: int = 16) -> np.ndarray:
    return np.full((channels, side, side), value, np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name, value in (("one", 10), ("two", 20), ("only-here", 30)):
        write_png(tmp_path / "a" / f"{name}.png", picture(value))
    return tmp_path / "a"


def test_pairs_go_by_name(folder, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("two.png", encode_png(picture(21, 1)))
        archive.writestr("one.png", encode_png(picture(11, 4)))
    opened = open_pairs(folder, tmp_path / "b.zip")
    pairs = {name: opened[number] for number, name in enumerate(opened.names)}
    assert set(pairs) == {"one.png", "two.png"}
    for name, (a, b) in {"one.png": (10, 11), "two.png": (20, 21)}.items():
        assert (pairs[name].a == a).all() and (pairs[name].b == b).all()
        assert pairs[name].a.shape == pairs[name].b.shape == (1, 3, 16, 16)
    assert "1 pictures are in one of the two sets only" in capsys.readouterr().err


def test_two_files_need_no_common_name(folder):
    pair = open_pairs(folder / "one.png", folder / "two.png")[0]
    assert (pair.a == 10).all() and (pair.b == 20).all()


def test_what_cannot_be_paired(folder, tmp_path):
    write_png(tmp_path / "c" / "other.png", picture(1))
    write_png(tmp_path / "large.png", picture(1, side=32))
    with pytest.raises(SgError, match="no picture has the same name"):
        open_pairs(folder, tmp_path / "c")
    with pytest.raises(UsageError, match="a set and a single picture"):
        open_pairs(folder, tmp_path / "large.png")
    with pytest.raises(SgError, match="no such file"):
        open_pairs(folder, tmp_path / "missing")
    with pytest.raises(SgError, match="16x16 and 32x32"):
        open_pairs(folder / "one.png", tmp_path / "large.png")[0]
