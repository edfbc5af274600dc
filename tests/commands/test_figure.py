"""`sg figure`, notes in PNG files, and `sg generate --show`."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from sgcli import provenance
from sgcli.errors import UsageError
from sgcli.files import sha256_of_file
from sgcli.media import preview
from sgcli.media.pictures import write_png
from sgcli.media.uneven import make_uneven_grid
from tests.cli import assert_refused, sg
from tests.commands.test_video import conditional, sg3  # noqa: F401 (fixtures)


def drawn(*arguments) -> np.ndarray:
    result = sg("figure", *arguments)
    assert result.status == 0, result.err
    return np.asarray(Image.open(io.BytesIO(result.out))).astype(int)


def cells_of(table: np.ndarray, columns: int, rows: int, side: int = 96) -> np.ndarray:
    """The pictures of a table with captions, [rows, columns, H, W, C]: a gap between, a margin after."""
    gap, margin = side // 24, 12
    lefts = [table.shape[1] - margin - (columns - n) * (side + gap) + gap for n in range(columns)]
    tops = [table.shape[0] - margin - (rows - n) * (side + gap) + gap for n in range(rows)]
    return np.stack([[table[y : y + side, x : x + side] for x in lefts] for y in tops])


def seeds_picture(model, *arguments) -> np.ndarray:
    """What `sg generate` draws, enlarged as a figure enlarges 16²."""
    result = sg("generate", "-m", model, *arguments)
    return np.asarray(Image.open(io.BytesIO(result.out))).astype(int).repeat(6, axis=0).repeat(6, axis=1)


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.abs(a - b).max() <= 1


def test_truncation_rows(model_file):
    cells = cells_of(drawn("truncation", "-m", model_file, "--seeds", "3-4", "--psis", "1,0,-1"), 3, 2)
    assert near(cells[1, 0], seeds_picture(model_file, "--seeds", 4))
    assert near(cells[0, 1], cells[1, 1])
    assert near(cells[0, 2], seeds_picture(model_file, "--seeds", 3, "--trunc", -1))


def test_noise_rows(model_file):
    cells = cells_of(drawn("noise", "-m", model_file, "--seeds", "3-4"), 4, 2)
    for column, options in enumerate(
        ([], ["--noise", "none"], ["--noise-layers", "fine"], ["--noise-layers", "coarse"])
    ):
        assert near(cells[1, column], seeds_picture(model_file, "--seeds", 4, *options))


def test_noise_needs_noise(sg3):  # noqa: F811
    assert_refused(sg("figure", "noise", "-m", sg3), 2, "no noise inputs", "sg1-e")


@pytest.mark.parametrize("space", ["z", "w"])
def test_interpolation_sheet(space, model_file):
    cells = cells_of(drawn("interpolation", "-m", model_file, "--seeds", "1-3", "--steps", 4, "--space", space), 4, 3)
    for row, (start, end) in enumerate([(1, 2), (2, 3), (3, 1)]):
        assert near(cells[row, 0], seeds_picture(model_file, "--seeds", start))
        assert near(cells[row, 3], seeds_picture(model_file, "--seeds", end))
    assert_refused(sg("figure", "interpolation", "-m", model_file, "--seeds", "7"), 2, "--seeds 7")


def test_uncurated_sizes(model_file):
    sheet = drawn("uncurated", "-m", model_file, "--rows", 2, "--sizes", 3, "--seed", 5)
    assert sheet.shape == (2 * 96, 3 * 96, 3)
    assert near(sheet[96:, :96], seeds_picture(model_file, "--seeds", 6))
    small = seeds_picture(model_file, "--seeds", 7)[::6, ::6].reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(sheet[:48, 96:144][::6, ::6] - small).max() <= 1
    assert_refused(sg("figure", "uncurated", "-m", model_file, "--sizes", "6"), 2, "--sizes 6", "16²")


def test_uneven_grid_wants_the_right_number():
    with pytest.raises(ValueError, match="5 of 2 sizes wanted"):
        make_uneven_grid(np.zeros((4, 3, 8, 8), np.uint8), rows=1, sizes=2)


def test_sticking_strips(model_file, sg3, tmp_path):  # noqa: F811
    out = tmp_path / "sticking.png"
    result = sg("figure", "sticking", model_file, sg3, "--steps", 12, "-o", out)
    assert result.status == 0, result.err
    assert Image.open(out).size[0] > 3 * 384 and Image.open(out).size[1] > 2 * 384
    assert_refused(sg("figure", "sticking", model_file, "--walk", "translate"), 2, "--walk translate", "sg3-t")
    assert_refused(sg("figure", "sticking", model_file, "--reach", "0"), 2, "--reach 0")


def test_grey_conditional_models(conditional):  # noqa: F811
    for figure in ("truncation", "noise", "interpolation", "uncurated"):
        assert drawn(figure, "-m", conditional, "--class", "dog").ndim in (2, 3)


def test_bad_numbers(model_file):
    assert_refused(sg("figure", "truncation", "-m", model_file, "--psis", "1,x"), 2, "--psis 1,x")
    assert_refused(sg("figure", "truncation", "-m", model_file, "--seeds", "0-9999"), 2, "at most 10000")


# ----- notes in pictures


def test_a_picture_tells_its_command_model_and_seeds(model_file, tmp_path):
    out = tmp_path / "a b.png"
    sg("generate", "-m", model_file, "--seeds", "3-4", "--grid", "2x1", "-o", out)
    facts = json.loads(sg("info", out).text)
    assert facts["kind"] == "picture" and facts["size"] == "32x16" and facts["channels"] == "RGB"
    assert facts["command"] == f"sg generate -m {model_file} --seeds 3-4 --grid 2x1 -o '{out}'"
    assert facts["model"] == f"model.safetensors sha256:{sha256_of_file(model_file)}"
    assert facts["seeds"] == "3-4" and facts["software"].startswith("sg ")


def test_each_picture_of_a_folder_tells_its_seed(model_file, tmp_path):
    sg("generate", "-m", model_file, "--seeds", "3-4", "-o", tmp_path / "out")
    assert json.loads(sg("info", tmp_path / "out" / "seed0004.png").text)["seeds"] == "4"


def test_frames_and_figures_tell_where_they_are_from(model_file, tmp_path):
    sg("video", "-m", model_file, "--seeds", "3-4", "--seconds", 0.1, "-o", tmp_path / "film")
    sg("figure", "uncurated", "-m", model_file, "--rows", 1, "-o", tmp_path / "u.png")
    assert "sg video" in json.loads(sg("info", tmp_path / "film" / "frame000000.png").text)["command"]
    assert json.loads(sg("info", tmp_path / "u.png").text)["seeds"] == "0-20"


def test_pictures_of_data_sets_and_of_python_tell_nothing(faces, tmp_path, monkeypatch):
    assert sg("data", "pack", faces, tmp_path / "packed", "--size", 8).status == 0
    some = next((tmp_path / "packed").rglob("*.png"))
    assert "command" not in json.loads(sg("info", some).text)
    monkeypatch.setattr(provenance, "_command", [])
    write_png(tmp_path / "python.png", np.zeros((3, 2, 2), np.uint8))
    assert set(json.loads(sg("info", tmp_path / "python.png").text)) == {"file", "kind", "size", "channels"}


def test_info_of_a_damaged_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert_refused(sg("info", tmp_path / "a.png"), 1, "a.png")


# ----- previews


def test_half_blocks_carry_two_pixels():
    image = np.zeros((3, 3, 2), np.uint8)
    image[0, 0], image[1, 1] = 255, 200
    text = preview.half_blocks(image, 2, 3)
    assert text.plain == "▀▀\n▀▀\n"
    style = text.spans[0].style
    assert style.color.triplet == (255, 0, 0) and style.bgcolor.triplet == (0, 200, 0)
    assert text.spans[-1].style.bgcolor is None  # no pixel below
    clear = preview.half_blocks(np.zeros((4, 2, 2), np.uint8), 4, 4)
    assert clear.spans[0].style.color.triplet == (255, 255, 255) and clear.plain.count("\n") == 2


@pytest.mark.parametrize(
    ("count", "space", "wanted"),
    [(1, (80, 60), (1, 1)), (2, (80, 40), (2, 1)), (4, (80, 60), (2, 2)), (500, (80, 60), (4, 3))],
)
def test_previews_fill_the_terminal(count, space, wanted):
    assert preview.arrange(count, *space) == wanted


def test_show_needs_a_terminal(model_file, tmp_path):
    refused = sg("generate", "-m", model_file, "--seeds", 1, "--show", "-o", tmp_path / "a.png")
    assert_refused(refused, 2, "--show", "terminal")
    assert not (tmp_path / "a.png").exists()


def test_show_on_a_terminal(model_file, tmp_path, monkeypatch, capsys):
    from rich.console import Console

    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, color_system="truecolor", width=40, height=30)
    monkeypatch.setattr(preview, "check_terminal", lambda: console)
    result = sg("generate", "-m", model_file, "--seeds", "1-2", "--show", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert sink.getvalue().count("▀") == 27 * 27 and len(list((tmp_path / "out").iterdir())) == 2


def test_a_terminal_without_colours(monkeypatch):
    import rich.console

    plain = rich.console.Console(file=io.StringIO(), force_terminal=True, color_system=None)
    monkeypatch.setattr(rich.console, "Console", lambda stderr: plain)
    with pytest.raises(UsageError, match="no colours"):
        preview.check_terminal()
