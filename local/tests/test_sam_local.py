"""Every file of `events/` works with `sam local invoke`: with the environment that SAM makes of the template and
`events/env.json`, the real binary takes the event and does not fail.

The SAM CLI's own code resolves the environment. Only AWS and the pages are the local ones.
"""

import json
import sys

import pytest

from gatehouse_local import ROOT, events, local_aws, runtime_api, sam
from gatehouse_local.functions import functions

SUITE = {function.logical_id: function for function in functions()}
SAMPLES = [(function.logical_id, sample) for function in SUITE.values() for sample in events.of(function)]

TELLS_ITS_ARN = """
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    told = api.getresponse()
    told.read()
    request_id, arn = (told.headers[f"Lambda-Runtime-{name}"] for name in ("Aws-Request-Id", "Invoked-Function-Arn"))
    api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(arn))
    api.getresponse().read()
"""


def shipped():
    return json.loads((events.EVENTS / "env.json").read_text())


def resolved(logical_id, env_vars, **more):
    return sam.environment(ROOT / SUITE[logical_id].template, logical_id, env_vars, Architecture="x86_64", **more)


def faults(outcome, calls):
    """What the function said of its settings: in its error, or, for the gate, in the answer to its job."""
    answers = [call.params["failureDetails"]["message"] for call in calls if "failureDetails" in call.params]
    return [text for text in [outcome.error_message, *answers] if "invalid settings" in text]


@pytest.fixture
def invoke(aws, web, binary):
    world = local_aws.World(aws, web)
    assert world.topic_arn

    def run(logical_id, sample, env_vars):
        env = resolved(logical_id, env_vars, region=local_aws.REGION)
        env |= {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        # An interface depends on the group that the world has of these.
        env |= {"SERVICE": local_aws.SERVICE, "PORTS": str(local_aws.SERVICE_PORT)}
        with aws.recording() as calls:
            outcome = runtime_api.invoke_once(
                binary(SUITE[logical_id].binary), env | web.environment, events.load(sample)
            )
        return outcome, calls

    return run


@pytest.mark.parametrize(("logical_id", "sample"), SAMPLES, ids=[f"{name} {path}" for name, path in SAMPLES])
def test_a_sample_works_with_the_environment_that_sam_gives(invoke, logical_id, sample):
    outcome, calls = invoke(logical_id, sample, shipped())
    assert outcome.error_type != "InvalidSettings", outcome.error_message
    assert not faults(outcome, calls)
    assert not outcome.failed, f"{outcome.error_type}: {outcome.error_message}"


def test_a_function_is_told_the_same_arn_here_as_in_the_container_of_sam(tmp_path):
    """SAM runs functions in AWS's emulator, whose account and Region are always the same ones."""
    if sys.platform != "linux":
        pytest.skip("the emulator runs on Linux only")
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(f"#!{sys.executable}\n{TELLS_ITS_ARN}")
    bootstrap.chmod(0o755)
    env = runtime_api.environment({"AWS_LAMBDA_FUNCTION_NAME": "AmiShareFunction"}, region=local_aws.REGION)
    with sam.Emulator(bootstrap, env) as there, runtime_api.RuntimeApi([str(bootstrap)], env) as here:
        told = [function.invoke({}).payload for function in (there, here)]
    assert told == [f"arn:aws:lambda:us-east-1:{runtime_api.ACCOUNT_ID}:function:AmiShareFunction"] * 2


def test_env_json_is_needed_and_is_seen_to_be(invoke):
    """The test above would notice settings that SAM cannot resolve."""
    outcome, calls = invoke("PipelineRetryFunction", "pipelines/retry-eventbridge-stage-failed.json", {})
    assert outcome.error_type == "InvalidSettings"
    assert 'NOTIFY_TOPIC_ARN is "NotificationTopic"' in faults(outcome, calls)[0]


def test_each_sample_is_meant_for_one_function():
    files = sorted(f"{path.parent.name}/{path.name}" for path in events.EVENTS.glob("*/*"))
    assert sorted(sample for _, sample in SAMPLES) == files


def test_each_function_has_a_sample():
    assert {logical_id for logical_id, _ in SAMPLES} == set(SUITE)


def test_env_json_is_the_generated_one_and_overrides_what_exists():
    assert (events.EVENTS / "env.json").read_text() == events.written(events.environment()), (
        "run `python -m gatehouse_local.events`"
    )
    for logical_id, settings in shipped().items():
        unknown = settings.keys() - SUITE[logical_id].settings
        assert not unknown, f"SAM ignores {unknown}: the template of {logical_id} does not declare them"


@pytest.mark.parametrize("processor", ["arm64", "x86_64"])
def test_sam_takes_the_processor_from_the_parameter(processor):
    function = SUITE["PipelineRetryFunction"]
    found = sam.function(ROOT / function.template, function.logical_id, Architecture=processor)
    assert found.architectures == [processor]


def test_the_environment_is_resolved_as_sam_does():
    env = resolved("PipelineRetryFunction", {"PipelineRetryFunction": {"TOPIC_ARNS": "", "UNDECLARED": "1"}})
    assert env["NOTIFY_TOPIC_ARN"] == "NotificationTopic", "a reference becomes a logical id"
    assert env["TOPIC_ARNS"] == "", "an empty override is passed on"
    assert env["PIPELINES"] == "", "what SAM does not resolve becomes an empty text"
    assert "UNDECLARED" not in env
    assert env["AWS_SAM_LOCAL"] == "true"
    assert env["AWS_ACCESS_KEY_ID"] == "defaultkey", "not the credentials of whoever runs the tests"
