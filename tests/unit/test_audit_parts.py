"""The pieces of an audit: its journal, its budget, the table, what it is about, and what a case is."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.wire import examples

from whybox import ExplainError, Explanation
from whybox.audit.actor import Item
from whybox.audit.budget import Budget, rows_asked
from whybox.audit.cases import by_word, values_by_name
from whybox.audit.journal import Journal, lines
from whybox.audit.order import Order, differences, digest
from whybox.audit.past import past_of
from whybox.audit.progress import Progress, Tally
from whybox.audit.table import Table
from whybox.audit.where import wanted
from whybox.tensors import to_tensor
from whybox.v1 import explanation_pb2, spec_pb2

PARAMETERS = {"model": "m", "seed": 0, "methods": {"lime": {}}}


def journal(path: Path, *, resume: bool = False, **changed: object) -> Journal:
    return Journal(path / "journal.jsonl", {**PARAMETERS, **changed}).open(resume=resume)


# Journal


def test_a_line_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    """Every prefix of the last line, as a process that dies while writing leaves it."""
    with journal(tmp_path) as one:
        one.append({"kind": "explained", "row": 0, "method": "lime"})
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    last = json.dumps({"kind": "explained", "row": 1, "method": "lime"}).encode()
    for cut in range(len(last) + 1):
        path.write_bytes(whole + last[:cut])
        with journal(tmp_path, resume=True) as again:
            again.append({"kind": "failed", "row": 2, "method": "lime", "message": "no"})
        assert [line.get("row") for line in lines(path)] == [None, 0, 2]


def test_long_lines_are_found_whole(tmp_path: Path) -> None:
    """A last line of more than the block in which line ends are looked for."""
    with journal(tmp_path) as one:
        one.append({"kind": "explained", "row": 0, "method": "lime", "explanation": "x" * 200_000})
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"kind": "' + b"y" * 200_000)
    journal(tmp_path, resume=True).close()
    assert len(list(lines(path))) == 2


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """Nothing is guessed about it."""
    with journal(tmp_path) as one:
        one.append({"kind": "explained", "row": 0, "method": "lime"})
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b"{broken\n")
    with pytest.raises(ExplainError, match="line 3 of"):
        list(lines(path))


def test_one_audit_at_a_time_writes(tmp_path: Path) -> None:
    """The second one is refused while the first has the journal."""
    with journal(tmp_path) as first:
        first.append({"kind": "explained", "row": 0, "method": "lime"})
        with pytest.raises(ExplainError, match="another audit is writing"):
            journal(tmp_path, resume=True)
    journal(tmp_path, resume=True).close()


def test_a_journal_without_findings_binds_nobody(tmp_path: Path) -> None:
    """An audit that was refused before it began leaves its folder free for another one."""
    journal(tmp_path).close()
    journal(tmp_path, seed=7).close()
    assert next(lines(tmp_path / "journal.jsonl"))["parameters"]["seed"] == 7


def test_something_else_is_not_continued(tmp_path: Path) -> None:
    """Nor is it changed."""
    (tmp_path / "journal.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    with pytest.raises(ExplainError, match="no journal of an audit"):
        journal(tmp_path, resume=True)
    assert (tmp_path / "journal.jsonl").read_text() == '{"a": 1}\n{"b": 2}\n'


def test_what_failed_and_was_explained_later_has_not_failed() -> None:
    """And what was granted is remembered."""
    past = past_of(
        [
            {"kind": "audit"},
            {"kind": "begun", "row": 1, "method": "lime", "most_rows": 40},
            {"kind": "failed", "row": 1, "method": "lime", "message": "no"},
            {"kind": "failed", "row": 2, "method": "lime", "message": "never"},
            {"kind": "explained", "row": 1, "method": "lime"},
            {"kind": "answer", "row": 0, "label": "yes", "score": 1.0, "probability": None},
        ]
    )
    assert past.failed == {Item(2, "lime"): "never"}
    assert (past.explained, past.begun) == ({Item(1, "lime")}, {Item(1, "lime"): 40})
    assert past.answers == {0: {"label": "yes", "score": 1.0, "probability": None}}


# Order


def test_an_order_is_known_by_everything_that_matters(tmp_path: Path) -> None:
    """Another model, parameter, seed or filter is another audit; the file's place is not."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.onnx").write_bytes(b"model")
    here, there = (str(tmp_path / folder / "net.onnx") for folder in ("a", "b"))
    base = Order(here, {"lime": {"num_samples": 5}}).parameters()
    assert differences(base, Order(there, {"lime": {"num_samples": 5}}).parameters()) == []
    others = [
        Order(here, {"lime": {"num_samples": 6}}),
        Order(here, {"lime": {"num_samples": 5}}, seed=1),
        Order(here, {"lime": {"num_samples": 5}}, where="label == 'x'"),
        Order(here, {"lime": {"num_samples": 5}}, target=2),
        Order(here, {"lime": {"segmentation": np.zeros(3, np.int32)}}),
    ]
    digests = {digest(base), *(digest(other.parameters()) for other in others)}
    assert len(digests) == 1 + len(others)
    (tmp_path / "a" / "net.onnx").write_bytes(b"another model")
    assert len(differences(base, Order(here, {"lime": {"num_samples": 5}}).parameters())) == 1


