"""Stands in for Lambda's Python runtime, and is lighter than that: asks the runtime API for events, for ever."""

import http.client
import json
import os
import traceback


def serve(handler):
    """Gives each event and its request id to `handler`, and its answer, or its error, back."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", "/2018-06-01/runtime/invocation/next")
        response = connection.getresponse()
        event, request_id = json.loads(response.read()), response.headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            kind, answer = "response", handler(event, request_id)
        except Exception as error:
            traceback.print_exc()
            kind, answer = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
        connection.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/{kind}", json.dumps(answer))
        connection.getresponse().read()
