"""A contrast's counterparts beside the instance: pictures as panels, texts as lines."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from whybox.render.colors import Array
from whybox.render.maps import pixels
from whybox.render.options import Options
from whybox.render.png_image import beside, enlarged, paper_size
from whybox.render.sheet import SMALL, Pen, wrapped
from whybox.render.story import said
from whybox.render.tensors import array
from whybox.v1 import explanation_pb2

TITLES = (("pertinent_positive", "enough for"), ("pertinent_negative", "makes it"))


def counterparts(message: explanation_pb2.Explanation) -> Iterator[tuple[str, explanation_pb2.Subject]]:
    """Caption and view of each counterpart that was found."""
    for field, verb in TITLES:
        if message.WhichOneof("result") == "contrast" and message.contrast.HasField(field):
            one = getattr(message.contrast, field)
            yield f"{verb} {said(one.target)}", one.subject


def pictures(message: explanation_pb2.Explanation) -> list[tuple[str, Array]]:
    """Caption and pixels, (height, width, 3) uint8, of counterparts that are pictures."""
    return [
        (caption, array(subject.picture))
        for caption, subject in counterparts(message)
        if subject.HasField("picture")
    ]


def texts(message: explanation_pb2.Explanation) -> list[tuple[str, str]]:
    """Caption and text of counterparts that are texts."""
    return [
        (caption, "".join(subject.text.pieces))
        for caption, subject in counterparts(message)
        if subject.HasField("text")
    ]


def counterpart_strips(
    message: explanation_pb2.Explanation, width: int, options: Options
) -> list[Image.Image]:
    """Strips of a PNG; none for results without counterparts."""
    found = [(caption, enlarged(shown, paper_size(*shown.shape[:2]))) for caption, shown in pictures(message)]
    if found:
        photo = pixels(message)
        found.insert(0, (f"original: {said(message.targets[0])}", enlarged(photo, paper_size(*photo.shape[:2]))))
    strips = [beside(found, options)] if found else []
    for caption, text in texts(message):
        lines = wrapped(f"{caption}: {' '.join(text.split())}", SMALL, width, options.font)
        pen = Pen((width, 20 * len(lines)), options.font)
        for row, line in enumerate(lines):
            pen.write((0, 20 * (row + 0.5)), line, SMALL)
        strips.append(pen.image)
    return strips