# Budget


def test_a_budget_grants_what_is_left_and_nothing_after() -> None:
    """10 rows: 6 are held, 4 were asked."""
    asked = [0]
    budget = Budget(10, lambda: asked[0])
    assert budget.reserve(6) == 6
    asked[0] = 4
    budget.release(6)
    assert budget.reserve(20) == 6
    asked[0] = 10
    budget.release(6)
    assert budget.reserve(1) == 0
    assert Budget(0, lambda: 10**9).reserve(7) == 7, "0 is no limit"


def test_whoever_does_not_fit_waits_for_what_others_give_back() -> None:
    """It begins with all it needs, not with the little that was free at first."""
    budget = Budget(10, lambda: 0)
    first = budget.reserve(8)
    granted: list[int] = []
    waiting = threading.Thread(target=lambda: granted.append(budget.reserve(9)))
    waiting.start()
    budget.release(first)
    waiting.join()
    assert granted == [9]


def test_what_others_may_still_ask_is_not_granted_again() -> None:
    """All 10 rows are held; whoever waits for one gets none when they turn out to be asked."""
    asked = [0]
    budget = Budget(10, lambda: asked[0])
    assert (budget.reserve(6), budget.reserve(4)) == (6, 4)
    granted: list[int] = []
    waiting = threading.Thread(target=lambda: granted.append(budget.reserve(1)))
    waiting.start()
    waiting.join(0.05)
    asked[0] = 10
    budget.release(6)
    budget.release(4)
    waiting.join()
    assert granted == [0]


def test_without_a_file_nothing_was_asked(tmp_path: Path) -> None:
    """The server makes it."""
    assert rows_asked(tmp_path / "answers.sqlite") == 0


def test_progress_counts_rows_of_all_threads() -> None:
    """Planned rows are replaced by the real ones as explanations end."""
    told: list[Progress] = []
    items = [Item(0, "lime"), Item(1, "lime")]
    tally = Tally({"lime": 100}, told.append)
    tally.expect(items)
    tally.progress(items[0], 30)
    tally.progress(items[1], 20)
    tally.done(items[0], 80)
    assert told == [
        Progress(0, 2, 0, 200),
        Progress(0, 2, 30, 200),
        Progress(0, 2, 50, 200),
        Progress(1, 2, 100, 180),
    ]


# Table


