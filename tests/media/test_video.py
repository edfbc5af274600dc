"""Videos: what is decoded from a file is what was put in; codecs, odd sizes, interruption, failure."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from sgcli.errors import Interrupted, SgError, UsageError
from sgcli.media.background import BackgroundWriter
from sgcli.media.video import check_rate, choose_format, open_video


def moving_frames(count: int, height: int = 48, width: int = 64, channels: int = 3) -> np.ndarray:
    """Smooth colours that move: uint8 [N, C, H, W]."""
    t, c, y, x = np.meshgrid(*map(np.arange, (count, channels, height, width)), indexing="ij")
    return (127.5 + 100 * np.sin(0.2 * t + 0.05 * x + 0.07 * y + 2 * c)).astype(np.uint8)


def write(out, frames, fps=30, file_format=None, **more):
    with open_video(out, frames.shape[1:], fps, file_format or choose_format(out, None), **more) as put:
        for frame in frames:
            put(frame)


def read_mp4(path) -> tuple[dict, np.ndarray]:
    """What is told of a video, and its frames, uint8 [N, C, H, W]."""
    precise = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"  # in the colours that the file tells
    reader = imageio_ffmpeg.read_frames(path, output_params=["-vf", precise])
    told = next(reader)
    width, height = told["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return told, np.stack(frames).transpose(0, 3, 1, 2)


def test_mp4_holds_the_frames(tmp_path):
    frames = moving_frames(40)
    write(tmp_path / "a.mp4", frames, fps=24)
    told, read = read_mp4(tmp_path / "a.mp4")
    assert (told["codec"], told["fps"], told["size"]) == ("h264", 24.0, (64, 48))
    assert told["pix_fmt"].startswith("yuv420p") and "bt709" in told["pix_fmt"]
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 2
    assert np.abs(read.astype(int).mean(axis=(0, 2, 3)) - frames.mean(axis=(0, 2, 3))).max() < 1  # no colour cast


def test_crf_trades_size_for_error(tmp_path):
    frames = np.random.default_rng(0).integers(255, size=(5, 3, 32, 32), dtype=np.uint8)
    for crf in (10, 40):
        write(tmp_path / f"{crf}.mp4", frames, crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize(("size", "even"), [((1, 1), (2, 2)), ((5, 8), (6, 8)), ((33, 17), (34, 18))])
def test_odd_sizes_get_one_more_row_or_column(size, even, tmp_path):
    frames = moving_frames(3, *size)
    write(tmp_path / "odd.mp4", frames)
    _, read = read_mp4(tmp_path / "odd.mp4")
    assert read.shape[2:] == even
    if size == (33, 17):
        assert np.abs(read[:, :, :33, :17].astype(int) - frames).mean() < 6
        assert np.abs(read[:, :, 33, :17].astype(int) - frames[:, :, 32]).mean() < 8


def test_grey_and_alpha(tmp_path):
    grey = moving_frames(3, channels=1)
    write(tmp_path / "grey.mp4", grey)
    assert np.abs(read_mp4(tmp_path / "grey.mp4")[1].astype(int) - grey).mean() < 2
    clear = np.zeros((3, 4, 16, 16), np.uint8)
    clear[:, :3] = 50
    for name in ("clear.mp4", "clear.gif"):
        write(tmp_path / name, clear, fps=10)
    assert np.abs(read_mp4(tmp_path / "clear.mp4")[1].astype(int) - 255).max() <= 2
    with Image.open(tmp_path / "clear.gif") as gif:
        assert gif.convert("RGB").getpixel((8, 8)) == (255, 255, 255)
    write(tmp_path / "clear.webp", clear)
    with Image.open(tmp_path / "clear.webp") as picture:
        assert picture.convert("RGBA").getpixel((8, 8))[3] == 0


def test_gif_and_webp(tmp_path):
    frames = moving_frames(8)
    write(tmp_path / "a.gif", frames, fps=20)
    write(tmp_path / "a.webp", frames, fps=20)
    for name in ("a.gif", "a.webp"):
        with Image.open(tmp_path / name) as picture:
            assert (picture.n_frames, picture.size, picture.info["loop"]) == (8, (64, 48), 0)
            for number in (0, 7):
                picture.seek(number)
                picture.load()
                assert picture.info["duration"] == 50
                drawn = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
                assert np.abs(drawn.astype(int) - frames[number]).mean() < 4


def test_folder_holds_the_frames_exactly(tmp_path):
    frames = moving_frames(3, channels=4)
    write(tmp_path / "out", frames, text={"Seeds": "1-2"})
    paths = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in paths] == [f"frame{number:06d}.png" for number in range(3)]
    with Image.open(paths[2]) as picture:
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), frames[2]) and picture.text["Seeds"] == "1-2"
    with pytest.raises(SgError, match="not empty"):
        write(tmp_path / "out", frames)


def test_raw_frames(tmp_path, capsys):
    frames = moving_frames(3)
    write(tmp_path / "a.raw", frames)
    data = np.frombuffer((tmp_path / "a.raw").read_bytes(), np.uint8).reshape(3, 48, 64, 3)
    assert np.array_equal(data.transpose(0, 3, 1, 2), frames)
    assert "-pix_fmt rgb24 -s 64x48 -framerate 30" in capsys.readouterr().err


def test_what_names_mean(tmp_path):
    named = {"a.mp4": "mp4", "a.GIF": "gif", "a.webp": "webp", "out/": "png", "out": "png", "-": "mp4"}
    assert {name: choose_format(name, None) for name in named} == named
    assert choose_format(None, "raw") == "raw" and choose_format("a.bin", "raw") == "raw"
    for out, asked in (("a.avi", None), ("a.png", None), ("-", "gif"), (None, "png"), ("a.mp4", "avi")):
        with pytest.raises(UsageError) as caught:
            choose_format(out, asked)
        assert caught.value.hint
    for file_format, fps in (("gif", 60), ("mp4", 0), ("mp4", float("nan")), ("mp4", 2000)):
        with pytest.raises(UsageError):
            check_rate(file_format, fps)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp", "folder"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(signal.SIGTERM)])
def test_interrupted_after_seven_frames(name, error, tmp_path):
    frames = moving_frames(7)
    with (
        pytest.raises(Interrupted) as caught,
        open_video(tmp_path / name, frames.shape[1:], 30, choose_format(name, None)) as put,
    ):
        for frame in frames:
            put(frame)
        raise error
    assert caught.value.exit_status == (143 if isinstance(error, Interrupted) else 130)
    assert "first 7 frames" in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.mp4":
        assert len(read_mp4(tmp_path / name)[1]) == 7
    elif name == "folder":
        assert len(list((tmp_path / name).iterdir())) == 7
    else:
        with Image.open(tmp_path / name) as picture:
            assert picture.n_frames == 7


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", ["a.mp4", "folder"])
def test_nothing_is_left_where_there_is_nothing_to_show(name, error, tmp_path):
    with pytest.raises(error), open_video(tmp_path / name, (3, 8, 8), 30, choose_format(name, None)) as put:
        if error is RuntimeError:
            put(np.zeros((3, 8, 8), np.uint8))
        raise error
    assert list(tmp_path.iterdir()) == []


def fake_ffmpeg(path, monkeypatch, script: str) -> None:
    """Let a script stand for ffmpeg; in it, $FFMPEG is the real one."""
    real = imageio_ffmpeg.get_ffmpeg_exe()
    path.write_text(f"#!/bin/sh\nFFMPEG={real}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
    monkeypatch.setattr("sgcli.media.ffmpeg.find_ffmpeg", lambda: str(path))


def test_encoder_that_fails_half_way(tmp_path, monkeypatch):
    """One clear line, and the old file stays."""
    trial_passes = 'case "$*" in */frame) exec $FFMPEG "$@";; esac; head -c 40000 > /dev/null'
    fake_ffmpeg(tmp_path / "ffmpeg", monkeypatch, f"{trial_passes}; echo 'x264: it broke' >&2; exit 1")
    (tmp_path / "a.mp4").write_text("old")
    with pytest.raises(SgError, match=r"a\.mp4: the encoder failed after \d+ frames: x264: it broke") as caught:
        write(tmp_path / "a.mp4", moving_frames(200))
    assert caught.value.hint and caught.value.exit_status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "ffmpeg"]
    assert (tmp_path / "a.mp4").read_text() == "old"


def test_full_disk(tmp_path, monkeypatch):
    trial_passes = 'case "$*" in */frame) exec $FFMPEG "$@";; esac; cat > /dev/null'
    fake_ffmpeg(tmp_path / "ffmpeg", monkeypatch, f"{trial_passes}; echo 'No space left on device' >&2; exit 1")
    with pytest.raises(SgError, match=r"a\.mp4: the disk is full"):
        write(tmp_path / "a.mp4", moving_frames(3))


def test_codec_is_tried_before_anything_is_drawn(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path / "ffmpeg", monkeypatch, """echo "Unknown encoder 'libx264'" >&2; exit 1""")
    with (
        pytest.raises(SgError, match="cannot encode 64x48 pixels so: Unknown encoder 'libx264'"),
        open_video(tmp_path / "a.mp4", (3, 48, 64), 30, "mp4"),
    ):
        pytest.fail("the block was entered")
    assert not (tmp_path / "a.mp4").exists()


def test_no_ffmpeg_at_all(tmp_path, monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(SgError, match="no ffmpeg"), open_video(tmp_path / "a.mp4", (3, 8, 8), 30, "mp4"):
        pass


def test_frames_of_another_size_are_a_mistake(tmp_path):
    with (
        pytest.raises(ValueError, match="announced"),
        open_video(tmp_path / "a.mp4", (3, 8, 8), 30, "mp4") as put,
    ):
        put(np.zeros((3, 8, 9), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_only_a_few_items_wait():
    gate, written = threading.Event(), []

    def slow(item: int) -> None:
        gate.wait()
        written.append(item)

    writer: BackgroundWriter[int] = BackgroundWriter(slow, most_waiting=3)
    handed_over: list[int] = []

    def hand_over() -> None:
        for item in range(10):
            writer.put(item)
            handed_over.append(item)

    thread = threading.Thread(target=hand_over)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive() and len(handed_over) <= 4  # three wait, one is being written
    gate.set()
    thread.join()
    writer.finish()
    assert written == list(range(10))


def test_an_error_of_the_writer_reaches_the_caller():
    def broken(item: int) -> None:
        raise OSError("gone")

    writer: BackgroundWriter[int] = BackgroundWriter(broken, most_waiting=2)
    with pytest.raises(OSError, match="gone"):
        for item in range(10):
            writer.put(item)
            time.sleep(0.001)
        writer.finish()
    writer.abandon()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    def resident_bytes() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    frames = moving_frames(16, 256, 256)
    sizes = []
    with open_video(tmp_path / "long.mp4", frames.shape[1:], 30, "mp4") as put:
        for number in range(3000):  # 590 MB of pixels
            put(frames[number % 16])
            if number % 500 == 499:
                sizes.append(resident_bytes())
    assert max(sizes) - sizes[0] < 20e6
