"""Says which examples of an OpenAPI document do not keep to the schema that they stand beside."""

import json
import sys

import jsonschema_rs

document = json.load(open(sys.argv[1]))
components = document["components"]
looked_at = 0
wrong = []


def check(place, schema, example):
    global looked_at
    looked_at += 1
    if isinstance(example, dict) and "$ref" in example:
        example = components["examples"][example["$ref"].rsplit("/", 1)[1]]["value"]
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": components}, validate_formats=True)
    wrong.extend(f"{place}: {error.message}" for error in validator.iter_errors(example))


def walk(place, value):
    if isinstance(value, list):
        for at, entry in enumerate(value):
            walk(f"{place}/{at}", entry)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("schema"), dict):
        if "example" in value:
            check(place, value["schema"], value["example"])
        for name, example in value.get("examples", {}).items():
            check(f"{place}/{name}", value["schema"], example.get("value", example))
    elif isinstance(value.get("examples"), list):
        for example in value["examples"]:
            check(place, value, example)
    for name, entry in value.items():
        if name not in ("example", "examples"):
            walk(f"{place}/{name}", entry)


walk("", document)
print(looked_at, "examples")
sys.exit("\n".join(wrong) if wrong or looked_at < 80 else 0)
