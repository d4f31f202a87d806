"""Deploys each stack, reads it back, tries it, updates one, deletes it, and sees what is left."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gatehouse_local import ROOT
from rehearse import readback, sam
from rehearse.built import has_code
from rehearse.deployments import SUITE, Deployment, Flow, filled, overrides
from rehearse.expected import Expected, expect
from rehearse.left import left_over
from rehearse.sam import SamFailed
from rehearse.world import REGION, FlowFailed, Stack, World

DELETED_AT_ONCE, DELETED_WITHIN = 3, 180  # seconds


@dataclass
class Row:
    """One stack in the table at the end."""

    stack: str
    parameters: str
    made: int = 0
    expected: int = 0
    flows: list[str] = field(default_factory=list)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    excused: set[tuple[str, str]] = field(default_factory=set)

    @property
    def verdict(self) -> str:
        """In one word."""
        return "FAILED" if self.wrong else "passed"


class Story:
    """The rehearsal in `folder`, which `built` made. `there` is what exists beforehand, by its name.

    `templates` is where the templates are that the stacks are compared with: this repository, or an unpacked release.
    """

    def __init__(
        self, world: World, folder: Path, there: dict[str, str], say: Callable[[str], None], templates: Path = ROOT
    ):
        self._world, self._folder, self._there, self._say = world, folder, there, say
        self._templates = templates

    def play(self, deployments: tuple[Deployment, ...]) -> list[Row]:
        """Each stack in turn; a row for each, and one for what is left of them all.

        `sam delete` looks every 30 s whether it is done, so the next stack is not kept waiting for it.
        """
        with ThreadPoolExecutor(max_workers=DELETED_AT_ONCE, thread_name_prefix="sam delete") as deletions:
            rows = [row for it in deployments for row in self._rehearse(it, deletions)]
        rows.append(last := Row("(all deleted)", ""))
        began = time.monotonic()
        last.wrong = left_over(self._world)
        last.flows = [] if last.wrong else ["nothing of ours is left"]
        last.seconds = time.monotonic() - began
        return rows

    def _rehearse(self, deployment: Deployment, deletions: Executor) -> list[Row]:
        row, began = Row(deployment.stack, deployment.which), time.monotonic()
        self._say(f"{deployment.stack}: sam deploy")
        beside: list[Row] = []
        stack = self._deploy(row, deployment, deployment.given(self._there))
        if stack:
            self._try(row, stack, deployment.flows)
            if deployment.update:
                self._update(row, deployment)
        row.seconds = time.monotonic() - began
        if stack and deployment.on_top:
            beside = self._rehearse(deployment.on_top(stack), deletions)
        deletions.submit(self._delete, row, deployment)
        return [row, *beside]

    def _deploy(
        self, row: Row, deployment: Deployment, parameters: dict[str, str], typed: dict[str, str] | None = None
    ) -> Stack | None:
        """`typed` are the parameters of the command line, `parameters` those that the stack then has."""
        try:
            template = self._templates / deployment.template.relative_to(ROOT)
            wanted = expect(template, deployment.stack, parameters, deployment.account)
            arguments = self._arguments(deployment, parameters if typed is None else typed)
            sam.run(self._folder, self._shell(deployment), *arguments)
        except (SamFailed, ValueError) as failed:
            row.wrong.append(f"{deployment.stack}: {failed}")
            return None
        self._read_back(row, deployment, wanted)
        return Stack.read(self._world, deployment.stack, deployment.account, wanted)

    def _read_back(self, row: Row, deployment: Deployment, wanted: Expected) -> None:
        aws = self._world.client
        found = readback.compare(lambda service: aws(service, deployment.account), deployment.stack, wanted)
        row.made, row.expected = found.made, wanted.count
        row.wrong += found.wrong
        row.excused |= found.excused

    def _try(self, row: Row, stack: Stack, flows: tuple[Flow, ...]) -> None:
        for flow in flows:
            self._say(f"{stack.name}: {(flow.act.__doc__ or '').splitlines()[0]}")
            try:
                row.flows.append(flow.act(stack.nested(flow.nested) if flow.nested else stack))
            except FlowFailed as failed:
                row.wrong.append(f"{stack.name}: {flow.act.__name__}: {failed}")
            except Exception as error:  # whatever it is, the other stacks are still tried
                row.wrong.append(f"{stack.name}: {flow.act.__name__}: {type(error).__name__}: {error}")

    def _update(self, row: Row, deployment: Deployment) -> None:
        """Only the changed parameters are typed: the others must keep their values."""
        self._say(f"{deployment.stack}: sam deploy with {' '.join(overrides(deployment.update))}")
        typed = filled(deployment.update, self._there)
        stack = self._deploy(row, deployment, deployment.given(self._there) | typed, typed)
        if stack:
            row.flows.append(f"updated with {' '.join(overrides(deployment.update))}, the other parameters are kept")
            self._try(row, stack, deployment.after_update)

    def _delete(self, row: Row, deployment: Deployment) -> None:
        self._say(f"{deployment.stack}: sam delete")
        try:
            if deployment.config_env == SUITE:
                self._delete_with_cloudformation(deployment)
            else:
                arguments = ["delete", "--no-prompts", "--stack-name", deployment.stack, "--region", REGION]
                sam.run(self._folder, self._shell(deployment), *arguments)
        except Exception as failed:  # whatever it is, it belongs into the table
            row.wrong.append(f"{deployment.stack}: {failed}")
        self._say(f"{deployment.stack}: {row.verdict}")

    def _delete_with_cloudformation(self, deployment: Deployment) -> None:
        """`sam delete` takes nested templates only at addresses of AWS (`faults.NOT_SHOWN`)."""
        cloudformation = self._world.client("cloudformation", deployment.account)
        [stack] = cloudformation.describe_stacks(StackName=deployment.stack)["Stacks"]
        cloudformation.delete_stack(StackName=stack["StackId"])

        def deleted() -> bool:
            [seen] = cloudformation.describe_stacks(StackName=stack["StackId"])["Stacks"]
            return seen["StackStatus"] == "DELETE_COMPLETE"

        self._world.wait(f"the deletion of {deployment.stack}", deleted, DELETED_WITHIN)

    def _shell(self, deployment: Deployment) -> dict[str, str]:
        return self._world.server.environment(deployment.account)

    def _arguments(self, deployment: Deployment, parameters: dict[str, str]) -> list[str]:
        """The README's command line. Stacks of other parameters have names of their own."""
        command = ["deploy", "--stack-name", deployment.stack, "--no-progressbar"]
        if deployment.file == "template.yaml":
            command += ["--config-env", deployment.config_env]
        else:
            command += ["--template-file", str(self._template(deployment)), "--capabilities", "CAPABILITY_IAM"]
            command += ["--resolve-s3"] if has_code(deployment.template) else []
        return [*command, "--parameter-overrides", *overrides(parameters)] if parameters else command

    def _template(self, deployment: Deployment) -> Path:
        """Where `sam build` puts it; where there is nothing to build, and in a release, where it is."""
        built = Path(".aws-sam", deployment.template.stem, "template.yaml")
        return built if (self._folder / built).is_file() else deployment.template.relative_to(ROOT)
