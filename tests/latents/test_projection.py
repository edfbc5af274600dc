"""Projection against its specification (stylegan2-ada §8): schedules, noise penalty, independence, success."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from sgcli.errors import FormatError
from sgcli.features.embeddings import pixel_embedding
from sgcli.features.pyramid import pyramid_embedding
from sgcli.latents.free_inputs import FreeInputs
from sgcli.latents.inputs import Inputs, draw_with, load_inputs, save_inputs
from sgcli.latents.projection import METHODS, Projection, noise_at, rate_at, w_statistics
from sgcli.latents.tuning import Tuning, add_delta, save_delta
from sgcli.models.checkpoint import open_model
from sgcli.models.registry import build_network, resolve
from tests.golden_files import assert_close


@pytest.fixture(scope="module")
def G(model_file):
    return open_model(model_file).load_generator()


@pytest.fixture(scope="module")
def moving():
    """A small StyleGAN3 whose pictures turn with the input."""
    torch.manual_seed(0)
    preset = resolve("sg3-r", tiny=True)
    sizes = {"img_resolution": 16, "img_channels": 3, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    return build_network({**preset.G, **sizes, "c_dim": 0}).eval().requires_grad_(False)


def make(G, targets, method="sg2", steps=20, space=None, free_inputs=True, seed=0, embed=pyramid_embedding):
    chosen, statistics = METHODS[method], w_statistics(G)
    start = statistics.mean.expand(len(targets), G.num_ws, -1)
    return Projection(
        G, targets, embed, start, statistics.std, chosen,
        space=space or chosen.space, steps=steps, mse_weight=chosen.mse_weight,
        free_inputs=free_inputs and chosen.free_inputs, seed=seed,
    )  # fmt: skip


def run(projection):
    while projection.done < projection.steps:
        projection.step()
    return projection.result()


def own_pictures(G, count):
    z = torch.from_numpy(np.random.RandomState(7).randn(count, G.z_dim).astype(np.float32))
    with torch.no_grad():
        return G.synthesis(G.mapping(z), noise="const")


def test_schedules():
    assert [rate_at(t) for t in (0, 0.025, 0.05, 0.5, 0.75)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert rate_at(0.875) == pytest.approx(0.5) and rate_at(0.999) < 1e-4
    assert [noise_at(t) for t in (0, 0.375, 0.75, 0.9)] == pytest.approx([0.05, 0.0125, 0, 0])


def test_w_statistics(G):
    z = np.random.RandomState(123).randn(10000, G.z_dim).astype(np.float32)
    w = G.mapping(torch.from_numpy(z))[:, 0].double().numpy()
    found = w_statistics(G)
    assert np.allclose(found.mean, w.mean(axis=0), atol=1e-5)
    assert found.std == pytest.approx(np.sqrt(((w - w.mean(axis=0)) ** 2).sum() / 10000), rel=1e-4)


def plain_penalty(noise_map: torch.Tensor) -> torch.Tensor:
    """The specification's words, for one map [r, r]."""
    total, n = torch.zeros([]), noise_map[None, None]
    while True:
        total = total + (n * n.roll(1, 3)).mean() ** 2 + (n * n.roll(1, 2)).mean() ** 2
        if n.shape[2] <= 8:
            return total
        n = torch.nn.functional.avg_pool2d(n, 2)


