"""Tars of images, as WebDataset has them: the same pictures as in a folder, and what is refused."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest

from sgcli.data.dataset import open_dataset
from sgcli.data.faults import UnreadableFile
from sgcli.data.source import open_source
from sgcli.errors import FormatError, SgError
from tests.cli import sg


def make_tar(path, folder, mode="w", prefix="", extra=()):
    """A tar of the files of `folder`, and of (name, bytes, type) in `extra`."""
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.add(file, prefix + file.relative_to(folder).as_posix())
        for name, data, kind in extra:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("prefix", ["", "./"])
def test_same_images_as_in_the_folder(prefix, folder, tmp_path):
    tar = make_tar(tmp_path / "faces.tar", folder, prefix=prefix)
    one, two = open_dataset(folder, labels="subfolders"), open_dataset(tar, labels="subfolders")
    assert two.name == "faces" and two.class_names == ["cat", "dog"]
    assert np.array_equal(one.images(range(6)), two.images(range(6)))
    assert np.array_equal(one.labels(range(6)), two.labels(range(6)))


def test_classes_of_webdataset(folder, tmp_path):
    classes = [(f"cat/{number}.cls", f"{number % 2}\n".encode(), tarfile.REGTYPE) for number in range(3)]
    classes += [(f"dog/{number}.cls", b"3", tarfile.REGTYPE) for number in range(3, 6)]
    labels = open_dataset(make_tar(tmp_path / "a.tar", folder, extra=classes)).labels(range(6))
    assert labels.argmax(1).tolist() == [0, 1, 0, 3, 3, 3]
    classes[0] = ("cat/0.cls", b"a cat", tarfile.REGTYPE)
    with pytest.raises(SgError, match=r"cat/0.cls \(one class number is needed\)"):
        open_dataset(make_tar(tmp_path / "b.tar", folder, extra=classes))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../evil.png", tarfile.REGTYPE, "lead out of the archive"),
        ("a/../../evil.png", tarfile.REGTYPE, "lead out of the archive"),
        ("/evil.png", tarfile.REGTYPE, "lead out of the archive"),
        ("a\\..\\evil.png", tarfile.REGTYPE, "lead out of the archive"),
        ("evil.png", tarfile.SYMTYPE, "a link to /etc/passwd"),
        ("evil.png", tarfile.LNKTYPE, "a link to /etc/passwd"),
        ("evil.png", tarfile.FIFOTYPE, "neither an ordinary file nor a folder"),
        ("evil.png", tarfile.CHRTYPE, "neither an ordinary file nor a folder"),
    ],
)
def test_hostile_members(name, kind, message, folder, tmp_path):
    tar = make_tar(tmp_path / "faces.tar", folder, extra=[(name, b"", kind)])
    with pytest.raises(SgError, match=message):
        open_dataset(tar)
    assert sg("data", "pack", tar, tmp_path / "out.zip", "--size", 8, "--skip-faulty").status == 0
    assert open_dataset(tmp_path / "out.zip").num_images == 6


def test_sizes_that_lie(folder, tmp_path):
    tar = make_tar(tmp_path / "faces.tar", folder)
    info = tarfile.TarInfo("zz.png")
    info.size = 10**15
    data = tar.read_bytes().rstrip(b"\0")
    padding = b"\0" * (-len(data) % 512)
    tar.write_bytes(data + padding + info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(FormatError, match="not a whole tar"):
        open_source(tar)


def test_damage(folder, tmp_path):
    whole = make_tar(tmp_path / "faces.tar", folder).read_bytes()
    source = open_source(tmp_path / "faces.tar")
    for name, data in (("text.tar", b"no tar at all"), ("empty.tar", b""), ("garbled.tar", b"x" * 5000)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match="not a whole tar"):
            open_source(tmp_path / name)
    for compression in ("gz", "xz"):
        make_tar(tmp_path / f"faces.tar.{compression}", folder, f"w:{compression}")
        with pytest.raises(FormatError, match="compressed") as error:
            open_source(tmp_path / f"faces.tar.{compression}")
        assert "gunzip" in error.value.hint
    (tmp_path / "faces.tar").write_bytes(whole[:600])
    with pytest.raises(UnreadableFile, match="cut short"):
        [source.read(name) for name in source.names]


def test_a_tar_is_told_by_its_content(folder, tmp_path):
    tar = make_tar(tmp_path / "faces.bin", folder)
    assert open_source(tar).names[0] == "cat/0.png"
    result = sg("data", "check", tar, "--json")
    assert json.loads(result.text)["num_images"] == 6 if result.text.startswith("{") else result.status == 0
