"""Inception score (IS): are the pictures clearly of some class, and of many classes? It needs no real pictures.

Salimans et al. 2016, "Improved Techniques for Training GANs"; spec stylegan2-ada §9.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.metrics.resampling import jackknife
from sgcli.metrics.results import Value

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

NUM_SPLITS = 10


def inception_score(probabilities: np.ndarray, num_splits: int = NUM_SPLITS) -> np.ndarray:
    """exp(mean KL(p(y|x) ‖ p(y))) of each of `num_splits` parts in order, `[num_splits]`; their mean is IS.

    probabilities: of classes, per picture, `[N, K]`, N from `num_splits`.
    """
    tiny = np.finfo(np.float64).tiny  # 0 · log 0 = 0
    scores = []
    for part in np.array_split(probabilities.astype(np.float64), num_splits):
        marginal = part.mean(axis=0)
        divergence = (part * (np.log(part + tiny) - np.log(marginal + tiny))).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return np.array(scores)


def measure(job: Job, num: int) -> list[Value]:
    """IS, and its deviation over ten splits."""
    features = job.features("fake", "inception", num, at_least=NUM_SPLITS)
    extractor = job.load_extractor("inception")
    parts = [extractor.class_probabilities(part) for part in torch.from_numpy(features).split(4096)]
    probabilities = torch.cat(parts).numpy()
    scores = inception_score(probabilities)
    facts = {"num_fake": len(features), "splits": NUM_SPLITS, "splits_std": float(scores.std())}
    if job.stderr:
        facts["stderr"] = jackknife(lambda part: float(inception_score(part).mean()), probabilities)
    return [Value(float(scores.mean()), facts)]
