"""The OpenAPI 3.1 document, made from the routes and their models."""

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from portal_api.access import Who
from portal_api.examples import example_of
from portal_api.idempotency import HEADER, KEY
from portal_api.preconditions import EDITS
from portal_api.problems import ProblemDetails
from portal_api.routing import Route, readers_of
from portal_api.shape_words import SHAPES
from portal_api.vocabulary import FIELDS
from store.models import Role

Json = dict[str, Any]
LONG_NAME = re.compile(r"portal_api__resources__([a-z_]+?)__([A-Z]\w*)")
ROLE_NAMES = {
    Role.OPERATOR: "運用者",
    Role.ADMINISTRATOR: "管理者",
    Role.MEMBER: "メンバー",
    Role.READ_ONLY: "閲覧のみ",
}
REFERENCE = "#/components/schemas/{model}"
CONVENTIONS = """電話番(クラウド電話)のAPI。

- 認証は `Authorization: Bearer <トークン>`。
- 日時は時差付きのRFC 3339、電話番号はE.164で返す。入力は日本の普通の書き方でよい。
- 一覧は `items` と `next`。`next` を次の `cursor` に渡す。最後のページでは `null`。
- 誤りはすべて `application/problem+json`(RFC 9457)。プログラムは `code` で判断する。
- 他のアカウントのものは存在しないものとして404を返す。
- 1つのものを取得すると `ETag` が付く。変えるときに `If-Match` に付けると、ほかの人が先に変えていれば412。
- POSTに `Idempotency-Key` を付けると、送り直しても1回しか行わない。
- 起きたことは `/events` で順に受け取れる。
- 運用者のトークンでは、`account_id` で対象のアカウントを指定する。
- 使える人と、トークンに必要な権限(scope)は各操作の説明と `security` にある。
- リクエストが多すぎるときは429。`Retry-After` の秒数だけ待つ。
"""


def document(routes: Iterable[Route]) -> Json:
    """Describe `routes`, in their order."""
    routes = list(routes)
    names, schemas = _schemas(routes)
    readers = readers_of(routes)
    paths: Json = {}
    for route in routes:
        operation = _operation(route, names, readers.get(route.path))
        if links := _links(route, routes):
            operation["responses"][str(route.status)]["links"] = links
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    described = _with_short_names(
        {
            "openapi": "3.1.0",
            "info": {"title": "電話番 API", "version": "1", "description": CONVENTIONS},
            "security": [{"bearer": []}],
            "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
            "paths": paths,
            "components": {
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
                "schemas": schemas,
            },
        }
    )
    _describe(described)
    return described


def _with_short_names(described: Json) -> Json:
    """Shapes of one name in several modules: `portal_api__resources__rules__Rule` is `RulesRule`."""

    def short(found: re.Match[str]) -> str:
        return "".join(word.capitalize() for word in found[1].split("_")) + found[2]

    # Made of words that stand nowhere else in the document.
    renamed: Json = json.loads(LONG_NAME.sub(short, json.dumps(described)))
    return renamed


def _describe(described: Json) -> None:
    """Give every shape and field its words, and what is sent and answered an example."""
    schemas: Json = described["components"]["schemas"]
    for name, schema in schemas.items():
        # Generators name their classes by it.
        schema["title"] = name
        # What the code says of a shape in English is for who reads the code.
        if name in SHAPES:
            schema["description"] = SHAPES[name]
        for field, shape in schema.get("properties", {}).items():
            if "description" not in shape:
                shape["description"] = FIELDS.get(f"{name}.{field}") or FIELDS.get(field, "")
    for ways in described["paths"].values():
        for operation in ways.values():
            for told in (operation.get("requestBody", {}), *operation["responses"].values()):
                for kind, content in told.get("content", {}).items():
                    if "json" in kind:
                        content["example"] = example_of(content["schema"], schemas)


Names = dict[tuple[type[BaseModel], JsonSchemaMode], Json]


