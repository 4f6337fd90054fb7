"""Examples for the OpenAPI document, made from its schemas. Pure."""

from typing import Any

Json = dict[str, Any]
EXAMPLES: dict[str, object] = {
    "id": "3f2c9a7d5e8b4c1fa6d0e9b8c7a65432",
    "ids": ["3f2c9a7d5e8b4c1fa6d0e9b8c7a65432"],
    "name": "通常",
    "display_name": "代表",
    "label": "営業部",
    "accept": ["192.0.2.0/24"],
    "uri": "sip:192.0.2.1:5060",
    "from_domain": "sip.example.jp",
    "from_user": "0312345678",
    "password": "correct-horse-battery-staple",
    "number": "+81312345678",
    "value": "03-1234-5678",
    "e164": "+81312345678",
    "caller": "+819012345678",
    "other_party": "+819012345678",
    "username": "1001",
    "mail_addresses": ["info@example.jp"],
    "next": None,
    "text": "折り返しお電話ください。",
    "detail": "必須です。",
    "title": "入力内容に誤りがあります",
    "status": "open",
    "code": "missing",
    "request_id": "b1946ac92492d2347c6235b4d2611184",
    "duration_s": 12.5,
    "address": "192.0.2.10",
    "postal_code": "100-0001",
    "mail_address": "keiri@example.jp",
    "customer_name": "株式会社あおぞら",
    "card_token": None,
    "destinations": "03-1111-2222",
    "secret": "q7Yt2vKx9LwBzR4nHc5mD1",
    "user_agent": "LinphoneAndroid/5.2.0",
}
"""Examples by field, where the model gives none; used only where they fit the field."""

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
