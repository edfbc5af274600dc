"""Attribute classifiers: the three kinds of files, and pictures that they cannot judge."""

from __future__ import annotations

import pytest
import torch

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features.classifier import Panel, open_classifier, open_panel, published_name, save_classifier
from sgcli.models.foreign.pickles import Record
from sgcli.models.registry import build_network
from sgcli.training.classifier import specify
from tests.golden_files import Golden, assert_close
from tests.models.foreign.pickle_writer import write_pickle
from tests.models.foreign.test_tensorflow import network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A file with two networks, of one and of two attributes, and the networks."""
    torch.manual_seed(0)
    specifications = [specify(16, 3, 1), specify(16, 3, 2)]
    networks = [build_network(specification) for specification in specifications]
    path = tmp_path_factory.mktemp("classifier") / "clf.safetensors"
    save_classifier(path, networks, specifications, [["glasses"], ["hat", "smile"]], {"accuracy": {"hat": 0.9}})
    return path, networks


def test_a_file_of_ours(stored):
    path, networks = stored
    classifier = open_classifier(path, CPU)
    assert (classifier.names, classifier.resolution, classifier.num_channels) == (["glasses", "hat", "smile"], 16, 3)
    images = torch.randn(5, 3, 16, 16)
    expected = torch.cat([D.scores(images) for D in networks], dim=1)
    assert_close(classifier.judge(images), expected.detach())
    assert_close(classifier.judge(images[2:3]), expected[2:3].detach())  # no picture depends on its neighbours


def test_larger_pictures_are_shrunk_by_blocks_and_other_colours_fitted(stored):
    classifier = open_classifier(stored[0], CPU)
    small = torch.randn(2, 3, 16, 16)
    large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert_close(classifier.judge(large), classifier.judge(small))
    alpha = torch.cat([small, torch.zeros(2, 1, 16, 16)], dim=1)
    assert_close(classifier.judge(alpha), classifier.judge(small))
    grey = small[:, :1]
    assert_close(classifier.judge(grey), classifier.judge(grey.expand(-1, 3, -1, -1)))


def test_pictures_that_do_not_fit_are_refused(stored):
    classifier = open_classifier(stored[0], CPU)
    for resolution, channels in ((16, 3), (64, 3), (32, 4), (16, 1)):
        classifier.check_fits(resolution, channels)
    with pytest.raises(UsageError, match="16² pictures cannot judge 8² ones") as caught:
        classifier.check_fits(8, 3)
    assert "train-classifier" in caught.value.hint


def published(drop_mbstd: bool) -> tuple[Record, Golden]:
    """StyleGAN's discriminator by itself, as its classifiers were published: only the FromRGB that is in use."""
    golden = Golden("sg1-d")
    variables = {name: value for name, value in golden.under("tf").items() if "FromRGB_lod" not in name}
    variables |= {name: value for name, value in golden.under("tf").items() if "FromRGB_lod0" in name}
    if drop_mbstd:
        variables["4x4/Conv/weight"] = variables["4x4/Conv/weight"][:, :, :-1]
    return network("D_basic", variables), golden


def test_a_published_pickle(tmp_path):
    path = tmp_path / "celebahq-classifier-19-eyeglasses.pkl"
    record, golden = published(drop_mbstd=True)
    path.write_bytes(write_pickle(record))
    classifier = open_classifier(path, CPU)
    assert classifier.names == ["eyeglasses"]
    images = golden["img"].repeat(2, 1, 1, 1)
    logits = classifier.judge(images)
    assert logits.shape == (len(images), 1)
    assert_close(logits[: len(images) // 2], logits[len(images) // 2 :])  # no minibatch statistics
    assert not torch.allclose(logits[0], logits[1])


def test_the_numbers_of_a_published_network(tmp_path):
    record, golden = published(drop_mbstd=False)
    (tmp_path / "d.pkl").write_bytes(write_pickle(record))
    from tests.models.test_stylegan1_golden import set_blur

    classifier = open_classifier(tmp_path / "d.pkl", CPU)
    set_blur(classifier.network.networks[0], "d", "conv1")
    assert_close(classifier.judge(golden["img"]), golden["logits@lod0.0"])


def test_names_of_published_files(tmp_path):
    assert published_name(tmp_path / "celebahq-classifier-05-5-o-clock-shadow.pkl") == "5-o-clock-shadow"
    assert published_name(tmp_path / "smile.pkl") == "smile"


class Brightness(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=[1, 2, 3])


def test_torchscript_runs_only_when_trusted(tmp_path):
    torch.jit.script(Brightness()).save(tmp_path / "bright.ts")
    with pytest.raises(UsageError, match="executes code") as caught:
        open_classifier(tmp_path / "bright.ts", CPU)
    assert "--trust" in caught.value.hint
    classifier = open_classifier(tmp_path / "bright.ts", CPU, trust=True)
    assert classifier.names == ["bright"]
    images = torch.randn(3, 3, 8, 8)
    assert_close(classifier.judge(images)[:, 0], images.mean(dim=[1, 2, 3]))


def test_an_answer_of_another_shape_is_refused(tmp_path):
    class Wrong(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=[2, 3])

    torch.jit.script(Wrong()).save(tmp_path / "wrong.ts")
    with pytest.raises(FormatError, match=r"answered \[2, 3\]"):
        open_classifier(tmp_path / "wrong.ts", CPU, trust=True).judge(torch.zeros(2, 3, 8, 8))


def test_files_that_are_no_classifiers(tmp_path, model_file):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "zip.ts").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "two.pkl").write_bytes(write_pickle((1, 2)))
    (tmp_path / "g.pkl").write_bytes(write_pickle(network("G_style", {"4x4/Const/const": torch.zeros(1)})))
    for name in ("text.txt", "zip.ts", "two.pkl", "g.pkl"):
        with pytest.raises(FormatError, match=name):
            open_classifier(tmp_path / name, CPU, trust=True)
    with pytest.raises(FormatError, match="holds a model, a classifier was wanted"):
        open_classifier(model_file, CPU)


def test_a_panel_of_several(stored, tmp_path):
    with pytest.raises(UsageError, match="two classifiers judge 'glasses'"):
        open_panel([stored[0], stored[0]], CPU)
    with pytest.raises(SgError, match="no such classifier"):
        open_panel([tmp_path / "missing.safetensors"], CPU)
    with pytest.raises(SgError, match="a folder without classifiers"):
        open_panel([tmp_path], CPU)
    panel = open_panel([stored[0].parent], CPU)
    assert isinstance(panel, Panel) and panel.names == ["glasses", "hat", "smile"]
