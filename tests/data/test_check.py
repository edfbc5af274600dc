"""Every kind of fault is found in one pass; the report names files and repairs; a passed check is remembered."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from sgcli.data import check
from sgcli.data.check import check_dataset, describe_images, inspect_images, refuse_faults
from sgcli.data.faults import KINDS, Fault, printable, repair_command, report_lines
from sgcli.data.source import open_source
from sgcli.errors import SgError


def found(path, **options):
    return sorted((fault.kind, fault.file) for fault in check_dataset(path, **options).faults)


def test_a_good_set(folder):
    findings = check_dataset(folder)
    assert (findings.num_images, findings.resolution, findings.num_channels, findings.faults) == (6, 8, 3, [])
    assert describe_images(findings) == "6 images, 8x8 RGB"


@pytest.mark.parametrize(("mode", "num_channels"), [("L", 1), ("RGB", 3), ("RGBA", 4), ("1", 1)])
def test_channels_that_can_be_trained(tmp_path, draw, mode, num_channels):
    for number in range(3):
        draw(tmp_path / "set" / f"{number}.png", mode=mode)
    findings = check_dataset(tmp_path / "set")
    assert findings.num_channels == num_channels and not findings.faults


def test_every_fault_in_one_pass(folder, tmp_path, draw):
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    cut = draw(folder / "cut.png")
    cut.write_bytes(cut.read_bytes()[:100])
    draw(folder / "small.png", (4, 4))
    draw(folder / "oblong.png", (8, 4))
    draw(folder / "odd.png", (7, 7))
    draw(folder / "grey.png", mode="L")
    draw(folder / "alpha.png", mode="RGBA")
    draw(folder / "grey-alpha.png", mode="LA")
    draw(folder / "palette.png", mode="P")
    draw(folder / "cmyk.jpg", (16, 16), mode="CMYK")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "deep.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    shutil.copy(folder / "cat" / "0.png", folder / "zz copy.png")
    Image.open(folder / "cat" / "1.png").save(folder / "zz copy.bmp")
    (folder / "outside.png").symlink_to(draw(tmp_path / "elsewhere.png"))
    labels = [[name, 0] for name in open_source(folder).names if name not in ("cat/1.png", "cat/2.png")]
    (folder / "dataset.json").write_text(json.dumps({"labels": [*labels, ["cat/2.png", "x"], ["gone.png", 0]]}))
    assert found(folder) == [
        ("16-bit", "deep.png"),
        ("animated", "moving.png"),
        ("bad-label", "cat/2.png"),
        ("channels", "alpha.png"),
        ("channels", "grey-alpha.png"),
        ("channels", "grey.png"),
        ("cmyk", "cmyk.jpg"),
        ("duplicate", "zz copy.bmp"),
        ("duplicate", "zz copy.png"),
        ("extra-label", "gone.png"),
        ("missing-label", "cat/1.png"),
        ("outside-link", "outside.png"),
        ("palette", "palette.png"),
        ("unreadable", "cut.png"),
        ("unreadable", "empty.png"),
        ("unreadable", "text.png"),
        ("wrong-size", "cmyk.jpg"),
        ("wrong-size", "oblong.png"),
        ("wrong-size", "odd.png"),
        ("wrong-size", "small.png"),
    ]


def test_no_picture_can_be_trained(tmp_path, draw):
    for number in range(3):
        draw(tmp_path / "set" / f"{number}.png", (100 + number, 70), mode="LA")
    findings = check_dataset(tmp_path / "set")
    assert (findings.resolution, findings.num_channels, findings.repair_size) == (None, None, 64)
    assert {fault.detail for fault in findings.faults if fault.kind == "channels"} == {
        "grey with alpha; 1, 3 or 4 channels can be trained"
    }


def test_only_what_leads_out(tmp_path, draw):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(draw(tmp_path / "a.png"))
    assert found(tmp_path / "set") == [("outside-link", "a.png")]


def test_report_names_all_files_and_repairs():
    faults = [Fault("wrong-size", f"{number}.png", "9x9, not square") for number in range(25)]
    faults.append(Fault("duplicate", "a\nb.png", "same as c.png"))
    lines = report_lines(faults, "my photos", 64)
    assert lines[0] == "wrong size: 25"
    assert sum("not square" in line for line in lines) == 25
    assert lines[26] == "  repair: sg data pack 'my photos' 'my photos-64.zip' --size 64 --crop center"
    assert lines[-3:] == [
        "  a\\nb.png (same as c.png)",
        "  repair: sg data pack 'my photos' 'my photos-64.zip' --size 64 --drop-duplicates",
        "repair everything: sg data pack 'my photos' 'my photos-64.zip' --size 64 --crop center --drop-duplicates",
    ]


def test_every_kind_has_a_repair():
    for kind in KINDS:
        assert repair_command("set/", 8, [kind]).startswith("sg data pack set/ set-8.zip --size 8")
    assert "--labels subfolders" in repair_command("set", 8, ["unreadable"], "subfolders")


def test_names_stay_on_one_line():
    assert printable("a\nb\x1b[31m é 猫.png") == "a\\nb\\x1b[31m é 猫.png"
    assert printable(os.fsdecode(b"\xff.png")).isascii()


def test_training_is_refused_with_a_short_list(folder, draw, capsys):
    for number in range(14):
        draw(folder / f"wide {number:02d}.png", (9, 8))
    with pytest.raises(SgError) as caught:
        refuse_faults(check_dataset(folder), folder)
    lines = caught.value.message.splitlines()
    assert lines[0] == f"{folder}: 14 of its files cannot be trained on as they are"
    assert lines[1] == "wrong size: 14"
    assert lines[-1] == f"  ... and 4 more: sg data check {folder}"
    assert len(lines) == 13
    assert caught.value.hint == f"sg data pack {folder} set-8.zip --size 8 --crop center"


def test_duplicates_only_warn(folder, capsys):
    shutil.copy(folder / "cat" / "0.png", folder / "copy.png")
    findings = check_dataset(folder)
    assert [fault.describe() for fault in findings.faults] == [
        {"kind": "duplicate", "file": "copy.png", "detail": "same as cat/0.png", "fatal": False}
    ]
    refuse_faults(findings, folder)
    assert "same picture as another: 1" in capsys.readouterr().err


class TestMemory:
    @pytest.fixture
    def looked_at(self, monkeypatch):
        """Names of the files that were really decoded."""
        names, look = [], check._look
        monkeypatch.setattr(check, "_look", lambda source, name: names.append(name) or look(source, name))
        return names

    def test_an_unchanged_set_is_not_looked_at_again(self, folder, looked_at):
        first = inspect_images(open_source(folder), use_memory=True)
        assert len(looked_at) == 6
        assert inspect_images(open_source(folder), use_memory=True) == first
        assert len(looked_at) == 6

    @pytest.mark.parametrize("change", ["touch", "grow", "rename", "add", "move"])
    def test_a_changed_set_is(self, folder, draw, looked_at, change):
        inspect_images(open_source(folder), use_memory=True)
        looked_at.clear()
        file = folder / "cat" / "0.png"
        if change == "touch":
            os.utime(file, ns=(1, 1))
        elif change == "grow":
            status = file.stat()
            file.write_bytes(file.read_bytes() + b"\0")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif change == "rename":
            file.rename(folder / "cat" / "00.png")
        elif change == "add":
            draw(folder / "new.png")
        else:
            folder = folder.rename(folder.parent / "moved")
        inspect_images(open_source(folder), use_memory=True)
        assert looked_at

    def test_only_what_passed_is_remembered(self, folder, looked_at):
        (folder / "text.png").write_text("")
        for _ in range(2):
            assert inspect_images(open_source(folder), use_memory=True).fatal
        assert len(looked_at) == 14

    def test_warnings_are_remembered(self, folder):
        shutil.copy(folder / "cat" / "0.png", folder / "copy.png")
        faults = inspect_images(open_source(folder), use_memory=True).faults
        assert faults and inspect_images(open_source(folder), use_memory=True).faults == faults

    def test_a_damaged_memory_is_overlooked(self, folder, tmp_path, looked_at):
        inspect_images(open_source(folder), use_memory=True)
        (memory,) = (tmp_path / "cache" / "checks").iterdir()
        for content in (b"", b"{}", b"[1]", b"\xff", b'{"faults": [{}]}'):
            memory.write_bytes(content)
            assert inspect_images(open_source(folder), use_memory=True).resolution == 8
        assert len(looked_at) == 36

    def test_without_a_cache_folder(self, folder, tmp_path, monkeypatch, looked_at):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "file" / "cache"))
        for _ in range(2):
            assert not inspect_images(open_source(folder), use_memory=True).faults
        assert len(looked_at) == 12
