"""Linear separability (Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks",
section 4.2; spec progan-stylegan1 §6.3): how well a hyperplane in latent space tells what a classifier sees.

For each attribute, the half of the pictures that the classifier is surest about keeps its latents; a linear SVM divides
them; H(Y|X) says how much the side of the hyperplane, X, leaves unsaid about the attribute, Y. The score is exp(Σ H)
over attributes: 1 where every one is linear.
Legend: N samples, A attributes, F latent dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.errors import SgError
from sgcli.features.classifier import Panel
from sgcli.latents.draw import draw_pictures, to_ws
from sgcli.latents.seeds import latents_of_seeds
from sgcli.latents.svm import fit_linear_svm
from sgcli.metrics.results import Value
from sgcli.metrics.rows import Rows, at_once
from sgcli.metrics.sources import DrawnPictures
from sgcli.progress import warn

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

MIN_SAMPLES = 4  # of which half are kept: one for either side, and one more each
SAMPLES_PER_DIMENSION = 50  # fewer, and a hyperplane fits chance
LATENTS_AT_ONCE = 1024


@dataclass(frozen=True)
class Hyperplane:
    """What separates one attribute in one space."""

    attribute: str
    entropy: float  # H(Y|X), bits
    share: float  # of the latents kept, that have the attribute
    right: float  # share of them on the right side
    normal: np.ndarray | None  # unit vector towards "has it", [F]; None where all are alike  # fmt: skip


@dataclass(frozen=True)
class Separability:
    """The hyperplanes of one space, and their score."""

    hyperplanes: list[Hyperplane]

    @property
    def score(self) -> float:
        """exp(Σ H), with H in nats; the same as 2 to the sum of bits."""
        return float(2 ** sum(plane.entropy for plane in self.hyperplanes))


def surest_half(logits: np.ndarray) -> np.ndarray:
    """Which half of the samples `[N]` a classifier is surest about: row numbers `[N // 2]`.

    Sureness is the larger probability of softmax(l, -l) in float32: where it is rounded to 1, the first samples win.
    """
    sureness = 1 / (1 + np.exp(np.float32(-2) * np.abs(logits.astype(np.float32))))
    return np.argsort(-sureness, kind="stable")[: len(logits) // 2]


def conditional_entropy(x: np.ndarray, y: np.ndarray) -> float:
    """H(Y|X) in bits, of two series of booleans `[N]`."""
    table = np.array([[np.mean((x == a) & (y == b)) for b in (False, True)] for a in (False, True)])
    joint, given = _entropy(table.ravel()), _entropy(table.sum(axis=1))
    return max(joint - given, 0.0)


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def separate(latents: np.ndarray, logits: np.ndarray, attribute: str) -> Hyperplane:
    """The hyperplane between latents `[N, F]` with an attribute and those without, as `logits` `[N]` say."""
    rows = surest_half(logits)
    has = logits[rows] >= 0
    share = float(has.mean())
    if share in (0.0, 1.0):  # one side only: nothing is left unsaid
        return Hyperplane(attribute, 0.0, share, 1.0, None)
    kept = latents[rows]
    weights, bias = fit_linear_svm(kept, has)
    says = kept @ weights + bias > 0
    normal = weights / max(float(np.linalg.norm(weights)), np.finfo(np.float32).tiny)
    return Hyperplane(attribute, conditional_entropy(says, has), share, float((says == has).mean()), normal)


def measure_separability(
    latents: np.ndarray, logits: np.ndarray, attributes: Sequence[str], what: str, rows: Rows = at_once
) -> Separability:
    """Every attribute's hyperplane in one space: latents `[N, F]`, logits `[N, A]`. With a bar called `what`."""

    def compute(start: int, stop: int) -> np.ndarray:
        planes = [separate(latents, logits[:, a], attributes[a]) for a in range(start, stop)]
        normals = [np.zeros(latents.shape[1]) if plane.normal is None else plane.normal for plane in planes]
        return np.array([[p.entropy, p.share, p.right, *normal] for p, normal in zip(planes, normals, strict=True)])

    planes = []
    for name, row in zip(attributes, rows(what, len(attributes), compute, block=1), strict=True):
        (entropy, share, right), normal = map(float, row[:3]), row[3:].astype(np.float32)
        planes.append(Hyperplane(name, entropy, share, right, normal if normal.any() else None))
    return Separability(planes)


