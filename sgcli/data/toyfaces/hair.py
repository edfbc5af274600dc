"""Hair of toyfaces: behind the head, over the forehead, as beard and moustache, and the hat that sits on it."""

from __future__ import annotations

import numpy as np

from sgcli.data.toyfaces.canvas import Array, brush, mirrored, points, scalloped, smooth
from sgcli.data.toyfaces.palette import luminance, mix, shade
from sgcli.data.toyfaces.scene import Scene


def draw_back_hair(scene: Scene) -> None:
    """Everything behind face and neck: a cap to the nape, or a fall over the shoulders."""
    face, canvas = scene.face, scene.canvas
    side = face.face_width + 0.03 + 0.5 * face.hair_volume
    if face.long_hair:
        end = 0.62 + 0.3 * face.hair_length
        half = points((0.6 * side, -0.5), (side, -0.2), (side + 0.05, 0.2), (side + 0.1, 0.55), (side + 0.05, end), (0.5 * side, end + 0.06))
    else:
        half = points((0.6 * side, -0.5), (side, -0.2), (side, 0.05), (0.88 * side, 0.3), (0.5 * side, 0.38))
    outline = smooth(mirrored(np.concatenate([points((0, -0.6)), half, points((0, half[-1, 1]))])))
    if face.curly_hair:
        outline = scalloped(outline, 0.05, 0.17)
    shape = scene.at_depth(outline, -0.12)
    canvas.fill([shape], shade(face.hair, 0.72))
    _draw_strands(scene, scene.detail.strands[0], canvas.coverage([shape]))


def draw_front_hair(scene: Scene) -> None:
    """The cap over the skull with its hairline or fringe, and the locks of long hair before the ears."""
    face, canvas = scene.face, scene.canvas
    top = scene.at_depth(_crown(scene))
    line = scene.on_face(_hairline(scene))
    shapes = [np.concatenate([top, line])]
    if face.long_hair:
        shapes += [scene.at_depth(lock, 0.1) for lock in _locks(scene)]
    canvas.fill([shape + (0.0, 0.035) for shape in shapes], shade(face.skin, 0.6), 0.45, within=scene.skin)
    canvas.fill(shapes, face.hair)
    coverage = canvas.coverage(shapes)
    _draw_strands(scene, scene.detail.strands[1], coverage)
    gleam = scene.at_depth(np.array([0.25 * face.light_x, -0.5 - 0.5 * face.hair_volume]))
    canvas.glow(gleam, 0.3, mix(face.hair, (1.0, 0.97, 0.9), 0.6), 0.4, coverage)


def _crown(scene: Scene) -> Array:
    """The outer edge of the hair, from the right temple over the top to the left one."""
    face = scene.face
    width, volume = face.face_width, face.hair_volume
    right = points((width + 0.015, 0.06), (width + 0.03 + 0.4 * volume, -0.18), (0.8 * width + 0.7 * volume, -0.5))
    top = points((0.06 * face.parting, -0.62 - volume))
    edge = smooth(np.concatenate([right, top, right[::-1] * (-1, 1)]), closed=False)
    return scalloped(edge, 0.055, 0.18) if face.curly_hair else edge


def _hairline(scene: Scene) -> Array:
    """The lower edge of the hair over the forehead, from the left temple to the right one."""
    face = scene.face
    width = face.face_width
    parting = 0.5 * face.parting * width
    temple = points((0.9 * width, 0.05), (0.86 * width, -0.12))
    if face.fringe:
        across = np.linspace(-0.78, 0.78, 9) * width
        tufts = np.where(np.arange(9) % 2, -0.2, -0.1) - 0.06 * np.abs(across - parting) / width
        middle = np.stack([across, tufts], axis=1)
    else:
        middle = points((-0.66 * width, -0.3), (0.5 * (parting - 0.7 * width), -0.4), (parting, -0.5))
        middle = np.concatenate([middle, points((0.5 * (parting + 0.7 * width), -0.4), (0.66 * width, -0.3))])
    edge = smooth(np.concatenate([temple * (-1, 1), middle, temple[::-1]]), closed=False)
    return scalloped(edge, -0.035, 0.13) if face.curly_hair else edge


def _locks(scene: Scene) -> list[Array]:
    """The two strips of long hair that fall before the ears."""
    face = scene.face
    width, end = face.face_width, 0.6 + 0.3 * face.hair_length
    ring = points(
        (0.86 * width, -0.3), (width + 0.06, -0.25), (width + 0.1, 0.1), (width + 0.13, 0.45), (width + 0.05, end),
        (width - 0.03, 0.45), (width - 0.03, 0.15),
    )
    lock = smooth(ring)
    if face.curly_hair:
        lock = scalloped(lock, 0.035, 0.13)
    return [lock, lock * (-1, 1)]


