"""CodePipeline at work: stages that run, jobs for Lambda actions, failures, retries. moto keeps definitions only.

Tests make pipelines with `create` and executions with `start`. An action of the provider Lambda gives a job, which
`next_job` hands out as the event of the function; any other succeeds, or fails as it is told. What CodePipeline would
tell EventBridge is kept in `events`, and `notification` turns such an event into what CodeStar Notifications sends.

How executions meet, by the mode of the pipeline (CodePipeline User Guide, "How pipeline executions work"):

- A stage is locked while an execution is in progress there; success and failure unlock it. Others wait in front of it,
  and also where its inbound transition is disabled.
- `SUPERSEDED`: of those that wait, the most recent goes on. `QUEUED`: all do, in their order.
- `PARALLEL`: executions are independent, so no stage is locked, and each has a state of its own in each stage.
  `GetPipelineState` documents one latest execution of a stage in every mode.
"""

import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

VARIABLES_LIMIT = 122_880  # bytes of output variables in an execution; CodePipeline User Guide, "Quotas"

FUNCTION_NAME = "gatehouse-pipeline-health-gate"


@dataclass
class Action:
    """An action of a stage. One that is no Lambda action succeeds, or fails with the message `fails`.

    The provider `Manual` is an approval, which `fails` where it is rejected or times out.
    """

    name: str
    provider: str = "CodeDeploy"
    user_parameters: str | None = None
    fails: str | None = None


def gate(user_parameters: str | None = None, name: str = "HealthGate") -> Action:
    """The Lambda action of the health gate."""
    return Action(name, "Lambda", user_parameters)


@dataclass
class Run:
    """One execution of an action."""

    id: str
    execution_id: str
    stage: str
    action: str
    started: datetime
    updated: datetime
    status: str = "InProgress"
    summary: str | None = None
    external_id: str | None = None
    percent: int | None = None
    error: dict[str, str] | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class StageExecution:
    """An execution in a stage: its status there, the actions it has yet to run, and how the entry condition ended."""

    id: str
    status: str = "InProgress"
    pending: list[Action] = field(default_factory=list)
    entry_condition: str | None = None
    entry_run: Run | None = None
    # When the entry condition ended without a run of its rule.
    entry_ended: datetime | None = None


@dataclass
class Stage:
    """A stage: the executions that entered it, the latest last, and those that wait, in the order of their arrival."""

    name: str
    actions: list[Action]
    entry_rule: Action | None = None
    disabled_reason: str | None = None
    entered: dict[str, StageExecution] = field(default_factory=dict)
    inbound: list[str] = field(default_factory=list)

    @property
    def latest(self) -> StageExecution | None:
        """The execution that entered it last."""
        return next(reversed(self.entered.values()), None)

    @property
    def status(self) -> str | None:
        """The status of the latest execution."""
        return self.latest and self.latest.status

    @property
    def entry_condition(self) -> str | None:
        """How the entry condition ended for the latest execution."""
        return self.latest and self.latest.entry_condition


