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


def console_domain(scope: Construct) -> str:
    """The domain of the AWS console in the partition where the stack is deployed."""
    domain = "aws.amazon.com"
    for partition, other in {
        "aws-cn": "amazonaws.cn",
        "aws-us-gov": "amazonaws-us-gov.com",
        "aws-eusc": "amazonaws-eusc.eu",
    }.items():
        is_here = cdk.Fn.condition_equals(cdk.Aws.PARTITION, partition)
        condition = cdk.CfnCondition(scope, f"In-{partition}", expression=is_here)
        domain = cdk.Fn.condition_if(condition.logical_id, other, domain).to_string()
    return domain


def notify(
    scope: Construct, pipeline: codepipeline.IPipeline, topic: sns.ITopic, *, asks_for_approvals: bool = False
) -> None:
    """Mails of what happens in a pipeline, by EventBridge: one for one event.

    Rules of CodeStar Notifications do not exist in every Region, and the first one of an account fails. A failure is
    mailed for its action, whose event has the reason: those of its stage and of the pipeline say nothing more.
    `asks_for_approvals` is for approval actions without a topic, which do not mail their request.
    """
    field = events.EventField.from_path
    name, region = field("$.detail.pipeline"), field("$.region")
    about = f"(execution {field('$.detail.execution-id')}, {field('$.time')})"
    console = f"https://{region}.console.{console_domain(scope)}"
    page = f"{console}/codesuite/codepipeline/pipelines/{name}/view?region={region}"

    def mail(rule_id: str, description: str, level: str, detail: dict, said: str) -> None:
        rule = pipeline.on_event(rule_id, description=description)
        rule.add_event_pattern(detail_type=[f"CodePipeline {level} Execution State Change"], detail=detail)
        text = events.RuleTargetInput.from_text(f"Pipeline {name} in {region}: {said} {about} {page}")
        rule.add_target(targets.SnsTopic(topic, message=text))

    states = ["STARTED", "SUCCEEDED", "RESUMED", "STOPPED"]
    mail("Progress", "Starts and ends of the pipeline.", "Pipeline", {"state": states}, field("$.detail.state"))

    at = f"in stage {field('$.detail.stage')}, action {field('$.detail.action')}"
    reason = field("$.detail.execution-result.external-execution-summary")
    failed = {"state": ["FAILED"], "type": {"category": events.Match.anything_but("Approval")}}
    mail("ActionFailed", "Actions that fail.", "Action", failed, f"FAILED {at}: {reason}")

    def approval(state: str) -> dict:
        return {"state": [state], "type": {"category": ["Approval"]}}

    given, refused = f"APPROVED {at}: {reason}", f"APPROVAL REFUSED OR TIMED OUT {at}: {reason}"
    mail("ApprovalGiven", "Approvals that are given.", "Action", approval("SUCCEEDED"), given)
    mail("ApprovalRefused", "Approvals that are refused or time out.", "Action", approval("FAILED"), refused)
    if asks_for_approvals:
        needed = f"APPROVAL NEEDED {at}"
        mail("ApprovalNeeded", "Approvals that are needed.", "Action", approval("STARTED"), needed)


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
        # A ManualApprovalStep takes no topic.
        notify(self, pipeline.pipeline, settings.topic, asks_for_approvals=True)


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