def _draw_strands(scene: Scene, strands: Array, within: Array) -> None:
    """Fine lighter and darker lines that run from the parting over the skull and then down."""
    face = scene.face
    x, y, length, bend, tone = strands.T
    place = np.stack([(x - 0.5) * 1.5, y * 1.75 - 0.8], axis=1)
    path = [place]
    for step in range(7):
        down = np.clip(place[:, 1] + 0.45, 0, 1)[:, None]  # 0 on top of the head, 1 beside it
        away = place - (0.25 * face.parting, -0.8)
        flow = away / np.linalg.norm(away, axis=1, keepdims=True) * (1 - down) + np.array([0.0, 1.0]) * down
        sway = np.sin(1.9 * step + 6.3 * bend) * (0.9 if face.curly_hair else 0.12)
        flow = flow + np.stack([sway, np.zeros_like(sway)], axis=1)
        place = place + flow * (0.03 + 0.05 * length[:, None])
        path.append(place)
    lines = scene.at_depth(np.stack(path, axis=1))
    outlines = brush(lines, 0.014 + 0.012 * tone[:, None])
    dark, light = outlines[tone < 0.55], outlines[tone >= 0.55]
    scene.canvas.fill(dark, shade(face.hair, 0.6), 0.5, within)
    scene.canvas.fill(light, mix(face.hair, (1.0, 0.93, 0.8), 0.35), 0.5, within)


def draw_beard(scene: Scene) -> None:
    """A full beard along the jaw and under the mouth; the lip above stays bare for the moustache."""
    face = scene.face
    width, tall = face.face_width, face.face_height
    bottom = (0.63 + 0.1 * face.beard_length) * tall
    outer = points((0.98 * width, 0.0), (0.97 * width, 0.26), (0.8 * width, 0.48 * tall), (0.42 * width, bottom - 0.03), (0, bottom))
    inner = points((0, 0.47 * tall), (0.4 * width, 0.44 * tall), (0.58 * width, 0.33 * tall), (0.8 * width, 0.2), (0.88 * width, 0.0))
    edge = smooth(np.concatenate([outer[:-1] * (-1, 1), outer[:0:-1], outer[:1]]), closed=False)
    edge = scalloped(edge, -0.03, 0.11) if face.curly_hair else edge
    lip = smooth(np.concatenate([inner[:0:-1], inner * (-1, 1)]), closed=False)
    shape = scene.on_face(np.concatenate([edge, lip]))
    scene.canvas.fill([shape], _beard_colour(scene))
    _draw_bristles(scene, scene.canvas.coverage([shape]))


def draw_moustache(scene: Scene) -> None:
    """Two lobes between nose and mouth."""
    tall = scene.face.face_height
    half = points((0, 0.262), (0.07, 0.25), (0.15, 0.28), (0.225, 0.335), (0.13, 0.345), (0, 0.315)) * (1, tall)
    shape = scene.on_face(smooth(mirrored(half)))
    scene.canvas.fill([shape], _beard_colour(scene))
    _draw_bristles(scene, scene.canvas.coverage([shape]))


def _beard_colour(scene: Scene) -> tuple[float, float, float]:
    """The hair's colour, deeper, and set off from the skin where both are alike."""
    colour = shade(scene.face.hair, 0.82)
    return shade(colour, 0.7) if abs(luminance(colour) - luminance(scene.face.skin)) < 0.12 else colour


def _draw_bristles(scene: Scene, within: Array) -> None:
    """Short strokes that fan out from the mouth."""
    face = scene.face
    x, y, bend, tone = scene.detail.bristles.T
    start = np.stack([(x - 0.5) * 2.1 * face.face_width, 0.05 + 0.7 * y], axis=1)
    along = np.stack([0.5 * start[:, 0] + 0.3 * (bend - 0.5), np.full_like(x, 0.35)], axis=1) * 0.2
    path = start[:, None] + along[:, None] * np.linspace(0, 1, 4)[:, None]
    outlines = scene.on_face(brush(path, 0.02))
    scene.canvas.fill(outlines[tone < 0.5], shade(face.hair, 0.5), 0.4, within)
    scene.canvas.fill(outlines[tone >= 0.5], mix(face.hair, (1.0, 0.93, 0.8), 0.3), 0.4, within)


def draw_hat(scene: Scene) -> None:
    """A knitted hat: a ribbed dome and a turned-up band that leaves fringe and side hair in sight."""
    face, canvas = scene.face, scene.canvas
    side = face.face_width + 0.06 + 0.35 * face.hair_volume
    top = -0.74 - 0.35 * face.hair_volume
    dome = smooth(points((-side, -0.3), (-0.9 * side, -0.52), (-0.5 * side, top + 0.03), (0, top), (0.5 * side, top + 0.03), (0.9 * side, -0.52), (side, -0.3)), closed=False)
    shape = scene.at_depth(dome)
    canvas.fill([shape], face.accent)
    ribs = [scene.at_depth(brush(points((0.08 * k, top), (0.2 * k, -0.55), (0.25 * k, -0.3)) , 0.02)) for k in range(-2, 3)]
    canvas.fill(ribs, shade(face.accent, 0.7), 0.5, canvas.coverage([shape]))
    across = np.linspace(-1, 1, 9)
    upper = np.stack([across * (side + 0.02), -0.36 - 0.05 * (1 - across**2)], axis=1)
    lower = np.stack([across * (side + 0.02), -0.2 - 0.05 * (1 - across**2)], axis=1)
    depth = 0.3 * np.sqrt(1 - 0.98 * across**2)
    band = np.concatenate([scene.head.project(upper, depth), scene.head.project(lower, depth)[::-1]])
    canvas.fill([band + (0.0, 0.04)], shade(face.skin, 0.5), 0.4, scene.skin)
    canvas.fill([band], shade(face.accent, 1.3))
