"""STREAK: rows and quality against LIME on the composed photograph, and against the best subset.

Both are driven on onnxruntime without a server: what counts here is which rows are asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image
from tests.answering import materialise
from tests.benchmarks.row import Row, at_least, at_most
from tests.models.sixteen import sixteen

from whybox_server.core.explanation import Finding
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, ScoreKind
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods import METHOD
from whybox_server.perturb.hiding import hide
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind

DEMO = Path(__file__).parents[1] / "demo"
LABELS = ("brick", "grass", "gravel", "plain")
SEGMENTS, K, LIME_ROWS = 30, 5, 1000
SEEDS = range(5)
SUBSET_SEEDS = range(200)
BATCH = 32


@dataclass
class Asked:
    """A model, and the different rows it was asked."""

    instance: Instance
    session: ort.InferenceSession
    rows: set[bytes] = field(default_factory=set)

    def __call__(self, query: Query) -> Reply:
        self.rows.update(query.rows.keys())
        batches = np.split(np.arange(len(query.rows)), range(BATCH, len(query.rows), BATCH))
        name = self.session.get_inputs()[0].name
        return Reply(
            np.concatenate(
                [
                    self.session.run(
                        None, {name: next(iter(materialise(query.rows, self.instance, at).values()))}
                    )[0]
                    for at in batches
                ]
            )
        )


def explain(method: str, subject: Subject, model: Asked, seed: int, **params: object) -> tuple[Finding, int]:
    """The finding and the different rows it took."""
    model.rows.clear()
    record, rng = METHOD[method], np.random.default_rng(seed)
    chosen = record.params(**params)
    task = record.prepare(subject, chosen, rng)
    found = run(record.run(task, chosen, rng), model)
    return found, len(model.rows)


@cache
def photograph() -> tuple[Subject, Asked]:
    """Left half brick, right half grass; what speaks for brick, in log-odds."""
    pixels = np.asarray(Image.open(DEMO / "inputs" / "brick_and_grass.png").convert("RGB"), np.float32) / 255
    details = ImageSpec(layout="CHW")
    instance = Instance(
        {"image": pixels.transpose(2, 0, 1).copy()}, ModelSpec(Modality.IMAGE, details=details)
    )
    session = ort.InferenceSession(
        DEMO / "models" / "texture" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    targets = Targets((Choice(label="brick"),), LABELS, ScoreKind.PROBABILITY, Space.LOGIT)
    return Subject(instance, targets), Asked(instance, session)


def shown_alone(subject: Subject, model: Asked, cut: Segmentation, segments: tuple[int, ...]) -> float:
    """f(S), above the score of nothing."""
    hiding = hide(subject.instance, cut, Baseline(), np.random.default_rng(0))
    masks = np.zeros((2, hiding.count), bool)
    masks[0, list(segments)] = True
    scores = model(Query(hiding.rows(masks))).scores
    with_them, nothing = subject.targets.choose(scores[0]).of(scores)[:, 0]
    return float(with_them - nothing)


def against_lime() -> list[Row]:
    """Five seeds of each; LIME's set is its five largest coefficients."""
    subject, model = photograph()
    cut = Segmentation(SegmentationKind.GRID, SEGMENTS)  # SLIC makes 14 of 30 here
    rows, gains, alike = [], [], []
    for seed in SEEDS:
        lime, _ = explain("lime", subject, model, seed, num_samples=LIME_ROWS, segmentation=cut)
        found, asked = explain("streak", subject, model, seed, k=K, segmentation=cut)
        rivals = tuple(int(s) for s in np.argsort(-lime.values[0])[:K])
        rows.append(asked)
        gains.append(found.scores[-1] - shown_alone(subject, model, cut, rivals))
        alike.append(set(found.segments) == set(rivals))
    count = len(found.units.names)
    what = f"photograph, {count} segments, k={K}, {len(SEEDS)} seeds"
    better = sum(gain >= 0 or same for gain, same in zip(gains, alike, strict=True))
    return [
        at_most(f"STREAK rows / LIME's {LIME_ROWS}, worst; {what}", max(rows) / LIME_ROWS, 1 / 8, digits=3),
        at_least("    seeds with LIME's regions or a higher f(S)", better, len(SEEDS), digits=0),
        Row("    f(S) - f(LIME's five), log-odds", f"{min(gains):.2f} to {max(gains):.2f}", "", kept=True),
        *rivals_of_streak(subject, model, cut),
    ]


def rivals_of_streak(subject: Subject, model: Asked, cut: Segmentation) -> list[Row]:
    """What the other strategies ask and reach."""
    rows = []
    for strategy in type(METHOD["streak"].params().strategy):
        found, asked = explain("streak", subject, model, 0, k=K, segmentation=cut, strategy=strategy)
        rows.append(
            Row(f"    {strategy.value}: rows, f(S)", f"{asked}, {found.scores[-1]:.2f}", "", kept=True)
        )
    return rows


def against_the_best() -> list[Row]:
    """Sixteen segments as an ONNX model; the best four by looking at all 1820."""
    shares: dict[str, list[float]] = {"streak": [], "greedy": []}
    rows = []
    for seed in SUBSET_SEEDS:
        truth = sixteen(seed)
        instance = Instance(
            {"picture": np.ones((1, 4, 4), np.float32)},
            ModelSpec(Modality.IMAGE, details=ImageSpec(layout="CHW")),
        )
        subject = Subject(instance, Targets((), ("score",), ScoreKind.VALUE, Space.VALUE))
        model = Asked(instance, ort.InferenceSession(truth.onnx(), providers=["CPUExecutionProvider"]))
        for name, found_by in shares.items():
            strategy = type(METHOD["streak"].params().strategy)(name)
            found, asked = explain(
                "streak",
                subject,
                model,
                seed,
                k=4,
                strategy=strategy,
                segmentation=Segmentation(SegmentationKind.ELEMENTS),
                baseline=Baseline(BaselineKind.CONSTANT),
            )
            found_by.append(found.scores[-1] / truth.best(4))
            if name == "streak":
                rows.append(asked)
    what = f"sixteen segments, k=4, {len(SUBSET_SEEDS)} seeds"
    return [
        at_least(f"STREAK f(S) / best subset, worst; {what}", min(shares["streak"]), 0.5),
        at_least("    mean", float(np.mean(shares["streak"])), 0.9, f" ({np.mean(rows):.0f} rows)"),
        at_least("    greedy, mean", float(np.mean(shares["greedy"])), 0.98),
    ]


def rows() -> list[Row]:
    return [*against_lime(), *against_the_best()]
