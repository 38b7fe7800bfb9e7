"""Rules, contrasts, regions, masks and flip sets as people see them, in text, PNG and HTML."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tests.wire import results

from whybox import render
from whybox.v1 import explanation_pb2 as pb

WIDTH = 64


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int64)


def squeezed(text: str) -> str:
    """Lines joined, so that a sentence may be wrapped anywhere."""
    return re.sub(r"\s+", " ", text)


def of_colour(image: np.ndarray, *rgb: int) -> np.ndarray:
    """(height, width) bool."""
    return np.abs(image - np.array(rgb)).max(axis=2) <= 2


class Cells(HTMLParser):
    """The rows of all tables of a page; complains of tags that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.open in ("td", "th"):
            self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.open = ""


@pytest.mark.parametrize("name", results.EVERY)
def test_every_result_is_drawn_in_every_form(name: str) -> None:
    """PNG decodes, text keeps its width without escape codes, the page needs nothing from outside."""
    message = results.EVERY[name]()
    assert decoded(render.png(message)).std() > 0
    plain = render.text(message, width=WIDTH)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= WIDTH
    assert "\x1b" in render.text(message, color=True) or "row" in name
    page = render.html(message)
    assert 'Why "yes"?' in plain
    assert "Why &quot;yes&quot;?" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.parametrize("name", results.EVERY)
def test_a_partial_result_says_so(name: str) -> None:
    """Whatever its kind."""
    message = results.EVERY[name]()
    message.complete = False
    assert "PARTIAL" in render.text(message)
    assert "PARTIAL" in render.html(message)


def both(message: pb.Explanation) -> list[str]:
    """What the text and the page say."""
    page = re.sub(r"<[^>]+>", " ", render.html(message)).replace("&gt;", ">").replace("&quot;", '"')
    return [squeezed(render.text(message, width=200)), squeezed(page)]


def test_a_rule_is_a_sentence_with_its_numbers() -> None:
    """IF ... THEN, precision with its bound, coverage, certificate, and examples of both sides."""
    for said in both(results.rule()):
        assert "IF income > 1000 AND city = Bern THEN yes" in said
        assert "1, at least 0.938 with probability 0.9996" in said
        assert "0.95 met" in said
        assert "0.25, 1,200 rows behind the precision" in said
        assert "precision > 0.9 at confidence 0.9996" in said
        assert re.search(r"\bagrees:? age = 50, income = 2000", said)
        assert re.search(r"\bdisagrees:? age = 20, income = 1500", said)


def test_a_probability_below_one_is_never_written_as_one() -> None:
    """1 would be a certainty that nobody has."""
    message = results.rule()
    message.rule.confidence = 1 - 1e-9
    assert "with probability above 0.9999" in both(message)[0]


def test_the_conditions_of_a_rule_are_a_table() -> None:
    """How precision and coverage change with each; in the text as columns, on the page as cells."""
    expected = [
        ["condition", "precision so far", "coverage so far"],
        ["IF income > 1000", "0.75", "0.5"],
        ["AND city = Bern", "1", "0.25"],
    ]
    assert Cells(render.html(results.rule())).rows == expected
    lines = [re.split(r"\s{2,}", line) for line in render.text(results.rule()).splitlines()]
    assert all(row in lines for row in expected)


def test_a_rule_that_is_not_certified_or_empty_says_so() -> None:
    """A rule of no conditions holds always, and there is no table of it."""
    message = results.rule()
    del message.rule.predicates[:]
    message.rule.threshold_met = False
    for said in both(message):
        assert "IF always THEN yes" in said
        assert "0.95 NOT MET" in said
        assert "precision so far" not in said
    assert decoded(render.png(message)).std() > 0


def test_a_long_example_is_cut_and_at_most_three_are_shown() -> None:
    """A row of a wide table would fill the page; three of each side are enough."""
    message = results.rule()
    del message.rule.examples[:]
    for number in range(9):
        message.rule.examples.add(text=f"row {number} " + "value = 1, " * 50, agrees=True)
    said = render.text(message, width=400)
    assert said.count("value = 1") < 50
    assert ("row 2" in said, "row 3" in said) == (True, False)


