"""Walks through keys, their rhythm and speed; sweeps; camera moves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.interpolate
import torch

from sgcli.errors import UsageError
from sgcli.latents.camera import AMOUNTS, camera, parse_camera
from sgcli.latents.film import mixing, sweeping, walking
from sgcli.latents.interpolate import lerp
from sgcli.latents.walks import EASINGS, at_constant_speed, ease, piecewise, shares_of_way, spline, through


def keys(count: int = 5, num_ws: int = 3, w_dim: int = 4) -> torch.Tensor:
    return torch.randn(count, num_ws, w_dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("interpolation", ["spline", "linear"])
def test_walks_pass_exactly_through_their_keys(interpolation, closed):
    ws = keys()
    walk = through(ws, interpolation, closed)
    assert torch.equal(walk(np.arange(5.0)), ws)
    if closed:
        assert torch.allclose(walk(np.array([5.0])), ws[:1], atol=1e-6)


def test_slerp_keeps_to_the_sphere():
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    points = through(z, "slerp", closed=True)(np.linspace(0, 3, 31))
    assert torch.allclose(points.norm(dim=1), torch.ones(31), atol=1e-5)
    assert torch.allclose(points[::10][:3], torch.nn.functional.normalize(z), atol=1e-5)
    angles = torch.acos((points[1:] * points[:-1]).sum(dim=1).double().clamp(-1, 1))
    assert angles[:10].std() < 1e-3 < angles[:10].mean()  # even steps from key to key


def test_closed_spline_is_that_of_keys_repeated_on_either_side():
    """The published films repeat the keys five times and take a cubic spline through all (spec stylegan3 §8)."""
    ws = keys(4)
    tiled = np.tile(ws.numpy(), (5, 1, 1))
    published = scipy.interpolate.interp1d(np.arange(-8, 12), tiled, kind="cubic", axis=0)
    times = np.linspace(0, 4, 50, endpoint=False)
    assert np.abs(spline(ws, closed=True)(times).numpy() - published(times)).max() < 1e-3


def test_spline_of_plain_w_equals_that_of_every_layer():
    w = keys(5, 1, 4)
    plain = spline(w.expand(-1, 3, -1), True)(np.linspace(0, 5, 9))
    assert plain.shape == (9, 3, 4)
    assert torch.allclose(plain, spline(w, True)(np.linspace(0, 5, 9)).expand(-1, 3, -1))


def test_one_key_and_two():
    ws = keys(1)
    for interpolation in ("spline", "linear"):
        assert torch.equal(through(ws, interpolation, True)(np.linspace(0, 1, 3)), ws.expand(3, -1, -1))
    for closed in (True, False):
        assert through(keys(2), "spline", closed)(np.linspace(0, 1, 5)).isfinite().all()
    assert torch.allclose(through(keys(2), "spline", False)(np.array([0.5])), keys(2).mean(dim=0, keepdim=True))
    with pytest.raises(UsageError):
        through(ws, "cubic", True)


def test_closed_films_do_not_repeat_their_first_frame():
    frames = np.arange(10)
    closed, open_ = shares_of_way(frames, 10, True), shares_of_way(frames, 10, False)
    assert closed[0] == open_[0] == 0 and closed[-1] == 0.9 and open_[-1] == 1
    walk = through(keys(), "spline", True)
    steps = walk(np.append(closed, 1.0) * 5).flatten(1).diff(dim=0).norm(dim=1)
    assert steps[-1] < 2 * steps.median()  # from the last frame to the first is a step like others


@pytest.mark.parametrize("easing", list(EASINGS))
def test_easings_keep_the_keys_and_never_turn_back(easing):
    assert np.array_equal(ease(np.arange(4.0), easing), np.arange(4.0))
    assert (np.diff(ease(np.linspace(0, 3, 200), easing)) >= 0).all()
    if easing != "none":
        assert ease(np.array([1.01]), easing) < 1.005  # slow at a key


@pytest.mark.parametrize("interpolation", ["spline", "linear"])
def test_constant_speed(interpolation):
    ws = keys() * torch.tensor([1.0, 1, 4, 1, 1])[:, None, None]
    times = np.linspace(0, 5, 101)

    def speeds(walk):
        return walk(times).double().flatten(1).diff(dim=0).norm(dim=1)

    walk = through(ws, interpolation, True)
    even = at_constant_speed(walk, 5)
    assert speeds(walk).std() / speeds(walk).mean() > 0.2
    assert speeds(even).std() / speeds(even).mean() < (0.05 if interpolation == "spline" else 0.2)  # corners are cut
    assert torch.equal(even(np.array([0.0])), ws[:1])
    still = at_constant_speed(through(ws[:1], "linear", True), 1)
    assert torch.equal(still(times[:3] / 5), ws[:1].expand(3, -1, -1))


def test_grid_cells_walk_for_themselves():
    walks = [through(keys()[:2], "linear", True), through(keys()[2:4], "linear", True)]
    scene = walking(walks, 2)(np.array([0.0, 0.25, 0.5]))
    assert scene.shape == (3, 2, 3, 4)
    assert torch.equal(scene[0], keys()[[0, 2]]) and torch.equal(scene[2], keys()[[1, 3]])
    assert torch.allclose(scene[1, 1], keys()[2:4].mean(dim=0))


def test_sweeps_swing_or_go_once():
    ws, offset = keys(2)[None], keys(3)[2]
    swing = sweeping(ws, offset[None, None], -3, 3, closed=True)(np.array([0, 0.25, 0.5, 0.75]))
    for frame, (key, by) in enumerate([(0, -3), (0, 3), (1, -3), (1, 3)]):
        assert torch.allclose(swing[frame, 0], ws[0, key] + by * offset, atol=1e-5)
    once = sweeping(ws, offset[None, None], 0, 1, closed=False)(np.array([0.0, 0.25, 1.0]))
    for frame, (key, by) in enumerate([(0, 0), (0, 0.5), (1, 1)]):
        assert torch.allclose(once[frame, 0], ws[0, key] + by * offset, atol=1e-5)


def test_mixing_takes_layers_of_the_second():
    a, b = (walking([piecewise(some, lerp)], 1) for some in (keys()[:2], keys()[2:4]))
    mixed = mixing(a, b, [2])(np.array([0.0, 0.5]))
    assert torch.equal(mixed[:, :, :2], a(np.array([0.0, 0.5]))[:, :, :2])
    assert torch.equal(mixed[:, :, 2], b(np.array([0.0, 0.5]))[:, :, 2])


@pytest.mark.parametrize("name", list(AMOUNTS))
def test_camera_moves_start_and_end_at_rest(name):
    move = camera(*parse_camera(name))
    assert torch.allclose(move(np.array([0.0, 1.0])), torch.eye(3), atol=1e-5)
    assert (move(np.array([0.3])) - torch.eye(3)).abs().max() > 0.05


def test_camera_amounts():
    assert torch.allclose(camera("pan", 0.3)(np.array([0.25]))[0, :2, 2], torch.tensor([-0.3, 0.0]), atol=1e-6)
    assert torch.allclose(camera("zoom", 2.0)(np.array([0.5]))[0].diagonal(), torch.tensor([0.5, 0.5, 1]))
    assert torch.allclose(camera("rotate", 360.0)(np.array([0.5]))[0, 0, 0], torch.tensor(-1.0))
    assert torch.allclose(camera("rotate", 90.0)(np.array([0.5]))[0], torch.eye(3), atol=1e-6)
    for text in ("spin", "zoom:0", "zoom:x", "pan:nan"):
        with pytest.raises(UsageError) as caught:
            parse_camera(text)
        assert "--path" in caught.value.hint
