"""The words that name shards: an index, a pattern, a list of URLs, or a single archive behind a URL.

s3://bucket/faces                       a folder with an index.json (data.shards)
s3://bucket/faces-{000..099}.tar        braces: a range, or words {train,extra}
s3://bucket/faces-*.tar                 a star: whatever is there
faces.txt, s3://bucket/faces.txt        one URL or path on a line, relative to the list; # begins a comment
s3://bucket/faces.zip                   one archive
"""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterator

from sgcli.data.remote import find, is_url, join, read_small
from sgcli.errors import FormatError, SgError, UsageError

INDEX = "index.json"
ARCHIVES = (".zip", ".tar")
LIST = ".txt"
MAX_SHARDS = 1_000_000
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_sharded(path: str | os.PathLike) -> bool:
    """Whether `path` names a data set in shards."""
    text = os.fspath(path)
    if is_url(text) or os.path.basename(text) == INDEX or os.path.isfile(os.path.join(text, INDEX)):
        return True
    return text.endswith(LIST) or (_is_pattern(text) and not os.path.exists(text))


def has_index(path: str | os.PathLike) -> bool:
    """Whether a sharded `path` is described by an index.json: all but patterns, lists and single archives."""
    text = os.fspath(path)
    return not (_is_pattern(text) or text.endswith((LIST, *ARCHIVES)))


def expand(path: str | os.PathLike) -> list[str]:
    """The shards that a pattern, a list or the URL of an archive names, in order.

    Raises SgError where there is none, UsageError for a range without end, FormatError for a list that leads astray.
    """
    text = os.fspath(path)
    shards = _from_list(text) if text.endswith(LIST) else _from_pattern(text)
    if not shards:
        raise SgError(f"{text}: names no shards", "'s3://bucket/faces-{000..099}.tar', or 'faces-*.zip' in quotes")
    return shards


def name_of(path: str | os.PathLike) -> str:
    """What a data set is called: 'faces' for s3://bucket/faces-{000..099}.tar."""
    last = os.fspath(path).removesuffix("/" + INDEX).rstrip("/").rpartition("/")[2]
    plain = BRACES.sub("", last).replace("*", "")
    for suffix in (LIST, *ARCHIVES):
        plain = plain.removesuffix(suffix)
    return plain.strip("-_. ") or "shards"


def _is_pattern(text: str) -> bool:
    return "*" in text or BRACES.search(text) is not None


def _from_pattern(text: str) -> list[str]:
    shards: list[str] = []
    for each in itertools.islice(_expand_braces(text), MAX_SHARDS + 1):
        shards += find(each) if "*" in each else [each]
        if len(shards) > MAX_SHARDS:
            raise UsageError(f"{text}: more than {MAX_SHARDS} shards", "a shorter range, or an index.json")
    return shards


def _expand_braces(text: str) -> Iterator[str]:
    match = BRACES.search(text)
    if match is None:
        yield text
        return
    for word in _words(match[1]):
        for tail in _expand_braces(text[match.end() :]):
            yield text[: match.start()] + word + tail


def _words(content: str) -> Iterator[str]:
    limits = RANGE.fullmatch(content)
    if limits is None:
        yield from content.split(",")
        return
    first, last = limits.groups()
    if int(last) - int(first) >= MAX_SHARDS:
        raise UsageError(f"{{{content}}}: more than {MAX_SHARDS} shards", "a shorter range, or an index.json")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    yield from (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))


def _from_list(path: str) -> list[str]:
    try:
        lines = [line.strip() for line in read_small(path).decode().splitlines()]
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path}: not a list of shards ({error.reason})", "a text file with one URL or path on a line"
        ) from error
    folder = path.rpartition("/")[0]
    shards: list[str] = []
    for line in lines:
        if line and not line.startswith("#"):
            if is_url(path) and not is_url(line) and (line.startswith("/") or ".." in line.split("/")):
                raise FormatError(f"{path}: {line!r} leads out of its folder", "URLs, or names beside the list")
            shards += _from_pattern(line if is_url(line) or posixpath.isabs(line) else join(folder, line))
    return shards
