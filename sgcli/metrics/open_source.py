"""What a user names, a path, to something that can be measured."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from sgcli.data.dataset import ImageDataset, open_dataset
from sgcli.errors import FormatError, SgError
from sgcli.files import explain_os_error, sha256_of_file
from sgcli.media.npy import read_arrays
from sgcli.metrics.sources import DataPictures, DrawnPictures, FeatureFile, Pictures, Source, StatisticsFile
from sgcli.models.checkpoint import Model, open_model
from sgcli.models.precision import set_precision
from sgcli.progress import notice

MODEL_SUFFIXES = (".safetensors", ".pkl", ".pt")


def open_source(
    path: Path,
    *,
    seed: int = 0,
    batch: int | None = None,
    device: torch.device = torch.device("cpu"),
    labels_from: ImageDataset | None = None,
    truncation_psi: float = 1.0,
) -> Source:
    """A model, a run folder, a data set (folder, zip), features `.npy` or statistics `.npz`.

    labels_from: where a conditional model's labels are drawn from. Raises SgError for anything else.
    """
    if not path.exists():
        raise SgError(f"{path}: no such file or folder", "check the spelling of the path")
    if path.suffix == ".npy":
        return open_features(path)
    if path.suffix == ".npz" and _holds_statistics(path):
        return open_statistics(path)
    if is_model(path):
        return draw_from(open_model(path), str(path), seed, batch, device, labels_from, truncation_psi)
    return DataPictures(open_dataset(path))


def is_model(path: Path) -> bool:
    """Whether a path is taken for a model: by its suffix, or as a folder with snapshots."""
    if path.is_dir():
        return any(path.glob("model-*.safetensors"))
    return path.suffix in (*MODEL_SUFFIXES, ".npz")


def draw_from(
    model: Model,
    name: str,
    seed: int,
    batch: int | None,
    device: torch.device,
    labels_from: ImageDataset | None = None,
    truncation_psi: float = 1.0,
) -> DrawnPictures:
    """The pictures that a model draws."""
    G = model.load_generator(device)
    set_precision(G, "auto")
    if labels_from is not None and 0 < G.c_dim != labels_from.label_dim:
        notice(f"{labels_from.path}: has labels of {labels_from.label_dim} numbers, {name} wants {G.c_dim}: any class")
        labels_from = None
    facts = {"arch": model.arch, "kimg": model.header.get("kimg")}
    return DrawnPictures(
        G,
        name,
        seed=seed,
        batch=batch,
        labels_from=labels_from,
        truncation_psi=truncation_psi,
        sha256=sha256_of_file(model.path),
        facts=facts,
    )


def open_features(path: Path) -> FeatureFile:
    """Features `[N, F]` of a .npy file. Raises FormatError for another shape, and for NaN."""

    def check_shape(shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or 0 in shape:
            raise FormatError(f"{path}: features are [N, F], this is {list(shape)}", "sg metrics features writes them")

    with explain_os_error(path), open(path, "rb") as file:
        return FeatureFile(path, np.concatenate(read_arrays(file, str(path), check_shape)))


def open_statistics(path: Path) -> StatisticsFile:
    """mu and sigma of a .npz file, such as other FID programs write. Raises FormatError where they do not fit."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mu, sigma = (np.asarray(arrays[name], np.float64) for name in ("mu", "sigma"))
            num = int(arrays["num"]) if "num" in arrays else 0
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: damaged, or without mu and sigma", "sg metrics features D -o stats.npz") from error
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise FormatError(
            f"{path}: mu {list(mu.shape)} and sigma {list(sigma.shape)}, [F] and [F, F] were expected",
            "sg metrics features DATA -o stats.npz writes them",
        )
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise FormatError(f"{path}: holds NaN or infinite values", "look for the step that made them")
    return StatisticsFile(path, mu, sigma, num)


def check_comparable(real: Source, fake: Source) -> None:
    """Say where two sets of pictures differ in size. Raises SgError where they differ in colour."""
    if not (isinstance(real, Pictures) and isinstance(fake, Pictures)):
        return
    if real.num_channels != fake.num_channels:
        words = {1: "greyscale", 3: "RGB", 4: "RGBA"}
        raise SgError(
            f"{fake.name} has {words[fake.num_channels]} pictures, {real.name} has {words[real.num_channels]} ones",
            "compare sets of one kind; sg data pack converts them",
        )
    if real.resolution != fake.resolution:
        notice(f"{fake.name} has pictures of {fake.resolution}², {real.name} of {real.resolution}²")


def _holds_statistics(path: Path) -> bool:
    """Whether a .npz is one of statistics rather than an exported model."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"mu.npy", "sigma.npy"} & set(archive.namelist()) != set()
    except (OSError, zipfile.BadZipFile):
        return False
