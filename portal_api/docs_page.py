"""`/docs`: the OpenAPI document as one page for people, which loads nothing from elsewhere."""

import json
from html import escape
from typing import Any

from portal_api.problems import DETAILS, TITLES

Json = dict[str, Any]

STYLE = """
body { font: 16px/1.6 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
summary { cursor: pointer; padding: .3rem .5rem; background: #f3f5f7; border-radius: .3rem; margin: .3rem 0; }
code, pre { font: 14px/1.5 monospace; } pre { background: #f8f8f8; padding: .6rem; overflow-x: auto; }
table { border-collapse: collapse; }
td, th { border: 1px solid #ccc; padding: .2rem .5rem; text-align: left; }
.method { display: inline-block; min-width: 4.5rem; font-weight: bold; color: #0a5; }
"""


def page(document: Json) -> str:
    """Give the page for `document` as HTML."""
    info = document["info"]
    operations = [
        (tag["name"], method.upper(), path, operation)
        for tag in document["tags"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    ]
    sections = []
    for tag in document["tags"]:
        rows = [
            _operation(method, path, told) for name, method, path, told in operations if name == tag["name"]
        ]
        sections.append(f"<h2>{escape(tag['name'])}</h2>{''.join(rows)}")
    schemas = "".join(
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"{_json(schema)}</details>"
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    return (
        f'<!doctype html><html lang="ja"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{STYLE}</style><h1>{escape(info['title'])}</h1>"
        f'<p style="white-space:pre-line">{escape(info["description"])}</p>'
        f'<p><a href="/openapi.json">openapi.json</a> (OpenAPI {document["openapi"]})</p>'
        f"{''.join(sections)}<h2>データの形</h2>{schemas}<h2>誤りのcode</h2>{_problems()}</html>"
    )


def _operation(method: str, path: str, told: Json) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{'必須' if one.get('required') else ''}</td><td>{escape(one.get('description', ''))}</td></tr>"
        for one in told["parameters"]
    )
    heading = "<tr><th>名前</th><th>場所</th><th></th><th>説明</th></tr>"
    return (
        f'<details id="{escape(told["operationId"])}"><summary><span class="method">{method}</span>'
        f"<code>{escape(path)}</code> {escape(told['summary'])}</summary>"
        f"<p>{escape(told.get('description', ''))}</p>"
        + (f"<table>{heading}{parameters}</table>" if parameters else "")
        + (f"<p>本文</p>{_content(told['requestBody'])}" if "requestBody" in told else "")
        + "".join(
            f"<p><code>{status}</code> {escape(answer['description'])}</p>{_content(answer)}"
            for status, answer in told["responses"].items()
        )
        + "</details>"
    )


def _content(described: Json) -> str:
    shown = []
    for media_type, content in described.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        link = f'<a href="#schema-{escape(name)}">{escape(name)}</a>' if name else ""
        shown.append(f"<p><code>{escape(media_type)}</code> {link}</p>")
    return "".join(shown)


def _json(shape: Json) -> str:
    return f"<pre>{escape(json.dumps(shape, ensure_ascii=False, indent=2))}</pre>"


def _problems() -> str:
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{status}</td>'
        f"<td>{escape(title)}</td><td>{escape(DETAILS.get(code, ''))}</td></tr>"
        for code, (status, title) in TITLES.items()
    )
    return f"<table>{rows}</table>"
