"""A sitting of measuring: what is measured, with what, and what has been computed so far.

Every metric gets the same job, so that pictures are drawn once and features extracted once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from sgcli.distributed.group import ALONE, Group
from sgcli.errors import UsageError
from sgcli.features.extractors import Extractor, Protocol, load_extractor
from sgcli.metrics import feature_store
from sgcli.metrics.fid import Statistics
from sgcli.metrics.rows import BLOCK_ROWS, Compute, Rows, compute_rows, key_of
from sgcli.metrics.sources import DrawnPictures, FeatureFile, Pictures, Source, StatisticsFile
from sgcli.models.base import Generator

CPU = torch.device("cpu")
PUBLISHED_NUM = 50_000  # generated pictures behind most published numbers
DATA_HINT = "--data faces.zip, or two sources to compare: sg metrics fid fakes/ faces.zip"


@dataclass
class Job:
    """What metrics are handed.

    fake        what is measured: pictures of a model or a folder, features, statistics
    real        what it is held against; None where only one thing was given
    num         pictures of `fake` to look at; None: as many as the metric's protocol says
    extractor   feature network for all metrics; None: the one that each metric's protocol names
    stderr      whether to estimate standard errors, where a metric can
    extractors  those that are loaded already, by name
    """

    fake: Source
    real: Source | None = None
    num: int | None = None
    seed: int = 0
    device: torch.device = CPU
    protocol: Protocol = field(default_factory=lambda: Protocol.named("nvidia"))
    extractor: str | None = None
    weights: str | None = None
    trust: bool = False
    stderr: bool = False
    group: Group = ALONE  # the workers that measure together
    extractors: dict[str, Extractor] = field(default_factory=dict)
    _features: dict[tuple, np.ndarray] = field(default_factory=dict)

    def with_fake(self, fake: Source) -> Job:
        """The same job for something else to measure; what is known of the real pictures stays."""
        known = {key: features for key, features in self._features.items() if key[0] == "data"}
        return replace(self, fake=fake, _features=known)

    @property
    def batch(self) -> int:
        """Pictures of the measured model that are computed at a time."""
        return self.fake.batch if isinstance(self.fake, DrawnPictures) else BLOCK_ROWS

    @property
    def G(self) -> Generator:
        """The generator that is measured. Raises UsageError where something else is."""
        if not isinstance(self.fake, DrawnPictures):
            raise UsageError(f"{self.fake.name}: this metric looks into a model", "-m MODEL.safetensors, or -m RUN")
        return self.fake.G

    def pictures(self, role: str) -> Pictures:
        """The pictures of "fake" or "data". Raises UsageError where there are only features, or nothing."""
        source = self.source(role)
        if not isinstance(source, Pictures):
            raise UsageError(f"{source.name}: this metric needs pictures", "give a model, a folder or a zip")
        return source

    def source(self, role: str) -> Source:
        """What is measured ("fake") or what it is held against ("data"). Raises UsageError for a missing one."""
        if role == "fake":
            return self.fake
        if self.real is None:
            raise UsageError("this metric compares with real pictures, and none were given", DATA_HINT)
        return self.real

    def take(self, role: str, count: int) -> torch.Tensor:
        """The first `count` pictures of "fake" or "data", uint8 `[count, C, R, R]`; see `Pictures.take`."""
        return self.pictures(role).take(count, self.group)

    def rows(self, *parts: object) -> Rows:
        """How a metric has its rows computed, resumably and by all workers.

        parts: what they follow from, besides what is measured, what it is held against, and their names.
        """
        sources = [source.key for source in (self.fake, self.real) if source is not None]

        def rows(what: str, count: int, compute: Compute, block: int | None = None) -> np.ndarray:
            block = block or max(BLOCK_ROWS, self.batch)
            key = key_of(what, block, *sources, *parts)
            return compute_rows(what, count, compute, block, key=key, group=self.group)

        return rows

    def load_extractor(self, usual: str) -> Extractor:
        """The feature network: the one asked for, else `usual`. Loaded once."""
        name = self.extractor or usual
        if name not in self.extractors:
            self.extractors[name] = load_extractor(name, self.protocol, self.device, self.weights, self.trust)
        return self.extractors[name]

    def features(self, role: str, usual_extractor: str, wanted: int | None, at_least: int = 1) -> np.ndarray:
        """Features `[N, F]` float32 of the first `wanted` pictures (None: all), at least `at_least`.

        Computed once. Raises UsageError for statistics alone, or too few pictures.
        """
        source = self.source(role)
        if isinstance(source, StatisticsFile):
            raise UsageError(
                f"{source.name}: statistics are enough for FID only", "give features (.npy), pictures or a model"
            )
        if isinstance(source, FeatureFile):
            return feature_store.first_rows(source, wanted, at_least)
        count = self._count(source, role, wanted, at_least)
        extractor = self.load_extractor(usual_extractor)
        key = role, extractor.name, count
        if key not in self._features:
            self._features[key] = feature_store.extract(source, extractor, count, self.group)
        return self._features[key]

    def statistics(self, role: str, usual_extractor: str, wanted: int | None) -> Statistics:
        """Mean and covariance of features; those of a data set are remembered on disk."""
        source = self.source(role)
        if isinstance(source, StatisticsFile):
            return Statistics(source.mu, source.sigma, source.num)

        def compute() -> Statistics:
            features = self.features(role, usual_extractor, wanted, at_least=2)
            return Statistics.of(features, self.protocol.covariance_ddof)

        if not isinstance(source, Pictures) or source.limit is None:
            return compute()
        count, extractor = self._count(source, role, wanted, at_least=2), self.load_extractor(usual_extractor)
        return feature_store.remembered_statistics(source, extractor, count, compute, self.group)

    def _count(self, source: Pictures, role: str, wanted: int | None, at_least: int) -> int:
        if role == "data" and source.limit is None:  # a model in the place of a data set has no "all"
            wanted = self.num or PUBLISHED_NUM
        return source.count(wanted, at_least)

    def check_same_features(self, real: int, fake: int) -> None:
        """Raise UsageError where the two sources have features of another length."""
        if real != fake:
            raise UsageError(
                f"{self.source('data').name} has {real} features per picture, {self.fake.name} has {fake}",
                "take both from the same extractor",
            )

    def facts(self, uses: frozenset[str], usual_extractor: str | None) -> dict[str, Any]:
        """Provenance of a result that `uses` "fake" and/or "data", and an extractor where one is usual."""
        result: dict[str, Any] = {}
        if usual_extractor is not None and not self._only_files(uses):
            result = {"protocol": self.protocol.name, **self.load_extractor(usual_extractor).facts()}
        for role in ("data", "fake"):
            if role in uses:
                result |= self.source(role).facts(role)
        return result

    def _only_files(self, uses: frozenset[str]) -> bool:
        return not any(isinstance(self.source(role), Pictures) for role in uses)
