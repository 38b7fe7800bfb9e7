"""A page that shows the OpenAPI document: one piece of HTML that fetches nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

CSP = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .3rem .8rem }
summary { cursor: pointer }
code, .verb { font-family: ui-monospace, monospace }
.verb { display: inline-block; min-width: 4.5rem; font-weight: 600 }
table { border-collapse: collapse; width: 100% }
td { vertical-align: top; border-top: 1px solid #8884; padding: .25rem .6rem .25rem 0 }
"""


def page(document: dict[str, Any]) -> str:
    """HTML of the document."""
    info = document["info"]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{_prose(info['description'])}</p>",
        '<p>The same for machines: <a href="openapi.json">openapi.json</a></p><h2>Calls</h2>',
        *_operations(document["paths"]),
        "<h2>Messages</h2>",
        *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    head = f"<meta charset=utf-8><title>{escape(info['title'])}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    for path, verbs in paths.items():
        for verb, operation in verbs.items():
            rows = [
                (parameter["name"], parameter["in"], parameter["description"])
                for parameter in operation["parameters"]
            ]
            body = operation.get("requestBody", {}).get("content", {})
            rows += [("body", _kind(content["schema"]) or kind, "") for kind, content in body.items()]
            answers = operation["responses"]["200"]["content"].items()
            rows += [("answer", _kind(content["schema"]), kind) for kind, content in answers]
            yield (
                f"<details><summary><span class=verb>{verb.upper()}</span> <code>{escape(path)}</code></summary>"
                f"<p>{_prose(operation['description'])}</p>{_table(rows)}</details>"
            )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [(field, _kind(one), one.get("description", "")) for field, one in schema.get("properties", {}).items()]
    about = _prose(schema["description"])
    heading = f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
    return f"{heading}<p>{about}</p>{_table(rows)}</details>"


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = (
        f"<tr><td><code>{escape(name)}</code></td><td>{kind if kind.startswith('<a') else escape(kind)}</td>"
        f"<td>{_prose(about)}</td></tr>"
        for name, kind, about in rows
    )
    return f"<table>{''.join(lines)}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """Its type, or a link to its message."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("type") == "array" and "items" in schema:
        return f"{_kind(schema['items'])} ..."
    if "additionalProperties" in schema:
        return f"{_kind(schema['additionalProperties'])} by name"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    kind = schema.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _prose(text: str) -> str:
    return escape(text).replace("\n", "<br>")
