"""AWS calls as HTTP: reads the operation and its parameters from a request, and writes the answer.

This module uses only a service's botocore model: it parses requests and checks them against the operation's input
shape, and checks answers against its output shape before it writes them.
Protocols: `ec2` and `query` (form in, XML out), `json` (X-Amz-Target), `smithy-rpc-v2-cbor`, and of `rest-json` the
calls whose parameters are all in the query.
"""

import functools
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import botocore.parsers
import botocore.serialize
import botocore.session
import botocore.validate
from botocore.model import OperationModel, ServiceModel, Shape
from moto.core.errors import COMMON_ERROR_CODES
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from gatehouse_local import models

# How each protocol words what may happen to any call: code and HTTP status.
THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "query": ("Throttling", 400),
    "json": ("ThrottlingException", 400),
    "rest-json": ("CallRateLimitExceededException", 429),
    "smithy-rpc-v2-cbor": ("ThrottlingException", 400),
}
FAILED = {protocol: ("InternalError" if protocol == "ec2" else "InternalFailure", 500) for protocol in THROTTLED}

CBOR_PATH = re.compile(r"^/service/[^/]+/operation/(\w+)$")
CREDENTIAL_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")


class AwsError(Exception):
    """An error of AWS: code, message and HTTP status. The default status is that of the model, or 400."""

    def __init__(self, code: str, message: str, status: int | None = None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass
class Request:
    """An HTTP request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    query: str = ""


@dataclass
class Response:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Operation:
    """The operation of a request. `params` has the form that a botocore client takes."""

    service: str
    name: str
    region: str
    protocol: str
    model: OperationModel
    access_key: str
    params: dict[str, Any] = field(default_factory=dict)


@functools.cache
def service_model(service: str) -> ServiceModel:
    """The botocore model of a service, parsed once."""
    return get_service_model(service)


def identify(request: Request) -> Operation | None:
    """The operation of `request` with its parameters; None if it is not a known AWS call.

    The service and the Region come from the signature's credential scope, the operation from `Action`,
    `X-Amz-Target` or the path, whichever the protocol uses. Where services share a signing name, it is the one that
    has the operation and, if the request names an API version, that version.
    """
    scope = CREDENTIAL_SCOPE.search(request.headers.get("authorization", ""))
    if not scope:
        return None
    access_key, region, signing_name = scope.groups()

    if (found := _of_path(request, signing_name)) is not None:
        service, model = found
        params = dict(parse_qsl(request.query))
        return Operation(service, model.name, region, "rest-json", model, access_key, params)
    version = None
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        path = CBOR_PATH.match(request.path)
        protocol, name = "smithy-rpc-v2-cbor", path.group(1) if path else ""
    elif "x-amz-target" in request.headers:
        protocol, name = "json", request.headers["x-amz-target"].rpartition(".")[2]
    else:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        protocol, name, version = "query", form.get("Action", ""), form.get("Version")

    for service in models.signed_as(signing_name):
        if version in (None, service.api_version) and name in service_model(service.name).operation_names:
            break
    else:
        return None
    model = service_model(service.name)
    if protocol == "query" and model.metadata["protocol"] == "ec2":
        protocol = "ec2"
    operation = Operation(service.name, name, region, protocol, model.operation_model(name), access_key)
    operation.params = _parse(operation, request.body)
    return operation


def _of_path(request: Request, signing_name: str) -> tuple[str, OperationModel] | None:
    """The service and the operation of a GET request of the protocol rest-json."""
    for service in models.signed_as(signing_name):
        model = service_model(service.name)
        if model.metadata["protocol"] == "rest-json" and request.method == "GET":
            for name in model.operation_names:
                operation = model.operation_model(name)
                if (operation.http["method"], operation.http["requestUri"]) == ("GET", request.path):
                    return service.name, operation
    return None


def _parse(operation: Operation, body: bytes) -> dict[str, Any]:
    if operation.protocol == "smithy-rpc-v2-cbor":
        parser = botocore.parsers.RpcV2CBORParser()
        return parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)) if body else {}
    parser = PROTOCOL_PARSERS[operation.protocol](operation.model)
    if operation.protocol == "json":
        return parser.parse({"body": body.decode() or "{}", "headers": {}})
    values = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return parser.parse({"values": values, "headers": {}})


def check_request(operation: Operation) -> None:
    """Raises AwsError for parameters that the service's model does not allow, as the service itself would.

    botocore checks names, types, required fields and lower limits; AWS also enforces upper limits, patterns
    and lists of allowed values, so these are checked too.
    """
    shape = operation.model.input_shape
    if shape is None:
        return
    faults = _faults(operation.params, shape)
    if faults:
        code = "InvalidParameterValue" if operation.protocol in ("ec2", "query") else "ValidationException"
        raise AwsError(code, f"{operation.name}: " + "; ".join(faults))


def _faults(params: dict[str, Any], shape: Shape) -> list[str]:
    report = botocore.validate.ParamValidator().validate(params, shape)
    faults = report.generate_report().splitlines() if report.has_errors() else []
    return faults + list(_beyond_limits(params, shape, ""))


def _beyond_limits(value: Any, shape: Shape, name: str):
    limit = shape.metadata.get("max")
    size = len(value) if isinstance(value, str | list | dict) else value
    if limit is not None and isinstance(size, int | float) and size > limit:
        yield f"{name}: {size} is more than the {limit} that are allowed"
    if isinstance(value, dict) and shape.type_name == "structure":
        for key, member in value.items():
            if key in shape.members:
                yield from _beyond_limits(member, shape.members[key], f"{name}.{key}".lstrip("."))
    elif isinstance(value, dict) and shape.type_name == "map":
        for key, member in value.items():
            yield from _beyond_limits(key, shape.key, f"{name} (key)")
            yield from _beyond_limits(member, shape.value, f"{name}.{key}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _beyond_limits(member, shape.member, f"{name}[{index}]")
    elif isinstance(value, str):
        pattern, allowed = shape.metadata.get("pattern"), shape.metadata.get("enum")
        if pattern and not re.fullmatch(_for_python(pattern), value):
            yield f"{name}: {value!r} does not match {pattern}"
        if allowed and value not in allowed:
            yield f"{name}: {value!r} is none of {', '.join(allowed)}"


def _for_python(pattern: str) -> str:
    r"""A pattern of a model for Python, which has no `\p{L}`, `\p{N}`, `\p{Z}`: by the nearest class, a wider one."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", r"\s")


