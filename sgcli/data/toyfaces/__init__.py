"""toyfaces: an invented set of cartoon-like faces with recorded attributes. `docs/toyfaces.md` tells what is in it."""

from sgcli.data.toyfaces.draw import draw_face
from sgcli.data.toyfaces.face import ATTRIBUTES, Face, sample_face
from sgcli.data.toyfaces.write import detail_rng, face_at, synthesize

__all__ = ["ATTRIBUTES", "Face", "detail_rng", "draw_face", "face_at", "sample_face", "synthesize"]