def test_a_contrast_of_a_row_has_its_columns_side_by_side() -> None:
    """Instance, what is enough, what makes another answer; only columns that matter, only where they do."""
    expected = [
        ["column", "instance: yes", "enough for yes", "makes it no"],
        ["income", "1200", "1100", ""],
        ["city", "Bern", "", "Chur"],
    ]
    assert Cells(render.html(results.contrast_of_a_row())).rows == expected
    said = render.text(results.contrast_of_a_row())
    assert re.search(r"column +instance: yes +enough for yes +makes it no\n", said)
    assert re.search(r"\nincome +1200 +1100\n", said)
    header, city = re.search(r"\n(column .*)\n", said), re.search(r"\n(city .*)\n", said)
    assert header is not None
    assert city is not None
    assert city[1].index("Chur") == header[1].index("makes it no"), "an empty cell keeps its place"


def test_both_sides_of_a_contrast_have_their_class_score_and_distance() -> None:
    """And the reason of a side that was not found."""
    for said in both(results.contrast_of_a_row()):
        assert "income: enough for yes, logit 1.5, p 0.625 (L1 1.5, L2 1.25)" in said
        assert "city: otherwise makes it no, logit 0.5, p 0.625 (L1 1.5, L2 1.25)" in said
    for said in both(results.contrast_of_a_text()):
        assert "none: words are only taken away here" in said


def test_pictures_of_a_contrast_stand_beside_each_other() -> None:
    """Original, enough, another: three panels of one size at one height, in this order from left to right."""
    image = decoded(render.png(results.contrast_of_a_picture()))
    boxes = []
    for level in (128, 64, 192):
        rows, columns = of_colour(image, level, level, level).nonzero()
        at = columns[rows == np.bincount(rows).argmax()]
        boxes.append((at.min(), at.max()))
        assert np.bincount(rows).argmax() == boxes_top(image, level)
    assert boxes[0][0] < boxes[0][1] < boxes[1][0] < boxes[1][1] < boxes[2][0]
    assert len({right - left for left, right in boxes}) == 1
    assert len({boxes_top(image, level) for level in (128, 64, 192)}) == 1


def boxes_top(image: np.ndarray, level: int) -> int:
    """First row in which the panel of this grey is at its full width."""
    wide = of_colour(image, level, level, level).sum(axis=1)
    return int(wide.argmax())


def test_a_page_shows_three_pictures_of_a_contrast_with_their_classes() -> None:
    """Two of them embedded once each, beside the original."""
    page = render.html(results.contrast_of_a_picture())
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert captions == ["original", "enough for yes, logit 1.5, p 0.625", "makes it no, logit 0.5, p 0.625"]
    assert len(re.findall(r'<img class="alone" alt="(?:enough|makes)', page)) == 2


def test_a_text_that_is_enough_is_shown() -> None:
    """Under its class; the word is marked in the whole text."""
    page = render.html(results.contrast_of_a_text())
    assert "enough for yes, logit 1.5, p 0.625" in page
    assert "[+good]" in render.text(results.contrast_of_a_text())
    assert "very" in re.sub(r"<[^>]+>", "", page)


def test_marks_are_explained_in_the_words_of_their_kind() -> None:
    """Nothing "supports" in a rule, and an end of the scale that means nothing is left out."""
    assert "[+word] needed." in render.text(results.rule(results.sentence))
    assert "[+word] positive, [-word] negative." in render.text(results.contrast_of_a_text())
    assert "+ counts." in render.text(results.mask(show=results.series))
    for message in (results.rule(results.sentence), results.regions(), results.mask()):
        page = render.html(message)
        assert "against" not in re.sub(r"(?s)<style>.*?</style>", "", page)
        assert "supports" not in page
    assert 'class="half"' in render.html(results.regions())
    assert 'class="half"' not in render.html(results.contrast_of_a_picture())


def test_regions_are_named_with_f_after_each_and_their_guarantee() -> None:
    """In the order of choice; bars have what each added."""
    for said in both(results.regions()):
        assert "segment 3; segment 1" in said
        assert "2, 2.5 above -1 when nothing is shown" in said
        assert "none: greedy" in said
    assert re.search(r"segment 3 \(lower right\).*\+2\n", render.text(results.regions()))
    assert re.search(r"segment 1 \(upper right\).*\+0.5\n", render.text(results.regions()))


def outlined(message: pb.Explanation) -> np.ndarray:
    """(8, 8): which parts of the overlay have a red line in them."""
    image = decoded(render.png(message, side_by_side=False))
    grey = of_colour(image, 128, 128, 128)
    red = of_colour(image, 202, 0, 32)
    rows, columns = (grey | red).any(axis=1).nonzero()[0], (grey | red).any(axis=0).nonzero()[0]
    side = 320
    top = next(row for row in rows if (grey | red)[row].sum() == side)
    part = red[top : top + side, columns[0] : columns[0] + side]
    return part.reshape(8, 40, 8, 40).any(axis=(1, 3))


