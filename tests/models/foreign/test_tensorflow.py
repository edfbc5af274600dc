"""TensorFlow pickles: the goldens, and what differs between versions."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from sgcli.errors import FormatError
from sgcli.models.checkpoint import open_model
from sgcli.models.foreign.formats import NAMES, ForeignModel, open_foreign
from sgcli.models.foreign.pickles import Global, Record, read_pickle
from tests.golden_files import GOLDEN, Golden, assert_close
from tests.models.foreign.pickle_writer import write_pickle
from tests.models.test_stylegan1_golden import set_blur


def test_stylegan2():
    model = open_model(GOLDEN / "tf-stylegan2.pkl")
    g, d = Golden("sg2-g-skip-c0"), Golden("sg2-d-resnet-c0")
    assert_close(model.load_generator()(g["z"], noise="const"), g["img_const"])
    assert_close(model.load("D")(d["img"]), d["logits"])
    assert model.arch == "sg2"
    for name, tensor in {**g.under("param"), **g.under("buffer")}.items():
        assert_close(model.tensors("G_ema")[name], tensor, 1e-6)


def test_stylegan1():
    model = open_model(GOLDEN / "tf-stylegan1.pkl")
    g, d = Golden("sg1-g"), Golden("sg1-d")
    G, D = model.load_generator(), model.load("D")
    set_blur(G.synthesis, "g", "conv0")
    set_blur(D, "d", "conv1")
    assert_close(G(g["z"], noise="const"), g["img@lod0.0"])
    assert_close(G(g["z"], truncation_psi=0.7, truncation_cutoff=8, noise="const"), g["img_trunc0.7_cut8"])
    assert_close(D(d["img"]), d["logits@lod0.0"])
    assert model.arch == "sg1"


def test_progan():
    model = open_model(GOLDEN / "tf-progan.pkl")
    g, d = Golden("progan-g"), Golden("progan-d")
    assert_close(model.load_generator()(g["z"]), g["img@lod0.0"])
    assert_close(model.load("D")(d["img"]), d["logits@lod0.0"])
    assert model.arch == "progan"


# ----- made of other goldens' variables


def array_record(array: np.ndarray) -> Record:
    array = np.asarray(array, dtype="f4").copy(order="C")
    dtype = Record("numpy.dtype", ("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    name = "numpy.core.multiarray._reconstruct"
    return Record(name, (Global("numpy.ndarray"), (0,), b"b"), (1, array.shape, dtype, False, array.tobytes()))


def network(
    function: str, variables: dict, version: int = 4, cls: str = "dnnlib.tflib.network.Network", **kwargs
) -> Record:
    state = {
        "version": version,
        "name": function,
        "static_kwargs": kwargs,
        "components": {},
        "build_module_src": "raise SystemExit",
        "build_func_name": function,
        "variables": [(name, array_record(np.asarray(value))) for name, value in variables.items()],
    }
    return Record(cls, (), state)


@pytest.fixture
def reopen(tmp_path):
    def reopen(content) -> ForeignModel:
        path = tmp_path / "changed.pkl"
        path.write_bytes(write_pickle(content))
        return open_foreign(path)

    return reopen


def test_fused_progan_of_its_own_repository(reopen):
    """Its fused kernels are [k, k, out, in], and turned by 180°."""
    g, d = Golden("progan-g-fused"), Golden("progan-d-fused")
    G = network("G_paper", g.under("tf"), 2, "tfutil.Network", fused_scale=True)
    D = network("D_paper", d.under("tf"), 2, "tfutil.Network", fused_scale=True)
    model = reopen((G, D, G))
    assert_close(model.load_generator()(g["z"]), g["img@lod0.0"])
    assert_close(model.load("D")(d["img"]), d["logits@lod0.0"])


def test_conditional_progan_tells_classes_beside_its_score(reopen):
    g, d = Golden("progan-g"), Golden("progan-d")
    variables = d.under("tf")
    extra = torch.randn(len(variables["4x4/Dense1/weight"]), 3)
    weight = torch.cat([torch.as_tensor(variables["4x4/Dense1/weight"]), extra], dim=1)
    variables = {**variables, "4x4/Dense1/weight": weight, "4x4/Dense1/bias": torch.zeros(4)}
    G = network("G_paper", g.under("tf"), 2, "tfutil.Network")
    D = reopen((G, network("D_paper", variables, 2, "tfutil.Network", label_size=3), G)).load("D")
    score, class_logits = D.score_and_classify(d["img"])
    without_bias = d["logits@lod0.0"] - torch.as_tensor(d.under("tf")["4x4/Dense1/bias"])
    assert_close(score, without_bias)
    assert class_logits.shape == (len(score), 3)


def test_progan_in_mid_growth_keeps_its_level_of_detail(reopen):
    g, d = Golden("progan-g"), Golden("progan-d")
    variables = {**g.under("tf"), "lod": torch.tensor(0.4)}
    G = network("G_paper", variables, 2, "tfutil.Network")
    model = reopen((G, network("D_paper", d.under("tf"), 2, "tfutil.Network"), G))
    assert_close(model.load_generator()(g["z"]), g["img@lod0.4"])


def ada_discriminator(classes: int, features: int) -> tuple[dict, dict]:
    """The golden discriminator, made conditional with no mapping layers, as StyleGAN2-ADA made them."""
    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    from sgcli.models.foreign.tensorflow import read_network

    found = read_network(content[1])
    random = np.random.RandomState(0)
    variables = {
        **{name: value.numpy() for name, value in found.variables.items()},
        "LabelEmbed/weight": random.randn(classes, features),
        "LabelEmbed/bias": random.randn(features),
        "Output/weight": random.randn(features, features),
        "Output/bias": random.randn(features),
    }
    return variables, {key: value for key, value in found.arguments.items() if key != "mbstd_group_size"}


def test_stylegan2_ada_defaults(reopen):
    """Version 5: statistics over the whole batch, and a class embedding without layers behind it."""
    variables, arguments = ada_discriminator(classes=3, features=32)
    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    content[2].state["version"] = 5
    D = network("D_stylegan2", variables, 5, **{**arguments, "label_size": 3, "num_fp16_res": 4, "conv_clamp": 256})
    model = reopen((content[0], D, content[2]))
    described = model.header["networks"]["D"]
    assert described["mbstd_group_size"] is None
    assert (described["c_dim"], described["mapping_layers"], described["cmap_dim"]) == (3, 0, 32)
    assert (described["num_fp16_res"], described["conv_clamp"]) == (4, 256)
    assert model.header["source"]["format"] == "StyleGAN2-ADA (TensorFlow)"
    logits = model.load("D")(Golden("sg2-d-resnet-c0")["img"], torch.eye(3)[[0, 1, 2, 0]])
    assert logits.shape == (4, 1)
    assert logits.isfinite().all()


def test_stylegan2_default_group(reopen):
    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    del content[1].state["static_kwargs"]["mbstd_group_size"]
    assert reopen(content).header["networks"]["D"]["mbstd_group_size"] == 4


def test_missing_networks(reopen):
    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    assert reopen((None, None, content[2])).prefixes() == ["G_ema"]
    for wrong, words in (((content[0], content[1], None), "no generator"), (content[1], "single network")):
        with pytest.raises(FormatError, match=words):
            reopen(wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state["static_kwargs"].__setitem__("nonlinearity", "relu"), "nonlinearity relu; sg has lrelu"),
        (lambda state: state["static_kwargs"].__setitem__("resample_kernel", [1, 2, 1]), "resample_kernel"),
        (lambda state: state["variables"].append(("LabelConcat/weight", 1.0)), "conditional network of the first"),
        (lambda state: state["variables"].append(("ToRGB_lod0/weight", 1.0)), "configuration B, C or D"),
        (lambda state: state["variables"].append(("64x64/Strange/weight", 1.0)), "64x64/Strange/weight"),
        (lambda state: state["variables"].append(((1, 2), 1.0)), "variable without a name"),
        (lambda state: state["components"].__setitem__("more", Record("numpy.dtype", ("f4",))), "place of a network"),
        (lambda state: state.__setitem__("variables", None), "damaged"),
        (lambda state: state.pop("static_kwargs"), "damaged"),
    ],
    ids=range(9),
)  # fmt: skip
def test_networks_that_cannot_be_read(reopen, change, words):
    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    change(content[2].state)
    with pytest.raises(FormatError, match=words) as caught:
        reopen(content)
    assert "\n" not in str(caught.value)


def test_a_network_that_contains_itself():
    from sgcli.models.foreign.pickles import PickleError
    from sgcli.models.foreign.tensorflow import read_network

    content = read_pickle(io.BytesIO((GOLDEN / "tf-stylegan2.pkl").read_bytes()), NAMES)
    content[2].state["components"]["again"] = content[2]
    with pytest.raises(PickleError, match="two places"):
        read_network(content[2])
