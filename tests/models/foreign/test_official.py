"""StyleGAN2-ADA's and StyleGAN3's PyTorch pickles: the goldens, and what is found in the wild."""

from __future__ import annotations

import io

import pytest
import torch

from sgcli.errors import FormatError
from sgcli.models.checkpoint import open_model
from sgcli.models.foreign.contents import infer_channels, make_network
from sgcli.models.foreign.formats import NAMES, ForeignModel, open_foreign
from sgcli.models.foreign.official import read_module
from sgcli.models.foreign.official_networks import stylegan3_channels
from sgcli.models.foreign.pickles import PickleError, Record, read_pickle
from tests.golden_files import GOLDEN, Golden, assert_close
from tests.models.foreign.pickle_writer import write_pickle


@pytest.mark.parametrize(("name", "form", "arch"), [
    ("ada-cond-32", "StyleGAN2 (StyleGAN3's code base)", "sg2"), ("sg3r-32", "StyleGAN3 (PyTorch)", "sg3-r"),
])  # fmt: skip
def test_goldens(name, form, arch):
    model = open_model(GOLDEN / f"{name}.pkl")
    expected = Golden(f"{name}.expected")
    img = model.load_generator()(expected["z"], expected.get("c"), truncation_psi=0.7, noise="const")
    assert_close(img, expected["img_trunc07"])
    assert_close(model.load("D")(img, expected.get("c")), expected["logits"])
    assert model.prefixes() == ["G_ema", "G", "D"]
    assert model.header["source"]["format"] == form
    assert model.arch == arch
    assert model.header["augment_p"] == 0.37
    assert model.header["data"] == {"name": "data.zip", "num_images": 100, "mirror": False, "labels": name[0] == "a"}


# ----- variations


@pytest.fixture
def content():
    """The unpickled dict of the conditional golden, to be changed and written again."""
    return read_pickle(io.BytesIO((GOLDEN / "ada-cond-32.pkl").read_bytes()), NAMES)


def state_of(record: Record) -> dict:
    return record.args[0]["state"]


def modules(record: Record):
    """A module and all below it, as (dotted name, state)."""
    yield "", state_of(record)
    for name, child in state_of(record)["_modules"].items():
        for path, state in modules(child):
            yield f"{name}.{path}".rstrip("."), state


@pytest.fixture
def reopen(tmp_path):
    def reopen(content) -> ForeignModel:
        path = tmp_path / "changed.pkl"
        path.write_bytes(write_pickle(content))
        return open_foreign(path)

    return reopen


def assert_draws_golden(model: ForeignModel) -> None:
    expected = Golden("ada-cond-32.expected")
    img = model.load_generator()(expected["z"], expected["c"], truncation_psi=0.7, noise="const")
    assert_close(img, expected["img_trunc07"])


def test_the_average_alone(content, reopen):
    model = reopen({"G_ema": content["G_ema"]})
    assert model.prefixes() == ["G_ema"]
    assert_draws_golden(model)


def test_the_generator_alone_stands_in_for_its_average(content, reopen):
    model = reopen({"G": content["G_ema"], "D": None, "augment_pipe": None, "training_set_kwargs": None})
    assert model.prefixes() == ["G_ema"]
    assert_draws_golden(model)


def test_what_forks_add(content, reopen, capsys):
    content["progress"] = {"cur_nimg": 25_000_000, "best_fid": 2.5}
    content["optimizer"] = {"state": [1, 2.5, None]}
    state_of(content["G_ema"])["fork"] = ("something", {"else": []})
    model = reopen(content)
    assert model.header["kimg"] == 25_000
    assert "'optimizer'" in capsys.readouterr().err
    assert_draws_golden(model)


def test_images_seen_as_a_key_of_its_own(content, reopen):
    content["cur_nimg"] = 1500
    assert reopen(content).header["kimg"] == 1.5


def test_a_discriminator_of_another_class_is_left_out(content, reopen, capsys):
    content["D"] = Record(content["D"].name, ({"class_name": "ProjectedDiscriminator", "state": {}, "type": "class"},))
    model = reopen(content)
    assert model.prefixes() == ["G_ema", "G"]
    assert "left out: D (of class ProjectedDiscriminator)" in capsys.readouterr().err


