"""A folder or an archive of images behind one interface: sorted names with `/`, and the bytes of each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sgcli.data.faults import DATASET_JSON, Fault, UnreadableFile, quote
from sgcli.data.shard_names import is_sharded
from sgcli.errors import FormatError, SgError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MAX_FILE_BYTES = 1 << 30  # no image of a training set is larger; a zip entry that claims to be is a decompression bomb
# So is a large entry that shrank to less than this share: image formats are compressed already.
BOMB_BYTES, BOMB_RATIO = 16 << 20, 200


class Entry(NamedTuple):
    """What identifies a file's content without reading it."""

    size: int  # bytes
    stamp: int  # modification time in nanoseconds (folder) or CRC-32 (zip)


class Source(ABC):
    """The image files below a folder or inside a zip, at any depth.

    Hidden files and folders and `__MACOSX` are passed over. Names that lead out of the folder or zip are never opened:
    they are in `faults`. Reading is safe from several threads and after a fork.

    names: relative names of the images with `/`, sorted as text, as in the field's other tools.
    entries: size and stamp of every image and of `dataset.json`.
    root_parts: how many parts in front of each name do not come from the data set.
    """

    root_parts = 0

    def __init__(self, path: Path):
        self.path = path
        self.faults: list[Fault] = []
        self.entries: dict[str, Entry] = {}
        self._ignored: Counter[str] = Counter()
        self._list()
        self.names = sorted(name for name in self.entries if name != DATASET_JSON)
        if not self.names and not self.faults:
            archives = [suffix for suffix in (".tar", ".zip") if self._ignored[suffix]]
            hint = f"images end in {' '.join(EXTENSIONS)}"
            hint += f"; archives of them are named in quotes: '{path}/*{archives[0]}'" if archives else ""
            raise SgError(f"{path}: holds no images{self._describe_ignored()}", hint)

    @abstractmethod
    def _list(self) -> None:
        """Fill `entries` and `faults`."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises UnreadableFile."""

    @abstractmethod
    def state(self) -> str:
        """Hex key that changes whenever any file is touched, moved or renamed; stricter than `fingerprint`."""

    def fingerprint(self) -> str:
        """Hex key of the content: names, sizes, and modification times (folder) or checksums (zip)."""
        return digest(sorted(self.entries.items()))

    def read_annotations(self) -> bytes | None:
        """The bytes of `dataset.json`, or None where there is none."""
        return self.read(DATASET_JSON) if DATASET_JSON in self.entries else None

    def _add(self, name: str, entry: Entry) -> None:
        if name == DATASET_JSON or is_image_name(name):
            self.entries[name] = entry
        else:
            self._ignored[PurePosixPath(name).suffix.lower() or "no suffix"] += 1

    def _describe_ignored(self) -> str:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in self._ignored.most_common(3))
        return f" (only other files: {kinds})" if kinds else ""


class FolderSource(Source):
    """Images in a folder and its subfolders. Links to files inside it are followed, links to folders are not."""

    def _list(self) -> None:
        self._root = self.path.resolve()
        with explain_unreadable(self.path):
            os.listdir(self._root)  # os.walk would pass over a folder that may not be read
        for folder, subfolders, files in os.walk(self._root, onerror=self._note_unreadable):
            relative = Path(folder).relative_to(self._root)
            subfolders[:] = [name for name in subfolders if not is_ignored(name)]
            for name in subfolders:
                path = Path(folder, name)
                if path.is_symlink() and not self._is_inside(path):
                    self.faults.append(Fault("outside-link", (relative / name).as_posix(), f"to {os.readlink(path)}"))
            for name in files:
                if not is_ignored(name):
                    self._add_file(Path(folder, name), (relative / name).as_posix())

    def _add_file(self, path: Path, name: str) -> None:
        if path.is_symlink() and not self._is_inside(path):
            if is_image_name(name):
                self.faults.append(Fault("outside-link", name, f"to {os.readlink(path)}"))
            return
        try:
            status = path.stat()
        except OSError as error:
            self.faults.append(Fault("unreadable", name, error.strerror or str(error)))
            return
        self._add(name, Entry(status.st_size, status.st_mtime_ns))

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _note_unreadable(self, error: OSError) -> None:
        name = Path(error.filename).relative_to(self._root).as_posix()
        self.faults.append(Fault("unreadable", name, error.strerror or str(error)))

    def read(self, name: str) -> bytes:
        if self.entries[name].size > MAX_FILE_BYTES:
            raise UnreadableFile(name, "larger than 1 GiB")
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise UnreadableFile(name, error.strerror or str(error)) from error

    def state(self) -> str:
        return digest([str(self._root), *sorted(self.entries.items())])


