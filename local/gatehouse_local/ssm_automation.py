"""Systems Manager Automation: executions that wait for approvals and then invoke a Lambda function. moto has none.

It runs runbooks of two kinds of steps: `aws:approve` and `aws:invokeLambdaFunction`. A test makes a runbook with
`create`, says with `assume` who a caller is, and plays Lambda with `lambda_function`. What Automation would tell
EventBridge is kept in `events`.

What AWS documents:

- A second start with the same ClientToken and the same parameters starts nothing and answers the first id; with other
  parameters it is `IdempotentParameterMismatch`. Tokens are compared without case.
- A caller whose rights are bound to a tag (`bind`) gets `AccessDeniedException` for an execution without it.
- A parameter has at most 50 values of 1 to 512 characters (the service's model has these limits); an execution starts
  with at most 5 tags.
- `aws:approve` waits until as many approvers as `MinRequiredApprovals` approved, or one rejected, or `timeoutSeconds`
  passed; then the step and the execution are `TimedOut`. Only approvers may signal.
- A signal to an execution that waits for none is `InvalidAutomationSignalException`.
- `StopAutomationExecution` cancels an execution that has not ended; one that has is
  `InvalidAutomationStatusUpdateException`.

What AWS does not document, and what is done here. No promise of Gatehouse depends on it:

- A second start with the same ClientToken and another document is `IdempotentParameterMismatch` too.
- A list inside a longer text (`Images: {{ images }}`) is refused: AWS's documents have none.
- A rejected step has the status `Rejected`, and so has its execution.
- `FunctionError` of the invoked function fails the step, and with it the execution.
- A second signal of the same approver is refused with `InvalidAutomationSignalException`.
- A signal of a caller who is no approver is refused with `AccessDeniedException`.
- `ApproverDecisions` has one JSON object for each decision, with the ARN of the caller. For a role this is the ARN of
  its session.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

TAGS, APPROVERS = 5, 10
APPROVE, INVOKE = "aws:approve", "aws:invokeLambdaFunction"
SIGNALS = {"Approve": "Approved", "Reject": "Rejected"}

# Gives a function its event; the answer, and whether the function failed.
Invoke = Callable[[dict[str, Any]], tuple[Any, bool]]
Parameters = dict[str, list[str]]


@dataclass
class Step:
    """A step of a runbook in one execution. `decisions` maps an approver to its signal and comment."""

    name: str
    action: str
    timeout: int
    inputs: dict[str, Any]
    status: str = "Pending"
    started: datetime | None = None
    ended: datetime | None = None
    failure: str = ""
    decisions: dict[str, tuple[str, str, str]] = field(default_factory=dict)


@dataclass
class Execution:
    """One run of a runbook."""

    id: str
    document: str
    region: str
    parameters: Parameters
    tags: dict[str, str]
    started: datetime
    executed_by: str
    steps: list[Step]
    status: str = "InProgress"
    ended: datetime | None = None

    @property
    def current(self) -> Step | None:
        """The step that it is in; None once it ended."""
        return next((step for step in self.steps if step.status in ("Pending", "InProgress", "Waiting")), None)


class SsmAutomation:
    """Runbooks and executions of all Regions.

    Its time is `now`, which `pass_time` moves on.
    """

    def __init__(self, aws: Front):
        self._aws = aws
        self.events: list[dict[str, Any]] = []
        self.executions: dict[str, Execution] = {}
        self._documents: dict[tuple[str, str], dict[str, Any]] = {}
        self._also_called: dict[tuple[str, str], str] = {}
        self._functions: dict[str, Invoke] = {}
        self._callers: dict[str, str] = {}
        self._bound: dict[str, tuple[str, str]] = {}
        self._tokens: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._passed = timedelta()
        aws.handlers |= {
            ("ssm", "StartAutomationExecution"): self._start,
            ("ssm", "GetAutomationExecution"): self._get,
            ("ssm", "SendAutomationSignal"): self._signal,
            ("ssm", "StopAutomationExecution"): self._stop,
            ("ssm", "ListTagsForResource"): self._tags,
        }

    def reset(self) -> None:
        """No runbooks, no executions, and the time of this machine."""
        self.wait()
        for kept in (
            self.events, self.executions, self._documents, self._also_called, self._functions, self._callers,
            self._bound, self._tokens, self._threads,
        ):  # fmt: skip
            kept.clear()
        self._passed = timedelta()

    # Arranging ---------------------------------------------------------------------------------

    def create(self, name: str, content: dict[str, Any], region: str = "us-east-1") -> None:
        """A runbook with the content of an AWS::SSM::Document."""
        for step in content["mainSteps"]:
            if step["action"] not in (APPROVE, INVOKE):
                raise ValueError(f"{step['action']} is not played here")
            if step["action"] == APPROVE:
                approvers, needed = step["inputs"]["Approvers"], int(step["inputs"].get("MinRequiredApprovals", 1))
                if not needed <= len(approvers) <= APPROVERS:
                    raise ValueError(f"{needed} approvals of {len(approvers)} approvers: at most {APPROVERS} may be")
        lists = [key for key, spec in content.get("parameters", {}).items() if spec["type"] == "StringList"]
        for text in _texts([step["inputs"] for step in content["mainSteps"]]):
            for key in lists:
                reference = r"\{\{\s*" + key + r"\s*\}\}"
                if re.search(reference, text) and not re.fullmatch(reference, text):
                    raise ValueError(f"the list {key} is inside a longer text: {text}")
        self._documents[region, name] = content

    def also_call(self, called: str, name: str, region: str = "us-east-1") -> None:
        """Lets the runbook `name` be started as `called`. Its executions have its own name."""
        self._also_called[region, called] = name

    def lambda_function(self, name: str, invoke: Invoke) -> None:
        """What `aws:invokeLambdaFunction` calls by that name."""
        self._functions[name] = invoke

    def assume(self, access_key: str, role_arn: str) -> None:
        """Who calls with this access key."""
        self._callers[access_key] = role_arn

    def bind(self, access_key: str, tag: str, value: str) -> None:
        """Who calls with this access key may read and signal executions with this tag alone."""
        self._bound[access_key] = (tag, value)

    def rename(self, execution_id: str, new_id: str) -> None:
        """Gives an execution the id that a sample event names."""
        execution = self.executions.pop(execution_id)
        execution.id = new_id
        self.executions[new_id] = execution
        self._tokens = {token: new_id if it == execution_id else it for token, it in self._tokens.items()}

    def pass_time(self, seconds: float) -> None:
        """Moves the clock of Automation on; approvals that are over time are ended."""
        self._passed += timedelta(seconds=seconds)
        self._expire()

    def wait(self, seconds: float = 60) -> None:
        """Waits for the notifications and the functions that are under way."""
        while self._threads:
            thread = self._threads[0]
            thread.join(timeout=seconds)
            if thread.is_alive():
                raise TimeoutError(f"{thread.name} has not ended within {seconds} s")
            self._threads.remove(thread)

    @property
    def now(self) -> datetime:
        """The time of Automation."""
        return datetime.now(UTC) + self._passed

    # Calls -------------------------------------------------------------------------------------

    def _start(self, call: Invocation) -> dict[str, Any]:
        name = call.params["DocumentName"]
        name = self._also_called.get((call.region, name), name)
        content = self._documents.get((call.region, name.rpartition("/")[2]))
        if content is None:
            raise AwsError("AutomationDefinitionNotFoundException", f"No runbook {name} in {call.region}")
        parameters = self._parameters(content, call.params.get("Parameters", {}))
        if len(call.params.get("Tags", [])) > TAGS:
            raise AwsError("ValidationException", f"An execution starts with at most {TAGS} tags")
        token = call.params.get("ClientToken", str(uuid.uuid4())).lower()
        if known := self._tokens.get(token):
            first = self.executions[known]
            if (first.document, first.parameters) != (name.rpartition("/")[2], parameters):
                raise AwsError("IdempotentParameterMismatch", "The ClientToken was used with other parameters")
            return {"AutomationExecutionId": known}
        execution = Execution(
            id=str(uuid.uuid4()),
            document=name.rpartition("/")[2],
            region=call.region,
            parameters=parameters,
            tags={tag["Key"]: tag["Value"] for tag in call.params.get("Tags", [])},
            started=self.now,
            executed_by=self._caller(call),
            steps=[
                Step(it["name"], it["action"], int(it.get("timeoutSeconds", 604_800)), it["inputs"])
                for it in content["mainSteps"]
            ],
        )
        self._tokens[token] = execution.id
        self.executions[execution.id] = execution
        self._advance(execution)
        return {"AutomationExecutionId": execution.id}

    def _parameters(self, content: dict[str, Any], given: Parameters) -> Parameters:
        declared = content.get("parameters", {})
        wrong = sorted(given.keys() - declared.keys())
        wrong += sorted(name for name, spec in declared.items() if name not in given and "default" not in spec)
        wrong += sorted(
            name for name, spec in declared.items() if spec["type"] == "String" and len(given.get(name, [""])) != 1
        )
        if wrong:
            raise AwsError("InvalidAutomationExecutionParametersException", f"Parameters {', '.join(wrong)}")
        defaults = {name: [str(spec["default"])] for name, spec in declared.items() if "default" in spec}
        return defaults | given

    def _get(self, call: Invocation) -> dict[str, Any]:
        self._expire()
        execution, current = (found := self._execution(call)), found.current
        answer = {
            "AutomationExecutionId": execution.id,
            "DocumentName": execution.document,
            "DocumentVersion": "1",
            "ExecutionStartTime": execution.started,
            "AutomationExecutionStatus": execution.status,
            "StepExecutions": [_described(step) for step in execution.steps],
            "StepExecutionsTruncated": False,
            "Parameters": execution.parameters,
            "Mode": "Auto",
            "ExecutedBy": execution.executed_by,
        }
        if current:
            answer |= {"CurrentStepName": current.name, "CurrentAction": current.action}
        if execution.ended:
            answer["ExecutionEndTime"] = execution.ended
        return {"AutomationExecution": answer}

    def _signal(self, call: Invocation) -> dict[str, Any]:
        self._expire()
        execution, signal = self._execution(call), call.params["SignalType"]
        step, caller = execution.current, self._caller(call)
        if step is None or step.status != "Waiting" or signal not in SIGNALS:
            raise AwsError("InvalidAutomationSignalException", f"The execution {execution.id} waits for no {signal}")
        approver = _approver(step, caller)
        if approver is None:
            raise AwsError("AccessDeniedException", f"{caller} is not an approver of {execution.id}")
        if approver in step.decisions:
            raise AwsError("InvalidAutomationSignalException", f"{approver} has already sent a decision")
        comment = ", ".join(call.params.get("Payload", {}).get("Comment", []))
        step.decisions[approver] = (signal, comment, _session(caller))
        given = [it for it, _, _ in step.decisions.values()]
        if signal == "Reject":
            self._end(execution, step, "Rejected", "The step was rejected")
        elif len(given) >= int(step.inputs.get("MinRequiredApprovals", 1)):
            step.status, step.ended = "Success", self.now
            self._advance(execution)
        return {}

    def _stop(self, call: Invocation) -> dict[str, Any]:
        self._expire()
        execution = self._execution(call)
        step = execution.current
        if step is None:
            raise AwsError("InvalidAutomationStatusUpdateException", f"The execution {execution.id} has ended")
        if call.params.get("Type", "Cancel") != "Cancel" or step.status != "Waiting":
            raise NotImplementedError("only an execution that waits is cancelled here")
        self._end(execution, step, "Cancelled", "The execution was cancelled")
        return {}

    def _execution(self, call: Invocation) -> Execution:
        found = self.executions.get(call.params["AutomationExecutionId"])
        if found is None or found.region != call.region:
            raise AwsError(
                "AutomationExecutionNotFoundException", f"No execution {call.params['AutomationExecutionId']}"
            )
        self._allow(call, found)
        return found

    def _allow(self, call: Invocation, execution: Execution) -> None:
        tag, value = self._bound.get(call.access_key, (None, None))
        if tag and execution.tags.get(tag) != value:
            raise AwsError("AccessDeniedException", f"{self._caller(call)} is not authorized to perform: {call.name}")

    def _tags(self, call: Invocation) -> dict[str, Any]:
        execution = self.executions.get(call.params["ResourceId"])
        if call.params["ResourceType"] != "Automation" or execution is None:
            raise AwsError("InvalidResourceId", f"{call.params['ResourceId']} is not a valid resource")
        self._allow(call, execution)
        return {"TagList": [{"Key": key, "Value": value} for key, value in execution.tags.items()]}

    def _caller(self, call: Invocation) -> str:
        return self._callers.get(call.access_key, f"arn:aws:iam::{ACCOUNT_ID}:user/{call.access_key}")

    # Running -----------------------------------------------------------------------------------

    def _advance(self, execution: Execution) -> None:
        """Goes on to the next step."""
        step = execution.current
        if step is None:
            execution.status, execution.ended = "Success", self.now
            self._emit(execution)
            return
        step.started = self.now
        if step.action == APPROVE:
            step.status = execution.status = "Waiting"
            self._beside(self._ask, execution, step)
        else:
            step.status = execution.status = "InProgress"
            self._beside(self._invoke, execution, step)

    def _beside(self, act: Callable[[Execution, Step], None], execution: Execution, step: Step) -> None:
        """Acts outside the call that is being answered: it calls the local AWS, which answers one call at a time."""
        thread = threading.Thread(target=act, args=(execution, step), name=f"automation {step.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _ask(self, execution: Execution, step: Step) -> None:
        """Source: the emails that `aws:approve` sends have this subject; the rest of their text differs by locale."""
        if topic := step.inputs.get("NotificationArn"):
            message = _rendered(step.inputs.get("Message", ""), execution)
            console = f"https://{execution.region}.console.aws.amazon.com/systems-manager/automation/execution/"
            self._aws.client("sns", execution.region).publish(
                TopicArn=topic,
                Subject=f"Approval required: {execution.id}"[:100],
                Message=f"{message[:4096]}\n\nTo approve or reject, open {console}{execution.id}\n",
            )

    def _invoke(self, execution: Execution, step: Step) -> None:
        payload = _rendered(step.inputs["InputPayload"], execution)
        try:
            answer, failed = self._functions[step.inputs["FunctionName"]](payload)
        except Exception as error:  # the function died: for Automation this is a failure as any other
            answer, failed = {"errorMessage": str(error)}, True
        if failed:
            return self._end(execution, step, "Failed", json.dumps(answer))
        step.status, step.ended = "Success", self.now
        return self._advance(execution)

    def _expire(self) -> None:
        for execution in self.executions.values():
            step = execution.current
            if step and step.status == "Waiting" and self.now > step.started + timedelta(seconds=step.timeout):
                self._end(execution, step, "TimedOut", "The step timed out")

    def _end(self, execution: Execution, step: Step, status: str, failure: str) -> None:
        step.status, step.ended, step.failure = status, self.now, failure
        for later in execution.steps:
            if later.status == "Pending":
                later.status = "Cancelled"
        execution.status, execution.ended = status, self.now
        self._emit(execution)

    def _emit(self, execution: Execution) -> None:
        """Source: Systems Manager User Guide, "Amazon EventBridge event examples for Systems Manager"."""
        arn = f"arn:aws:ssm:{execution.region}:{ACCOUNT_ID}"
        self.events.append(
            {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "EC2 Automation Execution Status-change Notification",
                "source": "aws.ssm",
                "account": ACCOUNT_ID,
                "time": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "region": execution.region,
                "resources": [
                    f"{arn}:automation-execution/{execution.id}",
                    f"{arn}:automation-definition/{execution.document}:1",
                ],
                "detail": {
                    "ExecutionId": execution.id,
                    "Definition": execution.document,
                    "DefinitionVersion": 1.0,
                    "Status": execution.status,
                    "StartTime": execution.started.strftime("%b %d, %Y %I:%M:%S %p"),
                    "EndTime": execution.ended.strftime("%b %d, %Y %I:%M:%S %p"),
                    "Time": (execution.ended - execution.started).total_seconds() * 1000,
                    "ExecutedBy": execution.executed_by,
                },
            }
        )


def _texts(value: Any) -> list[str]:
    """Every text within a value."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in _texts(item)]


