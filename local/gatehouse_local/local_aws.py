"""`make local-aws`: the local AWS stays up for `sam local invoke`, with a world in which each sample event has work.

It serves AWS on one port, and on the next one the pages that a function fetches: ip-ranges.json and the certificate of
the signed samples. It writes what SAM needs to `.aws-sam/local-aws/`, prints the command for each function and event,
and then one line for each call, until Ctrl-C.

The functions keep their real addresses: `HTTPS_PROXY` leads them to the pages, and `SSL_CERT_FILE` names a certificate
authority that is made at the start. Its certificate must lie in the container, so SAM gets folders of its own, with the
built binary linked into them: what `sam deploy` uploads is not touched.
"""

import argparse
import collections
import contextlib
import copy
import errno
import ipaddress
import json
import os
import platform
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from moto.core.config import default_user_config

from gatehouse_local import ROOT, amis, cloudformation, events, ranges, sns
from gatehouse_local.aws import Call, LocalAws
from gatehouse_local.codepipeline import Action, Pipeline, gate
from gatehouse_local.functions import Function, functions
from gatehouse_local.web import Page, Web
from gatehouse_local.wire import Request

PORT = 4600
REGION = "eu-west-1"  # the samples of the pipelines are from there
SERVICE, SERVICE_PORT = "CLOUDFRONT_ORIGIN_FACING", 443
PREFIX = "AUTOUPDATE"
TASK = "/var/task"  # where Lambda, and SAM's container, has the function's folder
AUTHORITY = "local-aws.pem"
PAUSE = 3.0  # seconds without a call after which the next function finds the world as at the start
DOCKER_DESKTOP = "host.docker.internal"
SHOWN = 160  # characters of a call's parameters

# cargo-lambda tells a function no ARN, and these find their account in it.
NEED_AN_ARN = ("AmiApprovalRequestFunction", "AmiShareFunction")

MACHINES = {b"\x3e\x00": "x86_64", b"\xb7\x00": "arm64"}  # e_machine of an ELF file, little-endian


class CannotStart(Exception):
    """The command cannot do what it was asked for; the text says why and what to do."""


# The world -----------------------------------------------------------------------------------