def test_a_generator_of_another_class(content, reopen):
    content["G_ema"] = Record(content["G"].name, ({"class_name": "SuperGenerator", "state": {"_modules": {}}},))
    with pytest.raises(FormatError, match="of class SuperGenerator, which sg cannot build"):
        reopen(content)


def test_missing_noise_maps_are_drawn_always_the_same(content, reopen):
    for _, state in modules(content["G_ema"]):
        state["_buffers"].pop("noise_const", None)
    first, second = reopen(content), reopen(content)
    maps = [name for name in first.tensors("G_ema") if name.endswith("noise_const")]
    assert len(maps) == 7
    assert all(torch.equal(first.tensors("G_ema")[name], second.tensors("G_ema")[name]) for name in maps)
    expected = Golden("ada-cond-32.expected")
    assert first.load_generator()(expected["z"], expected["c"]).isfinite().all()


def test_the_arguments_of_stylegan2_ada(content, reopen):
    """It hands the synthesis network a dict. Where attributes are missing, its defaults hold, not StyleGAN3's."""
    for _, state in modules(content["G_ema"]):
        for name in ("conv_clamp", "use_fp16", "w_avg_beta"):
            state.pop(name, None)
    state_of(content["G_ema"])["_init_kwargs"] = {
        "synthesis_kwargs": {"channel_base": 512, "fused_modconv_default": True}
    }
    model = reopen(content)
    G = model.header["networks"]["G"]
    assert (G["conv_clamp"], G["num_fp16_res"], G["w_avg_beta"]) == (None, 0, 0.995)
    assert model.header["source"]["format"] == "StyleGAN2-ADA (PyTorch)"
    state_of(content["G_ema"])["_init_kwargs"] = {"synthesis_kwargs": {"num_fp16_res": 3, "conv_clamp": 128}}
    G = reopen(content).header["networks"]["G"]
    assert (G["conv_clamp"], G["num_fp16_res"]) == (128, 3)
    state_of(content["G_ema"])["_init_kwargs"] = {}
    G = reopen(content).header["networks"]["G"]
    assert (G["conv_clamp"], G["num_fp16_res"], G["w_avg_beta"]) == (256, 4, 0.998)


def test_half_precision_tensors(content, reopen):
    from tests.models.foreign.test_pickles import storage_bytes, tensor_record

    weight = torch.randn(24, 40, generator=torch.Generator().manual_seed(0)).half()
    parameters = dict(modules(content["G_ema"]))["synthesis.b8.conv1.affine"]["_parameters"]
    parameters["weight"] = tensor_record(storage_bytes(weight), (24, 40), (40, 1))
    tensor = reopen(content).tensors("G_ema")["synthesis.b8.conv1.affine.weight"]
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, weight.float())


def test_frozen_layers_keep_their_tensors_as_buffers(content, reopen):
    state = dict(modules(content["D"]))["b32.fromrgb"]
    state["_buffers"] |= state.pop("_parameters")
    state["_parameters"] = {}
    assert "b32.fromrgb.weight" in reopen(content).tensors("D")


def test_modules_in_two_places(content):
    """A pickle's memo can put a module into itself, or a few into each other so often that a walk would never end."""
    module = content["G_ema"]
    for again in (module, state_of(module)["_modules"]["mapping"]):
        state_of(module)["_modules"]["again"] = again
        with pytest.raises(PickleError, match="two places"):
            read_module(module)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda G: G["synthesis.b8.conv0"]["_parameters"].pop("weight"), "tensors are missing"),
        (lambda G: G["synthesis.b8.conv0"].__setitem__("_parameters", None), "damaged"),
        (lambda G: G["synthesis.b8.conv0"]["_parameters"].__setitem__("weight", [1, 2]), "place of a tensor"),
        (lambda G: G["synthesis.b8.conv0"]["_parameters"].__setitem__(
            "bias", G["synthesis.b4"]["_parameters"]["const"]), "is \\[24, 4, 4\\], not \\[24\\]"),
        (lambda G: G["synthesis.b8"]["_modules"].__setitem__("conv0", 3), "place of a module"),
        (lambda G: G["mapping"]["_buffers"].clear(), "damaged"),
        (lambda G: G["synthesis.b4.conv1"].__setitem__("conv_clamp", [256]), "conv_clamp is a list"),
        (lambda G: G["synthesis.b4.conv1"].__setitem__("activation", "swish"), "activation swish"),
        (lambda G: G[""].__setitem__("_modules", 7), "damaged"),
    ],
    ids=range(9),
)  # fmt: skip
def test_networks_that_do_not_fit(content, reopen, change, words):
    change(dict(modules(content["G_ema"])))
    with pytest.raises(FormatError, match=words) as caught:
        reopen(content)
    assert "\n" not in str(caught.value)


