"""A folder and a zip as one thing, and what may not be read from either."""

import os
import threading
import zipfile

import pytest

from sgcli.data.faults import UnreadableFile
from sgcli.data.source import open_source
from sgcli.errors import FormatError, SgError


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


NAMES = ["cat/0.png", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png"]


def test_folder_and_zip_are_alike(folder, tmp_path):
    of_folder, of_zip = open_source(folder), open_source(zipped(folder, tmp_path / "set.zip"))
    assert of_folder.names == of_zip.names == NAMES
    assert all(of_folder.read(name) == of_zip.read(name) for name in NAMES)


def test_names_at_any_depth_with_spaces_and_unicode(tmp_path, draw):
    names = ["a b/c d.png", "a/b/c/d/e.PNG", "Ω/猫.jpeg", "é.webp", "z.bmp"]
    for name in names:
        draw(tmp_path / "set" / name)
    assert open_source(tmp_path / "set").names == sorted(names)
    assert open_source(zipped(tmp_path / "set", tmp_path / "set.zip")).names == sorted(names)


def test_hidden_files_are_ignored(folder, tmp_path, draw):
    for name in (".hidden.png", ".git/x.png", "__MACOSX/cat/._0.png", "cat/._0.png"):
        draw(folder / name)
    assert open_source(folder).names == NAMES
    assert open_source(zipped(folder, tmp_path / "set.zip")).names == NAMES


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "a\\..\\out.png"])
def test_zip_with_names_that_lead_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("in.png", b"")
        archive.writestr(name, b"")
    source = open_source(tmp_path / "set.zip")
    assert source.names == ["in.png"]
    assert [(fault.kind, fault.file) for fault in source.faults] == [("unsafe-name", name)]


def test_zip_with_a_link(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("in.png", b"")
        link = zipfile.ZipInfo("passwd.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    source = open_source(tmp_path / "set.zip")
    assert source.names == ["in.png"]
    assert [(fault.kind, fault.file) for fault in source.faults] == [("unsafe-name", "passwd.png")]


def test_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small.png", bytes(1 << 20))  # repetitive, and harmless
        archive.writestr("bomb.png", bytes(64 << 20))
        archive.writestr("dataset.json", b" " * (64 << 20))
    assert (tmp_path / "set.zip").stat().st_size < 200_000
    source = open_source(tmp_path / "set.zip")
    assert source.names == ["small.png"]
    assert [(fault.kind, fault.file) for fault in source.faults] == [
        ("unreadable", "bomb.png"), ("unreadable", "dataset.json")
    ]  # fmt: skip
    assert all("a zip bomb" in fault.detail for fault in source.faults)


def test_zip_that_lies_about_a_size(tmp_path):
    """An entry that claims ten bytes and holds a million is read no further than it claims."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lie.png", bytes(1_000_000))
    data = (tmp_path / "set.zip").read_bytes()
    size = (1_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    (tmp_path / "set.zip").write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UnreadableFile):
        open_source(tmp_path / "set.zip").read("lie.png")


def test_links(folder, tmp_path, draw):
    outside = draw(tmp_path / "elsewhere" / "x.png")
    (folder / "file.png").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    (folder / "inside.png").symlink_to(folder / "cat" / "0.png")
    (folder / "again").symlink_to(folder / "cat")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    source = open_source(folder)
    assert source.names == [*NAMES, "inside.png"]
    faults = {fault.file: fault.kind for fault in source.faults}
    assert faults == {"file.png": "outside-link", "linked": "outside-link", "broken.png": "unreadable"}


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert open_source(tmp_path / "link").names == NAMES


def test_what_may_not_be_read(folder):
    (folder / "cat" / "0.png").chmod(0)
    (folder / "dog").chmod(0)
    if os.access(folder / "cat" / "0.png", os.R_OK):
        pytest.skip("this user may read everything")
    source = open_source(folder)
    assert [(fault.kind, fault.file) for fault in source.faults] == [("unreadable", "dog")]
    with pytest.raises(UnreadableFile, match="Permission denied"):
        source.read("cat/0.png")
    folder.chmod(0)
    with pytest.raises(SgError, match="cannot be read"):
        open_source(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(SgError, match="no such folder, zip or tar"):
        open_source(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SgError, match=r"holds no images$"):
        open_source(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(SgError, match=r"holds no images \(only other files: 1 .txt\)"):
        open_source(tmp_path / "empty")
    with pytest.raises(SgError, match="holds no images"):
        open_source(zipped(tmp_path / "nothing", tmp_path / "empty.zip"))


def test_damaged_zips(folder, tmp_path):
    whole = zipped(folder, tmp_path / "set.zip").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text", whole[:-30] + b"\xff" * 30):
        (tmp_path / "bad.zip").write_bytes(damaged)
        with pytest.raises(FormatError, match="not a whole zip file"):
            open_source(tmp_path / "bad.zip")
    position = whole.index(b"IDAT")
    (tmp_path / "bad.zip").write_bytes(whole[:position] + b"XXXX" + whole[position + 4 :])
    source = open_source(tmp_path / "bad.zip")
    unreadable = []
    for name in source.names:
        try:
            source.read(name)
        except UnreadableFile:
            unreadable.append(name)
    assert len(unreadable) == 1


def test_zip_read_from_threads_and_after_a_fork(folder, tmp_path):
    source = open_source(zipped(folder, tmp_path / "set.zip"))
    expected = {name: (folder / name).read_bytes() for name in NAMES}
    wrong = []

    def read_all():
        wrong.extend(name for name in NAMES * 50 if source.read(name) != expected[name])

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if (child := os.fork()) == 0:
        read_all()
        os._exit(bool(wrong))
    read_all()
    assert not wrong
    assert os.waitpid(child, 0)[1] == 0


def keys(path):
    source = open_source(path)
    return source.fingerprint(), source.state()


def test_fingerprint_and_state(folder, tmp_path):
    before = keys(folder)
    assert keys(folder) == before
    os.utime(folder / "cat" / "0.png", ns=(1, 1))
    assert all(a != b for a, b in zip(before, keys(folder), strict=True))


def test_fingerprint_and_state_of_a_zip(folder, tmp_path):
    zip_before = keys(zipped(folder, tmp_path / "a.zip"))
    os.utime(tmp_path / "a.zip", ns=(1, 1))
    zip_after = keys(tmp_path / "a.zip")
    assert zip_before[0] == zip_after[0]  # the same content
    assert zip_before[1] != zip_after[1]  # but touched
