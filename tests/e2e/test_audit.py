"""`whybox audit` of a model behind an endpoint that counts what it is asked."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.remote.paid import WEIGHTS, Paid, paid

from whybox import Endpoint, ExplainError, ModelSpec
from whybox.audit import Order, Outcome, Table, audit
from whybox.audit.actor import Item
from whybox.audit.cases import Case, cases
from whybox.cli import main

pytestmark = pytest.mark.slow

ROWS, SAMPLES = 6, 60
NAMES = ("a", "b", "c", "d")
SPEC = {
    "modality": "tabular",
    "feature_names": NAMES,
    "labels": ["no", "maybe", "yes"],
    "score": "probability",
}
CALLS_AT_ONCE = 8  # what an endpoint is asked by default
OPTIONS = {"protocol": "kserve-v1", "model": "m", "inputs": {"x": [4]}, "rows_per_call": 8}
WAIT_S = 60


@pytest.fixture
def model() -> Iterator[Paid]:
    with paid() as found:
        yield found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Instances with a column that the model does not know."""
    rng = np.random.default_rng(5)
    lines = [",".join([*NAMES, "clinic"])]
    lines += [
        ",".join([*(f"{value:.3f}" for value in rng.normal(size=4)), f"clinic {i % 2}"]) for i in range(ROWS)
    ]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(model: Paid, data: Path, out: Path, **more: object) -> Outcome:
    endpoint = Endpoint(model.url, **OPTIONS)
    where = str(more.pop("where", ""))
    methods = more.pop("methods", {"lime": {"num_samples": SAMPLES}})
    order = Order(endpoint, methods, spec=ModelSpec.from_dict(SPEC), where=where)
    settings = {"allow_egress": ["127.0.0.0/8"]}
    return audit(order, Table.read(data), out, group="clinic", settings=settings, **more)


def found(out: Path) -> dict[Item, Case]:
    return {Item(case.row, case.method): case for case in cases(out / "journal.jsonl")}


def flags(model: Paid, data: Path, out: Path) -> list[str]:
    """The same as `run`, for the command line."""
    spec = data.parent / "spec.json"
    spec.write_text(json.dumps(SPEC))
    options = [
        f"{key}={value if isinstance(value, str | int) else json.dumps(value)}"
        for key, value in OPTIONS.items()
    ]
    question = (
        f"--endpoint {model.url} --data {data} --spec {spec} --method lime --out {out} --group clinic".split()
    )
    given = [word for option in options for word in ("--endpoint-option", option)]
    return ["audit", *question, *given, "--param", f"lime.num_samples={SAMPLES}"]


def test_every_row_that_is_paid_is_counted_and_none_is_asked_in_a_second_run(
    model: Paid, data: Path, tmp_path: Path
) -> None:
    """The server's own count is the oracle."""
    first = run(model, data, tmp_path / "out")
    assert (first.chosen, first.explained, first.left, first.failed) == (ROWS, ROWS, 0, {})
    assert first.rows_asked == model.asked
    assert max(model.rows.values()) == 1
    journal = (tmp_path / "out" / "journal.jsonl").read_bytes()
    again = run(model, data, tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "journal.jsonl").read_bytes() == journal
    assert again.explained == ROWS
    assert again.rows_asked == model.asked == first.rows_asked


