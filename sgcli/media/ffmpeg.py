"""The ffmpeg program that imageio-ffmpeg brings along: frames go in through a pipe, a video file comes out."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgcli.errors import SgError

PIXEL_FORMAT = {1: "gray", 3: "rgb24", 4: "rgba"}  # by number of channels


class Encoder:
    """A running ffmpeg that takes frames of one size.

    Raises SgError where there is no ffmpeg, and when it fails; BrokenPipeError when it is stdout that nobody reads.
    """

    def __init__(
        self,
        size: tuple[int, int],         # width and height, in pixels
        channels: int,                 # 1, 3 or 4, interleaved
        fps: float,
        arguments: Sequence[str],      # codec, filters and container
        destination: Path | None,      # None: standard output
        name: str,                     # of the destination, for messages
    ):  # fmt: skip
        self.name, self.num_frames = name, 0
        source = ["-f", "rawvideo", "-pix_fmt", PIXEL_FORMAT[channels], "-s", f"{size[0]}x{size[1]}"]
        source += ["-framerate", f"{fps:g}", "-i", "pipe:0"]
        target = "pipe:1" if destination is None else f"file:{destination}"
        command = [find_ffmpeg(), "-loglevel", "error", "-nostats", "-y", *source, *arguments, target]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by _end)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if destination is not None else sys.stdout.buffer,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C is for us: ffmpeg is to finish the file
        )

    def write(self, frame: np.ndarray) -> None:
        """Encode one frame, uint8 `[H, W, C]`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            raise self._failure() from None
        self.num_frames += 1

    def finish(self) -> None:
        """Wait until the file is complete."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._process.wait() != 0:
            raise self._failure()
        self._stderr.close()

    def abort(self) -> None:
        """Stop at once; what was written is of no use."""
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def _failure(self) -> Exception:
        """What to raise once ffmpeg has failed: its own last words in a line."""
        self._process.wait()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace")
        if "No space left on device" in words:
            return SgError(f"{self.name}: the disk is full", "free some space, or write to another disk")
        if self.name == "standard output" and "Broken pipe" in words:
            return BrokenPipeError(errno.EPIPE, "Broken pipe")
        lines = (
            re.sub(r"\[[^]]* @ 0x[0-9a-f]+\] ", "", words).strip().splitlines()
        )  # without the parts of ffmpeg that speak
        reason = next(iter(lines), f"it ended with status {self._process.returncode}")
        return SgError(
            f"{self.name}: the encoder failed after {self.num_frames} frames: {reason[:200]}",
            "write the frames as pictures instead: -o frames/",
        )


def find_ffmpeg() -> str:
    """Path of the program. Raises SgError where there is none."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise SgError(
            "no ffmpeg: imageio-ffmpeg has none for this machine, and none is installed",
            "pip install --force-reinstall imageio-ffmpeg, or write pictures: -o frames/",
        ) from error


def check_encoder(size: tuple[int, int], channels: int, fps: float, arguments: Sequence[str], name: str) -> None:
    """Encode a black frame and throw it away. Raises SgError where this ffmpeg cannot do what is asked."""
    with tempfile.TemporaryDirectory() as folder:
        encoder = Encoder(size, channels, fps, arguments, Path(folder) / "frame", name)
        try:
            encoder.write(np.zeros((size[1], size[0], channels), np.uint8))
            encoder.finish()
        except SgError as error:
            reason = error.message.rpartition(" frames: ")[2]
            raise SgError(
                f"{name}: this ffmpeg cannot encode {size[0]}x{size[1]} pixels so: {reason}",
                "write the frames as pictures instead: -o frames/",
            ) from error
