"""Genesys Cloud's own Python SDK, unchanged, driven line by line: one JSON command in, one JSON answer out.

    python genesys_sdk.py

    {"do": "create", "body": {...}}             JSON names; goes through CreateReprocessJobRequest, its dates as datetimes
    {"do": "create", "body": {...}, "as": "is"} the same body as a plain dict, which the SDK sends as it is
    {"do": "list", "page_size": 25, "page_number": 1, "sort_order": "asc", "name": "x"}   all optional
    {"do": "show" | "delete" | "interactions", "id": "7"}
    {"do": "fetch", "url": "http://..."}        without the SDK, a token or any other header of ours
    {"do": "versions"}

Every command but fetch and versions names `"base"`, as `http://HOST:PORT`, and `"token"`: one driver, which takes two
seconds to import the SDK, serves the daemons of all tests.

    {"ok": <the SDK's object, its own attribute names>, "status": 201, "raw": <the JSON it read, null if none>}
    {"error": {"type": "ApiException", "status": 422, "body": <parsed if JSON>, "content_type": "..."}}
    {"error": {"type": "AttributeError", "message": "..."}}   whatever else the SDK or this driver raises

Ends with its input.
"""

import functools
import json
import os
import platform
import sys
import tempfile
import urllib.error
import urllib.request

# The SDK reads ~/.genesyscloudpython/config as it is imported, and watches the directory from a thread.
with tempfile.TemporaryDirectory() as home:
    os.mkdir(os.path.join(home, ".genesyscloudpython"))
    with open(os.path.join(home, ".genesyscloudpython", "config"), "w") as config:
        config.write("[general]\nlive_reload_config = false\n")
    os.environ["HOME"] = home
    import PureCloudPlatformClientV2 as sdk
    from PureCloudPlatformClientV2.rest import ApiException
from dateutil.parser import isoparse

LIST_PARAMETERS = ("page_size", "page_number", "sort_order", "name")
# No proxy of the environment: the SDK uses none either.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@functools.cache
def client(base, token):
    made = sdk.ApiClient(host=base)
    made.access_token = token
    return made


def wanted(body):
    """The request's model, filled in as a user of the SDK does it."""
    request = sdk.CreateReprocessJobRequest()
    attributes = {name: attribute for attribute, name in request.attribute_map.items()}
    for name, value in body.items():
        attribute = attributes[name]
        if request.swagger_types[attribute] == "datetime" and isinstance(value, str):
            value = isoparse(value)
        setattr(request, attribute, value)
    return request


def fetch(url):
    try:
        response = opener.open(url)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        text = response.read().decode()
        return {"status": response.status, "content_type": response.headers.get("Content-Type"), "text": text}


def run(command):
    do = command["do"]
    if do == "fetch":
        return {"ok": fetch(command["url"])}
    if do == "versions":
        return {"ok": {"sdk": sdk.configuration.to_debug_report().split()[-1], "python": platform.python_version()}}
    caller = client(command["base"], command["token"])
    api = sdk.SpeechTextAnalyticsApi(caller)
    if do == "create":
        body = command["body"] if command.get("as") == "is" else wanted(command["body"])
        answer = api.post_speechandtextanalytics_reprocessing_jobs(body)
    elif do == "list":
        given = {name: command[name] for name in LIST_PARAMETERS if name in command}
        answer = api.get_speechandtextanalytics_reprocessing_jobs(**given)
    elif do == "show":
        answer = api.get_speechandtextanalytics_reprocessing_job(command["id"])
    elif do == "delete":
        answer = api.delete_speechandtextanalytics_reprocessing_job(command["id"])
    elif do == "interactions":
        answer = api.get_speechandtextanalytics_reprocessing_job_interactions(command["id"])
    else:
        raise ValueError(f"no such command: {do}")
    read = caller.last_response
    return {
        "ok": None if answer is None else answer.to_dict(),
        "status": read.status,
        "raw": json.loads(read.data) if read.data else None,
    }


def refused(error):
    try:
        body = json.loads(error.body)
    except (TypeError, ValueError):
        body = error.body
    content_type = error.headers.get("Content-Type") if error.headers else None
    return {"type": "ApiException", "status": error.status, "body": body, "content_type": content_type}


for line in sys.stdin:
    try:
        answer = run(json.loads(line))
    except ApiException as error:
        answer = {"error": refused(error)}
    except Exception as error:
        answer = {"error": {"type": type(error).__name__, "message": str(error)}}
    print(json.dumps(answer, default=lambda value: value.isoformat()), flush=True)
