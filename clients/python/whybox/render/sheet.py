"""What all PNGs share: paper, header, colour bar, and strips of picture stacked from top to bottom."""

from __future__ import annotations

from PIL import Image, ImageDraw

from whybox.render import header
from whybox.render.cells import CHUNKS, printable
from whybox.render.colors import Rgb
from whybox.render.fonts import font, writable
from whybox.v1 import explanation_pb2

PAPER: Rgb = (255, 255, 255)
INK: Rgb = (32, 33, 36)
MUTED: Rgb = (104, 109, 118)
RULE: Rgb = (224, 227, 231)
ALARM: Rgb = (176, 96, 0)

MARGIN = 28
GAP = 18
WIDTH = 860  # of the contents, unless a picture is wider
TITLE, BODY, SMALL = 28, 16, 14  # pixels
FACT_NAME_WIDTH = 100


class Pen:
    """Draws on one strip; keeps the font path so that callers name sizes only."""

    def __init__(self, size: tuple[int, int], font_path: str = "") -> None:
        self.image = Image.new("RGB", size, PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.font_path = font_path

    def write(
        self, at: tuple[float, float], text: str, size: int = BODY, ink: Rgb = INK, anchor: str = "lm"
    ) -> None:
        """Text with its anchor at a point; anchors as Pillow's, "lm" is left and vertical middle."""
        clean = writable(printable(text), self.font_path)
        self.draw.text(at, clean, fill=ink, font=font(size, self.font_path), anchor=anchor)

    def width(self, text: str, size: int = BODY) -> float:
        return measured(text, size, self.font_path)


def measured(text: str, size: int, font_path: str = "") -> float:
    """Width of a text in pixels."""
    return float(font(size, font_path).getlength(writable(printable(text), font_path)))


def shortened(text: str, size: int, width: float, font_path: str = "") -> str:
    """The text, cut with "..." where it is wider than `width` pixels."""
    if measured(text, size, font_path) <= width:
        return text
    while text and measured(text + "...", size, font_path) > width:
        text = text[:-1]
    return text + "..."


def wrapped(text: str, size: int, width: float, font_path: str = "") -> list[str]:
    """Lines of at most `width` pixels, broken at spaces; an overlong word is shortened."""
    lines, line = [], ""
    for chunk in CHUNKS.findall(printable(text)):
        if line and measured(line + chunk.rstrip(), size, font_path) > width:
            lines.append(line.rstrip())
            line = ""
        line += chunk if line or not chunk.isspace() else ""
    return [shortened(line, size, width, font_path) for line in [*lines, line.rstrip()]]


def header_strip(
    message: explanation_pb2.Explanation, target: int, width: int, font_path: str
) -> Image.Image:
    """Title, then the facts line by line."""
    lines: list[tuple[str, str]] = []
    for name, value in header.facts(message, target):
        for number, line in enumerate(wrapped(value, SMALL, width - FACT_NAME_WIDTH, font_path)):
            lines.append((name if number == 0 else "", line))
    step, top = 20, 50
    pen = Pen((width, top + step * len(lines) + 6), font_path)
    title = shortened(header.title(message, target), TITLE, width, font_path)
    pen.write((0, 20), title, TITLE)
    for row, (name, value) in enumerate(lines):
        middle = top + step * (row + 0.5)
        pen.write((0, middle), name, SMALL, MUTED)
        ink = ALARM if value.startswith("PARTIAL") else INK
        pen.write((FACT_NAME_WIDTH, middle), value, SMALL, ink)
    return pen.image


def notes_strip(
    message: explanation_pb2.Explanation, target: int, width: int, font_path: str
) -> Image.Image:
    """How the numbers add up, and the method's own warnings."""
    lines = wrapped(header.sum_line(message, target), SMALL, width, font_path)
    for warning in message.warnings:
        lines += wrapped(f"Note: {warning}", SMALL, width, font_path)
    pen = Pen((width, 20 * len(lines)), font_path)
    for row, line in enumerate(lines):
        pen.write((0, 20 * (row + 0.5)), line, SMALL, MUTED)
    return pen.image


def stacked(strips: list[Image.Image]) -> Image.Image:
    """Strips below each other, left-aligned, with a margin around."""
    width = max(strip.width for strip in strips) + 2 * MARGIN
    height = sum(strip.height for strip in strips) + GAP * (len(strips) - 1) + 2 * MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    top = MARGIN
    for strip in strips:
        sheet.paste(strip, (MARGIN, top))
        top += strip.height + GAP
    return sheet