def test_stylegan3_with_other_constants(reopen):
    content = read_pickle(io.BytesIO((GOLDEN / "sg3r-32.pkl").read_bytes()), NAMES)
    state_of(content["G_ema"])["_init_kwargs"]["first_cutoff"] = 4
    with pytest.raises(FormatError, match="first_cutoff 4; sg has 2"):
        reopen(content)


NAMES_OF_OFFICIAL_FILES = {  # spec stylegan3 §3.2: resolution, channel_base, channel_max, from layer 7 on
    "T 1024": (1024, 32768, 512, "276_323 276_203 532_128 1044_81 1044_51 1044_32 1024_32 1024_3"),
    "R 1024": (1024, 65536, 1024, "276_645 276_406 532_256 1044_161 1044_102 1044_64 1024_64 1024_3"),
    "T 512": (512, 32768, 512, "148_483 276_323 276_215 532_144 532_96 532_64 512_64 512_3"),
    "R 512": (512, 65536, 1024, "148_967 276_645 276_431 532_287 532_192 532_128 512_128 512_3"),
    "T 256": (256, 16384, 512, "148_362 148_256 148_181 276_128 276_91 276_64 256_64 256_3"),
    "R 256": (256, 32768, 1024, "148_724 148_512 148_362 276_256 276_181 276_128 256_128 256_3"),
}


@pytest.mark.parametrize("name", NAMES_OF_OFFICIAL_FILES)
def test_widths_of_official_stylegan3_files(name):
    resolution, base, most, tail = NAMES_OF_OFFICIAL_FILES[name]
    head = {1024: "36 36 52 52 84 148 148", 512: "36 36 52 52 84 84 148", 256: "36 36 36 52 52 84 84"}[resolution]
    layers = [f"L{i}_{size}_{most}" for i, size in enumerate(head.split())]
    layers += [f"L{i}_{size}" for i, size in enumerate(tail.split(), start=7)]
    arguments = {"img_resolution": resolution, "num_layers": 14, "num_critical": 2, "margin_size": 10}
    arguments["img_channels"] = 3
    for given in ({}, {"channel_base": base}, {"channel_base": 999}, {"channel_base": None}):
        assert stylegan3_channels(arguments, layers, given) == {"channel_base": base, "channel_max": most}


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ({4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}, (32768, 512)),
        ({4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}, (16384, 512)),
        ({4: 24, 8: 24, 16: 24, 32: 16}, (512, 24)),
        ({4: 8}, (32, 8)),
        ({4: 64, 8: 62, 16: 31, 32: 15}, (496, 64)),
    ],
)
def test_widths_of_stylegan2(widths, expected):
    found = infer_channels(widths)
    assert found == {"channel_base": expected[0], "channel_max": expected[1]}
    assert all(min(expected[0] // r, expected[1]) == channels for r, channels in widths.items())


def test_sizes_beyond_any_network():
    for name, value in (("img_resolution", 2**20), ("z_dim", 2**40), ("mapping_layers", 10**30), ("c_dim", -1)):
        with pytest.raises(PickleError, match=f"refused: {name}"):
            make_network("stylegan2-g", {name: value}, {})


def test_stylegan3_without_arguments(reopen):
    """The structure tells the widths and everything else."""
    content = read_pickle(io.BytesIO((GOLDEN / "sg3r-32.pkl").read_bytes()), NAMES)
    for _, state in modules(content["G_ema"]):
        state["_init_kwargs"] = {}
    expected = Golden("sg3r-32.expected")
    img = reopen(content).load_generator()(expected["z"], truncation_psi=0.7)
    assert_close(img, expected["img_trunc07"])
