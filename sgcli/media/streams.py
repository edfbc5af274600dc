"""Where inputs come from and results go: files, folders and pipes (`-`).

A result goes to the path of `-o`, to stdout for `-`, and without `-o` (None) to stdout unless that is a terminal. Files
appear whole or not at all. A reader that goes away surfaces as BrokenPipeError, which ends `sg` in silence.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from sgcli import files, provenance
from sgcli.errors import FormatError, SgError, UsageError
from sgcli.media import npy
from sgcli.media.pictures import Pixels, as_array, decode_picture, encode_png

OTHER_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


class PictureWriter(Protocol):
    """Writes one of several pictures; `name` is its file's name in a folder, without suffix."""

    def __call__(self, name: str, image: Pixels, text: Mapping[str, str] | None = None) -> None: ...


# ----- reading


@contextlib.contextmanager
def open_input(source: str | os.PathLike) -> Iterator[tuple[BinaryIO, str]]:
    """Yield a binary stream of a file, or of stdin for `-`, and its name for messages. Raises SgError on failure."""
    if str(source) == "-":
        if sys.stdin.isatty():
            raise UsageError("- means standard input, which is a terminal here", "name a file, or pipe something in")
        yield sys.stdin.buffer, "standard input"
        return
    with _open_file(source) as file:
        yield file, str(source)


def _open_file(source: str | os.PathLike) -> BinaryIO:
    try:
        return open(source, "rb")
    except FileNotFoundError as error:
        raise SgError(f"{source}: no such file", "check the spelling of the path") from error
    except IsADirectoryError as error:
        raise SgError(f"{source}: is a folder, a file was expected", f"ls {source}, and name a file in it") from error
    except OSError as error:
        raise SgError(f"{source}: cannot be read ({error.strerror})", f"ls -l {source}") from error


def read_latents(
    source: str | os.PathLike,
    z_dim: int | None = None,
    num_ws: int | None = None,
    w_dim: int | None = None,
) -> list[np.ndarray]:
    """Every `.npy` array in a file or in stdin (`-`), in order, float32: Z `[N, z_dim]`, W and W+ `[N, num_ws, w_dim]`.

    A single w, `[N, 1, w_dim]`, is repeated for every layer. A size left out is not checked. Raises FormatError for
    other shapes and for what `sgcli.media.npy` refuses.
    """

    def check_shape(shape: tuple[int, ...]) -> None:
        wanted = {2: (None, z_dim), 3: (None, 1 if shape[1:2] == (1,) else num_ws, w_dim)}
        sizes = wanted.get(len(shape), ())
        fits = bool(sizes) and all(size == want for size, want in zip(shape, sizes, strict=True) if want is not None)
        if not fits or 0 in shape:
            z_shape, w_shape = f"[N, {z_dim or 'z_dim'}]", f"[N, {num_ws or 'num_ws'}, {w_dim or 'w_dim'}]"
            raise FormatError(
                f"{name}: latents of shape {list(shape)}, where {z_shape} (Z) or {w_shape} (W, W+) was expected",
                "make them with the model that is to use them: sg sample -m MODEL --seeds 0-3 -o latents.npy",
            )

    with open_input(source) as (stream, name):
        arrays = npy.read_arrays(stream, name, check_shape)
    return [a.repeat(num_ws, axis=1) if a.ndim == 3 and num_ws and a.shape[1] != num_ws else a for a in arrays]


def read_picture(source: str | os.PathLike) -> np.ndarray:
    """The picture in a file or in stdin (`-`): uint8 `[C, H, W]`, L, RGB or RGBA. Raises FormatError otherwise."""
    with open_input(source) as (stream, name):
        return decode_picture(stream.read(), name)


# ----- writing


def check_output(out: str | os.PathLike | None, what: str, example: str) -> None:
    """Refuse to write `what` ("pictures") to a terminal by accident, or under the name of another kind of file.

    `example` is a file name for the hint, and tells by its suffix what kind is written. Commands call this before they
    work, so that nobody waits for a result that cannot be delivered. Raises UsageError.
    """
    if out is None and sys.stdout.isatty():
        raise UsageError(f"{what} cannot be shown on a terminal", f"add -o {example}, or pipe into another command")
    if Path(example).suffix == ".png":
        _check_png_name(out)
    path = Path(out or "-")
    if Path(example).suffix == ".npy" and path.suffix.lower() in {".png", *OTHER_PICTURE_SUFFIXES}:
        raise UsageError(f"-o {path}: {what} are written as .npy", f"-o {path.with_suffix('.npy')}")


def write_array(array: Pixels, out: str | os.PathLike | None) -> None:
    """Write one `.npy` array to a file or stdout. Raises UsageError for a terminal, SgError for a file that refuses."""
    check_output(out, "arrays", "latents.npy")
    plain = np.ascontiguousarray(as_array(array)).reshape(array.shape)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(plain))
    _write_bytes(header.getvalue() + plain.tobytes(), out)


def write_picture(image: Pixels, out: str | os.PathLike | None, text: Mapping[str, str] | None = None) -> None:
    """Write one uint8 picture `[C, H, W]` as PNG to a file or stdout, with where it came from.

    `text`: more notes kept in the file.

    Raises UsageError for a terminal and for names of other formats, SgError for a file that refuses.
    """
    check_output(out, "pictures", "picture.png")
    _write_bytes(encode_png(image, {**provenance.notes(), **(text or {})}), out)


def write_pictures(
    images: Iterable[Pixels],
    names: Iterable[str],
    out: str | os.PathLike | None,
    text: Mapping[str, str] | None = None,
) -> None:
    """Write pictures that are all there, by `picture_writer`."""
    named = list(zip(names, images, strict=True))
    write = picture_writer(out, len(named))
    for name, image in named:
        write(name, image, text)


def picture_writer(out: str | os.PathLike | None, count: int) -> PictureWriter:
    """A function that writes each of `count` pictures as it comes: into the folder `out`, as `<name>.png`.

    Where `out` ends in `.png` or is stdout, there is room for one picture. Call this before the pictures are made: it
    raises UsageError where they will not fit.
    """
    check_output(out, "pictures", "folder/" if count > 1 else "picture.png")
    _check_png_name(out)
    one_place = out is None or str(out) == "-" or (Path(out).suffix.lower() == ".png" and not Path(out).is_dir())
    if one_place and count > 1:
        place = "standard output" if out is None or str(out) == "-" else f"-o {out}"
        raise UsageError(
            f"{count} pictures do not fit into one PNG ({place})",
            "draw them as one with --grid 8x4, or write --format npy, or a folder: -o folder/",
        )
    if out is None or one_place:
        return lambda name, image, text=None: write_picture(image, out, text)
    folder = files.check_writable_folder(out)
    return lambda name, image, text=None: write_picture(image, folder / f"{name}.png", text)


def _check_png_name(out: str | os.PathLike | None) -> None:
    path = Path(out or "-")
    if path.suffix.lower() in OTHER_PICTURE_SUFFIXES and not path.is_dir():
        raise UsageError(f"-o {path}: pictures are written as PNG", f"-o {path.with_suffix('.png')}")
    if path.suffix.lower() == ".npy" and not path.is_dir():
        raise UsageError(
            f"-o {path}: a .npy file cannot hold a PNG",
            f"-o {path.with_suffix('.png')}, or in sg generate: --format npy",
        )


def _write_bytes(data: bytes, out: str | os.PathLike | None) -> None:
    if out is not None and str(out) != "-":
        files.write_bytes(out, data)
        return
    rest = memoryview(data)
    while rest:  # where Python runs unbuffered, one call may take a part only
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()  # a closed pipe shows here, not at exit