class World:
    """What the functions find in the local AWS. `arrange` builds it; called again, it builds it anew.

    - EC2: a security group in the default VPC that holds the ranges of the document before the one that is served, and
      an interface that carries it.
    - CodePipeline: the pipeline `web` whose stage failed at the health gate, with the ids and at the time of the sample
      events; the pipeline `api` that failed the same way just now; a job for each sample of the gate.
    - AWS Health: the open issue that the samples name.
    - The amis capability: the images of the samples, an approval of them that waits, with the id that the samples name,
      the key of their links, and its topics.
    - The messages capability: its topics, and a subscription of the relay that waits for its confirmation, with the
      token that the sample names.
    - SNS: a topic for summaries.
    """

    def __init__(self, aws: LocalAws, web: Web):
        self._aws = aws
        web.serve(ranges.URL, ranges.second().body)
        for region in ("us-east-1", REGION):
            certificate = Page(sns.certificate(), content_type="application/x-pem-file")
            web.serve(sns.certificate_url(region), certificate)
        self.arrange()

    def arrange(self) -> None:
        """Forgets everything, and puts it there again."""
        self._aws.reset()
        self.topic_arn = self._aws.client("sns", REGION).create_topic(Name="gatehouse-summaries")["TopicArn"]
        self._stale_group()
        self._pipelines()
        amis.sample_approval(self._aws, REGION)
        self._messages()

    def settings(self) -> dict[str, dict[str, str]]:
        """What the functions need besides `events/env.json` to act on this world, by logical id."""
        act = {"DRY_RUN": "false", "NOTIFY_TOPIC_ARN": self.topic_arn}
        return {
            "IpRangesUpdaterFunction": act | {"SERVICE": SERVICE, "PORTS": str(SERVICE_PORT), "PREFIX_NAME": PREFIX},
            "PipelineHealthGateFunction": {"NOTIFY_TOPIC_ARN": self.topic_arn},
            "PipelineRetryFunction": act | {"PIPELINES": "web,api"},
            "AmiApprovalRequestFunction": {"DRY_RUN": "false"},
            "AmiApprovalPageFunction": {
                "DRY_RUN": "false",
                "PAGE_ROLE_ARN": amis.role("ApprovalPageRole"),
            },
            "AmiShareFunction": {"DRY_RUN": "false"},
            "IamAlertMailFunction": act,
            "MessageRedactorFunction": {"DRY_RUN": "false"},
            "MessageRelayFunction": {"DRY_RUN": "false"},
        }

    def _messages(self) -> None:
        client = self._aws.client("sns", REGION)
        for name in ("approval", "reporting", "denied"):
            client.create_topic(Name=f"gatehouse-messages-{name}")
        origin = client.create_topic(Name="orders")["TopicArn"]
        waiting = client.subscribe(
            TopicArn=origin, Protocol="https", Endpoint="https://example.com/", ReturnSubscriptionArn=True
        )
        self._aws.sns.rename_token(waiting["SubscriptionArn"], events.SAMPLE_TOKEN)

    def _stale_group(self) -> None:
        ec2 = self._aws.client("ec2", REGION)
        name = f"{PREFIX}_{SERVICE}_{SERVICE_PORT}_1"
        tags = {
            "Name": name,
            "gatehouse:prefix-name": PREFIX,
            "gatehouse:service": SERVICE,
            "gatehouse:port": str(SERVICE_PORT),
        }
        group = ec2.create_security_group(
            GroupName=name,
            Description=f"{SERVICE} ranges on port {SERVICE_PORT}, kept by Gatehouse",
            VpcId=self._aws.ec2.default_vpc(REGION),
            TagSpecifications=[
                {"ResourceType": "security-group", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
            ],
        )["GroupId"]
        held = sorted(ranges.first().rules(SERVICE))
        description = f"{SERVICE} range published by AWS, kept by Gatehouse"
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": SERVICE_PORT,
                    "ToPort": SERVICE_PORT,
                    "IpRanges": [{"CidrIp": cidr, "Description": description} for cidr in held if ":" not in cidr],
                    "Ipv6Ranges": [{"CidrIpv6": cidr, "Description": description} for cidr in held if ":" in cidr],
                }
            ],
        )
        self._aws.ec2.create_interface([group], region=REGION)

    def _pipelines(self) -> None:
        issue = events.load("pipelines/retry-health-open.json")["detail"]["eventArn"]
        self._aws.health.open("EC2", REGION, arn=issue)

        failed = events.load("pipelines/retry-eventbridge-action-failed.json")
        detail = failed["detail"]
        message = detail["execution-result"]["external-execution-summary"]
        web = self._failed_pipeline(detail["pipeline"], detail["stage"], detail["action"], message)
        # As if it were the failure of the samples: its execution, and just before they were sent.
        when = datetime.fromisoformat(failed["time"]) - timedelta(seconds=1)
        self._aws.codepipeline.date_execution(web, detail["execution-id"], when)
        self._failed_pipeline("api", detail["stage"], detail["action"], message)

        for path in sorted((events.EVENTS / "pipelines").glob("gate-*.json")):
            job = json.loads(path.read_text())["CodePipeline.job"]
            parameters = job["data"]["actionConfiguration"]["configuration"].get("UserParameters")
            made = self._start({"Production": [gate(parameters)]}, name=path.stem)
            self._aws.codepipeline.rename_job(made, job["id"])

    def _failed_pipeline(self, name: str, stage: str, action: str, message: str) -> Pipeline:
        job = self._start({"Source": [Action("Fetch", "S3")], stage: [gate(name=action), Action("Deploy")]}, name)
        details = {"type": "JobFailed", "message": message}
        self._aws.client("codepipeline", REGION).put_job_failure_result(jobId=job, failureDetails=details)
        return self._made

    def _start(self, stages: dict[str, list[Action]], name: str) -> str:
        """Starts a pipeline up to the job of its gate; the job's id."""
        self._made = self._aws.codepipeline.create(name, stages, REGION)
        self._aws.codepipeline.start(self._made)
        job = self._aws.codepipeline.next_job()
        assert job is not None
        return job["CodePipeline.job"]["id"]


# What SAM is given ---------------------------------------------------------------------------


