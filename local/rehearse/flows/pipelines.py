"""pipelines: the gate answers its job, and the retry goes on when the issue is over. CodePipeline is the local AWS."""

import json

from gatehouse_local.codepipeline import Action, Pipeline, gate
from rehearse.world import REGION, FlowFailed, Stack, expect

STAGE = "Production"
DELAY = 60  # seconds that the queue holds a failure back, the least that the template admits


def gate_answers(stack: Stack) -> str:
    """A deployment comes to the gate while AWS Health has no open event, and another while it has one."""
    open_issue, pipeline = None, _arrive(stack, "rehearsed")
    _job(stack)
    expect("the stage without an open event", pipeline.stage(STAGE).status, "Succeeded")
    open_issue = stack.world.aws.health.open("EC2", REGION)
    try:
        blocked = _arrive(stack, "rehearsed-blocked")
        _job(stack)
        expect("the stage with an open event", blocked.stage(STAGE).status, "Failed")
    finally:
        stack.world.aws.health.close(open_issue)
    return "the gate lets a stage pass, and stops one while AWS has an open issue"


def retries_after_the_issue(stack: Stack) -> str:
    """A stage fails at the gate; EventBridge, the queue and the retry bring it back when the issue is over."""
    issue = stack.world.aws.health.open("EC2", REGION)
    try:
        pipeline = _arrive(stack, "web")
        told = len(stack.world.aws.codepipeline.events)
        _job(stack)
        expect("the stage with an open event", pipeline.stage(STAGE).status, "Failed")
    finally:
        stack.world.aws.health.close(issue)
    entries = [
        {"Source": it["source"], "DetailType": it["detail-type"], "Detail": json.dumps(it["detail"])}
        for it in stack.world.aws.codepipeline.events[told:]
    ]
    answer = stack.world.client("events", stack.account).put_events(Entries=entries)
    expect("events that EventBridge refused", answer["FailedEntryCount"], 0)
    stack.world.wait("the retry", lambda: pipeline.stage(STAGE).status == "InProgress", DELAY + 60)
    _job(stack)
    expect("the stage after its retry", pipeline.stage(STAGE).status, "Succeeded")
    return "the gate stops a stage, and the retry brings it through when the issue is over"


def _arrive(stack: Stack, name: str) -> Pipeline:
    """A deployment that has come to the gate."""
    codepipeline = stack.world.aws.codepipeline
    pipeline = codepipeline.create(name, {STAGE: [gate(), Action("Deploy")]}, REGION)
    codepipeline.start(pipeline)
    return pipeline


def _job(stack: Stack) -> None:
    """CodePipeline invokes the function with the job that waits."""
    event = stack.world.aws.codepipeline.next_job()
    if event is None:
        raise FlowFailed("CodePipeline has no job for the gate")
    stack.world.invoke(stack.ids["PipelineHealthGateFunction"], event)
