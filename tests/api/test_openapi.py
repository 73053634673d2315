import json
from pathlib import Path
from typing import Any

from tocsin.api.openapi import openapi_document

DOCUMENT = openapi_document()


def operations() -> dict[str, Any]:
    return {one["operationId"]: one for path in DOCUMENT["paths"].values() for one in path.values()}


def test_the_description_is_the_same_each_time() -> None:
    assert json.dumps(openapi_document()) == json.dumps(DOCUMENT)


def test_operations_have_names_that_a_client_can_use() -> None:
    count = sum(len(path) for path in DOCUMENT["paths"].values())
    assert len(operations()) == count
    assert all(name.isidentifier() for name in operations())
    assert {"listAlerts", "acknowledgeAlert", "pushSamples", "readRange", "signIn"} <= operations().keys()


def test_every_operation_says_what_it_does_and_answers() -> None:
    for operation in operations().values():
        assert operation["description"]
        answers = operation["responses"]
        assert answers["default"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
        (good,) = [code for code in answers if code != "default"]
        if good != "204":
            assert answers[good]["content"]["application/json"]["schema"]["$ref"]


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = json.dumps(DOCUMENT)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= schemas.keys()
    assert {"Problem", "Sample", "Alert", "AlertList", "Rule", "NewRule"} <= schemas.keys()
    assert "HTTPValidationError" not in schemas


def test_one_sample_or_a_list_may_be_pushed() -> None:
    schema = operations()["pushSamples"]["requestBody"]["content"]["application/json"]["schema"]
    assert len(schema["oneOf"]) == 2


def test_the_description_that_the_pages_are_typed_by_is_the_servers() -> None:
    kept = Path(__file__).parents[2] / "ui" / "openapi.json"
    said = json.loads(kept.read_text(encoding="utf-8"))
    assert said == openapi_document(), "run `python -m tocsin.api.openapi > ui/openapi.json` and `npm run types`"
