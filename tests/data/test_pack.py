"""Packing: colours, crops, filters, labels, faults, and bytes that are the same every time."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgcli.data.check import check_dataset
from sgcli.data.convert import FILTERS, Recipe, convert
from sgcli.data.dataset import open_dataset
from sgcli.data.pack import pack
from sgcli.errors import SgError, UsageError


def packed_image(path, index=0):
    with zipfile.ZipFile(path) as archive:
        return Image.open(io.BytesIO(archive.read(f"00000/img{index:08d}.png")))


def annotations(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("dataset.json"))


def test_layout(folder, tmp_path):
    out = tmp_path / "out.zip"
    assert pack(folder, out, 8) == 6
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == [*(f"00000/img{index:08d}.png" for index in range(6)), "dataset.json"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert np.array_equal(open_dataset(out).images(range(6)), open_dataset(folder).images(range(6)))
    source = annotations(out)["source"]
    assert (source["name"], source["size"], source["crop"], source["filter"]) == ("set", 8, "center", "lanczos")
    assert "sgcli_version" in source


def test_a_folder_holds_the_same(folder, tmp_path):
    pack(folder, tmp_path / "out.zip", 16)
    pack(folder, tmp_path / "out", 16)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert all((tmp_path / "out" / name).read_bytes() == archive.read(name) for name in archive.namelist())
    with pytest.raises(SgError, match="is not an empty folder"):
        pack(folder, tmp_path / "out", 16)


def test_same_bytes_every_time(folder, tmp_path):
    for name in ("a.zip", "b.zip"):
        pack(folder, tmp_path / name, 16, labels="subfolders")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_everything_that_check_reports_is_repaired(folder, tmp_path, draw):
    draw(folder / "oblong.png", (30, 20))
    draw(folder / "grey.png", mode="L")
    draw(folder / "alpha.png", mode="RGBA")
    draw(folder / "palette.png", mode="P")
    draw(folder / "cmyk.jpg", mode="CMYK")
    Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(folder / "deep.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    shutil.copy(folder / "cat" / "0.png", folder / "copy.png")
    (folder / "text.png").write_text("not a picture")
    assert len({fault.kind for fault in check_dataset(folder).faults}) == 8
    assert pack(folder, tmp_path / "out.zip", 8, skip_faulty=True, drop_duplicates=True) == 13
    findings = check_dataset(tmp_path / "out.zip")
    assert (findings.num_images, findings.resolution, findings.num_channels, findings.faults) == (13, 8, 3, [])


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (["L", "L"], "L"),
        (["L", "1"], "L"),
        (["L", "RGB"], "RGB"),
        (["RGBA", "RGBA"], "RGBA"),
        (["RGBA", "LA"], "RGBA"),
        (["LA", "LA"], "RGBA"),
        (["RGBA", "RGB"], "RGB"),
        (["L", "LA"], "L"),
        (["P", "L"], "RGB"),
    ],
)
def test_channels_of_the_whole_set(tmp_path, draw, capsys, modes, expected):
    for number, mode in enumerate(modes):
        draw(tmp_path / "set" / f"{number}.png", mode=mode)
    pack(tmp_path / "set", tmp_path / "out.zip", 8)
    assert packed_image(tmp_path / "out.zip").mode == packed_image(tmp_path / "out.zip", 1).mode == expected
    has_mixed_alpha = any("A" in mode for mode in modes) and expected != "RGBA"
    assert ("alpha channel; it is dropped" in capsys.readouterr().err) == has_mixed_alpha


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    (tmp_path / "set").mkdir()
    values = np.array([[0, 0xFF, 0x100, 0x80FF], [0xFFFF, 0x1234, 1, 0xFE00]] * 2, np.uint16)
    Image.fromarray(values).save(tmp_path / "set" / "a.png")
    pack(tmp_path / "set", tmp_path / "out.zip", 4)
    assert np.array_equal(np.asarray(packed_image(tmp_path / "out.zip")), values >> 8)


def test_no_metadata_travels(tmp_path, draw):
    draw(tmp_path / "set" / "a.png", icc_profile=b"profile", transparency=(1, 2, 3), dpi=(72, 72))
    draw(tmp_path / "set" / "b.png")
    pack(tmp_path / "set", tmp_path / "out.zip", 8)
    assert packed_image(tmp_path / "out.zip").info == {}


def test_center_crop():
    image = Image.fromarray(np.arange(8, dtype=np.uint8)[None].repeat(4, 0))
    assert np.asarray(convert(image, Recipe(4, "center", "lanczos", "L")))[0].tolist() == [2, 3, 4, 5]
    tall = image.transpose(Image.Transpose.TRANSPOSE)
    assert np.asarray(convert(tall, Recipe(4, "center", "box", "L")))[:, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("size", [(512, 384), (800, 384), (512, 700), (30, 20)])
def test_wide_is_4_to_3_between_black_bars(size):
    framed = np.asarray(convert(Image.new("RGB", size, "white"), Recipe(512, "wide", "lanczos", "RGB")))
    assert framed.shape == (512, 512, 3)
    assert (framed[:64] == 0).all() and (framed[-64:] == 0).all()
    assert (framed[64:-64] == 255).all()


def test_wide_keeps_the_pixels_of_a_picture_that_fits():
    pixels = np.random.RandomState(0).randint(0, 256, (384, 512, 3), np.uint8)
    framed = np.asarray(convert(Image.fromarray(pixels), Recipe(512, "wide", "lanczos", "RGB")))
    assert np.array_equal(framed[64:448], pixels)


def test_crop_none_refuses_what_is_not_square(folder, tmp_path, draw):
    draw(folder / "oblong.png", (16, 8))
    with pytest.raises(SgError, match=r"oblong.png \(16x8, not square\)") as caught:
        pack(folder, tmp_path / "out.zip", 8, crop="none")
    assert "--crop center" in caught.value.hint
    assert pack(folder, tmp_path / "out.zip", 8, crop="none", skip_faulty=True) == 6


@pytest.mark.parametrize("name", FILTERS)
def test_filters(tmp_path, draw, name):
    draw(tmp_path / "set" / "a.png", (16, 16))
    pack(tmp_path / "set", tmp_path / "out.zip", 8, filter=name)
    original = Image.open(tmp_path / "set" / "a.png")
    assert np.array_equal(packed_image(tmp_path / "out.zip"), original.resize((8, 8), FILTERS[name]))
    assert annotations(tmp_path / "out.zip")["source"]["filter"] == name


def test_labels_from_subfolders_are_carried_over(folder, tmp_path):
    pack(folder, tmp_path / "out.zip", 8, labels="subfolders")
    content = annotations(tmp_path / "out.zip")
    assert content["class_names"] == ["cat", "dog"]
    assert content["labels"] == [[f"00000/img{index:08d}.png", int(index > 2)] for index in range(6)]
    dataset = open_dataset(tmp_path / "out.zip")
    assert dataset.label_dim == 2 and dataset.class_names == ["cat", "dog"]


def test_attributes_and_origin_are_carried_over(folder, tmp_path):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    content = {
        "labels": [[name, [index, 1.5]] for index, name in enumerate(names)],
        "attributes": {"names": ["number"], "values": {name: [index] for index, name in enumerate(names)}},
        "source": {"made_by": "hand"},
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    (folder / names[0]).write_text("damaged")
    assert pack(folder, tmp_path / "out.zip", 8, skip_faulty=True) == 5
    dataset = open_dataset(tmp_path / "out.zip")
    assert dataset.labels([0]).tolist() == [[1, 1.5]]
    assert dataset.attributes.values[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert annotations(tmp_path / "out.zip")["source"]["made_from"] == {"made_by": "hand"}
    assert pack(folder, tmp_path / "none.zip", 8, labels="none", skip_faulty=True) == 5
    assert annotations(tmp_path / "none.zip")["labels"] is None


def test_the_whole_list_and_nothing_written(folder, tmp_path, draw):
    for number in range(15):
        (folder / f"text {number:02d}.png").write_text("not a picture")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.png")]
    (folder / "dataset.json").write_text(json.dumps({"labels": [[name, 0] for name in names if name != "cat/0.png"]}))
    for out in ("out.zip", "out"):
        with pytest.raises(SgError) as caught:
            pack(folder, tmp_path / out, 8)
        assert caught.value.message.count("not a PNG") == 15 and "cat/0.png" in caught.value.message
        assert caught.value.hint == "give --skip-faulty, or replace the files"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    assert pack(folder, tmp_path / "out.zip", 8, skip_faulty=True) == 5


def test_damaged_annotations_are_never_dropped_in_silence(folder, tmp_path):
    (folder / "dataset.json").write_text("{")
    with pytest.raises(SgError, match=r"damaged dataset\.json") as caught:
        pack(folder, tmp_path / "out.zip", 8, skip_faulty=True)
    assert "--labels none" in caught.value.hint
    assert pack(folder, tmp_path / "out.zip", 8, labels="none") == 6


def test_nothing_usable(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "text.png").write_text("not a picture")
    with pytest.raises(SgError, match="none of its pictures can be used"):
        pack(tmp_path / "set", tmp_path / "out.zip", 8, skip_faulty=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 48}, "--size 48: a power of two"),
        ({"size": 0}, "--size 0: a power of two"),
        ({"crop": "left"}, "--crop left"),
        ({"filter": "nearest"}, "--filter nearest"),
        ({"out": "-"}, "cannot go to standard output"),
    ],
)
def test_wrong_arguments(folder, tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        pack(**{"src": folder, "out": tmp_path / "out.zip", "size": 8} | arguments)


def test_a_set_is_not_packed_onto_itself(folder, tmp_path):
    pack(folder, tmp_path / "out.zip", 8)
    with pytest.raises(UsageError, match="OUT is SRC itself"):
        pack(tmp_path / "out.zip", tmp_path / "out.zip", 4)


def test_enlarging_is_said(folder, tmp_path, capsys):
    pack(folder, tmp_path / "out.zip", 16)
    assert "6 of 6 pictures were smaller than 16" in capsys.readouterr().err
