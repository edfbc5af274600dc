"""Videos: H.264 in .mp4, .gif, .webp, a folder of PNG, and mp4 or raw frames on stdout.

Frames are uint8 `[C, H, W]` (L, RGB or RGBA), all of one size. They are encoded in a thread while the next are drawn;
only a few wait at a time, so that memory does not depend on the length.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from sgcli.errors import Interrupted, UsageError
from sgcli.files import atomic_folder, atomic_path
from sgcli.media.background import BackgroundWriter
from sgcli.media.ffmpeg import Encoder, check_encoder
from sgcli.media.pictures import Pixels, as_array, write_png
from sgcli.progress import notice

FORMATS = ("mp4", "gif", "webp", "png", "raw")
FORMAT_OF = {".mp4": "mp4", ".m4v": "mp4", ".gif": "gif", ".webp": "webp", ".raw": "raw", ".rgb": "raw"}
DEFAULT_CRF = 18  # visually lossless
MAX_GIF_FPS = 50  # a GIF counts in 1/100 s, and browsers slow down what steps faster than 2/100
MOST_FRAMES_WAITING = 8

WriteFrame = Callable[[Pixels], None]


class Sink(Protocol):
    """Where frames `[H, W, C]` go."""

    def write(self, frame: np.ndarray) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


class Folder:
    """Numbered PNG files."""

    def __init__(self, path: Path, text: Mapping[str, str]):
        self.path, self.text, self.num_frames = path, text, 0

    def write(self, frame: np.ndarray) -> None:
        write_png(self.path / f"frame{self.num_frames:06d}.png", frame.transpose(2, 0, 1), self.text)
        self.num_frames += 1

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


class RawStream:
    """The bytes of the frames, one after the other, in a file or (None) stdout."""

    def __init__(self, path: Path | None):
        self.file = sys.stdout.buffer if path is None else open(path, "wb")  # noqa: SIM115 (closed by finish and abort)

    def write(self, frame: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(frame).data)

    def finish(self) -> None:
        self.file.flush()
        if self.file is not sys.stdout.buffer:
            self.file.close()

    def abort(self) -> None:
        if self.file is not sys.stdout.buffer:
            self.file.close()


def choose_format(out: str | os.PathLike | None, asked: str | None) -> str:
    """One of FORMATS: `asked`, else what the ending of `out` tells; mp4 for stdout. Raises UsageError."""
    on_stdout = out is None or str(out) == "-"
    if asked is not None and asked not in FORMATS:
        raise UsageError(f"--format {asked}: one of {', '.join(FORMATS)}", "--format mp4")
    if on_stdout:
        if asked in ("png", "gif", "webp"):
            raise UsageError(f"--format {asked}: standard output takes mp4 or raw", f"name a file: -o walk.{asked}")
        return asked or "mp4"
    if asked is not None:
        return asked
    assert out is not None
    suffix = Path(out).suffix.lower()
    if Path(out).is_dir() or str(out).endswith("/") or not suffix:
        return "png"
    if suffix not in FORMAT_OF:
        raise UsageError(
            f"-o {out}: a video is written as .mp4, .gif or .webp, or into a folder as PNG",
            f"-o {Path(out).with_suffix('.mp4')}, or -o {Path(out).with_suffix('')}/",
        )
    return FORMAT_OF[suffix]


def check_rate(file_format: str, fps: float) -> None:
    """Raise UsageError for a frame rate that the format does not have."""
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise UsageError(f"--fps {fps:g}: frames per second, more than 0 and at most 1000", "--fps 30")
    if file_format == "gif" and fps > MAX_GIF_FPS:
        raise UsageError(
            f"--fps {fps:g}: GIF players show at most {MAX_GIF_FPS} frames per second", f"--fps {MAX_GIF_FPS}"
        )


@contextlib.contextmanager
def open_video(
    out: str | os.PathLike | None,         # a path; None or -: stdout
    shape: tuple[int, int, int],           # of every frame, [C, H, W]
    fps: float,
    file_format: str,                      # as `choose_format` tells
    crf: int = DEFAULT_CRF,                # H.264: 0 lossless to 51
    text: Mapping[str, str] | None = None,  # notes in every PNG
) -> Iterator[WriteFrame]:  # fmt: skip
    """Yield a function that takes the frames. The video appears whole, or not at all.

    The codec is tried before anything is yielded. Ctrl-C or SIGTERM in the block closes the video after the last frame
    given, puts it in place and raises Interrupted. Raises SgError where the encoder or the disk fails.
    """
    on_stdout = out is None or str(out) == "-"
    name = "standard output" if on_stdout else str(out)
    stopped: BaseException | None = None

    def put(frame: Pixels) -> None:
        array = as_array(frame)
        if array.shape != shape or array.dtype != np.uint8:
            raise ValueError(f"a frame of {array.dtype} {list(array.shape)}, where uint8 {list(shape)} was announced")
        background.put(prepare(array, file_format))

    with _place(out, on_stdout, file_format) as place:
        sink = _make_sink(place, shape, fps, file_format, crf, text or {}, name)
        background = BackgroundWriter(sink.write, MOST_FRAMES_WAITING)
        try:
            try:
                yield put
            except (KeyboardInterrupt, Interrupted) as error:
                stopped = error
            background.finish()
            if stopped is not None and background.num_written == 0:
                raise stopped
            sink.finish()
        except BaseException:
            sink.abort()
            background.abandon()
            raise
    if stopped is not None:
        number = stopped.exit_status - 128 if isinstance(stopped, Interrupted) else signal.SIGINT
        raise Interrupted(number, f"interrupted: {name} holds the first {background.num_written} frames")


def prepare(frame: np.ndarray, file_format: str) -> np.ndarray:
    """`[C, H, W]` -> what the format holds, `[H, W, C]`: of even size for mp4, alpha laid over white, grey as RGB."""
    image = frame.transpose(1, 2, 0)
    if file_format == "png":
        return image
    if image.shape[2] == 4 and file_format in ("mp4", "gif"):
        alpha = image[:, :, 3:].astype(np.uint16)
        image = ((image[:, :, :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    if image.shape[2] == 1:
        image = image.repeat(3, axis=2)
    if file_format == "mp4":  # yuv420p holds colour for 2x2 pixels; the last column and row are repeated
        image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
    return image


def codec_arguments(file_format: str, crf: int, channels: int, on_stdout: bool) -> list[str]:
    """ffmpeg's arguments for a format."""
    if file_format == "gif":  # a palette for each frame: 256 colours suffice, and memory stays flat
        palette = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=sierra2_4a"
        return ["-vf", palette, "-loop", "0", "-f", "gif"]
    if file_format == "webp":
        pixels = "yuva420p" if channels == 4 else "yuv420p"
        return ["-c:v", "libwebp_anim", "-pix_fmt", pixels, "-quality", "90", "-loop", "0", "-f", "webp"]
    # Players take what is not told to be BT.709 for whatever they like, so it is converted to that and told.
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p"
    told = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    flags = "frag_keyframe+empty_moov" if on_stdout else "+faststart"  # a pipe cannot go back to write the index
    return ["-vf", f"{convert},{told}", "-c:v", "libx264", "-crf", str(crf), "-movflags", flags, "-f", "mp4"]


@contextlib.contextmanager
def _place(out: str | os.PathLike | None, on_stdout: bool, file_format: str) -> Iterator[Path | None]:
    if on_stdout:
        yield None
        return
    assert out is not None
    with atomic_folder(out) if file_format == "png" else atomic_path(out) as temporary:
        yield temporary


def _make_sink(
    place: Path | None,
    shape: tuple[int, int, int],
    fps: float,
    file_format: str,
    crf: int,
    text: Mapping[str, str],
    name: str,
) -> Sink:
    if file_format == "png":
        assert place is not None
        return Folder(place, text)
    height, width, channels = prepare(np.zeros(shape, np.uint8), file_format).shape
    if file_format == "raw":
        pixels = "rgba" if channels == 4 else "rgb24"
        notice(f"raw frames: ffmpeg -f rawvideo -pix_fmt {pixels} -s {width}x{height} -framerate {fps:g} -i -")
        return RawStream(place)
    arguments = codec_arguments(file_format, crf, channels, place is None)
    check_encoder((width, height), channels, fps, arguments, name)
    return Encoder((width, height), channels, fps, arguments, place, name)
