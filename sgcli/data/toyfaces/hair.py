"""Hair of toyfaces: behind the head, over the forehead, as beard and moustache, and the hat that sits on it."""

from __future__ import annotations

import numpy as np

from sgcli.data.toyfaces.canvas import Array, brush, mirrored, points, scalloped, smooth
from sgcli.data.toyfaces.palette import mix, set_off, shade
from sgcli.data.toyfaces.scene import Scene

GLEAM = (1.0, 0.95, 0.84)


def strand_outlines(scene: Scene) -> Array:
    """Outlines [k, n, 2] of fine lines that run from the parting over the skull and then down."""
    face = scene.face
    x, y, length, bend, width = scene.detail.strands.T
    place = np.stack([(x - 0.5) * 1.5, y * 1.75 - 0.8], axis=1)
    crown = np.array([0.25 * face.parting, -0.8])
    path = [place]
    for step in range(5):
        beside = np.clip(place[:, 1:] + 0.45, 0, 1)  # 0 on top of the head, 1 beside it
        away = place - crown
        flow = away / (np.hypot(away[:, 0], away[:, 1])[:, None] + 1e-9) * (1 - beside) + (0, 1) * beside
        flow[:, 0] += np.sin(1.9 * step + 6.3 * bend) * (0.9 if face.curly_hair else 0.12)
        place = place + flow * (0.04 + 0.07 * length[:, None])
        path.append(place)
    return brush(np.stack(path, axis=1), 0.012 + 0.01 * width[:, None])


def draw_back_hair(scene: Scene, strands: Array) -> None:
    """Everything behind face and neck: a cap to the nape, or a fall over the shoulders."""
    face = scene.face
    side = face.face_width + 0.03 + 0.5 * face.hair_volume
    if face.long_hair:
        end = 0.62 + 0.3 * face.hair_length
        fall = points(
            (side + 0.05, 0.2), (side + 0.1, 0.55), (side + 0.05, end), (0.5 * side, end + 0.06), (0, end + 0.06)
        )
    else:
        fall = points((side, 0.05), (0.88 * side, 0.3), (0.5 * side, 0.38), (0, 0.38))
    half = np.concatenate([points((0, -0.6), (0.6 * side, -0.5), (side, -0.2)), fall])
    outline = smooth(mirrored(_flattened_by_hat(scene, half)))
    if face.curly_hair:
        outline = scalloped(outline, 0.07, 0.21)
    mask = scene.canvas.fill([scene.at_depth(outline, -0.12)], shade(face.hair, 0.72))
    scene.canvas.fill(scene.at_depth(strands, -0.12), shade(face.hair, 0.5), 0.5, mask)


def draw_front_hair(scene: Scene, strands: Array) -> None:
    """The cap over the skull with its hairline or fringe, and the locks of long hair before the ears."""
    face, canvas = scene.face, scene.canvas
    hairline = scene.on_face(_hairline(scene))
    shapes = [np.concatenate([scene.at_depth(_crown(scene)), hairline])]
    if face.long_hair:
        shapes += [scene.at_depth(lock, 0.1) for lock in _locks(scene)]
    scene.shadow_on_skin(brush(hairline, 0.1))
    mask = canvas.fill(shapes, face.hair)
    dark, light = np.split(scene.at_depth(strands), 2)
    canvas.fill(dark, shade(face.hair, 0.6), 0.5, mask)
    canvas.fill(light, mix(face.hair, GLEAM, 0.35), 0.5, mask)
    gleam = scene.at_depth(np.array([0.25 * face.light_x, -0.5 - 0.5 * face.hair_volume]))
    canvas.paint(canvas.glow(gleam, 0.3) & mask, mix(face.hair, GLEAM, 0.6), 0.4)


def _crown(scene: Scene) -> Array:
    """The outer edge of the hair, from the right temple over the top to the left one."""
    face = scene.face
    width, volume = face.face_width, face.hair_volume
    right = points((width + 0.015, 0.06), (width + 0.03 + 0.4 * volume, -0.18), (0.8 * width + 0.7 * volume, -0.5))
    top = points((0.06 * face.parting, -0.62 - volume))
    knots = np.concatenate([right, top, right[::-1] * (-1, 1)])
    edge = smooth(_flattened_by_hat(scene, knots), closed=False)
    return scalloped(edge, -0.07, 0.21) if face.curly_hair else edge


def _flattened_by_hat(scene: Scene, knots: Array) -> Array:
    """Outline `knots` [n, 2] of hair, pressed down where a hat sits so that none stands out above it."""
    return np.maximum(knots, (-np.inf, -0.42)) if scene.face.hat else knots


