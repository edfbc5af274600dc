from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def draw():
    """draw(path, size=(8, 8), mode='RGB'): write a picture of random pixels, each call another; returns the path."""
    rng = np.random.RandomState(0)

    def write(path: Path, size: tuple[int, int] = (8, 8), mode: str = "RGB", **options) -> Path:
        width, height = size
        pixels = rng.randint(0, 256, (height, width, 4), np.uint8)
        image = Image.fromarray(pixels, "RGBA").convert(mode if mode in ("RGBA", "LA") else "RGB").convert(mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def folder(tmp_path, draw):
    """A data set of six 8x8 RGB pictures in two subfolders."""
    for number in range(6):
        draw(tmp_path / "set" / ("cat" if number < 3 else "dog") / f"{number}.png")
    return tmp_path / "set"