def test_chosen_regions_are_outlined_and_nothing_else_is() -> None:
    """The two quarters on the right: their border, the line between them, and not their inside."""
    lines = outlined(results.regions())
    assert not lines[:, :4].any()
    assert lines[[0, 3, 4, 7], 4:].all()
    assert lines[:, [4, 7]].all()
    assert not lines[1:3, 5:7].any()
    assert not lines[5:7, 5:7].any()


def test_regions_with_one_gain_have_one_outline() -> None:
    """Parts of the same value are not parted; a rule marks all that it needs alike."""
    message = results.regions()
    message.regions.scores[:] = [2.0, 4.0]
    assert not outlined(message)[3:5, 5:7].any()
    assert outlined(message)[[0, 7], 4:].all()


def test_a_mask_is_laid_over_the_picture() -> None:
    """Red where it counts: the left half of the first target, and the upper half of the second."""
    for target, (first, second) in enumerate([(np.s_[:, :160], np.s_[:, 160:]), (np.s_[:160], np.s_[160:])]):
        image = decoded(render.png(results.mask(), target=target, overlay="heat_map", side_by_side=False))
        neutral = of_colour(image, 247, 247, 247)
        red = of_colour(image, 202, 0, 32)
        top = next(row for row in range(len(image)) if (neutral | red)[row].sum() == 320)
        left = (neutral | red)[top].argmax()
        part = red[top : top + 320, left : left + 320]
        assert part[first].all()
        assert not part[second].any()


def test_a_mask_tells_its_game_and_the_scores_under_it() -> None:
    """Masked and with everything hidden."""
    for said in both(results.mask()):
        assert "preservation: the smallest region" in said
        assert re.search(r"\bmasked:? 2\.25, 1\.25", said)
        assert re.search(r"\bhidden:? -1, -2", said)


def test_a_flip_set_is_told_with_the_answer_that_it_makes() -> None:
    """And what it is when nothing flips; a unit of its own is named."""
    message = results.flips()
    for said in both(message):
        assert "income; city: without these the answer becomes no, logit 0.5, p 0.625" in said
        assert "log2 odds" in said
    message.attribution.flip_set.flipped = False
    assert "without these the answer stays no" in both(message)[0]


def test_many_segments_are_counted_and_many_columns_too() -> None:
    """Eight names in a line, twenty rows in a table, and how many more there are."""
    message = results.contrast_of_a_row()
    names = [f"c{i}" for i in range(30)]
    message.contrast.ClearField("pertinent_positive")
    message.contrast.units.names[:] = names
    message.subject.table.CopyFrom(pb.TableView(names=names, values=["1"] * 30))
    found = message.contrast.pertinent_negative
    found.segments[:] = range(30)
    found.subject.table.CopyFrom(pb.TableView(names=names, values=["2"] * 30))
    message.contrast.units.segments.by_name["x"].CopyFrom(
        results.to_tensor(np.arange(30, dtype=np.int32), "")
    )
    rows = Cells(render.html(message)).rows
    assert len(rows) == 22
    assert rows[-1] == ["10 more", "", ""]
    assert "c7 and 22 more: otherwise" in both(message)[0]
    assert decoded(render.png(message)).std() > 0


def test_hostile_words_of_a_result_are_only_words() -> None:
    """Predicates, examples, reasons and counterparts are escaped."""
    evil = "<script>alert(1)</script>"
    message = results.rule()
    message.rule.predicates[0].text = message.rule.examples[0].text = evil
    side = results.contrast_of_a_row()
    side.contrast.pertinent_negative.subject.table.values[2] = evil
    side.contrast.pertinent_negative.target.label = evil
    text = results.contrast_of_a_text()
    text.contrast.negative_reason = evil
    text.contrast.pertinent_positive.subject.text.pieces[4] = evil
    for page in map(render.html, (message, side, text)):
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_columns_give_way_in_a_narrow_terminal() -> None:
    """The first column is cut before a line is too long."""
    message = results.rule()
    message.rule.predicates[0].text = "a condition " * 20
    assert max(map(len, render.text(message, width=50).splitlines())) <= 50