@dataclass
class Files:
    """The folder that `sam local invoke` works with. `built` is the folder of `sam build`, usually `.aws-sam`."""

    suite: list[Function]
    built: Path
    architecture: str
    everywhere: dict[str, str]  # variables of every function in a container
    on_host: dict[str, str]  # the same for a function that runs on this machine itself
    settings: dict[str, dict[str, str]]
    authority: Path

    @property
    def folder(self) -> Path:
        """Everything below is made by this command."""
        return self.built / "local-aws"

    @property
    def env(self) -> Path:
        """For `--env-vars`."""
        return self.folder / "env.json"

    @property
    def env_signed(self) -> Path:
        """For `--env-vars` with a sample whose signature can be verified."""
        return self.folder / "env-signed.json"

    def env_of_watch(self, function: Function) -> Path:
        """For `cargo lambda watch --env-file`."""
        return self.folder / f"{function.logical_id}.env"

    def template(self, capability: str) -> Path:
        """For `--template-file`."""
        return self.folder / capability / "template.json"

    @property
    def capabilities(self) -> list[str]:
        """Of the functions."""
        return list(dict.fromkeys(function.capability for function in self.suite))

    def of(self, function: Function) -> dict[str, str]:
        """The settings of a function."""
        shipped = events.environment().get(function.logical_id, {})
        return shipped | self.settings.get(function.logical_id, {})

    def write(self) -> None:
        """Writes it all anew, without the binaries."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # SAM lets a variable of the shell win over the template, and the file over both: HTTPS_PROXY, say.
        env = {"Parameters": self.everywhere} | {it.logical_id: self.of(it) for it in self.suite}
        self.env.write_text(json.dumps(env, indent=2) + "\n")
        verified = {"SNS_VERIFY": "enforce"} | events.SAMPLE_AGE
        signed = {name: values | verified if "SNS_VERIFY" in values else values for name, values in env.items()}
        self.env_signed.write_text(json.dumps(signed, indent=2) + "\n")
        for capability in self.capabilities:
            self._write_capability(capability)

    def _write_capability(self, capability: str) -> None:
        mine = [it for it in self.suite if it.capability == capability]
        document = copy.deepcopy(cloudformation.load(ROOT / mine[0].template))
        # SAM passes on only variables that the template declares.
        declared = document
        for key in ("Globals", "Function", "Environment", "Variables"):
            declared = declared.setdefault(key, {})
        declared |= self.everywhere
        for function in mine:
            properties = document["Resources"][function.logical_id]["Properties"]
            properties["CodeUri"] = function.logical_id
            declared = properties["Environment"]["Variables"]
            declared |= self.of(function) | dict.fromkeys(events.SAMPLE_AGE.keys() - declared.keys(), "")
            folder = self.folder / capability / function.logical_id
            folder.mkdir(parents=True)
            shutil.copyfile(self.authority, folder / AUTHORITY)
            outside = self.on_host | {"SSL_CERT_FILE": str((folder / AUTHORITY).absolute())}
            # What SAM adds by itself: the texts that stand in the template, and that this is a laptop.
            stated = {
                name: value
                for name, value in function.properties["Environment"]["Variables"].items()
                if isinstance(value, str)
            }
            outside |= stated | {"AWS_SAM_LOCAL": "true"}
            lines = [f"{name}={value}\n" for name, value in (outside | self.of(function)).items()]
            self.env_of_watch(function).write_text("".join(lines))
        self.template(capability).write_text(json.dumps(document, indent=2) + "\n")

    def link(self, function: Function) -> str | None:
        """Puts the built binary where SAM finds it, if it changed; what stands in the way, or None."""
        built = self.built / Path(function.bootstrap).relative_to(".aws-sam")
        link = self.folder / function.capability / function.logical_id / "bootstrap"
        try:
            with built.open("rb") as binary:
                machine = MACHINES.get(binary.read(20)[18:20], "another processor")
            if machine == self.architecture:
                if not (link.exists() and _same(built, link)):
                    link.unlink(missing_ok=True)
                    _link(built.resolve(), link)
                return None
            fault = f"built for {machine}, and this machine is {self.architecture}"
        except FileNotFoundError:  # also when `sam build` removes it at this moment
            fault = "not built yet"
        link.unlink(missing_ok=True)
        return fault


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # another file system, or one without links
        shutil.copy2(file, link)


def _same(one: Path, other: Path) -> bool:
    seen = [path.stat() for path in (one, other)]
    return seen[0].st_ino == seen[1].st_ino or (seen[0].st_size, seen[0].st_mtime) == (
        seen[1].st_size,
        seen[1].st_mtime,
    )


def architecture() -> str:
    """This machine's processor, as SAM names it."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def is_signed(sample: str) -> bool:
    """Whether the sample is signed with the test key, so that its signature can be verified here."""
    return sns.CERTIFICATE_PATH in (events.EVENTS / sample).read_text()


def sam_build(capability: str, processor: str) -> str:
    """The command that builds a capability."""
    return f"sam build --config-env {capability} --parameter-overrides Architecture={processor}"


def sam_local_invoke(function: Function, sample: str, files: Files) -> str:
    """The command that invokes a function with a sample."""
    env = files.env_signed if is_signed(sample) else files.env
    return (
        f"sam local invoke --template-file {_shown(files.template(function.capability))} "
        f"--parameter-overrides Architecture={files.architecture} --env-vars {_shown(env)} "
        f"--event events/{sample} {function.logical_id}"
    )


