"""The health gate in CDK: a step of CDK Pipelines, and an action of aws-codepipeline. Copy this file into your app."""

import json

import jsii
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import pipelines


def health_gate_action(
    function: lambda_.IFunction,
    *,
    name: str = "HealthGate",
    run_order: int = 1,
    regions: list[str],
    wait_minutes: int = 0,
) -> actions.LambdaInvokeAction:
    """The gate as an action of aws-codepipeline. CDK gives the pipeline the right to invoke the function."""
    return actions.LambdaInvokeAction(
        action_name=name,
        run_order=run_order,
        lambda_=function,
        user_parameters_string=json.dumps(
            {"regions": regions, "wait_minutes": wait_minutes, "label": "#{codepipeline.PipelineExecutionId}"}
        ),
    )


@jsii.implements(pipelines.ICodePipelineActionFactory)
class HealthGateStep(pipelines.Step):
    """The gate as a step of CDK Pipelines, to be given to `pre` of a stage."""

    def __init__(self, name: str, function: lambda_.IFunction, *, regions: list[str], wait_minutes: int = 0):
        super().__init__(name)
        self._function, self._regions, self._wait_minutes = function, regions, wait_minutes

    @jsii.member(jsii_name="produceAction")
    def produce_action(
        self, stage: codepipeline.IStage, *, action_name: str, run_order: float
    ) -> pipelines.CodePipelineActionFactoryResult:
        """Adds the action where CDK Pipelines has room for it."""
        action = health_gate_action(
            self._function,
            name=action_name,
            run_order=int(run_order),
            regions=self._regions,
            wait_minutes=self._wait_minutes,
        )
        stage.add_action(action)
        return pipelines.CodePipelineActionFactoryResult(run_orders_consumed=1)