def test_noise_penalty_is_that_of_every_map_alone(G):
    inputs = FreeInputs(G, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for stack in inputs.stacks.values():
            stack[1].mul_(2).add_(0.3)
    noise = inputs.as_inputs(inputs.variables()).noise
    assert [maps.shape[2] for maps in noise] == [layer.resolution for layer in G.synthesis.noise_layers()]
    expected = torch.stack([sum(plain_penalty(maps[row, 0]) for maps in noise) for row in range(2)])
    assert_close(inputs.penalty().detach(), expected.detach())


def test_noise_is_normalised(G):
    inputs = FreeInputs(G, 1, torch.Generator().manual_seed(0))
    inputs.normalize()
    for maps in inputs.as_inputs(inputs.variables()).noise:
        assert maps.mean().item() == pytest.approx(0, abs=1e-6) and maps.square().mean().item() == pytest.approx(
            1, rel=1e-4
        )


@pytest.mark.parametrize("method", ["sg2", "im2sg"])
def test_own_pictures_are_found(G, method):
    projection = make(G, own_pictures(G, 2), method, steps=60, free_inputs=False)
    run(projection)
    assert torch.stack(projection.distances)[-1].mean() < projection.distances[0].mean() / 5


def test_a_picture_does_not_depend_on_its_batch(G):
    targets = own_pictures(G, 3)
    together = run(make(G, targets, steps=12))
    for row in range(3):
        alone = run(make(G, targets[row : row + 1], steps=12))
        assert_close(alone.ws[0], together.ws[row], 1e-3)
        assert_close(alone.inputs.noise[-1][0], together.inputs.noise[-1][row], 5e-3)


def test_seeds(G):
    targets = own_pictures(G, 1)
    same, again, other = (run(make(G, targets, steps=4, seed=seed)).ws for seed in (1, 1, 2))
    assert torch.equal(same, again) and not torch.equal(same, other)


def test_spaces(G):
    targets = own_pictures(G, 1)
    w, w_plus = (run(make(G, targets, steps=5, space=space)).ws for space in ("w", "w+"))
    assert w.shape == w_plus.shape == (1, G.num_ws, G.w_dim)
    assert torch.equal(w[:, :1].expand_as(w), w) and not torch.allclose(w_plus[:, 0], w_plus[:, 1])


def test_best_so_far(G):
    """Before the end, each picture's nearest variables, noise maps with them."""
    projection = make(G, own_pictures(G, 2), steps=40)
    seen = [[], []]
    for _ in range(15):
        before = [projection.w.detach()[row].clone() for row in range(2)]
        projection.step()
        for row in range(2):
            seen[row].append((projection.distances[-1][row].item(), before[row]))
    result = projection.result()
    for row in range(2):
        assert torch.equal(result.ws[row, 0], min(seen[row], key=lambda pair: pair[0])[1][0])


def test_the_start_is_the_result_before_any_step(G):
    targets = own_pictures(G, 1)
    assert_close(make(G, targets).result().ws[0, 0], w_statistics(G).mean)


def test_stylegan3_finds_a_move(moving):
    from sgcli.models.fourier_input import place

    ws = w_statistics(moving).mean.expand(1, moving.num_ws, -1)
    with torch.no_grad():
        target = draw_with(moving, ws, Inputs([], place((0.05, -0.03))[None]))
    projection = make(moving, target, steps=60, embed=pixel_embedding)
    result = run(projection)
    assert projection.distances[-1] < projection.distances[0] / 2
    assert result.inputs.noise == [] and result.inputs.transform.shape == (1, 3, 3)
    assert torch.equal(moving.synthesis.input.transform, torch.eye(3))


def test_only_what_turns_is_turned(moving, monkeypatch):
    monkeypatch.setattr(moving.synthesis, "turns", False)
    inputs = FreeInputs(moving, 1, torch.Generator())
    inputs.motion.data += 0.1
    moved = inputs.as_inputs(inputs.variables()).transform[0]
    assert torch.equal(moved[:2, :2], torch.eye(2)) and moved[0, 2] != 0


def test_inputs_survive_a_file(G, moving, tmp_path):
    path = tmp_path / "noise.safetensors"
    found = run(make(G, own_pictures(G, 2), steps=2)).inputs
    save_inputs(path, found)
    again = load_inputs(path, G)
    assert all(torch.equal(a, b) for a, b in zip(again.noise, found.noise, strict=True)) and len(again) == 2
    with pytest.raises(FormatError, match="noise maps of 4x4"):
        load_inputs(path, moving)
    save_inputs(path, run(make(moving, own_pictures(moving, 1), steps=1)).inputs)
    assert load_inputs(path, moving).transform.shape == (1, 3, 3)
    with pytest.raises(FormatError, match="transforms of the input"):
        load_inputs(path, G)


def test_tuning(G, moving, tmp_path, capsys):
    targets = own_pictures(G, 3).flip(3)
    ws = w_statistics(G).mean.expand(3, G.num_ws, -1)
    before = G.synthesis(ws, noise="const")
    tuning = Tuning(G, ws, targets, pixel_embedding, batch=2)
    losses = []
    for _ in range(6):
        tuning.step()
        losses.append(tuning.loss.item())
    assert losses[-1] < losses[0]
    assert torch.equal(G.synthesis(ws, noise="const"), before), "the original has changed"

    path = tmp_path / "delta.safetensors"
    save_delta(path, tuning.delta(), {"model_sha256": "this"})
    moved = copy.deepcopy(G)
    add_delta(moved, path, "this")
    assert capsys.readouterr().err == ""
    assert_close(moved.synthesis(ws, noise="const"), tuning.G.synthesis(ws, noise="const"))
    add_delta(moved, path, "other")
    assert "another model" in capsys.readouterr().err
    with pytest.raises(FormatError, match="another generator"):
        add_delta(moving, path, "this")


def test_tuning_does_not_depend_on_the_batch(G):
    targets, ws = own_pictures(G, 3).flip(3), w_statistics(G).mean.expand(3, G.num_ws, -1)
    tunings = [Tuning(G, ws, targets, pixel_embedding, batch) for batch in (1, 3)]
    for tuning in tunings:
        tuning.step()
    assert tunings[0].loss.item() == pytest.approx(tunings[1].loss.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("arch", "sizes"),
    [
        ("progan", {"channel_base": 64, "channel_max": 8}),
        ("sg1", {"channel_base": 64, "channel_max": 8, "w_dim": 8}),
        ("sg2", {"channel_base": 64, "channel_max": 8, "w_dim": 8, "c_dim": 3, "img_channels": 1}),
        ("sg3-b", {"channel_base": 64, "channel_max": 8, "w_dim": 8, "img_channels": 4}),
    ],
)
def test_every_generator(arch, sizes):
    torch.manual_seed(0)
    spec = {**resolve(arch, tiny=True).G, "img_resolution": 16, "img_channels": 3, "c_dim": 0, "z_dim": 8, **sizes}
    G = build_network(spec).eval().requires_grad_(False)
    targets = torch.rand(2, G.img_channels, 16, 16) * 2 - 1
    for space in ("w", "w+"):
        projection = make(G, targets, steps=3, space=space)
        result = run(projection)
        assert result.ws.shape == (2, G.num_ws, G.w_dim) and result.ws.isfinite().all()
        assert (result.inputs is None) == (arch == "progan")
    Tuning(G, result.ws, targets, pixel_embedding, batch=2).step()
