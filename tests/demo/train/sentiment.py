"""Trains `sentiment`: negative or positive, from one string, in a plain onnxruntime.

    pip install onnx onnxruntime scikit-learn
    python -m tests.demo.train.sentiment        # from the root of the repository, seconds

No reviews ship inside a wheel, so they are written from templates, with a lexicon known to the tests.
The features are single words and pairs "not ... word" with at most one word between, counted inside
the graph (StringNormalizer, Tokenizer, TfIdfVectorizer); a logistic regression weighs them. The graph
counts for the training too, so there is one definition of the features.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto
from sklearn.linear_model import LogisticRegression
from tests.demo.train import common
from tests.models.graph import FLOAT, STRING, f32, model, node

POSITIVE = ("good", "great", "excellent", "wonderful", "superb", "charming", "brilliant", "delightful")
NEGATIVE = ("bad", "boring", "terrible", "awful", "dull", "clumsy", "tedious", "disappointing")
NEGATIONS = ("not", "never", "hardly")
ADVERBS = ("", "", "very ", "really ")
THINGS = ("film", "plot", "acting", "music", "story", "photography", "dialogue", "ending", "cast", "script")
OPENINGS = (
    "We saw it on a Friday evening.",
    "My sister chose this one.",
    "It runs for two hours.",
    "The cinema was full.",
    "I had read the book before.",
    "",
)
CLAUSES = ("the {thing} was {verdict}", "I found the {thing} {verdict}", "the {thing} seemed {verdict}")
REVIEW = "We saw it on a Friday evening. The acting was superb and the music was not bad, but the plot was dull."

REVIEWS = 4000
HELD_OUT = 1000
NEGATED_SHARE = 0.3
DISSENT_SHARE = 0.5  # reviews with one clause that disagrees, of those with enough clauses
FEWEST_TO_DISSENT = 3
NO_OPINION_SHARE = 0.1  # reviews without any verdict, their class a coin: silence must mean one half
REGULARISATION_C = 1.0


def verdict(positive: bool, rng: np.random.Generator) -> str:
    """Words that say good or bad, plainly or by negating the opposite."""
    negated = rng.random() < NEGATED_SHARE
    word = rng.choice(POSITIVE if positive != negated else NEGATIVE)
    negation = f"{rng.choice(NEGATIONS)} " if negated else ""
    return f"{negation}{rng.choice(ADVERBS)}{word}"


def clause(positive: bool, rng: np.random.Generator) -> str:
    return rng.choice(CLAUSES).format(thing=rng.choice(THINGS), verdict=verdict(positive, rng))


def review(positive: bool, rng: np.random.Generator) -> str:
    """An opening that says nothing, then one to four clauses of one mind; one of three or four may dissent."""
    if rng.random() < NO_OPINION_SHARE:
        return f"{rng.choice(OPENINGS)} I will tell my friends about the {rng.choice(THINGS)}.".strip()
    count = rng.integers(1, 5)
    dissent = count >= FEWEST_TO_DISSENT and rng.random() < DISSENT_SHARE
    clauses = [clause(positive != (dissent and i == 0), rng) for i in rng.permutation(count)]
    body = ". ".join(said[0].upper() + said[1:] for said in clauses)
    return f"{rng.choice(OPENINGS)} {body}.".strip()


def corpus(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Texts, (n,) objects, and classes, (n,): 0 negative, 1 positive."""
    classes = rng.integers(2, size=REVIEWS + HELD_OUT)
    return np.array([review(bool(positive), rng) for positive in classes], dtype=object), classes


def words_of(texts: np.ndarray) -> list[str]:
    """The vocabulary: every word of the training texts, lower case, sorted."""
    return sorted({word.strip(".,").lower() for text in texts for word in text.split()})


def counting(vocabulary: list[str]) -> list[NodeProto]:
    """Nodes from "text", (N,) strings, to "counts", (N, features) float: words first, then negated words.

    The locale is "C": any other must be installed on the machine that runs the model.
    """
    opinions = [*POSITIVE, *NEGATIVE]
    pairs = [word for negation in NEGATIONS for opinion in opinions for word in (negation, opinion)]
    features = len(vocabulary) + len(pairs) // 2
    return [
        node("StringNormalizer", "text", "lower", case_change_action="LOWER", locale="C"),
        node(
            "Tokenizer",
            "lower",
            "words",
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="#",
            tokenexp="[a-z']+",
        ),
        node(
            "TfIdfVectorizer",
            "words",
            "counts",
            mode="TF",
            min_gram_length=1,
            max_gram_length=2,
            max_skip_count=1,
            ngram_counts=[0, len(vocabulary)],
            ngram_indexes=list(range(features)),
            pool_strings=[*vocabulary, *pairs],
        ),
    ]


def build(nodes: list[NodeProto], output: str, weights: dict[str, np.ndarray]) -> bytes:
    return model(
        nodes,
        {"text": (STRING, ("N",))},
        {output: (FLOAT, ("N", "C"))},
        weights,
        {"com.microsoft": 1},
    )


def main() -> None:
    texts, classes = corpus(np.random.default_rng(0))
    front = counting(words_of(texts[:REVIEWS]))
    counts = common.scores(build(front, "counts", {}), texts)
    fitted = LogisticRegression(C=REGULARISATION_C, max_iter=1000).fit(counts[:REVIEWS], classes[:REVIEWS])
    halves = f32([[-0.5], [0.5]])  # two logits whose difference is the log-odds
    weights = {"w": halves * f32(fitted.coef_), "b": halves[:, 0] * f32(fitted.intercept_)}
    back = [node("Gemm", "counts w b", "logits", transB=1), node("Softmax", "logits", "probabilities", axis=1)]
    data = build([*front, *back], "probabilities", weights)
    path = common.save("sentiment", data)
    (common.INPUTS / "review.txt").write_text(REVIEW + "\n")
    common.report("sentiment", path, accuracy=common.accuracy(data, texts[REVIEWS:], classes[REVIEWS:]))


if __name__ == "__main__":
    main()