class ZipSource(Source):
    """Images in a zip file, read in place: nothing is ever unpacked onto the disk."""

    def _list(self) -> None:
        self._lock = threading.Lock()
        self._open()
        for info in self._zip.infolist():
            name = info.filename
            if info.is_dir() or any(is_ignored(part) for part in name.split("/") if part != ".."):
                continue
            if leads_out(name):
                self.faults.append(Fault("unsafe-name", name))
            elif stat.S_ISLNK(info.external_attr >> 16):  # the Unix mode of the file, where a Unix made the zip
                self.faults.append(Fault("unsafe-name", name, "a symbolic link"))
            elif info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size):
                sizes = f"{info.compress_size} bytes for {info.file_size}"
                self.faults.append(Fault("unreadable", name, f"a zip bomb: {sizes}"))
            else:
                self._add(name, Entry(info.file_size, info.CRC))

    def _open(self) -> None:
        try:
            with explain_unreadable(self.path):
                self._zip = zipfile.ZipFile(self.path)
        except SgError:
            raise
        except Exception as error:  # a damaged directory makes zipfile raise struct.error, ValueError and more
            raise FormatError(
                f"{self.path}: not a whole zip file (cut short, damaged, or of another kind)",
                "copy it again, or give the folder that it was made from",
            ) from error
        self._owner = os.getpid()

    def read(self, name: str) -> bytes:
        if self.entries[name].size > MAX_FILE_BYTES:
            raise UnreadableFile(name, "larger than 1 GiB")
        if self._owner != os.getpid():  # after a fork both processes would move one file position
            self._lock = threading.Lock()
            self._open()
        try:
            with self._lock:
                return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise UnreadableFile(name, f"damaged or locked in the zip: {error}") from error

    def state(self) -> str:
        status = self.path.stat()  # damage inside the file would leave the checksums in its directory as they were
        return digest([str(self.path.resolve()), status.st_size, status.st_mtime_ns])


def open_source(path: str | os.PathLike) -> Source:
    """Open images in a folder, a zip, a tar, or in shards (data.shard_names).

    Raises SgError where it is none of them, is missing, or holds no images.
    """
    from sgcli.data.shard_source import ShardsSource  # these build upon this module
    from sgcli.data.tars import TarSource, is_tar

    if is_sharded(path):
        return ShardsSource(path)
    path = Path(path)
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return TarSource(path) if is_tar(path) else ZipSource(path)
    raise SgError(f"{path}: no such folder, zip or tar of images", "sg data synth faces.zip makes a data set to try")


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return name.lower().endswith(EXTENSIONS)


@contextlib.contextmanager
def explain_unreadable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to read `path` into SgErrors."""
    try:
        yield
    except OSError as error:
        raise SgError(
            f"{path}: cannot be read ({error.strerror})", f"see who may read it: ls -ld {quote(path)}"
        ) from error


def leads_out(name: str) -> bool:
    """Whether a name in an archive points to somewhere outside of it."""
    return name.startswith("/") or ".." in re.split(r"[/\\]", name)


def is_ignored(part: str) -> bool:
    """Whether a file or folder of this name is passed over."""
    return part.startswith(".") or part == "__MACOSX"


def digest(items: list) -> str:
    """Hex key of a list of plain values."""
    return hashlib.sha256(repr(items).encode("utf-8", "surrogateescape")).hexdigest()
