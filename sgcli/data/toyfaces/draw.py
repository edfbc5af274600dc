"""Draw a toyface from back to front: background, back hair, body, head, features, front hair, things worn."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sgcli.data.toyfaces import hair
from sgcli.data.toyfaces.canvas import Array, brush, ellipse, mirrored, points, smooth
from sgcli.data.toyfaces.face import Face
from sgcli.data.toyfaces.palette import mix, shade
from sgcli.data.toyfaces.scene import Detail, Scene

EYE_LEVEL = 0.04
GOLD = (0.93, 0.74, 0.28)
WHITE = (1.0, 1.0, 1.0)


def draw_face(face: Face, size: int, rng: np.random.Generator) -> Array:
    """The picture of `face`, uint8 [size, size, 3]. `rng` gives the fine detail: strands, freckles, grain."""
    scene = Scene(face, Detail.sample(rng), size)
    _draw_background(scene)
    hair.draw_back_hair(scene)
    _draw_body(scene)
    _draw_head(scene)
    _draw_cheeks(scene)
    _draw_nose(scene)
    if face.beard:
        hair.draw_beard(scene)
    _draw_mouth(scene)
    if face.moustache:
        hair.draw_moustache(scene)
    _draw_eyes(scene)
    hair.draw_front_hair(scene)
    _draw_brows(scene)
    if face.hat:
        hair.draw_hat(scene)
    if face.earrings:
        _draw_earrings(scene)
    if face.glasses:
        _draw_glasses(scene)
    scene.light_figure()
    _draw_highlights(scene)
    _draw_grain(scene)
    return scene.canvas.to_uint8()


def _draw_background(scene: Scene) -> None:
    """A gradient between two related colours, with a faint bloom behind the head."""
    face, canvas = scene.face, scene.canvas
    angle = np.deg2rad(face.background_angle)
    x, y = canvas.grid()
    share = np.clip(0.5 + 0.4 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1)[..., None]
    bloom = 0.1 * np.exp(-1.2 * (x**2 + y**2))[..., None]
    canvas.rgb[:] = np.array(face.background) * (1 - share) + np.array(face.background_far) * share + bloom


def _draw_body(scene: Scene) -> None:
    """Neck, shoulders, neckline and scarf."""
    face, canvas = scene.face, scene.canvas
    neck = points((0.0, 0.3), (0.19, 0.3), (0.18, 0.66), (0.3, 0.78), (0.0, 0.86))
    shoulders = points((0.0, 0.78), (0.2, 0.7), (0.52, 0.8), (0.74, 0.98), (0.8, 1.4), (0.0, 1.4))
    canvas.fill([scene.on_body(smooth(mirrored(shoulders)))], face.cloth)
    canvas.fill([scene.on_body(smooth(mirrored(neck)))], shade(face.skin, 0.7))
    collar = smooth(points((-0.31, 0.72), (-0.17, 0.83), (0, 0.87), (0.17, 0.83), (0.31, 0.72)), closed=False)
    canvas.fill([scene.on_body(brush(collar, 0.06))], shade(face.cloth, 1.2))
    if face.scarf:
        _draw_scarf(scene)


def _draw_scarf(scene: Scene) -> None:
    face, canvas = scene.face, scene.canvas
    wrap = points((0.0, 0.56), (0.3, 0.5), (0.43, 0.58), (0.4, 0.74), (0.2, 0.86), (0.0, 0.89))
    tail = points((0.12, 0.78), (0.3, 0.74), (0.36, 1.2), (0.16, 1.2))
    shape = scene.on_body(smooth(mirrored(wrap)), 0.1)
    canvas.fill([scene.on_body(tail, 0.1)], shade(face.accent, 0.85))
    canvas.fill([shape], face.accent)
    folds = [smooth(points((-0.42, 0.6 + d), (-0.2, 0.72 + d), (0, 0.75 + d), (0.2, 0.72 + d), (0.42, 0.6 + d)), closed=False) for d in (0.0, 0.09)]
    canvas.fill([scene.on_body(brush(f, 0.035), 0.1) for f in folds], shade(face.accent, 1.45), 0.8, canvas.coverage([shape]))


def _draw_head(scene: Scene) -> None:
    """Ears and the bare head; leaves the coverage of the face in `scene.skin`."""
    face, canvas = scene.face, scene.canvas
    width, tall = face.face_width, face.face_height
    for side in (-1, 1):
        ear = ellipse(side * (width + 0.02), 0.07, 0.075, face.ear_size, 0.2)
        canvas.fill([scene.at_depth(ear)], shade(face.skin, 0.92))
        inner = ellipse(side * (width + 0.03), 0.07, 0.035, 0.6 * face.ear_size)
        canvas.fill([scene.at_depth(inner)], shade(face.skin, 0.72), 0.7)
    half = points(
        (0, -0.6), (0.52 * width, -0.54), (0.9 * width, -0.34), (width, 0.0),
        (0.94 * width, 0.24), ((0.62 + 0.17 * face.jaw) * width, 0.44 * tall), ((0.28 + 0.12 * face.jaw) * width, 0.56 * tall), (0, 0.595 * tall),
    )
    shape = scene.on_face(smooth(mirrored(half)))
    canvas.fill([shape], face.skin)
    scene.skin = canvas.coverage([shape])


def _draw_cheeks(scene: Scene) -> None:
    """Blush and freckles."""
    face, canvas = scene.face, scene.canvas
    if face.blush:
        for side in (-1, 1):
            spot = scene.on_face(np.array([side * 0.58 * face.face_width, 0.21]))
            canvas.glow(spot, 0.2, mix(shade(face.skin, 0.85), (0.95, 0.3, 0.35), 0.7), 0.75, scene.skin)
    if face.freckles:
        x, y, size = scene.detail.freckles.T
        centres = np.stack([(x - 0.5) * 1.5 * face.face_width, 0.13 + 0.15 * y - 0.06 * np.cos(6 * (x - 0.5))], axis=1)
        dots = [ellipse(cx, cy, r, r)[::3] for (cx, cy), r in zip(centres, 0.011 + 0.011 * size, strict=True)]
        scene.paint_on_face(dots, mix(shade(face.skin, 0.5), (0.5, 0.2, 0.05), 0.3), 0.75)


def _draw_nose(scene: Scene) -> None:
    """A button nose that stands out from the face: its tip moves most when the head turns."""
    face, canvas = scene.face, scene.canvas
    size = face.nose_size
    depth = 0.5 + 0.6 * size
    shadow = shade(face.skin, 0.72)
    side = -1 if face.light_x > 0 else 1
    bridge = np.concatenate([scene.on_face(points((side * 0.05, 0.04))), scene.at_depth(points((side * 0.5 * size, 0.14), (side * size, 0.22)), depth - 0.05)])
    canvas.fill([brush(smooth(bridge, closed=False), 0.045)], shadow, 0.4)
    canvas.fill([scene.at_depth(ellipse(0, 0.2, size, 0.75 * size), depth)], mix(face.skin, (0.95, 0.4, 0.35), 0.14))
    under = smooth(points((-size, 0.205), (-0.6 * size, 0.2 + 0.7 * size), (0, 0.2 + 0.85 * size), (0.6 * size, 0.2 + 0.7 * size), (size, 0.205)), closed=False)
    canvas.fill([scene.at_depth(brush(under, 0.028), depth)], shade(face.skin, 0.6), 0.8)


def _draw_mouth(scene: Scene) -> None:
    """Four mouths: closed or open, smiling or not; `mouth_mood` varies each a little."""
    face = scene.face
    level = 0.375 * face.face_height
    lift = 0.055 + 0.012 * face.mouth_mood if face.smile else -0.012 + 0.012 * face.mouth_mood
    half = face.mouth_width * (1.15 if face.smile else 0.85)
    upper = smooth(points((-half, level - lift), (-0.5 * half, level + 0.35 * lift), (0, level + 0.8 * lift), (0.5 * half, level + 0.35 * lift), (half, level - lift)), closed=False)
    if not face.open_mouth:
        soft = upper * (0.7, 1) + (0, 0.035)
        scene.paint_on_face([brush(soft, 0.045)], face.lips, 0.75)
        scene.paint_on_face([brush(upper, 0.034)], shade(face.lips, 0.5))
        return
    if face.smile:
        top, drop = upper, 0.15
    else:
        top, drop = upper * (0.62, 1) - (0, 0.03), 0.16
    reach = abs(top[-1, 0])
    bottom = smooth(points((reach, top[-1, 1]), (0.7 * reach, level + 0.75 * drop), (0, level + drop), (-0.7 * reach, level + 0.75 * drop), (-reach, top[-1, 1])), closed=False)
    if not face.smile:
        top = top - np.stack([np.zeros(len(top)), 0.05 * (1 - (top[:, 0] / reach) ** 2)], axis=1)
    opening = np.concatenate([top, bottom])
    scene.paint_on_face([_grown(opening, 0.022)], face.lips)
    scene.paint_on_face([opening], (0.32, 0.08, 0.11))
    cavity = scene.canvas.coverage([scene.on_face(opening)])
    scene.paint_on_face([ellipse(0, level + drop, 0.6 * reach, 0.06)], (0.86, 0.38, 0.4), 1.0, cavity)
    teeth = np.concatenate([top - (0, 0.02), (top + (0, 0.04 if face.smile else 0.025))[::-1]])
    scene.paint_on_face([teeth], (0.98, 0.97, 0.94), 1.0, cavity)


def _grown(shape: Array, margin: float) -> Array:
    """`shape` [n, 2] pushed outwards from its middle by about `margin`."""
    middle = shape.mean(axis=0)
    extent = np.abs(shape - middle).max(axis=0)
    return middle + (shape - middle) * (1 + margin / extent)


def _eye_centres(scene: Scene) -> list[Array]:
    offset = scene.face.eye_spacing * scene.face.face_width
    return [np.array([side * offset, EYE_LEVEL]) for side in (-1, 1)]


def _draw_eyes(scene: Scene) -> None:
    face = scene.face
    rx, ry = face.eye_size, face.eye_size * face.eye_roundness
    for side, (x, y) in zip((-1, 1), _eye_centres(scene), strict=True):
        white = ellipse(x, y, rx, ry, 0.15)
        scene.paint_on_face([_grown(white, 0.02)], shade(face.skin, 0.75), 0.6)
        scene.paint_on_face([white], (0.97, 0.97, 0.98))
        inside = scene.canvas.coverage([scene.on_face(white)])
        at = (x + 0.3 * rx * face.gaze_x, y + 0.25 * ry * face.gaze_y)
        radius = 0.68 * rx
        scene.paint_on_face([ellipse(*at, radius, radius)], shade(face.iris, 0.55), 1.0, inside)
        scene.paint_on_face([ellipse(*at, 0.84 * radius, 0.84 * radius)], face.iris, 1.0, inside)
        scene.paint_on_face([ellipse(at[0], at[1] + 0.4 * radius, 0.55 * radius, 0.4 * radius)], shade(face.iris, 1.35), 0.7, inside)
        scene.paint_on_face([ellipse(*at, 0.5 * radius, 0.5 * radius)], (0.06, 0.05, 0.08), 1.0, inside)
        lid = smooth(points((x - 1.05 * rx, y - 0.1 * ry), (x - 0.65 * rx, y - 0.8 * ry), (x, y - 1.08 * ry), (x + 0.65 * rx, y - 0.8 * ry), (x + 1.05 * rx, y - 0.1 * ry)), closed=False)
        lash = points((x + side * 0.85 * rx, y - 0.6 * ry), (x + side * 1.15 * rx, y - 0.62 * ry), (x + side * 1.35 * rx, y - 0.85 * ry))
        scene.paint_on_face([brush(lid, 0.05), brush(lash, 0.03)], (0.14, 0.1, 0.11))


def _draw_brows(scene: Scene) -> None:
    face = scene.face
    colour = mix(shade(face.hair, 0.62), (0.16, 0.1, 0.08), 0.35)
    width = 0.085 if face.thick_eyebrows else 0.032
    arcs = []
    for side, (x, y) in zip((-1, 1), _eye_centres(scene), strict=True):
        inner, outer = x - side * 0.12, x + side * 0.14
        level = y - face.brow_height
        arc = points((inner, level + 0.015 - face.brow_slant), (x, level - 0.025), (outer, level + 0.02 + face.brow_slant))
        arcs.append(brush(smooth(arc, closed=False), width))
    scene.paint_on_face(arcs, colour)


def _draw_earrings(scene: Scene) -> None:
    """A golden drop under each ear, in front of any hair."""
    face = scene.face
    lobe = 0.07 + face.ear_size
    for side in (-1, 1):
        x = side * (face.face_width + 0.05)
        drop = scene.at_depth(ellipse(x, lobe + 0.075, 0.05, 0.075), 0.12)
        stone = scene.at_depth(ellipse(x, lobe + 0.095, 0.026, 0.036), 0.12)
        scene.canvas.fill([drop], GOLD)
        scene.canvas.fill([stone], shade(face.accent, 1.3))


def _draw_glasses(scene: Scene) -> None:
    """Two rims, a bridge and the arms to the ears; the rims stand before the face and move with a turn."""
    face, canvas = scene.face, scene.canvas
    depth, thick = 0.5, 0.04
    centres = _eye_centres(scene)
    rx, ry = min(face.eye_size + 0.055, centres[1][0] - 0.025), face.eye_size + 0.05
    lenses = [scene.at_depth(ellipse(x * 1.02, y + 0.01, rx, ry, face.frame_squareness), depth) for x, y in centres]
    rims = [scene.at_depth(ellipse(x * 1.02, y + 0.01, rx + thick, ry + thick, face.frame_squareness), depth) for x, y in centres]
    canvas.fill(lenses, (0.8, 0.92, 1.0), 0.16)
    inside = canvas.coverage(lenses)
    for side in (-1, 1):
        hinge = scene.at_depth(points((side * (centres[1][0] + rx), EYE_LEVEL - 0.02)), depth)
        ear = scene.at_depth(points((side * (face.face_width + 0.01), EYE_LEVEL - 0.01)))
        canvas.fill([brush(np.concatenate([hinge, ear]), 0.05)], face.frame)
    canvas.fill([scene.at_depth(brush(points((-0.08, 0.03), (0, 0.01), (0.08, 0.03)), 0.05), depth)], face.frame)
    canvas.fill(rims, face.frame, 1.0, 1 - inside)


def _draw_highlights(scene: Scene) -> None:
    """What shines by itself after the lighting: eyes, nose tip, lenses."""
    face, canvas = scene.face, scene.canvas
    light = 0.35 if face.light_x > 0 else -0.35
    sparkles = []
    for x, y in _eye_centres(scene):
        rx = face.eye_size
        at = (x + 0.3 * rx * face.gaze_x, y + 0.25 * rx * face.gaze_y)
        sparkles.append(scene.on_face(ellipse(at[0] + light * 0.6 * rx, at[1] - 0.3 * rx, 0.24 * rx, 0.24 * rx)))
        sparkles.append(scene.on_face(ellipse(at[0] - light * 0.6 * rx, at[1] + 0.28 * rx, 0.12 * rx, 0.12 * rx)))
    canvas.fill(sparkles, WHITE, 0.95)
    tip = scene.at_depth(np.array([0.4 * face.nose_size * np.sign(light), 0.18]), 0.55)
    canvas.glow(tip, 0.05, WHITE, 0.45)


def _draw_grain(scene: Scene) -> None:
    """Paper grain over the background and, fainter, over the person; the same at every size."""
    size = scene.canvas.size
    grain = np.asarray(Image.fromarray(scene.detail.grain).resize((size, size), Image.Resampling.BICUBIC))
    strength = 0.045 - 0.035 * scene.canvas.figure
    scene.canvas.rgb += (grain * strength)[..., None]
