"""Turn any folder or zip of pictures into a data set that can be trained: one size, one number of channels, one zip.

The same pictures and options give the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sgcli import __version__, progress
from sgcli.data import images
from sgcli.data.check import is_resolution
from sgcli.data.convert import CROPS, FILTERS, Recipe, convert, crop_to_recipe, encode_png
from sgcli.data.faults import DATASET_JSON, KINDS, Fault, UnreadableFile, check_command, dataset_name, report_lines
from sgcli.data.labels import Annotations, read_annotations
from sgcli.data.output import Put, check_output_is_new, image_name, open_output
from sgcli.data.parallel import map_in_threads
from sgcli.data.shard_output import ShardWriter, open_shard_output
from sgcli.data.source import Source, open_source
from sgcli.errors import SgError, UsageError


class Packed(NamedTuple):
    """One picture as it goes into the data set."""

    png: bytes
    is_enlarged: bool
    is_first_frame: bool  # of an animation


def pack(
    src: str | os.PathLike,
    out: str | os.PathLike,
    size: int,
    crop: str = "center",
    filter: str = "lanczos",
    labels: str = "auto",
    skip_faulty: bool = False,
    drop_duplicates: bool = False,
    shard_size: int | None = None,
) -> int:
    """Convert the pictures of `src` into the data set `out` (a zip if it ends in .zip, else a new folder).

    Palette, CMYK and 16-bit pictures become plain 8-bit ones, animations their first frame. Alpha is kept if every
    picture has it, greyscale if every picture is grey without alpha; otherwise all become RGB. `crop` and `filter` are
    those of `Recipe`, `labels` that of `read_annotations`.
    skip_faulty leaves out what cannot be used; without it any such file is an error and nothing is written.
    drop_duplicates leaves out pictures that come out the same as an earlier one.
    shard_size: make `out` a folder of zips with so many pictures each, and an index (data.shards).

    Returns the number of images written. Raises UsageError for wrong arguments, SgError with the list of faults.
    """
    _check_arguments(src, out, size, crop, filter, shard_size)
    source = open_source(src)
    annotations = read_annotations(source, labels)
    faults = [fault for fault in source.faults + annotations.faults if fault.fatal]
    unusable = {fault.file for fault in faults}
    names = [name for name in source.names if name not in unusable]
    recipe = Recipe(size, crop, filter, _choose_mode(source, names))
    dataset_json = functools.partial(_dataset_json, src, recipe, annotations)
    output = open_output(out) if shard_size is None else open_shard_output(out, shard_size)
    with output as put:
        written = _convert_all(source, names, recipe, faults, drop_duplicates, put)
        _refuse(faults, src, size, skip_faulty)
        if not written:
            raise SgError(f"{src}: none of its pictures can be used", check_command(src, labels))
        if isinstance(put, ShardWriter):
            _finish_shards(put, dataset_json, recipe, annotations, written)
        else:
            put(DATASET_JSON, dataset_json(written))
    return len(written)


def _finish_shards(
    shards: ShardWriter,
    dataset_json: Callable[[dict[str, str]], bytes],
    recipe: Recipe,
    annotations: Annotations,
    written: dict[str, str],
) -> None:
    sources = {new: old for old, new in written.items()}
    facts = {
        "resolution": recipe.size,
        "num_channels": images.CHANNELS[recipe.mode],
        "label_dim": annotations.label_dim,
        "class_names": annotations.class_names,
    }
    labels = annotations.label_array(list(written))
    shards.finish(lambda names: dataset_json({sources[name]: name for name in names}), labels, facts)


def _check_arguments(
    src: str | os.PathLike, out: str | os.PathLike, size: int, crop: str, filter: str, shard_size: int | None
) -> None:
    if not is_resolution(size):
        nearest = min((1 << power for power in range(2, 14)), key=lambda allowed: abs(allowed - size))
        raise UsageError(f"--size {size}: a power of two from 4 to 8192 is needed", f"--size {nearest}")
    if crop not in CROPS:
        raise UsageError(f"--crop {crop}: no such crop", f"--crop {'|'.join(CROPS)}")
    if filter not in FILTERS:
        raise UsageError(f"--filter {filter}: no such filter", f"--filter {'|'.join(FILTERS)}")
    if shard_size is not None and Path(out).suffix.lower() == ".zip":
        raise UsageError(f"--shard-size {shard_size}: OUT {out} is one zip, shards go to a folder", str(Path(out).stem))
    if os.fspath(out) == "-":
        raise UsageError("OUT -: a data set cannot go to standard output", f"{dataset_name(src)}-{size}.zip")
    if Path(out).exists() and Path(src).exists() and Path(out).samefile(src):
        raise UsageError(f"{out}: OUT is SRC itself", "choose another name for OUT")
    check_output_is_new(out)


def _choose_mode(source: Source, names: list[str]) -> str:
    """'RGBA' if all pictures have transparency, 'L' if all are grey and none has, else 'RGB'. Reads headers only."""
    modes = [mode for mode in map_in_threads(lambda name: _read_mode(source, name), names, batch=16) if mode]
    num_alpha = sum(has_alpha for _, has_alpha in modes)
    if modes and num_alpha == len(modes):
        return "RGBA"
    if num_alpha:
        progress.notice(
            f"{num_alpha} of {len(modes)} pictures have an alpha channel; it is dropped, as not all have one"
        )
    return "L" if modes and all(is_grey for is_grey, _ in modes) else "RGB"


def _read_mode(source: Source, name: str) -> tuple[bool, bool] | None:
    try:
        return images.read_mode(source.read(name), name)
    except UnreadableFile:
        return None  # reported when it is to be converted


def _convert_all(
    source: Source, names: list[str], recipe: Recipe, faults: list[Fault], drop_duplicates: bool, put: Put
) -> dict[str, str]:
    """Put every picture, add to `faults` those that cannot be used; return {name in the source: name written}."""
    written: dict[str, str] = {}
    seen: set[bytes] = set()
    num_enlarged = num_first_frames = 0
    results = map_in_threads(lambda name: _convert_one(source, name, recipe), names)
    for name, result in zip(names, progress.track(results, "packing", total=len(names), unit="images"), strict=True):
        if isinstance(result, Fault):
            faults.append(result)
            continue
        digest = hashlib.blake2b(result.png, digest_size=16).digest()
        if drop_duplicates and digest in seen:
            continue
        seen.add(digest)
        written[name] = image_name(len(written))
        put(written[name], result.png)
        num_enlarged += result.is_enlarged
        num_first_frames += result.is_first_frame
    if num_enlarged:
        progress.notice(f"{num_enlarged} of {len(written)} pictures were smaller than {recipe.size} and are enlarged")
    if num_first_frames:
        progress.notice(f"{num_first_frames} animations: only the first picture of each is taken")
    return written


def _convert_one(source: Source, name: str, recipe: Recipe) -> Packed | Fault:
    try:
        image, oddities = images.read_image(source.read(name), name)
    except UnreadableFile as error:
        return Fault("unreadable", name, error.reason)
    if recipe.crop == "none" and image.width != image.height:
        return Fault("wrong-size", name, f"{image.width}x{image.height}, not square")
    is_enlarged = crop_to_recipe(image, recipe).width < recipe.size
    return Packed(encode_png(convert(image, recipe)), is_enlarged, "animated" in oddities)


def _refuse(faults: list[Fault], src: str | os.PathLike, size: int, skip_faulty: bool) -> None:
    """Raise SgError with the whole list, unless all of it may be left out; then say what was."""
    lines = report_lines(faults, src, size, limit=len(faults))
    options = {KINDS[fault.kind].options for fault in faults}
    if skip_faulty and options <= {"--skip-faulty", "--crop center"}:
        for line in lines:
            progress.notice(f"left out: {line}")
    elif faults:
        num_files = len({fault.file for fault in faults})
        raise SgError(
            "\n".join([f"{src}: {num_files} of its files cannot be used; nothing was written", *lines]),
            f"give {' '.join(sorted(options))}, or replace the files",
        )


def _dataset_json(src: str | os.PathLike, recipe: Recipe, annotations: Annotations, written: dict[str, str]) -> bytes:
    """Labels and attributes under the new names, and how the pictures were made."""
    content: dict = {"labels": None}
    if annotations.labels:
        content["labels"] = [[new, annotations.labels[old]] for old, new in written.items()]
    if annotations.class_names:
        content["class_names"] = annotations.class_names
    if annotations.attribute_names is not None:
        values = {new: annotations.attributes[old] for old, new in written.items()}
        content["attributes"] = {"names": annotations.attribute_names, "values": values}
    content["source"] = {
        "name": dataset_name(src),
        "size": recipe.size,
        "crop": recipe.crop,
        "filter": recipe.filter,
        "sgcli_version": __version__,
    }
    if annotations.origin:
        content["source"]["made_from"] = annotations.origin
    return json.dumps(content).encode()