def sam_local_start_api(capability: str, files: Files) -> str:
    """The command that serves the HTTP API of a capability."""
    return (
        f"sam local start-api --template-file {_shown(files.template(capability))} "
        f"--parameter-overrides Architecture={files.architecture} ApprovalLink=true --env-vars {_shown(files.env)}"
    )


def _shown(path: Path) -> str:
    """Relative to the repository, where the commands are run."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# The command ---------------------------------------------------------------------------------


class Show:
    """Prints each call, counts them, and puts the world back once a function is done with it.

    Calls with less than `pause` seconds between them belong to one invocation. The first call after that finds the
    world as at the start, so that each sample has work however often it is sent.
    """

    def __init__(self, world: World, pause: float):
        self.counted: collections.Counter[str] = collections.Counter()
        self._world = world
        self._pause = pause
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._changed = False

    def before(self, request: Request) -> None:
        """A function, or somebody who looks at its work, calls."""
        with self._lock:
            rests = time.monotonic() - self._last > self._pause
            # The AWS CLI may look at what a function did: only another function finds the world put back.
            if rests and self._changed and "aws-sdk-rust" in request.headers.get("user-agent", ""):
                self._put_back()
            self._last = time.monotonic()

    def start_over(self) -> None:
        """Puts the world back at once."""
        with self._lock:
            self._put_back()

    def _put_back(self) -> None:
        self._world.arrange()
        self._changed = False
        say("Everything is as it was at the start.")

    def after(self, call: Call) -> None:
        """A call was answered."""
        with self._lock:
            self._last = time.monotonic()
            self._changed = self._changed or (call.writes and call.error is None)
            self.counted[call.operation] += 1
            what = f" {_brief(call.params)}" if call.writes else ""
            say(
                f"{call.service} {call.operation} {call.region} {call.error or 'ok'} {call.seconds * 1000:.0f} ms{what}"
            )

    def page(self, url: str, status: int) -> None:
        """A page was fetched."""
        say(f"GET {url} {status}")

    def summary(self) -> str:
        """One line on all calls."""
        calls = ", ".join(f"{name} {count}" for name, count in self.counted.items())
        return f"Stopped. Calls of AWS: {calls or 'none'}."


def _brief(params: dict[str, Any]) -> str:
    text = json.dumps(params, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def say(text: str = "") -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


def check_port(address: str, port: int) -> None:
    """Raises CannotStart where nothing can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"Port {port} of {address} is in use by another program: stop it, or choose two other ports that "
                    f"follow each other, such as: make local-aws PORT={PORT + 100}"
                ) from None
            raise CannotStart(
                f"This machine cannot listen on {address}: {error.strerror}. BIND is one of its own IPv4 addresses "
                "(see: ip -4 address)."
            ) from None


def check_addresses(bind: str, host: str | None) -> str:
    """The name by which containers reach this machine. Raises CannotStart where it has to be told."""
    try:
        address = ipaddress.IPv4Address(bind)
    except ValueError:
        raise CannotStart(f"BIND is {bind!r}: expected an IPv4 address of this machine, such as 172.17.0.1") from None
    if host:
        return host
    if address.is_unspecified:
        raise CannotStart(f"BIND={bind} needs HOST as well: the address by which containers reach this machine")
    return DOCKER_DESKTOP if address.is_loopback else bind


def reach(bind: str, host: str) -> Iterator[str]:
    """Says who can reach the servers, and what containers need."""
    address = ipaddress.IPv4Address(bind)
    if address.is_unspecified:
        yield "BIND=0.0.0.0: every machine that can reach this one can use them, without a password."
    elif address.is_loopback:
        yield "Only this machine can reach them."
    else:
        yield f"BIND={bind}: whoever can reach that address can use them, without a password. For the address of"
        yield "docker0 these are the containers of this machine."
    yield "They hold made-up data only, and use no credentials."
    yield f"Functions in containers find them at {host}."
    if host == DOCKER_DESKTOP:
        yield "- Docker Desktop (macOS, Windows, Linux): works as it is."
        yield "- Docker Engine on Linux: a container cannot reach 127.0.0.1 of its host. End this, and start it on the"
        yield "  address of the bridge (ip -4 address show docker0): make local-aws BIND=172.17.0.1"
        yield "- Anything else: name the address of this machine as containers see it: make local-aws HOST=..."