def answer(operation: Operation, result: dict[str, Any]) -> Response:
    """Writes `result` as the service would, after a check against the operation's output shape.

    Raises ValueError if the answer of a handler does not fit the model: that is a fault of the local AWS, and no
    client may depend on it.
    """
    result = {key: value for key, value in result.items() if key != "ResponseMetadata"}
    shape = operation.model.output_shape
    if shape is not None:
        faults = _faults(result, shape)
        if faults:
            raise ValueError(f"the answer to {operation.name} does not fit its model: {'; '.join(faults)}")
    if operation.protocol == "smithy-rpc-v2-cbor":
        return _cbor(200, _cbor_body(result, shape))
    return _written(operation, result)


def throttled(operation: Operation) -> AwsError:
    """Too many requests, as the service would say it."""
    code, status = THROTTLED[operation.protocol]
    return AwsError(code, "Rate exceeded", status)


def failed(operation: Operation) -> AwsError:
    """A fault of the service itself."""
    code, status = FAILED[operation.protocol]
    return AwsError(code, "An internal error has occurred", status)


def refuse(operation: Operation, error: AwsError) -> Response:
    """Writes an error as the service would."""
    if operation.protocol == "smithy-rpc-v2-cbor":
        shape = operation.model.service_model.shape_for_error_code(error.code)
        body = {"__type": error.code, "message": error.message}
        known = shape is not None and shape.metadata.get("error", {}).get("httpStatusCode")
        return _cbor(error.status or known or 400, _cbor_text_map(body))
    if error.code not in COMMON_ERROR_CODES:
        # moto warns of a code that the service's model does not list, as of a slip. Here it is meant: the models list
        # no errors that every service may give.
        COMMON_ERROR_CODES.append(error.code)
    response = _written(operation, error)
    if error.status:
        response.status = error.status
    return response


def _written(operation: Operation, result: Any) -> Response:
    serializer = get_serializer_class(operation.service, operation.protocol)(operation.model)
    written = serializer.serialize(result)
    body = written["body"]
    headers = {name: str(value) for name, value in written["headers"].items()}
    return Response(written["status_code"], headers, body if isinstance(body, bytes) else body.encode())


def _cbor(status: int, body: bytes) -> Response:
    return Response(status, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, body)


def _cbor_body(result: dict[str, Any], shape: Shape | None) -> bytes:
    if shape is None:
        return b"\xa0"
    return botocore.serialize.RpcV2CBORSerializer()._serialize_body_params(result, shape)


def _cbor_text_map(members: dict[str, str]) -> bytes:
    # No shape has the member `__type` of an error body, so the body is written as a plain map of strings.
    serializer = botocore.serialize.RpcV2CBORSerializer()
    body = bytearray([0xA0 + len(members)])
    for key, value in members.items():
        serializer._serialize_type_string(body, key, None, None)
        serializer._serialize_type_string(body, value, None, None)
    return bytes(body)


def read_answer(operation: Operation, response: Response) -> dict[str, Any]:
    """The result that a botocore client reads from `response`; raises AwsError if it is an error."""
    parser = botocore.parsers.create_parser(operation.protocol)
    parsed = parser.parse(
        {"status_code": response.status, "headers": response.headers, "body": response.body},
        operation.model.output_shape,
    )
    if response.status >= 300:
        error = parsed.get("Error", {})
        raise AwsError(error.get("Code", "Unknown"), error.get("Message", ""), response.status)
    return parsed
