"""How schemathesis asks relabeld: with which token, of which store, and what it looks at besides its own checks."""

import atexit
import itertools
import json
import os
import re
import time
from pathlib import Path

import requests
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

BASE = os.environ["RELABELD_BASE"]
TOKEN = Path(os.environ["RELABELD_TOKEN"])
STOCK = json.loads(os.environ["RELABELD_STOCK"])

# What no schema can say. Nothing else may be refused of a request that keeps to its schema.
BEYOND_A_SCHEMA = [
    r"from: .* is not before",
    r"is not a date and time that exists",
    r"beyond the years 0000 to 9999",
    r"holds no word",
    r"the same as (topics|programs|transcripts)\[",
    r"longer than 512 bytes",
    r"longer than 4096 bytes",
    r"since: stands alone",
    r"since: [0-9]+ is past the last change",
    r"topic .* is not in the catalogue",
    r"has no (such )?(transcript|block)",
    r"the transcript has blocks",
    r"contradicts an earlier mark",
]


COUNTER = itertools.count()

# How often each operation gave each answer.
SEEN = {}
atexit.register(lambda: Path(os.environ["RELABELD_SEEN"]).write_text(json.dumps(SEEN)))


def headers():
    return {"Authorization": f"Bearer {TOKEN.read_text().strip()}"}