def commands(files: Files) -> Iterator[str]:
    """The commands to copy."""
    yield "In another terminal, in the folder of the repository:"
    for function in files.suite:
        yield ""
        yield f"{function.logical_id}:"
        for sample in events.of(function):
            yield f"  {sam_local_invoke(function, sample, files)}"
    yield ""
    yield "The approval page in your own browser: the first line, then the link."
    yield f"  {sam_local_start_api('amis', files)}"
    yield f"  http://127.0.0.1:3000/approval?token={events.link_token(events.AMIS_EXECUTION, events.LINK_EXPIRES)}"
    yield ""
    able = [function for function in files.suite if function.logical_id not in NEED_AN_ARN]
    yield "Or without containers, with cargo-lambda. Run cargo build first: with these settings cargo cannot download."
    yield f"It gives functions no ARN, which {' and '.join(NEED_AN_ARN)} need."
    yield "One of the first lines in one terminal, then one of the others in another:"
    for function in able:
        env = _shown(files.env_of_watch(function))
        yield f"  cargo lambda watch --package {function.binary} --invoke-address 127.0.0.1 --env-file {env}"
    for function in able:
        for sample in events.of(function)[:1]:
            yield f"  cargo lambda invoke {function.binary} --data-file events/{sample}"


def run(bind: str, host: str | None, port: int, pause: float, built: Path) -> None:
    """Serves until interrupted."""
    host = check_addresses(bind, host)
    if not 1 <= port <= 65534:
        raise CannotStart(f"PORT is {port}: expected a number from 1 to 65534; the port after it is used as well")
    for number in (port, port + 1):
        check_port(bind, number)
    # moto would start containers for these: nobody should be able to ask it to.
    for service in ("lambda", "batch"):
        default_user_config[service]["use_docker"] = False

    with contextlib.ExitStack() as stack:
        aws = stack.enter_context(LocalAws(bind, port))
        web = stack.enter_context(Web(bind, port + 1))
        world = World(aws, web)
        show = Show(world, pause)
        aws.before, aws.after, web.after = show.before, show.after, show.page
        made_up = {
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
        }
        files = Files(
            functions(),
            built,
            architecture(),
            everywhere={
                "AWS_ENDPOINT_URL": f"http://{host}:{port}",
                "HTTPS_PROXY": f"http://{host}:{port + 1}",
                "SSL_CERT_FILE": f"{TASK}/{AUTHORITY}",
            }
            | made_up,
            on_host={"AWS_ENDPOINT_URL": aws.url, "HTTPS_PROXY": web.url} | made_up,
            settings=world.settings(),
            authority=web.authority_file,
        )
        files.write()
        say(f"The local AWS answers at {aws.url}; {ranges.URL} and the certificate of the signed")
        say(f"samples are served at {web.url}.")
        for line in [*reach(bind, host), "", *commands(files), ""]:
            say(line)
        say(f"SAM works with {_shown(files.folder)}, made anew at each start; the settings are in {files.env.name}.")
        say(f"{pause:g} s after a function's last call, the next function finds everything as it was at the start.")
        say()
        # For those who cannot wait, such as the tests.
        signal.signal(signal.SIGUSR1, lambda *_: show.start_over())
        try:
            _watch(files)
        finally:
            say(show.summary())


def _watch(files: Files) -> None:
    """Tells what is still to be built, and takes over each binary that is built meanwhile. Never returns."""
    known: dict[str, str | None] = {}
    while True:
        states = {function.logical_id: files.link(function) for function in files.suite}
        news = [
            function for function in files.suite if known.get(function.logical_id, "") != states[function.logical_id]
        ]
        for capability in files.capabilities:
            mine = [it.logical_id for it in files.suite if it.capability == capability]
            missing = [f"{name}: {states[name]}" for name in mine if states[name]]
            if missing and any(function.capability == capability for function in news):
                say(f"{'; '.join(missing)}. Run first:")
                say(f"  {sam_build(capability, files.architecture)}")
        if not known:
            say("Ready. Calls are shown as they come; Ctrl-C ends it.")
        for function in news if known else []:
            if states[function.logical_id] is None:
                say(f"{function.logical_id} is built: its commands work now.")
        known = states
        time.sleep(0.5)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the command; 0 where it was ended by Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make local-aws", description=__doc__.splitlines()[0])
    parser.add_argument("--bind", default="127.0.0.1", help="IPv4 address to listen on")
    parser.add_argument("--host", help="name or address by which containers reach this machine")
    parser.add_argument("--port", type=int, default=PORT, help="port of AWS; the next one is for the pages")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds after which the world is put back")
    parser.add_argument("--built", type=Path, default=ROOT / ".aws-sam", help="folder that sam build writes to")
    arguments = parser.parse_args()

    # Also SIGINT: a shell lets what it starts in the background ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        run(arguments.bind, arguments.host, arguments.port, arguments.pause, arguments.built.absolute())
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