def _hairline(scene: Scene) -> Array:
    """The lower edge of the hair over the forehead, from the left temple to the right one."""
    face = scene.face
    width = face.face_width
    parting = 0.5 * face.parting * width
    if face.fringe:
        across = np.linspace(-0.78, 0.78, 9) * width
        tufts = np.where(np.arange(9) % 2, -0.2, -0.1) - 0.06 * np.abs(across - parting) / width
        middle = np.stack([across, tufts], axis=1)
    else:
        left, right = 0.5 * (parting - 0.7 * width), 0.5 * (parting + 0.7 * width)
        middle = points((-0.66 * width, -0.3), (left, -0.4), (parting, -0.5), (right, -0.4), (0.66 * width, -0.3))
    temple = points((0.9 * width, 0.05), (0.86 * width, -0.12))
    edge = smooth(np.concatenate([temple * (-1, 1), middle, temple[::-1]]), closed=False)
    return scalloped(edge, -0.045, 0.16) if face.curly_hair else edge


def _locks(scene: Scene) -> list[Array]:
    """The two strips of long hair that fall before the ears."""
    width, end = scene.face.face_width, 0.6 + 0.3 * scene.face.hair_length
    outer = points((0.86 * width, -0.3), (width + 0.06, -0.25), (width + 0.1, 0.1), (width + 0.13, 0.45))
    inner = points((width + 0.05, end), (width - 0.03, 0.45), (width - 0.03, 0.15))
    lock = smooth(np.concatenate([outer, inner]))
    if scene.face.curly_hair:
        lock = scalloped(lock, 0.05, 0.17)
    return [lock, lock * (-1, 1)]


def draw_beard(scene: Scene) -> None:
    """A full beard of short strokes along jaw and chin; the upper lip stays bare for the moustache."""
    face = scene.face
    width, tall = face.face_width, face.face_height
    bottom = (0.63 + 0.1 * face.beard_length) * tall
    outer = points((0.98, 0.0), (0.97, 0.26), (0.8, 0.48 * tall), (0.42, bottom - 0.03), (0, bottom)) * (width, 1)
    inner = points((0, 0.47 * tall), (0.4, 0.44 * tall), (0.58, 0.33 * tall), (0.8, 0.2), (0.88, 0.0)) * (width, 1)
    edge = smooth(np.concatenate([outer * (-1, 1), outer[-2::-1]]), closed=False)
    if face.curly_hair:
        edge = scalloped(edge, -0.035, 0.13)
    lip = smooth(np.concatenate([inner[:0:-1], inner * (-1, 1)]), closed=False)
    colour = set_off(shade(face.hair, 0.82), face.skin)
    mask = scene.fill_on_face([np.concatenate([edge, lip])], colour)
    x, y, bend = scene.detail.bristles.T
    start = np.stack([(x - 0.5) * 2.1 * width, 0.2 + 0.55 * y], axis=1)
    along = np.stack([0.5 * start[:, 0] + 0.3 * (bend - 0.5), np.full_like(x, 0.35)], axis=1) * 0.2
    bristles = brush(start[:, None] + along[:, None] * np.linspace(0, 1, 4)[:, None], 0.022)
    scene.fill_on_face(bristles, shade(colour, 0.62), 0.5, mask)


def draw_moustache(scene: Scene) -> None:
    """Two lobes between nose and mouth."""
    face = scene.face
    half = points((0, 0.262), (0.07, 0.25), (0.15, 0.28), (0.225, 0.335), (0.13, 0.345), (0, 0.315))
    scene.fill_on_face([smooth(mirrored(half * (1, face.face_height)))], set_off(shade(face.hair, 0.82), face.skin))


def draw_hat(scene: Scene) -> None:
    """A knitted hat: a ribbed dome and a turned-up band that leaves fringe and side hair in sight."""
    face, canvas = scene.face, scene.canvas
    side = face.face_width + 0.06 + 0.35 * face.hair_volume
    top = -0.74 - 0.35 * face.hair_volume
    half = points((side, -0.3), (0.9 * side, -0.52), (0.5 * side, top + 0.03))
    dome = smooth(np.concatenate([half * (-1, 1), points((0, top)), half[::-1]]), closed=False)
    mask = canvas.fill([scene.at_depth(dome)], face.accent)
    ribs = [brush(points((0.08 * k, top), (0.2 * k, -0.55), (0.25 * k, -0.3)), 0.022) for k in range(-2, 3)]
    canvas.fill([scene.at_depth(rib) for rib in ribs], shade(face.accent, 0.7), 0.5, mask)
    across = np.linspace(-1, 1, 9)
    depth = 0.3 * np.sqrt(1 - 0.98 * across**2)[:, None]
    edge = np.stack([across * (side + 0.02), -0.05 * (1 - across**2)], axis=1)
    upper, lower = (scene.head.project(edge + np.array([0, level]), depth) for level in (-0.4, -0.235))
    band = np.concatenate([upper, lower[::-1]])
    scene.shadow_on_skin(brush(lower, 0.1))
    canvas.fill([band], shade(face.accent, 1.3))