@dataclass
class Pipeline:
    """A pipeline with its history: the executions by status, which of them are rollbacks, and the runs of their
    actions, oldest first."""

    name: str
    region: str
    stages: list[Stage]
    created: datetime
    mode: str = "SUPERSEDED"
    executions: dict[str, str] = field(default_factory=dict)
    started: dict[str, datetime] = field(default_factory=dict)
    rollbacks: set[str] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)

    def stage(self, name: str) -> Stage:
        """A stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def latest(self, stage: str, action: str, execution_id: str | None = None) -> Run | None:
        """The latest run of an action, of whichever execution unless one is named."""
        found = (run for run in reversed(self.runs) if (run.stage, run.action) == (stage, action))
        return next((run for run in found if execution_id in (None, run.execution_id)), None)


@dataclass
class Job:
    """What a Lambda action is asked to do. It takes one answer."""

    id: str
    pipeline: Pipeline
    run: Run
    continuation_token: str | None
    answered: bool = False


class CodePipeline:
    """The pipelines of all Regions. `page_size` caps the pages of ListActionExecutions."""

    page_size = 100

    def __init__(self, aws: Front):
        self.events: list[dict[str, Any]] = []
        self._pipelines: dict[tuple[str, str], Pipeline] = {}
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        aws.handlers |= {
            ("codepipeline", "PutJobSuccessResult"): self._put_success,
            ("codepipeline", "PutJobFailureResult"): self._put_failure,
            ("codepipeline", "GetJobDetails"): self._get_job_details,
            ("codepipeline", "GetPipelineState"): self._get_state,
            ("codepipeline", "ListActionExecutions"): self._list_runs,
            ("codepipeline", "ListPipelineExecutions"): self._list_executions,
            ("codepipeline", "RetryStageExecution"): self._retry,
            ("codepipeline", "OverrideStageCondition"): self._override,
        }

    def reset(self) -> None:
        """No pipelines, no jobs, AWS's own page size."""
        for kept in (self.events, self._pipelines, self._jobs, self._waiting):
            kept.clear()
        self.__dict__.pop("page_size", None)

    # Arranging ---------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        stages: dict[str, list[Action]],
        region: str = "us-east-1",
        entry_rules: dict[str, Action] | None = None,
        mode: str = "SUPERSEDED",
    ) -> Pipeline:
        """A pipeline of these stages, whose actions run one after the other, in an execution mode.

        An entry rule is a rule `LambdaInvoke` in an entry condition with the result FAIL.
        """
        rules = entry_rules or {}
        made = [Stage(stage, actions, entry_rule=rules.get(stage)) for stage, actions in stages.items()]
        pipeline = Pipeline(name, region, made, created=_now(), mode=mode)
        self._pipelines[region, name] = pipeline
        return pipeline

    def start(self, pipeline: Pipeline) -> str:
        """A new execution, which runs as far as it can without an answer; its id."""
        execution_id = self._begin(pipeline)
        self._enter(pipeline, pipeline.stages[0], execution_id)
        return execution_id

    def roll_back(self, pipeline: Pipeline, stage: str) -> str:
        """Rolls a failed stage back: a new execution, of type ROLLBACK, that runs this stage and no other; its id.

        Source: CodePipeline User Guide, "Configure stage rollback", which mode PARALLEL does not have.
        """
        if pipeline.mode == "PARALLEL":
            raise ValueError("a pipeline of mode PARALLEL has no rollback")
        execution_id = self._begin(pipeline)
        pipeline.rollbacks.add(execution_id)
        self._enter(pipeline, pipeline.stage(stage), execution_id)
        return execution_id

    def disable_transition(self, pipeline: Pipeline, stage: str, reason: str) -> None:
        """Freezes a stage, as a person does: `DisableStageTransition`, type Inbound."""
        pipeline.stage(stage).disabled_reason = reason

    def enable_transition(self, pipeline: Pipeline, stage: str) -> None:
        """Lets those that wait go on: `EnableStageTransition`, type Inbound."""
        pipeline.stage(stage).disabled_reason = None
        self._admit(pipeline, pipeline.stage(stage))

    def fail_entry_condition(self, pipeline: Pipeline, stage: str) -> str:
        """A new execution that fails on the stage's entry condition, so that no action runs in it; its id.

        Source: CodePipeline User Guide, "Configure conditions for a stage".
        """
        execution_id = str(uuid.uuid4())
        failed = StageExecution(execution_id, "Failed", entry_condition="Failed", entry_ended=_now())
        pipeline.stage(stage).entered[execution_id] = failed
        pipeline.started[execution_id] = _now()
        pipeline.executions[execution_id] = "Failed"
        self._emit(pipeline, execution_id, "Stage", "FAILED", stage=stage)
        self._emit(pipeline, execution_id, "Pipeline", "FAILED")
        return execution_id

    def time_out_job(self) -> None:
        """The function gives no answer to the job that waits longest, and CodePipeline fails its action."""
        run = self._waiting.popleft().run
        pipeline = next(it for it in self._pipelines.values() if run in it.runs)
        message = (
            f"The AWS Lambda function {FUNCTION_NAME} failed to return a result. Check the function to verify that it"
            " has permission to call the PutJobSuccessResult action and that it made a call to PutJobSuccessResult."
        )
        self._fail(pipeline, run, {"code": "JobFailed", "message": message})

    def next_job(self) -> dict[str, Any] | None:
        """The event of the job that waits longest, as CodePipeline invokes the function with it; None without one.

        Source: CodePipeline User Guide, "AWS Lambda invoke action reference", example JSON event.
        """
        if not self._waiting:
            return None
        job = self._waiting.popleft()
        action = _action(job.pipeline.stage(job.run.stage), job.run.action)
        configuration = _configuration(action)
        data: dict[str, Any] = {
            "actionConfiguration": {"configuration": configuration},
            "inputArtifacts": [],
            "outputArtifacts": [],
            "artifactCredentials": dict.fromkeys(("accessKeyId", "secretAccessKey", "sessionToken"), "EXAMPLE"),
        }
        if job.continuation_token is not None:
            data["continuationToken"] = job.continuation_token
        return {"CodePipeline.job": {"id": job.id, "accountId": ACCOUNT_ID, "data": data}}

    def next_rule(self) -> dict[str, Any]:
        """The event of the rule that waits longest, without a job: its UserParameters.

        Source: CodePipeline User Guide, "LambdaInvoke" in the rule reference. It says no more, so a rule may
        as well have a job, see `next_job`.
        """
        job = self._waiting.popleft()
        rule = _action(job.pipeline.stage(job.run.stage), job.run.action)
        return {"UserParameters": rule.user_parameters}

    def finish_rule(self, pipeline: Pipeline, stage: str, error: str | None) -> None:
        """The function of an entry rule has ended, with an error or without."""
        execution = pipeline.stage(stage).latest
        if error is not None:
            return self._fail(pipeline, execution.entry_run, {"code": "JobFailed", "message": error})
        self._succeed(pipeline, execution.entry_run)
        return self._advance(pipeline, pipeline.stage(stage), execution)

    def rename_job(self, job_id: str, new_id: str) -> None:
        """Gives a job the id that a sample event names."""
        job = self._jobs.pop(job_id)
        job.id = new_id
        self._jobs[new_id] = job

    def date_execution(self, pipeline: Pipeline, new_id: str, when: datetime) -> None:
        """Gives the only execution of a pipeline the id that a sample event names, and the time of all that it did."""
        [(old_id, status)] = pipeline.executions.items()
        pipeline.executions, pipeline.started = {new_id: status}, {new_id: when}
        for stage in pipeline.stages:
            if entered := stage.entered.pop(old_id, None):
                entered.id = new_id
                stage.entered[new_id] = entered
        for run in pipeline.runs:
            run.execution_id, run.started, run.updated = new_id, when, when

    # Running -------------------------------------------------------------------------------------

    def _begin(self, pipeline: Pipeline) -> str:
        execution_id = str(uuid.uuid4())
        pipeline.executions[execution_id], pipeline.started[execution_id] = "InProgress", _now()
        self._emit(pipeline, execution_id, "Pipeline", "STARTED")
        return execution_id

    def _enter(self, pipeline: Pipeline, stage: Stage, execution_id: str) -> None:
        """The execution comes to a stage, and waits in front of it where it is locked or frozen."""
        if pipeline.mode == "SUPERSEDED":
            for waiting in stage.inbound:
                pipeline.executions[waiting] = "Superseded"
                self._emit(pipeline, waiting, "Pipeline", "SUPERSEDED")
            stage.inbound.clear()
        stage.inbound.append(execution_id)
        self._admit(pipeline, stage)

    def _admit(self, pipeline: Pipeline, stage: Stage) -> None:
        """Lets in who waits, one after the other."""

        def is_locked() -> bool:
            return pipeline.mode != "PARALLEL" and stage.status == "InProgress"

        while stage.inbound and stage.disabled_reason is None and not is_locked():
            execution = StageExecution(stage.inbound.pop(0))
            stage.entered[execution.id] = execution
            self._run_stage(pipeline, stage, execution, list(stage.actions))

    def _run_stage(
        self, pipeline: Pipeline, stage: Stage, execution: StageExecution, actions: list[Action], state: str = "STARTED"
    ) -> None:
        execution.status, execution.pending = "InProgress", actions
        pipeline.executions[execution.id] = "InProgress"
        self._emit(pipeline, execution.id, "Stage", state, stage=stage.name)
        if stage.entry_rule is not None and execution.entry_condition is None:
            return self._check_entry(pipeline, stage, execution, stage.entry_rule)
        return self._advance(pipeline, stage, execution)

    def _check_entry(self, pipeline: Pipeline, stage: Stage, execution: StageExecution, rule: Action) -> None:
        now = _now()
        run = Run(str(uuid.uuid4()), execution.id, stage.name, rule.name, started=now, updated=now)
        execution.entry_condition, execution.entry_run = "InProgress", run
        self._issue_job(pipeline, run, None)

    def _advance(self, pipeline: Pipeline, stage: Stage, execution: StageExecution) -> None:
        """Runs what is pending, up to an action that needs an answer or fails; then the stages after it."""
        while execution.pending:
            action, now = execution.pending[0], _now()
            run = Run(str(uuid.uuid4()), execution.id, stage.name, action.name, started=now, updated=now)
            pipeline.runs.append(run)
            self._emit(pipeline, execution.id, "Action", "STARTED", run=run)
            if action.provider == "Lambda":
                return self._issue_job(pipeline, run, None)
            if action.fails is not None:
                return self._fail(pipeline, run, {"code": "JobFailed", "message": action.fails})
            self._succeed(pipeline, run)
        execution.status = "Succeeded"
        self._emit(pipeline, execution.id, "Stage", "SUCCEEDED", stage=stage.name)
        is_rollback = execution.id in pipeline.rollbacks
        following = [] if is_rollback else pipeline.stages[pipeline.stages.index(stage) + 1 :]
        if following:
            self._enter(pipeline, following[0], execution.id)
        else:
            pipeline.executions[execution.id] = "Succeeded"
            self._emit(pipeline, execution.id, "Pipeline", "SUCCEEDED")
        return self._admit(pipeline, stage)

    def _issue_job(self, pipeline: Pipeline, run: Run, token: str | None) -> None:
        job = Job(str(uuid.uuid4()), pipeline, run, token)
        self._jobs[job.id] = job
        self._waiting.append(job)

    def _succeed(self, pipeline: Pipeline, run: Run) -> None:
        run.status, run.updated = "Succeeded", _now()
        execution = pipeline.stage(run.stage).entered[run.execution_id]
        if run is execution.entry_run:
            execution.entry_condition = "Succeeded"
            return
        execution.pending.pop(0)
        self._emit(pipeline, run.execution_id, "Action", "SUCCEEDED", run=run)

    def _fail(self, pipeline: Pipeline, run: Run, error: dict[str, str]) -> None:
        run.status, run.error, run.updated = "Failed", error, _now()
        stage = pipeline.stage(run.stage)
        execution = stage.entered[run.execution_id]
        execution.status = pipeline.executions[execution.id] = "Failed"
        if run is execution.entry_run:
            execution.entry_condition = "Failed"
        else:
            self._emit(pipeline, run.execution_id, "Action", "FAILED", run=run)
        self._emit(pipeline, run.execution_id, "Stage", "FAILED", stage=run.stage)
        self._emit(pipeline, run.execution_id, "Pipeline", "FAILED")
        self._admit(pipeline, stage)

    def _emit(
        self,
        pipeline: Pipeline,
        execution_id: str,
        level: str,
        state: str,
        stage: str | None = None,
        run: Run | None = None,
    ) -> None:
        """Source: CodePipeline User Guide, "Monitoring CodePipeline events"."""
        now = _now()
        detail: dict[str, Any] = {
            "pipeline": pipeline.name,
            "execution-id": execution_id,
            "start-time": now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "state": state,
            "version": 1.0,
        }
        if run is not None:
            kind = _type(_action(pipeline.stage(run.stage), run.action))
            detail |= {"stage": run.stage, "action": run.action, "region": pipeline.region, "type": kind}
            if run.error:
                detail["execution-result"] = {
                    "external-execution-summary": run.error["message"],
                    "error-code": run.error["code"],
                }
        elif stage is not None:
            detail["stage"] = stage
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": f"CodePipeline {level} Execution State Change",
            "source": "aws.codepipeline",
            "account": ACCOUNT_ID,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": pipeline.region,
            "resources": [f"arn:aws:codepipeline:{pipeline.region}:{ACCOUNT_ID}:{pipeline.name}"],
            "detail": detail,
        }
        self.events.append(event)

    def notification(self, event: dict[str, Any]) -> dict[str, Any]:
        """What CodeStar Notifications makes of an event: the body of its message.

        Source: Developer Tools console User Guide, "Events for notifications on pipelines".
        """
        detail = event["detail"]
        pipeline = self._pipelines[event["region"], detail["pipeline"]]
        failed = [
            run
            for stage in pipeline.stages
            if (execution := stage.entered.get(detail["execution-id"])) and execution.status == "Failed"
            for action in stage.actions
            if (run := pipeline.latest(stage.name, action.name, execution.id)) and run.status == "Failed"
        ]
        additional: dict[str, Any] = {}
        if detail["state"] == "FAILED" and "action" in detail:
            additional = {"additionalInformation": detail["execution-result"]["external-execution-summary"]}
        elif detail["state"] == "FAILED":
            actions = [{"action": run.action, "additionalInformation": run.error["message"]} for run in failed]
            additional = {"failedActionCount": len(actions), "failedActions": actions}
            if "stage" not in detail:
                additional["failedStage"] = failed[0].stage
        region, rule = event["region"], "notificationrule/ab499f2b2838ba3d9c9b5d0646396f70EXAMPLE"
        return {
            "account": event["account"],
            "detailType": event["detail-type"],
            "region": region,
            "source": event["source"],
            "time": event["time"],
            "notificationRuleArn": f"arn:aws:codestar-notifications:{region}:{ACCOUNT_ID}:{rule}",
            "detail": detail,
            "resources": event["resources"],
            "additionalAttributes": additional,
        }

    # Answering -----------------------------------------------------------------------------------

    def _job(self, call: "Invocation") -> Job:
        """The job that a call answers, which it may do once."""
        job = self._jobs.get(call.params["jobId"])
        if job is None:
            raise AwsError("JobNotFoundException", f"No job found with ID {call.params['jobId']}")
        if job.answered or job.run.status != "InProgress":
            status = job.run.status if job.run.status != "InProgress" else "Succeeded"
            raise AwsError(
                "InvalidJobStateException", f"Job {job.id} is in state {status}, and takes no result any more"
            )
        return job

    def _get_job_details(self, call: "Invocation") -> dict[str, Any]:
        """Of a job that has its answer AWS documents nothing: here it is as strict as for an answer."""
        job = self._job(call)
        pipeline = job.pipeline
        context = {
            "pipelineName": pipeline.name,
            "stage": {"name": job.run.stage},
            "action": {"name": job.run.action, "actionExecutionId": job.run.id},
            "pipelineArn": f"arn:aws:codepipeline:{pipeline.region}:{ACCOUNT_ID}:{pipeline.name}",
            "pipelineExecutionId": job.run.execution_id,
        }
        return {"jobDetails": {"id": job.id, "accountId": ACCOUNT_ID, "data": {"pipelineContext": context}}}

    def _put_success(self, call: "Invocation") -> dict[str, Any]:
        job = self._job(call)
        run, details = job.run, call.params.get("executionDetails", {})
        variables = call.params.get("outputVariables", {})
        others = [past.variables for past in job.pipeline.runs if past.execution_id == run.execution_id]
        size = sum(len((key + value).encode()) for table in [*others, variables] for key, value in table.items())
        if size > VARIABLES_LIMIT:
            raise AwsError("OutputVariablesSizeExceededException", f"The output variables have {size} bytes.")
        job.answered, run.updated = True, _now()
        run.summary = details.get("summary")
        run.external_id = details.get("externalExecutionId")
        run.percent = details.get("percentComplete")
        if token := call.params.get("continuationToken"):
            self._issue_job(job.pipeline, run, token)
            return {}
        run.variables = variables
        self._succeed(job.pipeline, run)
        stage = job.pipeline.stage(run.stage)
        self._advance(job.pipeline, stage, stage.entered[run.execution_id])
        return {}

    def _put_failure(self, call: "Invocation") -> dict[str, Any]:
        job = self._job(call)
        details = call.params["failureDetails"]
        job.answered, job.run.external_id = True, details.get("externalExecutionId")
        self._fail(job.pipeline, job.run, {"code": details["type"], "message": details["message"]})
        return {}

    def _pipeline(self, call: "Invocation", name: str) -> Pipeline:
        try:
            return self._pipelines[call.region, name]
        except KeyError:
            raise AwsError(
                "PipelineNotFoundException",
                f"Account '{ACCOUNT_ID}' does not have a pipeline with name '{name}' in Region {call.region}",
            ) from None

    def _get_state(self, call: "Invocation") -> dict[str, Any]:
        pipeline = self._pipeline(call, call.params["name"])
        return {
            "pipelineName": pipeline.name,
            "pipelineVersion": 1,
            "stageStates": [_stage_state(pipeline, stage) for stage in pipeline.stages],
            "created": pipeline.created,
            "updated": pipeline.created,
        }

    def _list_runs(self, call: "Invocation") -> dict[str, Any]:
        pipeline = self._pipeline(call, call.params["pipelineName"])
        condition = call.params.get("filter", {})
        if "latestInPipelineExecution" in condition:
            raise AwsError("NotImplemented", "the local CodePipeline does not filter by latestInPipelineExecution", 501)
        found = list(reversed(pipeline.runs))
        if wanted := condition.get("pipelineExecutionId"):
            if wanted not in pipeline.executions:
                raise AwsError("PipelineExecutionNotFoundException", f"No execution {wanted} of '{pipeline.name}'")
            found = [run for run in found if run.execution_id == wanted]
        return self._page(call, "actionExecutionDetails", [_run_details(pipeline, run) for run in found])

    def _list_executions(self, call: "Invocation") -> dict[str, Any]:
        pipeline = self._pipeline(call, call.params["pipelineName"])
        if "filter" in call.params:
            raise AwsError("NotImplemented", "the local CodePipeline does not filter pipeline executions", 501)
        found = [
            {
                "pipelineExecutionId": execution_id,
                "status": pipeline.executions[execution_id],
                "startTime": started,
                "lastUpdateTime": max(
                    [started, *(run.updated for run in pipeline.runs if run.execution_id == execution_id)]
                ),
                "executionMode": pipeline.mode,
                "executionType": _execution_type(pipeline, execution_id),
            }
            for execution_id, started in reversed(pipeline.started.items())
        ]
        return self._page(call, "pipelineExecutionSummaries", found)

    def _page(self, call: "Invocation", member: str, found: list[dict[str, Any]]) -> dict[str, Any]:
        token = call.params.get("nextToken", "0")
        if not token.isdigit():
            raise AwsError("InvalidNextTokenException", "The next token is not one that was given out")
        start, size = int(token), min(call.params.get("maxResults", 100), self.page_size)
        page: dict[str, Any] = {member: found[start : start + size]}
        if start + size < len(found):
            page["nextToken"] = str(start + size)
        return page

    def _latest(self, call: "Invocation") -> tuple[Pipeline, Stage, StageExecution]:
        """The stage that a call names, if the execution that it names is the latest there.

        AWS does not document what that means in mode PARALLEL. Executions are independent there, so none is refused for
        another here; a test that wants the refusal asks for it (`disturb`).
        """
        pipeline = self._pipeline(call, call.params["pipelineName"])
        name, execution_id = call.params["stageName"], call.params["pipelineExecutionId"]
        stage = next((stage for stage in pipeline.stages if stage.name == name), None)
        if stage is None:
            raise AwsError("StageNotFoundException", f"Pipeline '{pipeline.name}' has no stage '{name}'")
        execution = stage.entered.get(execution_id) if pipeline.mode == "PARALLEL" else stage.latest
        if execution is None or execution.id != execution_id:
            latest = stage.latest and stage.latest.id
            raise AwsError(
                "NotLatestPipelineExecutionException",
                f"The latest execution of stage '{name}' is {latest}, not {execution_id}",
            )
        return pipeline, stage, execution

    def _retry(self, call: "Invocation") -> dict[str, Any]:
        pipeline, stage, execution = self._latest(call)
        name, execution_id = stage.name, execution.id
        if execution.status != "Failed":
            raise AwsError(
                "StageNotRetryableException",
                f"Stage '{name}' is {execution.status}: it contains no failed actions, or is retried already",
            )
        if not any(
            (run.execution_id, run.stage, run.status) == (execution_id, name, "Failed") for run in pipeline.runs
        ):
            raise AwsError("StageNotRetryableException", f"Stage '{name}' contains no failed actions")
        # A disabled transition does not stop it: CodePipeline documents no error for that.
        failed = [] if call.params["retryMode"] == "ALL_ACTIONS" else execution.pending
        self._emit(pipeline, execution_id, "Pipeline", "RESUMED")
        self._run_stage(pipeline, stage, execution, list(failed or stage.actions), "RESUMED")
        return {"pipelineExecutionId": execution_id}

    def _override(self, call: "Invocation") -> dict[str, Any]:
        """Source: CodePipeline API Reference, OverrideStageCondition."""
        pipeline, stage, execution = self._latest(call)
        if call.params["conditionType"] != "BEFORE_ENTRY" or execution.entry_condition != "Failed":
            raise AwsError(
                "ConditionNotOverridableException", f"Stage '{stage.name}' has no such condition that failed"
            )
        execution.entry_condition = "Overridden"
        self._emit(pipeline, execution.id, "Pipeline", "RESUMED")
        self._run_stage(pipeline, stage, execution, list(stage.actions), "RESUMED")
        return {}


