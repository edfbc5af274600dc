"""What a toyface is: its binary attributes, its continuous parameters, and how both are drawn at random.

Lengths are in half picture widths (the picture spans -1 to 1), with the head upright at the origin; angles in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from sgcli.data.toyfaces import palette
from sgcli.data.toyfaces.canvas import Colour
from sgcli.errors import UsageError

# Probability of each binary attribute. They are independent, and common enough for a classifier to learn from.
ATTRIBUTES = {
    "glasses": 0.4,
    "hat": 0.35,
    "long_hair": 0.45,
    "curly_hair": 0.4,
    "fringe": 0.45,
    "beard": 0.35,
    "moustache": 0.35,
    "smile": 0.5,
    "open_mouth": 0.4,
    "thick_eyebrows": 0.45,
    "earrings": 0.4,
    "freckles": 0.4,
    "blush": 0.4,
    "scarf": 0.4,
}

# Continuous parameters: those with an even distribution, lowest and highest; and bell-shaped ones, which are normal
# with the given mean and standard deviation, cut at two deviations.
EVEN = {
    "face_width": (0.43, 0.53),
    "face_height": (0.94, 1.08),
    "jaw": (0.0, 1.0),
    "ear_size": (0.09, 0.13),
    "nose_size": (0.06, 0.1),
    "mouth_width": (0.13, 0.19),
    "mouth_mood": (-1.0, 1.0),
    "eye_size": (0.11, 0.14),
    "eye_roundness": (0.82, 1.08),
    "eye_spacing": (0.42, 0.47),
    "brow_height": (0.195, 0.235),
    "hair_volume": (0.06, 0.15),
    "parting": (-1.0, 1.0),
    "hair_length": (0.0, 1.0),
    "beard_length": (0.0, 1.0),
    "frame_squareness": (0.0, 1.0),
    "background_angle": (0.0, 360.0),
    "light_x": (-1.0, 1.0),
    "light_y": (0.2, 1.0),
    "warmth": (-1.0, 1.0),
}
BELL = {
    "shift_x": (0.0, 0.035),
    "shift_y": (0.0, 0.025),
    "scale": (1.0, 0.025),
    "tilt": (0.0, 6.0),
    "turn": (0.0, 14.0),
    "nod": (0.0, 5.0),
    "gaze_x": (0.0, 0.5),
    "gaze_y": (0.0, 0.35),
    "brow_slant": (0.0, 0.012),
}
_EVEN_TABLE, _BELL_TABLE = np.array([*EVEN.values()]), np.array([*BELL.values()])

Combination = tuple[str, ...]


@dataclass(frozen=True)
class Face:
    """Everything about one face that is not fine random detail."""

    # Attributes, in the order of ATTRIBUTES.
    glasses: bool
    hat: bool
    long_hair: bool
    curly_hair: bool
    fringe: bool
    beard: bool
    moustache: bool
    smile: bool
    open_mouth: bool
    thick_eyebrows: bool
    earrings: bool
    freckles: bool
    blush: bool
    scarf: bool
    # Pose.
    shift_x: float
    shift_y: float
    scale: float  # about 1
    tilt: float  # degrees, in the picture plane; positive leans to the right
    turn: float  # degrees, about the vertical axis; positive looks to the right
    nod: float  # degrees, about the horizontal axis; positive looks down
    # Head.
    face_width: float  # half width at the cheekbones
    face_height: float  # factor on everything below the eyes, about 1
    jaw: float  # 0 pointed to 1 square
    ear_size: float
    nose_size: float
    mouth_width: float  # half width
    mouth_mood: float  # -1 earnest to 1 cheerful, within what `smile` says
    # Eyes.
    eye_size: float  # half width
    eye_roundness: float  # height over width
    eye_spacing: float  # of each eye from the middle, in face widths
    gaze_x: float  # -1 to 1
    gaze_y: float
    brow_height: float
    brow_slant: float  # positive: inner ends up
    # Hair and things worn.
    hair_volume: float
    parting: float  # -1 to 1
    hair_length: float  # 0 to 1, within what `long_hair` says
    beard_length: float  # 0 to 1
    frame_squareness: float  # of the glasses, 0 round to 1 square
    # Colours.
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    accent: Colour  # hat, scarf
    frame: Colour  # glasses
    background: Colour
    background_far: Colour
    # Light.
    background_angle: float  # degrees, direction of the gradient
    light_x: float  # -1 from the left to 1 from the right
    light_y: float  # height of the light above the eyes, 0 to 1
    warmth: float  # -1 cool to 1 warm

    def attribute_values(self) -> list[int]:
        """0 or 1 for each of ATTRIBUTES, in its order."""
        return [int(getattr(self, name)) for name in ATTRIBUTES]


def sample_face(rng: np.random.Generator, without: Sequence[Combination] = ()) -> Face:
    """Draw a face at random. Faces that have every attribute of a combination in `without` never occur.

    Combinations are removed by drawing the attributes again, so the other parameters do not depend on `without`.
    Raises UsageError for an unknown attribute or an empty combination.
    """
    check_combinations(without)
    shape = _sample_shape(rng)
    colours = _sample_colours(rng)
    attributes = _sample_attributes(rng)
    while any(all(attributes[name] for name in combination) for combination in without):
        attributes = _sample_attributes(rng)
    return Face(**attributes, **shape, **colours)  # type: ignore[arg-type]


def check_combinations(without: Sequence[Combination]) -> None:
    """Raise UsageError unless every combination names at least one attribute, and only known ones."""
    for combination in without:
        if not combination:
            raise UsageError("without: an empty combination of attributes", "name some, such as beard+long_hair")
        for name in combination:
            if name not in ATTRIBUTES:
                guess = get_close_matches(name, ATTRIBUTES, n=1) or ["beard+long_hair"]
                raise UsageError(
                    f"without: '{name}' is not an attribute; there are {', '.join(ATTRIBUTES)}",
                    f"--without {guess[0]}",
                )


def _sample_attributes(rng: np.random.Generator) -> dict[str, bool]:
    return {name: bool(u < p) for (name, p), u in zip(ATTRIBUTES.items(), rng.random(len(ATTRIBUTES)), strict=True)}


def _sample_shape(rng: np.random.Generator) -> dict[str, float]:
    even = rng.uniform(*_EVEN_TABLE.T)
    mean, deviation = _BELL_TABLE.T
    bell = mean + deviation * np.clip(rng.standard_normal(len(BELL)), -2, 2)
    return dict(zip([*EVEN, *BELL], [*even.tolist(), *bell.tolist()], strict=True))


def _sample_colours(rng: np.random.Generator) -> dict[str, Colour]:
    """Colours that go together: cloth and accent lie across the wheel of hues from the background."""
    skin = palette.ramp(palette.SKIN, rng.beta(1.1, 1.4))
    dyed = rng.random() < 0.15
    dye = palette.oklch(rng.uniform(0.5, 0.72), 0.14, rng.uniform(0.55, 1.1))
    natural = palette.ramp(palette.HAIR, rng.random())
    hue = rng.random()
    bright = rng.uniform(0.78, 0.92)
    far_hue = hue + rng.uniform(-0.12, 0.12)
    cloth_hue, accent_hue, frame_hue = hue + rng.uniform([0.35, 0.2, 0.0], [0.65, 0.8, 1.0])
    return {
        "skin": skin,
        "hair": dye if dyed else natural,
        "iris": palette.ramp(palette.IRIS, rng.random()),
        "lips": palette.mix(palette.shade(skin, 0.78), (0.85, 0.25, 0.3), rng.uniform(0.45, 0.65)),
        "cloth": palette.oklch(rng.uniform(0.45, 0.65), rng.uniform(0.06, 0.13), cloth_hue),
        "accent": palette.oklch(rng.uniform(0.6, 0.74), rng.uniform(0.11, 0.17), accent_hue),
        "frame": palette.oklch(rng.uniform(0.22, 0.45), rng.uniform(0.03, 0.12), frame_hue),
        "background": palette.oklch(bright, rng.uniform(0.04, 0.1), hue),
        "background_far": palette.oklch(bright - rng.uniform(0.03, 0.14), rng.uniform(0.05, 0.12), far_hue),
    }