def _schemas(routes: list[Route]) -> tuple[Names, Json]:
    """Give the reference to each model as sent or answered, and all definitions."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    for route in routes:
        wanted += [(model, "validation") for model in route.bodies.values()]
        wanted += [(route.answer, "serialization")] if route.answer else []
    references, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REFERENCE)
    schemas: Json = definitions["$defs"]
    for query in (route.query for route in routes if route.query):
        # Parameters refer to these too.
        schemas = query.model_json_schema(ref_template=REFERENCE).get("$defs", {}) | schemas
    return {(model, mode): references[model, mode] for model, mode in wanted}, schemas


def _operation(route: Route, names: Names, reader: Route | None) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_parameters(route), *_headers(route, reader)],
        "responses": _responses(route, names, reader),
    }
    if route.bodies:
        content = {kind: {"schema": names[model, "validation"]} for kind, model in route.bodies.items()}
        operation["requestBody"] = {"required": True, "content": content}
    if route.public:
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": [route.scope]}]
        operation["description"] = _access(route)
        operation["x-roles"] = sorted(route.roles)
    return operation


def _links(route: Route, routes: Iterable[Route]) -> Json:
    """What can be done with what was made: operations on the same path with its id."""
    if route.method != "POST" or route.answer is None or "id" not in route.answer.model_fields:
        return {}
    links: Json = {}
    for other in routes:
        if not other.path_names or other.path != f"{route.path}/{{{other.path_names[-1]}}}":
            continue
        *same, own = other.path_names
        parameters = {name: f"$request.path.{name}" for name in same}
        parameters[own] = "$response.body#/id"
        name = other.handler.__name__
        links[name] = {"operationId": name, "parameters": parameters, "description": other.summary}
    return links


def _access(route: Route) -> str:
    roles = "・".join(name for role, name in ROLE_NAMES.items() if role in route.roles)
    own = "サインインした本人のみ。" if route.who is Who.SIGNED_IN else ""
    return f"{own}使える人: {roles}。トークンの権限: `{route.scope}`"


def _parameters(route: Route) -> list[Json]:
    text = {"type": "string"}
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text, "description": FIELDS.get(name, "")}
        for name in route.path_names
    ]
    if route.of_account:
        described = "対象のアカウント。運用者のトークンでは必須"
        parameters.append({"name": "account_id", "in": "query", "schema": text, "description": described})
    if route.query:
        schema = route.query.model_json_schema(ref_template=REFERENCE)
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", []),
                "description": shape.pop("description", "") or FIELDS.get(name, ""),
                "schema": shape,
            }
            for name, shape in schema["properties"].items()
        ]
    return parameters


def _headers(route: Route, reader: Route | None) -> list[Json]:
    told: dict[str, str] = {}
    if route is reader:
        told["If-None-Match"] = "前に取得したときのETag。変わっていなければ304"
    elif reader and route.method in EDITS:
        told["If-Match"] = "取得したときのETag。ほかの人が先に変えていれば412"
    elif route.method == "POST" and not route.public:
        told[HEADER] = "二重に行わないための鍵。同じ鍵で送り直すと、行わずに前と同じ応答を返す(24時間)"
    elif route.path.endswith("/events"):
        told["Last-Event-ID"] = "最後に受け取ったid。その次から送る"
    shapes: Json = {
        HEADER: {"type": "string", "pattern": f"^{KEY.pattern}$"},
        "Last-Event-ID": {"type": "integer", "minimum": 0},
    }
    text = {"type": "string"}
    return [
        {
            "name": name,
            "in": "header",
            "required": name == HEADER and route.keyed,
            "schema": shapes.get(name, text),
            "description": words,
        }
        for name, words in told.items()
    ]


def _responses(route: Route, names: Names, reader: Route | None) -> Json:
    responses: Json = {"default": _problem(names)}
    if route.produces:
        content: Json = {media_type: {} for media_type in route.produces}
        if route.method != "GET" or not any(kind.startswith("audio/") for kind in route.produces):
            return {str(route.status): {"description": "ファイル", "content": content}, **responses}
        return {
            "200": {"description": "ファイル", "content": content},
            "206": {"description": "ファイルの一部", "content": content},
            "304": {"description": "変わっていない"},
            **responses,
        }
    if not route.answer:
        return {str(route.status): {"description": "完了"}, **responses}
    as_json = {"application/json": {"schema": names[route.answer, "serialization"]}}
    success: Json = {"description": "成功", "content": as_json}
    if reader and reader.answer is route.answer:
        success["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "この内容のETag"}}
    if route is reader:
        responses = {"304": {"description": "変わっていない"}, **responses}
    if route.answers and route.public:
        # Of a state that is no error of the request's.
        responses = {"503": {"description": "使えない", "content": as_json}, **responses}
    return {str(route.status): success, **responses}


def _problem(names: Names) -> Json:
    schema = names[ProblemDetails, "serialization"]
    return {"description": "誤り", "content": {"application/problem+json": {"schema": schema}}}
