"""Checks answers against the OpenAPI document that the API itself serves."""

import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Json = dict[str, Any]
PLACEHOLDER = re.compile(r"\\\{\w+\\\}")


class Document:
    """An OpenAPI document, and whether an answer is as it says."""

    def __init__(self, content: Json) -> None:
        self.content = content
        self._paths = [
            (re.compile(PLACEHOLDER.sub("[^/]+", re.escape(path))), path, methods)
            # Paths without placeholders first: `/messages:delete` is no message.
            for path, methods in sorted(content["paths"].items(), key=lambda pair: "{" in pair[0])
        ]

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Fail where the answer is not one that the document tells of."""
        if status >= 400 and "/readyz" not in path:
            assert headers["Content-Type"] == "application/problem+json"
            problem = {"$ref": "#/components/schemas/ProblemDetails"}
            if method != "HEAD":
                self._validate(problem, body)
            return
        operation = self._operation("GET" if method == "HEAD" else method, path.partition("?")[0])
        if operation is None or body is None:
            return
        described = operation["responses"]["200" if status == 503 else str(status)]
        self._validate(described["content"]["application/json"]["schema"], body)

    def _operation(self, method: str, path: str) -> Json | None:
        for pattern, _, methods in self._paths:
            if pattern.fullmatch(path) and method.lower() in methods:
                return dict(methods[method.lower()])
        return None

    def _validate(self, schema: Json, body: Any) -> None:
        whole = {**schema, "components": self.content["components"]}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(body)