def test_tables_are_read_row_by_row(tmp_path: Path) -> None:
    """CSV by column, NPZ along the first axis; columns keep their order."""
    (tmp_path / "t.csv").write_text("b,a,word\n1,2,x\n3,4,y\n")
    table = Table.read(tmp_path / "t.csv")
    assert table.columns == ("b", "a", "word")
    assert table.rows == ({"b": 1.0, "a": 2.0, "word": "x"}, {"b": 3.0, "a": 4.0, "word": "y"})
    assert table.column("word") == ["x", "y"]
    without = table.without("word")
    assert (without.columns, without.rows[1]) == (("b", "a"), {"b": 3.0, "a": 4.0})
    assert without.column("word") == ["x", "y"]
    np.savez(tmp_path / "one.npz", np.arange(6).reshape(2, 3))
    assert [row.tolist() for row in Table.read(tmp_path / "one.npz").rows] == [[0, 1, 2], [3, 4, 5]]
    np.savez(tmp_path / "two.npz", x=np.zeros((2, 3)), y=np.ones(2))
    assert [row["y"] for row in Table.read(tmp_path / "two.npz").rows] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("no.csv", None, "cannot read"),
        ("t.txt", "a", "known endings are .csv, .parquet, .npz"),
        ("t.csv", "", "holds no rows"),
        ("t.csv", "a,b\n", "holds no rows"),
        ("t.csv", "a,b\n1\n", "the header's 2 cells"),
        ("t.npz", "nothing", "as npz"),
        ("t.parquet", "nothing", "pyarrow|as parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    name: str, content: str | None, said: str, tmp_path: Path
) -> None:
    """With what can be read instead."""
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ExplainError, match=said):
        Table.read(tmp_path / name)


def test_a_column_that_is_not_there_has_near_names(tmp_path: Path) -> None:
    """For --group."""
    (tmp_path / "t.csv").write_text("clinic,a\n1,2\n")
    with pytest.raises(ExplainError, match="did you mean clinic"):
        Table.read(tmp_path / "t.csv").column("clinics")


# Where


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("label == 'yes'", True),
        ("probability < `0.5`", False),
        ("row.age >= `40` && label == 'yes'", True),
        ("contains(row.words, 'b')", True),
        ("row.missing", False),
        ("row.zero", True),  # JMESPath: numbers are true
        ("probability > `0.5` || score > `100`", True),
        ("row.words[?@ == 'a'] | [0]", True),
    ],
)
def test_where_reads_the_answer(expression: str, meant: bool) -> None:
    """By JMESPath's own rules of truth."""
    answer = {
        "label": "yes",
        "score": 1.0,
        "probability": 0.73,
        "row": {"age": 40, "zero": 0, "words": ["a", "b"]},
    }
    assert wanted(expression)(answer) is meant


@pytest.mark.parametrize("expression", ["label = 'yes'", "prob > `1`", "rows.age", "length(label, 'x')"])
def test_what_cannot_be_meant_is_refused(expression: str) -> None:
    """Most of it before any answer is known."""
    with pytest.raises(ExplainError, match="--where"):
        wanted(expression)({"label": "a", "score": 0.0, "probability": 0.5, "row": None})


# Cases


def table_of(segments: list[int], values: list[float], names: list[str]) -> Explanation:
    message = examples.attribution()
    message.subject.Clear()
    message.subject.modality = spec_pb2.MODALITY_TABULAR
    message.subject.table.names.extend(names)
    message.subject.table.values.extend("1" for _ in names)
    found = message.attribution
    del found.names[:]
    found.names.extend(f"part {i}" for i in range(len(values)))
    found.ClearField("standard_errors")
    found.values.CopyFrom(to_tensor(np.array([values]), "values"))
    found.segments.by_name.clear()
    found.segments.by_name["x"].CopyFrom(to_tensor(np.array(segments, np.int32), "segments"))
    found.input = "x"
    del message.targets[1:]
    return Explanation(message)


def test_values_are_named_by_the_columns_they_belong_to() -> None:
    """Columns that were hidden together count together; what was never varied is left out."""
    e = table_of([0, 1, 1, -1], [2.0, -3.0], ["a", "b", "c", "d"])
    assert values_by_name(e) == {"a": 2.0, "b + c": -3.0}


def test_a_word_counts_once_however_often_and_however_written() -> None:
    """ "Good," and "good" are one word."""
    e = table_of([0, 1, 2], [1.0, 2.0, 4.0], ["a", "b", "c"])
    del e.message.attribution.names[:]
    e.message.attribution.names.extend(["Good,", "good", " "])
    assert by_word(e) == {"good": 3.0}


def test_a_picture_has_no_names_that_travel() -> None:
    """Segment 3 of one picture is not segment 3 of another."""
    message = examples.attribution()
    message.subject.CopyFrom(explanation_pb2.Subject(modality=spec_pb2.MODALITY_IMAGE))
    message.subject.picture.CopyFrom(to_tensor(np.zeros((2, 2, 3), np.uint8), "picture"))
    assert values_by_name(Explanation(message)) == {}
