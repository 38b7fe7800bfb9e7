"""Golden wire bytes as hexadecimal text, 32 bytes a line, beside this file.

`python -m tests.wire.golden` writes them anew, which is right only when the contract was changed on purpose.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import Message

FOLDER = Path(__file__).parent
LINE_BYTES = 32


def encoded(message: Message) -> str:
    """Deterministic serialisation: map entries in the order of their keys."""
    content = message.SerializeToString(deterministic=True)
    lines = [content[at : at + LINE_BYTES].hex() for at in range(0, len(content), LINE_BYTES)]
    return "\n".join(lines) + "\n"


def file_of(name: str) -> Path:
    return FOLDER / f"{name}.hex"


if __name__ == "__main__":
    from tests.wire.examples import GOLDEN

    for name, build in GOLDEN.items():
        file_of(name).write_text(encoded(build()))
