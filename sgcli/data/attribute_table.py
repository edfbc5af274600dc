"""Labels of generated pictures as a table: CSV with a row for each seed and a column for each attribute.

    seed,smiling,glasses
    0,1,0
    seed0003.png,yes,

The first column names the picture as `sg generate --seeds … -o folder/` does, or gives the bare seed. An empty place
means: not labelled.
"""

from __future__ import annotations

import csv
import io
import re
from typing import NamedTuple

import numpy as np

from sgcli.errors import FormatError

VALUES = {"1": 1.0, "yes": 1.0, "true": 1.0, "0": 0.0, "-1": 0.0, "no": 0.0, "false": 0.0, "": np.nan}
EXAMPLE = "rows like: seed,smiling,glasses and below it 0,1,0"


class AttributeTable(NamedTuple):
    """What a table says."""

    seeds: list[int]
    names: list[str]  # of the attributes
    values: np.ndarray  # [len(seeds), len(names)]: 1, 0, or NaN where there is no label


def read_attribute_table(data: bytes, name: str) -> AttributeTable:
    """The labels in a CSV file (UTF-8). Raises FormatError with `name` and the line."""
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{name}: not a CSV file ({error})", EXAMPLE) from error
    names = [cell.strip() for cell in rows[0][1:]] if rows else []
    if not names or not all(names) or len(set(names)) < len(names) or any(cell.lower() in VALUES for cell in names):
        raise FormatError(f"{name}: the first row must name the columns: seed, then each attribute", EXAMPLE)
    seeds: dict[int, list[float]] = {}
    for number, row in enumerate(rows[1:], start=2):
        where = f"{name}, row {number}"
        if len(row) != len(names) + 1:
            raise FormatError(f"{where}: {len(row)} places, the first row has {len(names) + 1}", EXAMPLE)
        seed = _seed(row[0], where)
        if seed in seeds:
            raise FormatError(f"{where}: seed {seed} has a row already", "keep one of them")
        seeds[seed] = [_value(cell, where) for cell in row[1:]]
    values = np.array(list(seeds.values()), np.float64).reshape(len(seeds), len(names))
    return AttributeTable(list(seeds), names, values)


def _seed(cell: str, where: str) -> int:
    """'seed0012.png' or '12' -> 12."""
    found = re.fullmatch(r"(?:.*/)?(?:seed)?([0-9]{1,10})(?:\.png)?", cell.strip())
    if not found or int(found[1]) >= 2**32:
        raise FormatError(f"{where}: '{cell}' is no seed and no name like seed0012.png", EXAMPLE)
    return int(found[1])


def _value(cell: str, where: str) -> float:
    try:
        return VALUES[cell.strip().lower()]
    except KeyError:
        raise FormatError(f"{where}: '{cell}' is no label; 1 or 0, yes or no, or nothing", EXAMPLE) from None