@schemathesis.auth()
class Token:
    def get(self, case, context):
        return TOKEN.read_text().strip()

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/x-ndjson")
def a_line(ctx, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.serializer("text/csv")
def a_text(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


def ask(method, path, **more):
    answer = requests.request(method, BASE + path, headers=headers(), timeout=30, **more)
    assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer


def sent(case):
    """The operation, where the case is not about another method."""
    operation = case.operation.definition.raw.get("operationId")
    return operation if case.method.lower() == case.operation.method.lower() else None


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """What is used up by being done once is made anew for each time that it is done to something that is there."""
    if (case.headers.get("Authorization") or "").startswith("Bearer "):
        # Some calls rotate it.
        case.headers.update(headers())
    operation = sent(case)
    path = case.path_parameters or {}
    if operation == "eraseItem" and path.get("item_id") in STOCK["items"]:
        note = {"kind": "note", "id": "to-erase", "version": 1, "created_at": 1, "text": "money back"}
        ask("POST", "/api/v1/items", data=json.dumps(note))
        path.update(kind="note", item_id="to-erase")
    keys = case.meta and case.meta.components.get(ParameterLocation.HEADER)
    if operation == "makeJob" and "Idempotency-Key" in case.headers and keys and keys.mode == GenerationMode.POSITIVE:
        # Most keys that are made up are short, and soon all used: 409 before anything else is looked at. Some stay.
        number = next(COUNTER)
        if number % 5 > 0:
            case.headers["Idempotency-Key"] = f"key {number}"
    # 007 is job 7, too.
    job = str(path.get("job_id")).lstrip("0")
    if job not in STOCK["jobs"]:
        return
    under_way = operation in ("steerJob", "pauseJob", "resumeJob") and job in STOCK["under_way"]
    if under_way or operation in ("publishJob", "cancelJob", "deleteJob"):
        publish = under_way or operation == "cancelJob"
        job = {"from": "2026-11-01", "until": "2026-12-01", "publish": publish, "max_per_second": 0.001}
        path["job_id"] = ask("POST", "/api/v1/jobs", json=job).json()["id"]
        if operation == "resumeJob":
            ask("POST", f"/api/v1/jobs/{path['job_id']}/pause")
    if operation == "applyJob" and next(COUNTER) % 2 == 0:
        job = {"kind": "list", "ids": [{"kind": "note", "id": "n-9"}], "dry_run": True}
        path["job_id"] = ask("POST", "/api/v1/jobs", json=job).json()["id"]
        while ask("GET", f"/api/v1/jobs/{path['job_id']}").json()["finished_at"] is None:
            time.sleep(0.005)


@schemathesis.hook
def after_call(ctx, case, response):
    """What replaces all is taken back."""
    if operation := sent(case):
        seen = f"{response.status_code} {case.meta.generation.mode.value}"
        SEEN.setdefault(operation, {}).setdefault(seen, 0)
        SEEN[operation][seen] += 1
    if operation == "applyCatalogue" and response.status_code == 200:
        ask("PUT", "/api/v1/catalogue?allow_remove=true", json=STOCK["catalogue"])


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    kind = type(failure).__name__
    if kind == "AcceptedNegativeData" and sent(case) == "importItems" and response.status_code == 200:
        # Of lines that are bad an import tells with 200, and the others go in.
        return response.json()["bad"] == 0
    if kind == "AcceptedNegativeData" and not (response.request.body or "none").strip():
        # White space alone is taken for no body at all, where none is needed.
        return False
    if kind != "RejectedPositiveData":
        return True
    problem = response.json()
    said = [fault.get("what") or fault["error"] for fault in problem.get("errors", [])] or [problem["detail"]]
    if case.media_type == "text/csv" and response.status_code == 422:
        # Of a text a schema says nothing.
        return not problem["detail"].startswith(("line ", "the list "))
    beyond = lambda text: any(re.search(known, text) for known in BEYOND_A_SCHEMA)
    return not all(map(beyond, said))


@schemathesis.check
def import_says_which_lines_are_bad(ctx, response, case):
    """An import answers 200 to a bad line, too: it is to count it, and none else."""
    if sent(case) != "importItems" or response.status_code != 200 or case.meta is None:
        return
    counted = response.json()
    body = case.meta.components.get(ParameterLocation.BODY)
    if body is None:
        return
    bad = body.mode == GenerationMode.NEGATIVE
    if bad and counted["bad"] == 0:
        raise Failure(operation=case.operation.label, title="A bad line went in", message=json.dumps(counted))
    known = all(any(re.search(k, error["error"]) for k in BEYOND_A_SCHEMA) for error in counted["errors"])
    if not bad and counted["bad"] > 0 and not known:
        raise Failure(operation=case.operation.label, title="A good line was refused", message=json.dumps(counted))


CSV_HEADS = {
    "jobItemsCsv": ["kind,id,version,state,outcome,reason,attempts,finished_at"],
    "jobLabelsCsv": [
        "kind,id,version,transcript,block,topic,change,phrase,score,start,end",
        "kind,id,version,transcript,block,topic,change,phrase,score,start,end,old_phrase,old_score,old_start,old_end,old_job",
    ],
    "jobTopicsCsv": ["topic,added,removed,updated"],
    "labelsCsv": [
        "kind,id,version,transcript,block,topic,source,phrase,score,start,end,job,revision,at",
        "no,kind,id,version,transcript,block,topic,change,source,phrase,score,start,end,job,revision,at",
    ],
}


@schemathesis.check
def a_csv_begins_with_its_columns(ctx, response, case):
    heads = CSV_HEADS.get(sent(case))
    if heads and response.status_code == 200 and response.request.method == "GET":
        head = response.content.decode().split("\n")[0]
        if head not in heads:
            raise Failure(operation=case.operation.label, title="Other columns", message=head)


@schemathesis.deserializer("application/x-ndjson")
def lines(ctx, response):
    """The schema is of a line: all of them are looked at, and the first bad one, else the first, is handed on."""
    rows = [json.loads(line) for line in response.content.decode().split("\n") if line]
    raw = ctx.operation.schema.raw_schema
    name = ctx.operation.definition.raw["responses"]["200"]["content"]["application/x-ndjson"]["schema"]["$ref"]
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator({"$ref": name, "components": raw["components"]})
    bad = [row for row in rows if not validator.is_valid(row)]
    if bad:
        return bad[0]
    return rows[0] if rows else EMPTY_ROWS[ctx.operation.definition.raw["operationId"]]


ITEM = {"kind": "note", "id": "n", "version": 1}
EVIDENCE = {"phrase": None, "score": None, "start": None, "end": None}
PLACE = {"transcript": "note", "block": 0, "topic": "t"}
# For an export without a row: schemathesis wants something to look at.
EMPTY_ROWS = {
    "jobItemsNdjson": {**ITEM, "state": "done", "outcome": None, "reason": None, "attempts": 1, "finished_at": None},
    "jobLabelsNdjson": {**ITEM, **PLACE, "change": "added", **EVIDENCE},
    "jobTopicsNdjson": {"topic": "t", "added": 0, "removed": 0, "updated": 0},
    "labelsNdjson": {
        **ITEM,
        **PLACE,
        "source": "rule",
        **EVIDENCE,
        "job": None,
        "revision": None,
        "at": "2026-11-01T00:00:00.000Z",
    },
}
