"""Where things stand in the picture: the pose of head and body, the depth of the face, and the light on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sgcli.data.toyfaces.canvas import Array, Canvas, Colour, Mask, Shapes
from sgcli.data.toyfaces.face import Face
from sgcli.data.toyfaces.palette import shade

GRAIN_SIZE = 96
HEAD_DEPTH = 0.5  # how far the middle of the face stands out from the plane of the ears


@dataclass(frozen=True)
class Detail:
    """Fine random detail that no attribute fixes. Numbers are drawn in a fixed order and count, whatever the face."""

    strands: Array  # [60, 5] in 0..1: x, y, length, bend, width
    bristles: Array  # [40, 3] in 0..1: x, y, bend
    freckles: Array  # [26, 3] in 0..1: x, y, size
    grain: Array  # [GRAIN_SIZE, GRAIN_SIZE] float32, normal

    @staticmethod
    def sample(rng: np.random.Generator) -> Detail:
        return Detail(
            strands=rng.random((60, 5)),
            bristles=rng.random((40, 3)),
            freckles=rng.random((26, 3)),
            grain=rng.standard_normal((GRAIN_SIZE, GRAIN_SIZE), np.float32),
        )


class Pose:
    """A turn in space followed by parallel projection, a tilt in the plane, scale and shift."""

    def __init__(self, shift: tuple[float, float], scale: float, tilt: float, turn: float, nod: float):
        t, u, v = np.deg2rad((tilt, turn, nod))
        turned = np.array([[np.cos(u), 0, np.sin(u)], [-np.sin(u) * np.sin(v), np.cos(v), np.cos(u) * np.sin(v)]])
        tilted = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        matrix = scale * tilted @ turned  # [2, 3]
        self.in_plane, self.towards, self.shift = matrix[:, :2].T, matrix[:, 2], np.array(shift)

    def project(self, points: Array, depth: Array | float) -> Array:
        """Points [..., 2] at `depth` [..., 1] towards the viewer, as canvas points [..., 2]."""
        return points @ self.in_plane + depth * self.towards + self.shift


class Scene:
    """A face on its canvas. Drawing functions give points in the head's own coordinates; the scene poses them."""

    def __init__(self, face: Face, detail: Detail, size: int):
        self.face = face
        self.detail = detail
        self.canvas = Canvas(size)
        shift = (face.shift_x, face.shift_y + 0.05)
        self._bulge = (1.04 * face.face_width) ** -2, 0.7**-2
        self.skin: Mask  # the bare face, once drawn
        self.head = Pose(shift, 1.2 * face.scale, face.tilt, face.turn, face.nod)
        self.body = Pose(shift, 1.2 * face.scale, 0.25 * face.tilt, 0.4 * face.turn, 0)

    def on_face(self, points: Array) -> Array:
        """Canvas points of head points [..., 2] that lie on the rounded front of the head."""
        x, y = points[..., :1], points[..., 1:]
        inside = 1 - x * x * self._bulge[0] - y * y * self._bulge[1]
        return self.head.project(points, HEAD_DEPTH * np.sqrt(np.maximum(inside, 0)))

    def at_depth(self, points: Array, depth: float = 0.0) -> Array:
        """Canvas points of head points [..., 2] in a plane at `depth` in front of the ears."""
        return self.head.project(points, depth)

    def on_body(self, points: Array, depth: float = 0.0) -> Array:
        """Canvas points of body points [..., 2]: these do not turn with the head."""
        return self.body.project(points, depth)

    def fill_on_face(self, shapes: Shapes, colour: Colour, opacity: float = 1.0, within: Mask | None = None) -> Mask:
        """Fill head shapes on the front of the head."""
        placed = self.on_face(shapes) if isinstance(shapes, np.ndarray) else [self.on_face(shape) for shape in shapes]
        return self.canvas.fill(placed, colour, opacity, within)

    def shadow_on_skin(self, shape: Array) -> None:
        """A shadow of canvas `shape` [n, 2] on the face."""
        self.canvas.fill([shape], shade(self.face.skin, 0.6), 0.45, self.skin)

    def light_figure(self) -> None:
        """Shade what has been drawn of the person as an ellipsoid under a soft lamp, warm or cool."""
        face, canvas = self.face, self.canvas
        x, y = canvas.grid()
        centre = self.at_depth(np.zeros(2)).astype(np.float32)
        nx, ny = (x - centre[0]) / 0.95, (y - centre[1]) / 1.15
        flat = nx**2 + ny**2
        nz = np.sqrt(np.maximum(1 - flat, 0.12))
        lamp = np.array([face.light_x, -face.light_y, 1.1], np.float32)
        lamp /= np.linalg.norm(lamp)
        facing = (nx * lamp[0] + ny * lamp[1] + nz * lamp[2]) / np.sqrt(flat + nz**2)
        warm = 0.05 * face.warmth
        lit = np.array([1.1 + warm, 1.1, 1.1 - warm], np.float32)[:, None, None]
        unlit = np.array([0.66 - warm, 0.62, 0.68 + warm], np.float32)[:, None, None]
        light = unlit + np.clip(facing, 0, 1) * (lit - unlit)
        canvas.rgb *= 1 + canvas.figure * (light - 1)
