"""Examples for the OpenAPI document, made from its schemas. Pure."""

from typing import Any

from portal_api.vocabulary import EXAMPLES

Json = dict[str, Any]
AN_ID = "3f2c9a7d5e8b4c1fa6d0e9b8c7a65432"
FORMATS = {
    "date-time": "2026-11-24T09:00:00+09:00",
    "date": "2026-12-29",
    "time": "09:00:00",
    "binary": "(ファイルの内容)",
    "uri": "https://example.jp/",
    "email": "info@example.jp",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def example_of(schema: Json, schemas: Json, name: str = "") -> Any:
    """An example of what `schema` describes; `name` is the field it stands in."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if (choices := schema.get("anyOf") or schema.get("oneOf")) is not None:
        return _first_of(choices, schemas, name)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if name in EXAMPLES and _fits(EXAMPLES[name], schema):
        return EXAMPLES[name]
    return _by_type(schema, schemas, name)


def _first_of(choices: list[Json], schemas: Json, name: str) -> Any:
    if EXAMPLES.get(name, "") is None and {"type": "null"} in choices:
        return None
    return example_of(next(one for one in choices if one.get("type") != "null"), schemas, name)


def _by_type(schema: Json, schemas: Json, name: str) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, schemas)
        case "array":
            return [example_of(schema.get("items", {}), schemas, name)][: schema.get("maxItems", 1)]
        case "string":
            return _string(schema, name)
        case "integer" | "number":
            return schema.get("default") or schema.get("minimum") or 1
        case "boolean":
            return schema.get("default", True)
        case _:
            return schema.get("default")


def _object(schema: Json, schemas: Json) -> Json:
    properties: Json = schema.get("properties", {})
    return {name: example_of(shape, schemas, name) for name, shape in properties.items()}


def _string(schema: Json, name: str) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if schema.get("default"):
        return str(schema["default"])
    return AN_ID if name.endswith(("_id", "ids")) else "例"


def _fits(example: object, schema: Json) -> bool:
    wanted = TYPES.get(schema.get("type", ""))
    if wanted is None or not isinstance(example, wanted):
        return False
    return not isinstance(example, str) or "format" not in schema
