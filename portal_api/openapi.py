"""The OpenAPI 3.1 document, made from the routes and their models."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from portal_api.problems import ProblemDetails
from portal_api.routing import Route

Json = dict[str, Any]
REFERENCE = "#/components/schemas/{model}"
CONVENTIONS = """電話番(クラウド電話)のAPI。

- 認証は `Authorization: Bearer <トークン>`。
- 日時は時差付きのRFC 3339、電話番号はE.164で返す。入力は日本の普通の書き方でよい。
- 一覧は `items` と `next`。`next` を次の `cursor` に渡す。最後のページでは `null`。
- 誤りはすべて `application/problem+json`(RFC 9457)。プログラムは `code` で判断する。
- 他のアカウントのものは存在しないものとして404を返す。
- 運用者のトークンでは、`account_id` で対象のアカウントを指定する。
"""


def document(routes: Iterable[Route]) -> Json:
    """Describe `routes`, in their order."""
    routes = list(routes)
    names, schemas = _schemas(routes)
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
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


Names = dict[tuple[type[BaseModel], JsonSchemaMode], Json]


def _schemas(routes: list[Route]) -> tuple[Names, Json]:
    """Give the reference to each model as sent or answered, and all definitions."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    for route in routes:
        wanted += [(model, "validation") for model in route.bodies.values()]
        wanted += [(route.answer, "serialization")] if route.answer else []
    references, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REFERENCE)
    return {(model, mode): references[model, mode] for model, mode in wanted}, definitions["$defs"]


def _operation(route: Route, names: Names) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": _responses(route, names),
    }
    if route.bodies:
        content = {kind: {"schema": names[model, "validation"]} for kind, model in route.bodies.items()}
        operation["requestBody"] = {"required": True, "content": content}
    if route.public:
        operation["security"] = []
    if route.operator_only:
        operation["description"] = "運用者のトークンが必要。"
    return operation


def _parameters(route: Route) -> list[Json]:
    text = {"type": "string"}
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in route.path_names
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
                "description": shape.pop("description", ""),
                "schema": shape,
            }
            for name, shape in schema["properties"].items()
        ]
    return parameters


def _responses(route: Route, names: Names) -> Json:
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
    return {str(route.status): {"description": "成功", "content": as_json}, **responses}


def _problem(names: Names) -> Json:
    schema = names[ProblemDetails, "serialization"]
    return {"description": "誤り", "content": {"application/problem+json": {"schema": schema}}}
