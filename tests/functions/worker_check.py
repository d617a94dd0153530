"""Run by a Python of 3.13 or later, with Microsoft's worker library: indexes the app, invokes three of its functions.

The library takes the worker's protobuf module as a parameter; plain objects with the same fields stand in for it.
Prints JSON: the functions with their triggers, the answers, and where the engine was loaded from.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any


class Message(SimpleNamespace):
    """Any message: keeps its fields, and knows which of a choice is set."""

    def WhichOneof(self, choice: str) -> str | None:  # noqa: N802 -- protobuf's name
        return getattr(self, "chosen", {}).get(choice)


class Protos:
    """A module of messages and enums."""

    class StatusResult(Message):
        Success, Failure = 1, 0

    class BindingInfo(Message):
        inout, out, undefined = 2, 1, 0

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)

    def __getattr__(self, name: str) -> type[Message]:
        return Message


def data(kind: str, value: Any) -> Message:
    return Message(**{kind: value}, chosen={"data": kind})


def parameter(name: str, value: Message) -> Message:
    return Message(name=name, data=value, chosen={"rpc_data": "data"})


def http(method: str, headers: dict[str, str], body: bytes) -> Message:
    request = Message(
        method=method,
        url="https://app/api/hooks/github",
        headers=headers,
        body=data("bytes", body),
        params={},
        query={},
    )
    return data("http", request)


async def main(folder: str) -> None:
    import azure_functions_runtime as worker

    protos = Protos()
    sys.path.insert(0, folder)
    init = Message(capabilities={}, function_app_directory=folder)
    done = await worker.worker_init_request(
        Message(request=Message(worker_init_request=init), properties={"host": "127.0.0.1", "protos": protos})
    )
    if done.result.status != Protos.StatusResult.Success:
        raise SystemExit(f"indexing failed: {vars(done.result.exception)}")
    indexed = (await worker.functions_metadata_request(Message())).function_metadata_results
    functions = {f.name: f for f in indexed}

    async def invoke(name: str, *parameters: Message) -> Message:
        request = Message(
            invocation_id="1",
            function_id=functions[name].function_id,
            input_data=list(parameters),
            trigger_metadata={},
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = await worker.invocation_request(Message(request=Message(invocation_request=request), properties={}))
        if answer.result.status != Protos.StatusResult.Success:
            raise SystemExit(f"{name} failed: {vars(answer.result.exception)}")
        value: Message = answer.return_value
        return value

    client = json.dumps(
        {
            "taskHubName": "hub",
            "creationUrls": {},
            "managementUrls": {"id": "INSTANCEID"},
            "baseUrl": "http://127.0.0.1:1/",
            "requiredQueryStringParameters": "",
            "rpcBaseUrl": "http://127.0.0.1:1/",
        }
    )
    refused = await invoke(
        "github", parameter("req", http("POST", {}, b"{}")), parameter("client", data("string", client))
    )
    planned = await invoke("plan", parameter("message", data("json", json.dumps(PLAN))))
    stepped = await invoke("sync", parameter("context", data("string", json.dumps(STEP))))
    import fluxless

    print(
        json.dumps(
            {
                "from": fluxless.__file__,
                "functions": {
                    name: sorted(json.loads(raw)["type"] for raw in f.raw_bindings) for name, f in functions.items()
                },
                "github": refused.http.status_code,
                "plan": json.loads(planned.json),
                "sync": json.loads(stepped.json if hasattr(stepped, "json") else stepped.string),
            }
        )
    )


PLAN = {"cluster": "nope", "inFlight": [], "finished": {}, "draining": False}
NOW = "2026-01-01T00:00:00.000000Z"
STEP = {
    "history": [
        {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": NOW},
        {
            "EventType": 0,
            "EventId": -1,
            "IsPlayed": False,
            "Timestamp": NOW,
            "Name": "sync",
            "Input": '{"cluster": "dev"}',
            "Version": "",
        },
    ],
    "input": {"cluster": "dev"},
    "instanceId": "sync-dev",
    "isReplaying": False,
    "parentInstanceId": None,
    "upperSchemaVersion": 1,
    "upperSchemaVersionNew": 2,
    "longRunningTimerIntervalDuration": "3.00:00:00",
    "maximumShortTimerDuration": "6.00:00:00",
    "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
}

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
