"""`sg generate --noise-layers`, `--noise-strength`: the noise study of StyleGAN's paper."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.cli import assert_refused, sg


def draw(model_file, *options):
    result = sg("generate", "-m", model_file, "--seeds", 3, "--format", "npy", *options)
    assert result.status == 0, result.err
    return np.load(io.BytesIO(result.out))


@pytest.mark.parametrize("mode", ["const", "random"])
def test_layers_add_up(mode, model_file):
    """Noise in no layer is no noise, in all layers it is the default; fine and coarse layers are its two parts."""
    everywhere, nowhere = draw(model_file, "--noise", mode), draw(model_file, "--noise", "none")
    np.testing.assert_array_equal(draw(model_file, "--noise", mode, "--noise-layers", "0-4"), everywhere)
    np.testing.assert_allclose(draw(model_file, "--noise", mode, "--noise-strength", 0), nowhere, atol=1e-6)
    fine = draw(model_file, "--noise", mode, "--noise-layers", "fine")
    coarse = draw(model_file, "--noise", mode, "--noise-layers", "coarse")
    np.testing.assert_array_equal(fine, draw(model_file, "--noise", mode, "--noise-layers", "1-4"))  # 8² and 16²
    np.testing.assert_array_equal(coarse, draw(model_file, "--noise", mode, "--noise-layers", "0"))
    for picture in (fine, coarse):
        assert np.abs(picture - nowhere).max() > 1e-4 and np.abs(picture - everywhere).max() > 1e-4


def test_strength(model_file):
    once, twice = draw(model_file), draw(model_file, "--noise-strength", 2)
    nowhere = draw(model_file, "--noise", "none")
    assert np.abs(twice - nowhere).mean() > 1.3 * np.abs(once - nowhere).mean()


def test_bad_options(model_file):
    def refuse(*options, words):
        assert_refused(sg("generate", "-m", model_file, "--seeds", 0, *options), 2, *words)

    refuse("--noise-layers", "0-9", words=["from 0 to 4"])
    refuse("--noise-layers", "middle", words=["all, fine, coarse or numbers"])
    refuse("--noise-layers", "3-1", words=["runs backwards"])
    refuse("--noise-strength", "nan", words=["--noise-strength nan"])


def test_generators_without_noise(faces, tmp_path):
    options = ["--arch", "progan", "--tiny", "--batch", 4, "--kimg", 0, "--outdir", tmp_path, "--name", "p"]
    assert sg("train", faces, *options).status == 0
    result = sg("generate", "-m", tmp_path / "00000-p", "--seeds", 0, "--noise-layers", "fine")
    assert_refused(result, 2, "has no noise inputs")
