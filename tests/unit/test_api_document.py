"""The OpenAPI document says what everything means, in Japanese, and its examples are right."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from portal_api.main import ROUTES
from portal_api.openapi import document
from portal_api.shape_words import SHAPES
from portal_api.vocabulary import FIELDS

pytestmark = pytest.mark.unit

Json = dict[str, Any]
DOCUMENT = document(ROUTES)
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
BY_NAME = {route.handler.__name__: route for route in ROUTES}


def operations() -> Iterator[tuple[str, Json]]:
    for path, ways in DOCUMENT["paths"].items():
        for method, operation in ways.items():
            yield f"{method.upper()} {path}", operation


def test_everything_is_described_in_japanese() -> None:
    unsaid = [name for name, schema in SCHEMAS.items() if schema.get("description", "").isascii()]
    for name, schema in SCHEMAS.items():
        for field, shape in schema.get("properties", {}).items():
            if shape["description"].isascii():
                unsaid.append(f"{name}.{field}")
    for named, operation in operations():
        unsaid += [named] if operation["summary"].isascii() else []
        unsaid += [
            f"{named} {one['name']}" for one in operation["parameters"] if one["description"].isascii()
        ]
    assert unsaid == []


def test_every_value_of_an_enumeration_is_explained() -> None:
    """Days of the week explain themselves."""
    unsaid = [
        f"{name}: {value}"
        for name, schema in SCHEMAS.items()
        for value in schema.get("enum", ())
        if name != "Day" and value not in schema["description"]
    ]
    assert unsaid == []


def test_no_words_are_for_what_is_gone() -> None:
    fields = {f"{name}.{field}" for name, schema in SCHEMAS.items() for field in schema.get("properties", {})}
    assert set(SHAPES) - set(SCHEMAS) == set()
    assert {name for name in FIELDS if "." in name} - fields == set()


def test_whatever_is_referred_to_is_there() -> None:
    referred = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(DOCUMENT)))
    assert referred - set(SCHEMAS) == set()


def test_no_shape_has_the_name_of_a_module() -> None:
    assert [name for name in SCHEMAS if "__" in name] == []


def test_examples_are_what_they_show() -> None:
    shown = 0
    for _, operation in operations():
        for told in (operation.get("requestBody", {}), *operation["responses"].values()):
            for kind, content in told.get("content", {}).items():
                if "json" in kind:
                    whole = {**content["schema"], "components": DOCUMENT["components"]}
                    Draft202012Validator(whole).validate(content["example"])
                    shown += 1
    assert shown > 100


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_what_is_shown_can_be_sent(name: str) -> None:
    """Not only by its schema: the API itself takes every example."""
    route = BY_NAME[name]
    content = DOCUMENT["paths"][route.path][route.method.lower()].get("requestBody", {}).get("content", {})
    for kind, model in route.bodies.items():
        if kind == "application/json":
            model.model_validate_json(json.dumps(content[kind]["example"]))


def test_what_is_made_leads_to_what_can_be_done_with_it() -> None:
    linked = {
        (named, name): link
        for named, operation in operations()
        for response in operation["responses"].values()
        for name, link in response.get("links", {}).items()
    }
    assert ("POST /api/v1/rules", "delete_rule") in linked
    assert ("POST /api/v1/notification-rules/{rule_id}/services", "change_service") in linked
    for (named, name), link in linked.items():
        assert BY_NAME[link["operationId"]].path_names == list(link["parameters"]), (named, name)
        assert list(link["parameters"].values())[-1] == "$response.body#/id"
    made = {named for named, _ in linked}
    unlinked = [
        route.path
        for route in ROUTES
        if route.method == "GET"
        and route.path.endswith("}")
        and f"POST {route.path.rpartition('/')[0]}" in {named for named, _ in operations()} - made
    ]
    assert unlinked == []
