"""`sg data pack` and `sg data check` as they are typed: results, messages, exit status."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgcli.__main__ import run


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / ".cache"))


@pytest.fixture
def photos(tmp_path):
    """Four 8x8 RGB pictures."""
    rng = np.random.RandomState(0)
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        Image.fromarray(rng.randint(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def sg(capsys, *arguments):
    """(exit status, stdout, stderr)"""
    status = run(["data", *arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return status, printed.out, printed.err


def test_check_of_a_good_set(photos, capsys):
    assert sg(capsys, "check", "photos") == (0, "photos: 4 images, 8x8 RGB, no faults\n", "")
    assert sg(capsys, "check", "photos", "--json") == (0, "", "")


def test_check_lists_faults_with_their_repair(photos, capsys):
    (photos / "b.png").write_text("this is text")
    Image.new("RGB", (10, 6)).save(photos / "c.png")
    status, out, err = sg(capsys, "check", "photos")
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "photos: 4 images, 8x8 RGB, 2 faults",
        "cannot be read: 1",
        "  b.png (not a PNG, JPEG, WebP or BMP image)",
        "  repair: sg data pack photos photos-8.zip --size 8 --skip-faulty",
        "wrong size: 1",
        "  c.png (10x6, not square)",
        "  repair: sg data pack photos photos-8.zip --size 8 --crop center",
        "repair everything: sg data pack photos photos-8.zip --size 8 --skip-faulty --crop center",
    ]


def test_check_as_json(photos, capsys):
    (photos / "b.png").write_text("this is text")
    status, out, _ = sg(capsys, "check", "photos", "--json")
    assert status == 1
    assert [json.loads(line) for line in out.splitlines()] == [
        {"kind": "unreadable", "file": "b.png", "detail": "not a PNG, JPEG, WebP or BMP image", "fatal": True}
    ]


def test_the_repair_repairs(photos, capsys):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    _, out, _ = sg(capsys, "check", "photos")
    (command,) = (line.split("repair: ")[1] for line in out.splitlines() if "repair: " in line)
    assert sg(capsys, *command.split()[2:])[0] == 0
    assert sg(capsys, "check", "photos-8.zip")[:2] == (0, "photos-8.zip: 3 images, 8x8 RGB, no faults\n")


def test_pack_says_what_it_made(photos, capsys):
    status, out, err = sg(capsys, "pack", "photos", "small.zip", "--size", "4")
    assert (status, out, err) == (0, "small.zip\n", "4 images of 4x4\n")
    assert sg(capsys, "pack", "photos", "again.zip", "--size", "4", "--quiet") == (0, "again.zip\n", "")


def test_pack_refuses_damaged_files(photos, capsys):
    (photos / "b.png").write_text("this is text")
    status, out, err = sg(capsys, "pack", "photos", "out.zip", "--size", "8")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "error: photos: 1 of its files cannot be used; nothing was written",
        "cannot be read: 1",
        "  b.png (not a PNG, JPEG, WebP or BMP image)",
        "hint: give --skip-faulty, or replace the files",
    ]
    assert sg(capsys, "pack", "photos", "out.zip", "--size", "8", "--skip-faulty")[0] == 0


@pytest.mark.parametrize("command", [["check"], ["pack", "out.zip", "--size", "8"]])
def test_what_is_no_data_set(tmp_path, photos, capsys, command):
    with zipfile.ZipFile("whole.zip", "w") as archive:
        for file in photos.iterdir():
            archive.write(file)
    content = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty").mkdir()
    for src, message in (
        ("half.zip", "half.zip: not a whole zip file"),
        ("empty", "empty: holds no images"),
        ("gone", "gone: no such folder, zip or tar of images"),
    ):
        status, out, err = sg(capsys, command[0], src, *command[1:])
        assert (status, out) == (1, "")
        assert err.startswith(f"error: {message}") and err.splitlines()[1].startswith("hint: ")
        assert len(err.splitlines()) == 2
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "photos", "--labels", "names"],
        ["check", "photos", "--labels", "json"],
        ["pack", "photos", "out.zip"],
        ["pack", "photos", "out.zip", "--size", "48"],
        ["pack", "photos", "out.zip", "--size", "many"],
        ["pack", "photos", "out.zip", "--size", "8", "--crop", "left"],
        ["pack", "photos", "-", "--size", "8"],
    ],
)
def test_wrong_usage(photos, capsys, arguments):
    status, out, err = sg(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and "hint: " in err


def test_missing_label(photos, capsys):
    labels = [[f"{name}.png", 0] for name in "abc"]
    (photos / "dataset.json").write_text(json.dumps({"labels": labels}))
    status, out, _ = sg(capsys, "check", "photos")
    assert status == 1 and "no label: 1\n  d.png\n" in out
    assert sg(capsys, "check", "photos", "--labels", "none")[0] == 0


@pytest.mark.parametrize("command", ["pack", "check"])
def test_help_has_examples(capsys, command):
    status, out, _ = sg(capsys, command, "--help")
    assert status == 0 and f"sg data {command} photos/" in out