def _now() -> datetime:
    return datetime.now(UTC)


def _action(stage: Stage, name: str) -> Action:
    rules = [stage.entry_rule] if stage.entry_rule else []
    return next(action for action in [*stage.actions, *rules] if action.name == name)


def _type(action: Action) -> dict[str, str]:
    category = {"Lambda": "Invoke", "Manual": "Approval"}.get(action.provider, "Deploy")
    return {"category": category, "owner": "AWS", "provider": action.provider, "version": "1"}


def _configuration(action: Action) -> dict[str, str]:
    if action.provider != "Lambda":
        return {}
    more = {} if action.user_parameters is None else {"UserParameters": action.user_parameters}
    return {"FunctionName": FUNCTION_NAME, **more}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, {})}


def _stage_state(pipeline: Pipeline, stage: Stage) -> dict[str, Any]:
    runs = {action.name: pipeline.latest(stage.name, action.name) for action in stage.actions}
    state: dict[str, Any] = {
        "stageName": stage.name,
        "inboundTransitionState": _present(enabled=stage.disabled_reason is None, disabledReason=stage.disabled_reason),
        "actionStates": [
            _present(actionName=name, latestExecution=_latest_execution(run) if run else None)
            for name, run in runs.items()
        ],
    }
    if stage.inbound:
        waiting = [_stage_execution(pipeline, execution_id, "InProgress") for execution_id in stage.inbound]
        state |= {"inboundExecution": waiting[0], "inboundExecutions": waiting}
    if latest := stage.latest:
        state["latestExecution"] = _stage_execution(pipeline, latest.id, latest.status)
        if latest.entry_condition is not None:
            state["beforeEntryConditionState"] = _entry_state(latest)
    return state


