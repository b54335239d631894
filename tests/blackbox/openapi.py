# SPDX-License-Identifier: Apache-2.0
"""openapi.py - checks answers and field tables against api/openapi.yaml."""

import json
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import yaml

FILE = Path(__file__).resolve().parents[2] / "api" / "openapi.yaml"
INT64_MAX = 2**63 - 1


@lru_cache(None)
def document():
    return yaml.load(FILE.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(None)
def operations():
    """{(METHOD, path pattern): operation}"""
    return {(method.upper(), path): op for path, item in document()["paths"].items()
            for method, op in item.items() if method != "parameters"}


def resolve(node):
    while "$ref" in node:
        at = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


def pattern_of(method, path):
    """The path pattern that matches a request path, or None. A literal segment is preferred to {x}."""
    given = urlsplit(path).path.split("/")
    found = []
    for known, pattern in operations():
        parts = pattern.split("/")
        if known == method and len(parts) == len(given) and all(
                p == a or (p.startswith("{") and a) for p, a in zip(parts, given)):
            found.append(([p.startswith("{") for p in parts], pattern))
    return min(found)[1] if found else None


@lru_cache(None)
def _validator(method, pattern, status):
    op = operations()[method, pattern]
    answer = op["responses"].get(str(status)) or op["responses"].get("default")
    assert answer, f"{method} {pattern} may not answer {status}"
    kinds = resolve(answer).get("content", {})
    if "application/json" not in kinds:
        return None
    schema = {**kinds["application/json"]["schema"], "components": document()["components"]}
    return jsonschema.Draft202012Validator(schema)


def validate(method, pattern, status, body):
    """Check a decoded JSON body (None: no body) against the description; AssertionError says what is wrong."""
    validator = _validator(method, pattern, status)
    if validator is None:
        return
    wrong = sorted(validator.iter_errors(body), key=lambda e: list(e.absolute_path))
    assert not wrong, f"{method} {pattern} {status}: " + "; ".join(
        f"{e.json_path}: {e.message[:300]}" for e in wrong[:5]) + f"\n{json.dumps(body)[:2000]}"


def check(method, path, status, content_type, body):
    """Check one raw answer against the description. Unknown paths and refusals before routing pass."""
    pattern = pattern_of(method, path)
    if pattern is None or status in (404, 405) and not body or not (content_type or "").startswith("application/json"):
        return
    validate(method, pattern, status, json.loads(body) if body else None)


# ------------------------------------------------------------------ field tables -> schemas


def _with_null(schema, field):
    if not field["nullable"]:
        return schema
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    schema = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        schema["enum"] = schema["enum"] + [None]
    return schema


def schema_of(field):
    """The schema that a row of a field table describes."""
    low, high = field["min"], field["max"]
    kind = field["type"]
    if kind == "string":
        schema = {"type": "string", "maxLength": high}
        if low:
            schema["minLength"] = low
    elif kind == "integer":
        schema = {"type": "integer", "minimum": low}
        if high != INT64_MAX:
            schema["maximum"] = high
    elif kind == "boolean":
        schema = {"type": "boolean"}
    elif kind == "switch":
        nothing = ["null"] if field["nullable"] else []
        return {"type": ["boolean", "integer"] + nothing, "minimum": 0, "maximum": 1}
    elif kind == "word":
        schema = {"type": "string", "enum": field["words"]}
    elif kind == "strings":
        schema = {"type": "array", "items": {"type": "string"}, "maxItems": high}
    elif kind == "object":
        schema = {"$ref": f"#/components/schemas/{field['sub']}"} if "sub" in field else {"type": "object"}
    else:
        schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{field['sub']}"}, "maxItems": high}
    if schema.get("type") == "array" and low:
        schema["minItems"] = low
    return _with_null(schema, field)


def without_text(node):
    """A schema without its descriptions, which the tables do not contain."""
    if isinstance(node, dict):
        return {k: without_text(v) for k, v in node.items() if k != "description" or isinstance(v, dict)}
    return [without_text(v) for v in node] if isinstance(node, list) else node