def _approver(step: Step, caller: str) -> str | None:
    """The approver that the caller is."""
    return caller if caller in step.inputs["Approvers"] else None


def _session(caller: str) -> str:
    """The ARN of the session of a role; any other caller as it is."""
    role = re.fullmatch(r"arn:aws:iam::(\d+):role/(?:.*/)?([^/]+)", caller)
    return f"arn:aws:sts::{role[1]}:assumed-role/{role[2]}/gatehouse-local" if role else caller


def _rendered(value: Any, execution: Execution) -> Any:
    """The value with `{{ name }}` replaced: a whole text by the parameter itself, within a text by its values."""
    if isinstance(value, dict):
        return {key: _rendered(item, execution) for key, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, execution) for item in value]
    if not isinstance(value, str):
        return value

    def parameter(name: str) -> Any:
        if name == "automation:EXECUTION_ID":
            return execution.id
        values = execution.parameters[name]
        return values if name in ("images", "receivers") else values[0]

    if whole := re.fullmatch(r"\{\{\s*([\w:]+)\s*\}\}", value):
        return parameter(whole[1])

    def within(found: re.Match[str]) -> str:
        values = parameter(found[1])
        return ", ".join(values) if isinstance(values, list) else values

    return re.sub(r"\{\{\s*([\w:]+)\s*\}\}", within, value)


def _described(step: Step) -> dict[str, Any]:
    """As GetAutomationExecution has it."""
    described: dict[str, Any] = {
        "StepName": step.name,
        "Action": step.action,
        "TimeoutSeconds": step.timeout,
        "OnFailure": "Abort",
        "StepStatus": step.status,
        "StepExecutionId": str(uuid.uuid5(uuid.NAMESPACE_OID, step.name)),
        # Inputs are texts; what is no text is written as JSON.
        "Inputs": {key: it if isinstance(it, str) else json.dumps(it) for key, it in step.inputs.items()},
    }
    if step.started:
        described["ExecutionStartTime"] = step.started
    if step.ended:
        described["ExecutionEndTime"] = step.ended
    if step.failure:
        described["FailureMessage"] = step.failure
    if step.action == APPROVE and step.started:
        status = {"Success": "Approved"}.get(step.status, step.status)
        decisions = [
            {"approver": session, "decision": SIGNALS[signal], "comment": comment}
            for signal, comment, session in step.decisions.values()
        ]
        described["Outputs"] = {"ApprovalStatus": [status]}
        if decisions:
            described["Outputs"]["ApproverDecisions"] = [json.dumps(it) for it in decisions]
    return described
