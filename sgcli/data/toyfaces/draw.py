"""Draw a toyface from back to front: background, back hair, body, head, features, front hair, things worn."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sgcli.data.toyfaces import hair
from sgcli.data.toyfaces.canvas import Array, brush, ellipse, mirrored, points, smooth
from sgcli.data.toyfaces.face import Face
from sgcli.data.toyfaces.palette import mix, set_off, shade
from sgcli.data.toyfaces.scene import Detail, Scene

EYE_LEVEL = 0.04
GLASSES_DEPTH = 0.5
GOLD = (0.93, 0.74, 0.28)
WHITE = (1.0, 1.0, 1.0)


def draw_face(face: Face, size: int, rng: np.random.Generator) -> Array:
    """The picture of `face`, uint8 [size, size, 3]. `rng` gives the fine detail: strands, freckles, grain."""
    scene = Scene(face, Detail.sample(rng), size)
    _draw_background(scene)
    strands = hair.strand_outlines(scene)
    hair.draw_back_hair(scene, strands[:20])
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
    if face.glasses:
        _draw_glasses_arms(scene)
    hair.draw_front_hair(scene, strands[20:])
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
    share = np.clip(0.5 + 0.4 * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))), 0, 1)
    bloom = 0.1 * np.exp(-1.2 * (x**2 + y**2))
    near, far = np.array([face.background, face.background_far], np.float32)[..., None, None]
    canvas.rgb[:] = near + share * (far - near) + bloom


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
    mask = canvas.fill([scene.on_body(smooth(mirrored(wrap)), 0.1)], face.accent)
    fold = smooth(points((-0.42, 0.6), (-0.2, 0.72), (0, 0.75), (0.2, 0.72), (0.42, 0.6)), closed=False)
    folds = [scene.on_body(brush(fold + np.array([0, drop]), 0.035), 0.1) for drop in (0.0, 0.09)]
    canvas.fill(folds, shade(face.accent, 1.45), 0.8, mask)


def _draw_head(scene: Scene) -> None:
    """Ears and the bare head; leaves the mask of the face in `scene.skin`."""
    face, canvas = scene.face, scene.canvas
    width, tall, jaw = face.face_width, face.face_height, face.jaw
    ears = [ellipse(side * (width + 0.02), 0.07, 0.075, face.ear_size, 0.2) for side in (-1, 1)]
    hollows = [ellipse(side * (width + 0.03), 0.07, 0.035, 0.6 * face.ear_size) for side in (-1, 1)]
    canvas.fill([scene.at_depth(ear) for ear in ears], shade(face.skin, 0.92))
    canvas.fill([scene.at_depth(hollow) for hollow in hollows], shade(face.skin, 0.72), 0.7)
    skull = points((0, -0.6), (0.52 * width, -0.54), (0.9 * width, -0.34), (width, 0.0), (0.94 * width, 0.24))
    chin = points(((0.62 + 0.17 * jaw) * width, 0.44), ((0.28 + 0.12 * jaw) * width, 0.56), (0, 0.595)) * (1, tall)
    scene.skin = scene.fill_on_face([smooth(mirrored(np.concatenate([skull, chin])))], face.skin)


def _draw_cheeks(scene: Scene) -> None:
    """Blush and freckles."""
    face, canvas = scene.face, scene.canvas
    if face.blush:
        pink = mix(shade(face.skin, 0.85), (0.95, 0.3, 0.35), 0.7)
        for side in (-1, 1):
            spot = scene.on_face(np.array([side * 0.58 * face.face_width, 0.21]))
            canvas.paint(canvas.glow(spot, 0.2) & scene.skin, pink, 0.75)
    if face.freckles:
        x, y, size = scene.detail.freckles.T
        x = (np.arange(len(x)) + x) / len(x) - 0.5  # one in each of even strips, so that they spread
        centres = np.stack([1.5 * face.face_width * x, 0.13 + 0.15 * y - 0.06 * np.cos(6 * x)], axis=1)
        dots = ellipse(0, 0, 1, 1)[::3] * (0.014 + 0.008 * size)[:, None, None] + centres[:, None]
        scene.fill_on_face(dots, shade(face.skin, 0.45), 0.8)


def _draw_nose(scene: Scene) -> None:
    """A button nose that stands out from the face: its tip moves most when the head turns."""
    face, canvas = scene.face, scene.canvas
    size = face.nose_size
    depth = 0.5 + 0.6 * size
    dark = -1 if face.light_x > 0 else 1  # the side in shadow
    root = scene.on_face(points((dark * 0.05, 0.04)))
    wing = scene.at_depth(points((dark * 0.5 * size, 0.14), (dark * size, 0.22)), depth - 0.05)
    canvas.fill([brush(smooth(np.concatenate([root, wing]), closed=False), 0.045)], shade(face.skin, 0.72), 0.4)
    tip = scene.at_depth(ellipse(0, 0.2, size, 0.75 * size), depth)
    canvas.fill([tip], mix(face.skin, (0.95, 0.4, 0.35), 0.14))
    under = points((-1, 0), (-0.6, 0.7), (0, 0.85), (0.6, 0.7), (1, 0)) * size + (0, 0.205)
    canvas.fill([scene.at_depth(brush(smooth(under, closed=False), 0.028), depth)], shade(face.skin, 0.6), 0.8)


def _draw_mouth(scene: Scene) -> None:
    """Four mouths: closed or open, smiling or not; `mouth_mood` varies each a little."""
    face = scene.face
    level = 0.375 * face.face_height
    mood = 0.012 * face.mouth_mood
    half, lift = (1.15 * face.mouth_width, 0.065 + mood) if face.smile else (0.85 * face.mouth_width, mood - 0.004)
    line = points((-1, -1), (-0.5, 0.35), (0, 0.8), (0.5, 0.35), (1, -1)) * (half, lift) + (0, level)
    lips = smooth(line, closed=False)
    if face.open_mouth:
        _draw_open_mouth(scene, lips, level)
        return
    scene.fill_on_face([brush(lips * (0.75, 1) + (0, 0.036), 0.06)], face.lips, 0.85)
    scene.fill_on_face([brush(lips, 0.034)], shade(face.lips, 0.5))


def _draw_open_mouth(scene: Scene, lips: Array, level: float) -> None:
    """A laugh with teeth under the curve of the upper `lips`, or, without a smile, a round O."""
    face = scene.face
    top = lips
    if not face.smile:
        arch = 1 - (lips[:, 0] / lips[-1, 0]) ** 2
        top = lips * (0.62, 1) - np.stack([np.zeros_like(arch), 0.03 + 0.05 * arch], axis=1)
    reach, corner = top[-1]
    jaw = points((1, corner), (0.7, level + 0.11), (0, level + 0.15), (-0.7, level + 0.11), (-1, corner)) * (reach, 1)
    opening = np.concatenate([top, smooth(jaw, closed=False)])
    scene.fill_on_face([_grown(opening, 0.022)], face.lips)
    inside = scene.fill_on_face([opening], (0.32, 0.08, 0.11))
    scene.fill_on_face([ellipse(0, level + 0.15, 0.6 * reach, 0.06)], (0.86, 0.38, 0.4), 1.0, inside)
    gums, edge = np.array([[0, -0.02], [0, 0.04 if face.smile else 0.025]])
    teeth = np.concatenate([top + gums, (top + edge)[::-1]])
    scene.fill_on_face([teeth], (0.98, 0.97, 0.94), 1.0, inside)


def _grown(shape: Array, margin: float) -> Array:
    """`shape` [n, 2] pushed outwards from its middle by about `margin`."""
    middle = shape.mean(axis=0)
    extent = np.abs(shape - middle).max(axis=0)
    return middle + (shape - middle) * (1 + margin / extent)


def _eye_centres(face: Face) -> Array:
    """The middles of the left and the right eye, [2, 2]."""
    offset = face.eye_spacing * face.face_width
    return points((-offset, EYE_LEVEL), (offset, EYE_LEVEL))


def _iris_centres(face: Face) -> Array:
    """The middles of both irises, [2, 2], moved by the gaze."""
    return _eye_centres(face) + np.array([face.gaze_x, face.gaze_y * face.eye_roundness]) * (0.24 * face.eye_size)


def _draw_eyes(scene: Scene) -> None:
    face = scene.face
    eyes, irises = _eye_centres(face), _iris_centres(face)
    rx, ry = face.eye_size, face.eye_size * face.eye_roundness
    whites = ellipse(0, 0, rx, ry, 0.15) + eyes[:, None]
    inside = scene.fill_on_face(whites, (0.97, 0.97, 0.98))

    def disc(radius: float, flatness: float = 1.0, drop: float = 0.0) -> Array:
        radius *= 0.76 * rx
        return ellipse(0, drop * radius, radius, flatness * radius) + irises[:, None]

    scene.fill_on_face(disc(1.0), shade(face.iris, 0.55), 1.0, inside)
    scene.fill_on_face(disc(0.84), face.iris, 1.0, inside)
    scene.fill_on_face(disc(0.55, 0.7, drop=0.75), shade(face.iris, 1.35), 0.7, inside)
    scene.fill_on_face(disc(0.5), (0.06, 0.05, 0.08), 1.0, inside)
    lid = smooth(points((-1.05, -0.1), (-0.65, -0.75), (0, -1.0), (0.65, -0.75), (1.05, -0.1)), closed=False) * (rx, ry)
    lash = points((0.85, -0.55), (1.15, -0.57), (1.35, -0.8)) * (rx, ry)
    lines = [brush(lid, 0.06) + eye for eye in eyes]
    lines += [brush(lash, 0.03) * (side, 1) + eye for side, eye in zip((-1, 1), eyes, strict=True)]
    scene.fill_on_face(lines, (0.14, 0.1, 0.11))


def _draw_brows(scene: Scene) -> None:
    face = scene.face
    slant = face.brow_slant
    arc = smooth(points((-0.12, 0.01 - slant), (0, -0.025), (0.14, 0.025 + slant)), closed=False)
    stroke = brush(arc, 0.1 if face.thick_eyebrows else 0.03) - (0, face.brow_height)
    brows = [stroke * (side, 1) + eye for side, eye in zip((-1, 1), _eye_centres(face), strict=True)]
    scene.fill_on_face(brows, set_off(mix(shade(face.hair, 0.62), (0.16, 0.1, 0.08), 0.35), face.skin))


def _draw_earrings(scene: Scene) -> None:
    """A golden drop under each ear, in front of any hair."""
    face = scene.face
    x, y = face.face_width + 0.05, face.ear_size + 0.145
    drops = [ellipse(side * x, y, 0.056, 0.082) for side in (-1, 1)]
    stones = [ellipse(side * x, y + 0.02, 0.026, 0.036) for side in (-1, 1)]
    scene.canvas.fill([scene.at_depth(drop, 0.12) for drop in drops], GOLD)
    scene.canvas.fill([scene.at_depth(stone, 0.12) for stone in stones], shade(face.accent, 1.3))


def _draw_glasses_arms(scene: Scene) -> None:
    """From the rims to the ears, under the hair."""
    face = scene.face
    arms = []
    for x, y in _eye_centres(face):
        hinge = scene.at_depth(points((1.3 * x, y - 0.02)), GLASSES_DEPTH)
        ear = scene.at_depth(points((np.sign(x) * (face.face_width + 0.02), y - 0.02)))
        arms.append(brush(np.linspace(hinge[0], ear[0], 5), 0.05))
    scene.canvas.fill(arms, face.frame, 1.0, scene.skin)


def _draw_glasses(scene: Scene) -> None:
    """Two rims and a bridge, which stand before the face and move with its turn."""
    face, canvas = scene.face, scene.canvas
    eyes = _eye_centres(face) * (1.02, 1) + (0, 0.01)
    radius = min(face.eye_size + 0.055, eyes[1, 0] - 0.03), face.eye_size + 0.05
    lens = ellipse(0, 0, *radius, face.frame_squareness)
    canvas.fill(scene.at_depth(lens + eyes[:, None], GLASSES_DEPTH), (0.8, 0.92, 1.0), 0.16)
    rim = np.concatenate([lens, lens[:1]])
    rim = np.concatenate([rim, rim[::-1] * (1 + 0.04 / np.array(radius))])  # out along a seam and back: a ring
    bridge = brush(points((-0.1, 0.03), (0, 0.01), (0.1, 0.03)), 0.05)
    shapes = [scene.at_depth(shape, GLASSES_DEPTH) for shape in (rim + eyes[0], rim + eyes[1], bridge)]
    canvas.fill(shapes, face.frame)


def _draw_highlights(scene: Scene) -> None:
    """What shines by itself after the lighting: eyes and the tip of the nose."""
    face, canvas = scene.face, scene.canvas
    side = 1 if face.light_x > 0 else -1
    size = face.eye_size
    large = ellipse(0.22 * side * size, -0.32 * size, 0.24 * size, 0.24 * size) + _iris_centres(face)[:, None]
    small = ellipse(-0.22 * side * size, 0.28 * size, 0.12 * size, 0.12 * size) + _iris_centres(face)[:, None]
    scene.fill_on_face(np.concatenate([large, small]), WHITE, 0.95)
    tip = scene.at_depth(np.array([0.4 * side * face.nose_size, 0.18]), 0.55)
    canvas.paint(canvas.glow(tip, 0.05), WHITE, 0.45)


def _draw_grain(scene: Scene) -> None:
    """Paper grain over the background and, fainter, over the person; the same at every size."""
    size = scene.canvas.size
    grain = np.asarray(Image.fromarray(scene.detail.grain).resize((size, size), Image.Resampling.BICUBIC))
    scene.canvas.rgb += grain * (0.027 - 0.018 * scene.canvas.figure)