def _stage_execution(pipeline: Pipeline, execution_id: str, status: str) -> dict[str, str]:
    return {"pipelineExecutionId": execution_id, "status": status, "type": _execution_type(pipeline, execution_id)}


def _execution_type(pipeline: Pipeline, execution_id: str) -> str:
    return "ROLLBACK" if execution_id in pipeline.rollbacks else "STANDARD"


def _entry_state(entered: StageExecution) -> dict[str, Any]:
    state: dict[str, Any] = {"latestExecution": {"status": entered.entry_condition}}
    run = entered.entry_run
    if ended := run.updated if run else entered.entry_ended:
        state["conditionStates"] = [
            {"latestExecution": {"status": entered.entry_condition, "lastStatusChange": ended}, "ruleStates": []}
        ]
    if run:
        latest = _latest_execution(run)
        latest["ruleExecutionId"] = latest.pop("actionExecutionId")
        latest.pop("percentComplete", None)
        state["conditionStates"][0]["ruleStates"].append({"ruleName": run.action, "latestExecution": latest})
    return state


def _latest_execution(run: Run) -> dict[str, Any]:
    return _present(
        actionExecutionId=run.id,
        status=run.status,
        summary=run.summary,
        lastStatusChange=run.updated,
        externalExecutionId=run.external_id,
        percentComplete=run.percent,
        errorDetails=run.error,
    )


def _run_details(pipeline: Pipeline, run: Run) -> dict[str, Any]:
    action = _action(pipeline.stage(run.stage), run.action)
    result = _present(externalExecutionId=run.external_id, externalExecutionSummary=run.summary, errorDetails=run.error)
    return _present(
        pipelineExecutionId=run.execution_id,
        actionExecutionId=run.id,
        pipelineVersion=1,
        stageName=run.stage,
        actionName=run.action,
        startTime=run.started,
        lastUpdateTime=run.updated,
        status=run.status,
        input=_present(actionTypeId=_type(action), configuration=_configuration(action)),
        output=_present(executionResult=result, outputVariables=run.variables),
    )
