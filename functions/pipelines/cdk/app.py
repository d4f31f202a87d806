#!/usr/bin/env python3
"""Two pipelines with the health gate of Gatehouse: one of CDK Pipelines, one of aws-codepipeline.

`cdk deploy CdkPipeline` or `cdk deploy Pipeline`, after cdk.json names the gate, the topic and the source.
"""

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import pipelines
from constructs import Construct
from endpoint import TESTS, Endpoint, EndpointStage
from gatehouse_gate import HealthGateStep, health_gate_action

SYNTH = ["npm install --global aws-cdk", "pip install -r requirements.txt", "cdk synth"]


class Settings:
    """What cdk.json says."""

    def __init__(self, scope: Construct):
        def get(name: str) -> str:
            return scope.node.get_context(f"gatehouse:{name}")

        self.gate = lambda_.Function.from_function_name(scope, "HealthGate", get("health-gate-function-name"))
        self.topic = sns.Topic.from_topic_arn(scope, "Notifications", get("notification-topic-arn"))
        self.connection = get("connection-arn")
        self.owner, self.repository = get("repository").split("/")
        self.branch = get("branch")
        self.regions = get("regions").split(",")


def notify(scope: Construct, pipeline: codepipeline.IPipeline, topic: sns.ITopic) -> None:
    """Mails of what happens in a pipeline, by EventBridge.

    Rules of CodeStar Notifications do not exist in every Region, and the first one of an account fails. An approval is
    announced here too: `ManualApprovalStep` takes no topic.
    """
    states = ["STARTED", "SUCCEEDED", "RESUMED", "FAILED", "STOPPED"]
    field = events.EventField.from_path
    rule = pipeline.on_event("StateChanged", description="Starts, ends and failures of the pipeline.")
    rule.add_event_pattern(detail_type=["CodePipeline Pipeline Execution State Change"], detail={"state": states})
    text = (
        f"Pipeline {field('$.detail.pipeline')}: {field('$.detail.state')}, execution {field('$.detail.execution-id')}"
    )
    rule.add_target(targets.SnsTopic(topic, message=events.RuleTargetInput.from_text(text)))

    rule = pipeline.on_event("ApprovalChanged", description="Approvals that are needed, given and refused.")
    rule.add_event_pattern(
        detail_type=["CodePipeline Action Execution State Change"],
        detail={"type": {"category": ["Approval"]}, "state": ["STARTED", "SUCCEEDED", "FAILED"]},
    )
    text = f"Approval {field('$.detail.action')} of pipeline {field('$.detail.pipeline')}: {field('$.detail.state')}"
    rule.add_target(targets.SnsTopic(topic, message=events.RuleTargetInput.from_text(text)))


class CdkPipeline(cdk.Stack):
    """CDK Pipelines: the gate is a step before production, and again after the approval."""

    def __init__(self, scope: Construct, name: str, **options):
        super().__init__(scope, name, **options)
        settings = Settings(self)
        source = pipelines.CodePipelineSource.connection(
            f"{settings.owner}/{settings.repository}", settings.branch, connection_arn=settings.connection
        )
        pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            pipeline_type=codepipeline.PipelineType.V2,
            synth=pipelines.ShellStep("Synth", input=source, commands=SYNTH),
        )

        def tests(stage: EndpointStage) -> list[pipelines.Step]:
            return [
                pipelines.ShellStep(name, commands=commands, env_from_cfn_outputs={"URL": stage.url})
                for name, commands in TESTS.items()
            ]

        before = EndpointStage(self, "PreProduction")
        pipeline.add_stage(before, post=tests(before))

        def gate(name: str) -> HealthGateStep:
            return HealthGateStep(name, settings.gate, regions=settings.regions, wait_minutes=30)

        production = EndpointStage(self, "Production")
        # Nobody is asked to approve what AWS could not run; and an approval may be given a day later.
        steps = [gate("HealthGate"), pipelines.ManualApprovalStep("Approve"), gate("HealthGateAgain")]
        pipeline.add_stage(production, pre=pipelines.Step.sequence(steps), post=tests(production))

        pipeline.build_pipeline()
        notify(self, pipeline.pipeline, settings.topic)


class Pipeline(cdk.Stack):
    """aws-codepipeline: the gate is an action."""

    def __init__(self, scope: Construct, name: str, before: Endpoint, production: Endpoint, **options):
        super().__init__(scope, name, **options)
        settings = Settings(self)
        source, built = codepipeline.Artifact("Source"), codepipeline.Artifact("Built")
        spec = {
            "version": "0.2",
            "phases": {"build": {"commands": SYNTH}},
            "artifacts": {"base-directory": "cdk.out", "files": ["**/*"]},
        }
        build = codebuild.PipelineProject(self, "Build", build_spec=codebuild.BuildSpec.from_object(spec))

        def deploy(endpoint: Endpoint, variables: str) -> actions.CloudFormationCreateUpdateStackAction:
            return actions.CloudFormationCreateUpdateStackAction(
                action_name="Deploy",
                run_order=2,
                stack_name=endpoint.stack_name,
                template_path=built.at_path(endpoint.template_file),
                admin_permissions=True,
                variables_namespace=variables,
            )

        def tests(variables: str) -> list[actions.CodeBuildAction]:
            found = []
            for name, commands in TESTS.items():
                spec = {"version": "0.2", "phases": {"build": {"commands": commands}}}
                project = codebuild.PipelineProject(
                    self, f"{variables}{name}", build_spec=codebuild.BuildSpec.from_object(spec)
                )
                url = codebuild.BuildEnvironmentVariable(value=f"#{{{variables}.Url}}")
                found.append(
                    actions.CodeBuildAction(
                        action_name=name,
                        run_order=3,
                        project=project,
                        input=source,
                        type=actions.CodeBuildActionType.TEST,
                        environment_variables={"URL": url},
                    )
                )
            return found

        def gate(run_order: int = 1) -> actions.LambdaInvokeAction:
            return health_gate_action(settings.gate, run_order=run_order, regions=settings.regions, wait_minutes=30)

        pipeline = codepipeline.Pipeline(self, "Pipeline", pipeline_type=codepipeline.PipelineType.V2)
        pipeline.add_stage(
            stage_name="Source",
            actions=[
                actions.CodeStarConnectionsSourceAction(
                    action_name="Source",
                    connection_arn=settings.connection,
                    owner=settings.owner,
                    repo=settings.repository,
                    branch=settings.branch,
                    output=source,
                )
            ],
        )
        synth = actions.CodeBuildAction(action_name="Build", project=build, input=source, outputs=[built])
        pipeline.add_stage(stage_name="Build", actions=[synth])
        pipeline.add_stage(
            stage_name="PreProduction", actions=[deploy(before, "PreProduction"), *tests("PreProduction")]
        )
        pipeline.add_stage(stage_name="HealthGate", actions=[gate()])
        # The topic gets the request with the link to answer it.
        approve = actions.ManualApprovalAction(action_name="Approve", notification_topic=settings.topic)
        pipeline.add_stage(stage_name="Approval", actions=[approve])
        pipeline.add_stage(
            stage_name="Production", actions=[gate(), deploy(production, "Production"), *tests("Production")]
        )
        notify(self, pipeline, settings.topic)


app = cdk.App()
CdkPipeline(app, "CdkPipeline")
Pipeline(app, "Pipeline", before=Endpoint(app, "PreProduction"), production=Endpoint(app, "Production"))
app.synth()
