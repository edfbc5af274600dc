"""Write a data set in the field's own layout (spec stylegan2-ada, section 7): a folder or an uncompressed zip.

Images are `00000/img00000000.png`, a thousand to a folder, beside `dataset.json`; the same content gives the
same bytes.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sgcli.errors import SgError
from sgcli.files import atomic_folder, atomic_path

ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say; a real time would change the bytes
Put = Callable[[str, bytes], None]


def image_name(index: int) -> str:
    """The name of image `index` in the data set."""
    return f"{index // 1000:05d}/img{index:08d}.png"


def check_output_is_new(out: str | os.PathLike) -> None:
    """Refuse to replace a data set, which may have taken hours to gather. Raises SgError."""
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise SgError(
            f"{out}: exists already and is not an empty folder", "name a new folder or zip, or remove this one"
        )


@contextlib.contextmanager
def open_output(out: str | os.PathLike) -> Iterator[Put]:
    """Yield put(name, data) into `out`, a zip if it ends in .zip, else a new folder. It appears whole or not at all."""
    out = Path(out)
    if out.suffix.lower() == ".zip":
        with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            yield lambda name, data: add_to_zip(archive, name, data)
    else:
        with atomic_folder(out) as folder:
            yield lambda name, data: _write_file(folder / name, data)


def add_to_zip(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Store a file in a way that does not depend on when and where it is done."""
    info = zipfile.ZipInfo(name, ZIP_TIME)
    info.create_system = 3  # Unix, wherever it is made
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