@dataclass
class Samples:
    """Latents and what the classifiers say of their pictures."""

    z: np.ndarray  # [N, z_dim], as drawn, not normalised
    w: np.ndarray  # [N, w_dim], not truncated; of the last layer
    logits: np.ndarray  # [N, A]
    names: list[str] = field(default_factory=list)


def sample(job: Job, num: int, panel: Panel, rows: Rows) -> Samples:
    """Draw `num` pictures and have them judged: as floats, never quantised, with fresh noise."""
    G, drawn = job.G, job.fake
    assert isinstance(drawn, DrawnPictures)

    def compute(start: int, stop: int) -> np.ndarray:
        seeds = drawn.seeds(range(start, stop))
        z, c = torch.from_numpy(latents_of_seeds(seeds, G.z_dim)), drawn.labels(seeds)
        pictures = torch.stack(list(draw_pictures(G, z, seeds, c, noise="random", batch=drawn.batch)))
        logits = torch.cat([panel.judge(part) for part in pictures.split(drawn.batch)]).cpu().numpy()
        if not np.isfinite(logits).all():
            raise SgError(
                f"{drawn.name}: the classifiers' answers are not numbers: it draws NaN, or they are broken",
                "sg generate --seeds 0-15 --grid 4x4 -o look.png",
            )
        return logits

    logits = rows("pictures judged", num, compute)
    z = latents_of_seeds(drawn.seeds(range(num)), G.z_dim)
    return Samples(z, _w_of(drawn, z), logits, panel.names)


@torch.inference_mode()
def _w_of(drawn: DrawnPictures, z: np.ndarray) -> np.ndarray:
    """w of each z, with the label of its picture. `[N, w_dim]`."""
    G, parts = drawn.G, []
    device = next(G.parameters()).device
    for start in range(0, len(z), LATENTS_AT_ONCE):
        stop = min(start + LATENTS_AT_ONCE, len(z))
        c = drawn.labels(drawn.seeds(range(start, stop)))
        ws = to_ws(G, torch.from_numpy(z[start:stop]).to(device), None if c is None else c.to(device))
        parts.append(ws[:, -1].cpu().numpy())
    return np.concatenate(parts)


def measure(
    job: Job,
    num: int,
    *,
    panel: Panel,
    use: Callable[[Samples, Separability], None] | None = None,  # worker 0: the samples and the hyperplanes in W
) -> list[Value]:
    """The score in Z and in W, with the entropy that each attribute adds."""
    drawn = job.pictures("fake")
    drawn.count(num, MIN_SAMPLES)
    for classifier in panel.classifiers:
        classifier.check_fits(drawn.resolution, drawn.num_channels)
    if job.group.leads and num // 2 < SAMPLES_PER_DIMENSION * job.G.z_dim:
        warn(
            f"{num // 2} latents for hyperplanes of {job.G.z_dim} numbers: with so few, scores come out too good; "
            f"--num {2 * SAMPLES_PER_DIMENSION * job.G.z_dim} or more"
        )
    judges = [classifier.facts() for classifier in panel.classifiers]
    samples = sample(job, num, panel, job.rows(judges))
    rows = job.rows(judges, num)
    found = {
        space: measure_separability(latents, samples.logits, panel.names, f"hyperplanes in {space.upper()}", rows)
        for space, latents in (("z", samples.z), ("w", samples.w))
    }
    if job.group.leads:
        warn_of_one_kind(found["w"].hyperplanes)
        if use is not None:
            use(samples, found["w"])
    return [
        Value(
            result.score,
            {
                "entropy_bits": {plane.attribute: plane.entropy for plane in result.hyperplanes},
                "right": {plane.attribute: plane.right for plane in result.hyperplanes},
                "share": {plane.attribute: plane.share for plane in result.hyperplanes},
                "classifiers": judges,
                "num_fake": num,
            },
            name=f"separability-{space}",
        )
        for space, result in found.items()
    ]


def warn_of_one_kind(planes: Sequence[Hyperplane]) -> None:
    """Say which attributes have no hyperplane, since all pictures are alike in them."""
    for share, word in ((1.0, "have"), (0.0, "lack")):
        if names := [plane.attribute for plane in planes if plane.normal is None and plane.share == share]:
            warn(f"{', '.join(names)}: the surest half of the pictures all {word} it")