def test_a_killed_audit_goes_on_and_pays_again_only_for_what_was_never_answered(
    model: Paid, data: Path, tmp_path: Path
) -> None:
    """SIGKILL while calls wait for their answers: those rows alone may be asked twice, and all results are
    bit for bit those of an audit that nobody killed.
    """
    out = tmp_path / "out"
    model.closes_after = ROWS * SAMPLES // 3
    command = [sys.executable, "-c", "from whybox.cli import main; main()", *flags(model, data, out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until_kept(out / "answers.sqlite", model, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    unanswered = set(model.held)
    model.closes_after = None
    model.gate.set()
    assert main([*flags(model, data, out), "--resume"]) == 0
    assert {row for row, times in model.rows.items() if times > 1} == unanswered
    assert max(model.rows.values()) == 2
    # Rows are counted before their call leaves, so that a kill in between counts some that were never asked.
    with closing(sqlite3.connect(out / "answers.sqlite")) as file:
        (counted,) = file.execute("SELECT rows FROM asked").fetchone()
    assert model.asked <= counted <= model.asked + CALLS_AT_ONCE * OPTIONS["rows_per_call"]
    run(model, data, tmp_path / "whole")
    killed, whole = found(out), found(tmp_path / "whole")
    assert {item: case.values for item, case in killed.items()} == {
        i: case.values for i, case in whole.items()
    }


def wait_until_kept(answers: Path, model: Paid, process: subprocess.Popen[bytes]) -> None:
    """Until calls are held back, and everything that was answered before is in the file."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended on its own"
        if model.held and kept(answers) == model.answered:
            return
        time.sleep(0.02)
    raise AssertionError(
        f"{kept(answers)} of {model.answered} answers were kept, {len(model.held)} are held back"
    )


def kept(answers: Path) -> int:
    with closing(sqlite3.connect(f"file:{answers}?mode=ro", uri=True)) as file:
        (rows,) = file.execute("SELECT count(*) FROM answers").fetchone()
    return int(rows)


@pytest.mark.parametrize("budget", [SAMPLES + 1, 2 * SAMPLES + 17, 3 * SAMPLES])
def test_a_budget_is_held_over_all_instances_and_spent_to_the_end(
    budget: int, model: Paid, data: Path, tmp_path: Path
) -> None:
    """Whole explanations while they fit, then the best that the rest allows, and never a row more."""
    outcome = run(model, data, tmp_path / "out", max_queries=budget)
    assert model.asked == outcome.rows_asked <= budget
    complete = [case for case in found(tmp_path / "out").values() if case.complete]
    assert len(complete) == budget // SAMPLES
    assert outcome.explained + outcome.left + len(outcome.failed) == ROWS
    more = run(model, data, tmp_path / "out", max_queries=ROWS * SAMPLES, resume=True)
    assert model.asked == more.rows_asked <= ROWS * SAMPLES
    assert more.left == 0


def test_where_chooses_by_what_the_model_says(model: Paid, data: Path, tmp_path: Path) -> None:
    """The rows whose logit is positive, by the model's own weights; two rows are asked of each instance."""
    outcome = run(model, data, tmp_path / "out", where="label == 'yes' && row.a > `-9`")
    table = Table.read(data)
    positive = [
        number
        for number, row in enumerate(table.rows)
        if np.array([row[name] for name in NAMES]) @ WEIGHTS > 0
    ]
    assert sorted(item.row for item in found(tmp_path / "out")) == positive
    assert outcome.chosen == len(positive)
    assert model.asked == 2 * ROWS + len(positive) * SAMPLES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": {"limes": {}}}, "no method 'limes'"),
        ({"methods": {"lime": {"samples": 3}}}, "lime.samples: no such parameter"),
        ({"methods": {"rise": {}}}, "rise"),
        ({"where": "label =="}, "is no JMESPath"),
        ({"where": "lable == 'yes'"}, "no 'lable'"),
        ({"max_queries": SAMPLES - 1}, "not enough for one explanation"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_row(
    change: dict[str, object], said: str, model: Paid, data: Path, tmp_path: Path
) -> None:
    """And the folder stays usable for the right call."""
    with pytest.raises(ExplainError, match=said):
        run(model, data, tmp_path / "out", **change)
    assert model.asked == 0
    assert run(model, data, tmp_path / "out").explained == ROWS


def test_a_table_that_does_not_fit_names_its_rows_and_columns(
    model: Paid, data: Path, tmp_path: Path
) -> None:
    """Nothing is asked, however late in the file the wrong row stands."""
    text = data.read_text()
    data.write_text(text.replace("a,b,c,d", "a,b,c,e"))
    with pytest.raises(ExplainError, match=r"row 1.*no such column; columns are a, b, c, d"):
        run(model, data, tmp_path / "out")
    data.write_text(text.strip() + "\n0,0,high,0,clinic 1\n")
    with pytest.raises(ExplainError, match=rf"--data row {ROWS + 1}\.record\['c'\]"):
        run(model, data, tmp_path / "out")
    assert model.asked == 0


def test_an_audit_is_not_resumed_under_other_parameters(model: Paid, data: Path, tmp_path: Path) -> None:
    """Nor begun anew over another one; both say what to do."""
    run(model, data, tmp_path / "out")
    asked = model.asked
    with pytest.raises(ExplainError, match="--resume"):
        run(model, data, tmp_path / "out")
    with pytest.raises(ExplainError, match=r"methods was .*60.* and is .*61"):
        run(model, data, tmp_path / "out", methods={"lime": {"num_samples": SAMPLES + 1}}, resume=True)
    data.write_text(data.read_text() + "0,0,0,0,clinic 1\n")
    with pytest.raises(ExplainError, match="data was"):
        run(model, data, tmp_path / "out", resume=True)
    assert model.asked == asked


def test_the_report_says_what_counts_and_loads_nothing(model: Paid, data: Path, tmp_path: Path) -> None:
    """The order of importance is that of the weights; d has none."""
    methods = {"lime": {"num_samples": SAMPLES}, "occlusion": {"baseline": 0}}
    outcome = run(model, data, tmp_path / "out", methods=methods)
    page = outcome.report.read_text()
    assert page.count("<section>") == 6
    assert "Do the methods agree?" in page
    assert "Groups of clinic compared" in page
    assert page.index(">a</th>") < page.index(">d</th>")
    for word in ("<script", "http:", "https:", "url(", "@import"):
        assert word not in page.replace(model.url, ""), word


def test_the_command_prints_what_came_of_it(
    model: Paid, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, and where the report is."""
    assert main(flags(model, data, tmp_path / "out")) == 0
    out = capsys.readouterr().out
    assert f"{ROWS} explanations of {ROWS} instances; {model.asked} rows asked" in out
    assert str(tmp_path / "out" / "report.html") in out
