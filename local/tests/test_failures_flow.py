"""What the real binary of each function says when it fails: one line in its log, the same as its answer to Lambda."""

import functools
import json
import re

import pytest

from gatehouse_local import runtime_api
from gatehouse_local.codepipeline import gate
from gatehouse_local.events import environment
from gatehouse_local.functions import functions
from template_checks.template import Deployed, load, references, with_every_resource
from template_checks.values import admitted

each_function = pytest.mark.parametrize("function", functions(), ids=str)

# No function takes this for an event of its own.
UNKNOWN_EVENT = {"unexpected": ["event"]}

# What Rust writes of a value for its developers: `Refused(SignatureEncoding { seen: 3 })`.
DEBUG_TEXT = re.compile(r"\b[A-Z]\w*\(|\b[A-Z]\w* \{ ")


@functools.cache
def settings(function):
    """The settings that the template gives by its defaults, and those without one as events/env.json has them. What
    refers to a resource and is not there becomes an ARN."""
    deployed = Deployed(with_every_resource(load(function.template)))
    variables = deployed.properties(function.logical_id)["Environment"]["Variables"]
    samples = {name: value for name, value in environment()[function.logical_id].items() if value}
    wanting = {name: value for name, value in samples.items() if "<" in variables.get(name, "<")}
    return {name: _arn(value) for name, value in (variables | wanting).items()}


def _arn(value):
    value = re.sub(r"<(\w+)\.Arn>", r"arn:aws:iam::111122223333:role/\1", value)
    value = re.sub(r"<(\w+Function)>", r"\1", value)  # Ref gives the name of a function
    return re.sub(r"<(\w+)>", r"arn:aws:sns:us-east-1:111122223333:\1", value)


@pytest.fixture
def invoke(aws, web, binary):
    """Gives a function that starts the binary of a function, and lets it answer one event."""

    def invoke(function, event, **changed):
        env = settings(function) | changed | {"AWS_ENDPOINT_URL": aws.url} | web.environment
        return runtime_api.invoke_once(binary(function.binary), runtime_api.environment(env), event)

    return invoke


def failure_in_log(outcome):
    """The one line of the log that says why the invocation failed; all lines are JSON objects."""
    lines = [json.loads(line) for line in outcome.log]
    found = [line for line in lines if "errorType" in line]
    assert len(found) == 1, outcome.log
    assert [line for line in outcome.log if DEBUG_TEXT.search(line)] == []
    return found[0]


def test_what_rust_writes_for_developers_is_recognised():
    for text in ('"message":"Refused(SignatureEncoding', "Unanswered { job_id: ", "BadEvent(Error("):
        assert DEBUG_TEXT.search(text)
    for text in ("the settings (see the template)", '{"errorType":"Refused","error":"a {b} c"}', "DEBUG is set"):
        assert not DEBUG_TEXT.search(text)


@each_function
def test_a_failure_is_one_line_in_the_log_and_the_same_as_the_answer(invoke, function):
    outcome = invoke(function, UNKNOWN_EVENT)
    assert outcome.failed, outcome.payload
    assert outcome.error_type == "InvalidEvent"
    line = failure_in_log(outcome)
    assert (line["errorType"], line["error"]) == (outcome.error_type, outcome.error_message)
    assert line["level"] == "ERROR"
    assert "unexpected" in line["error"] or "expected" in line["error"], "it says what is expected"


@functools.cache
def answers_jobs(function):
    """Whether CodePipeline gives it jobs, by its samples."""
    return any("CodePipeline.job" in json.loads(path.read_text()) for path in function.events())


def job_of(aws, function):
    """A job of CodePipeline and its action, where the function answers such jobs; else None."""
    if not answers_jobs(function):
        return None
    pipeline = aws.codepipeline.create("web", {"Production": [gate()]})
    aws.codepipeline.start(pipeline)
    return pipeline, aws.codepipeline.next_job()


def faults(aws, invoke, function, look_at_log=True, **changed):
    """What a function finds wrong with its settings, by their names: from its answer and log, or, where it answers a
    job, from the reason that it gives CodePipeline."""
    if (job := job_of(aws, function)) is not None:
        pipeline, event = job
        outcome = invoke(function, event, **changed)
        assert not outcome.failed, outcome.payload
        run = pipeline.latest("Production", "HealthGate")
        text = run.error["message"] if run.status == "Failed" else ""
        if look_at_log:
            assert [line for line in outcome.log if DEBUG_TEXT.search(line)] == []
    else:
        outcome = invoke(function, UNKNOWN_EVENT, **changed)
        if look_at_log:
            line = failure_in_log(outcome)
            assert (line["errorType"], line["error"]) == (outcome.error_type, outcome.error_message)
        text = outcome.error_message if outcome.error_type == "InvalidSettings" else ""
    _, _, said = text.partition("invalid settings: ")
    found = re.split(r"; (?=[A-Z][A-Z0-9_]* is \")", said) if said else []
    return {fault.partition(" ")[0]: fault for fault in found}


@each_function
def test_faulty_settings_are_told_all_together(aws, invoke, function):
    changed = {"DEBUG": "perhaps"} | {name: "," for name in function.settings if name != "DEBUG"}
    found = faults(aws, invoke, function, **changed)
    assert found["DEBUG"].startswith('DEBUG is "perhaps": expected true or false')
    assert len(found) > 1


@pytest.mark.parametrize(
    ("function", "setting"),
    [(function, setting) for function in functions() for setting in function.settings],
    ids=str,
)
def test_a_fault_of_a_setting_says_what_is_expected(aws, invoke, function, setting):
    for nonsense in ("?!", ","):
        found = faults(aws, invoke, function, **{setting: nonsense})
        assert found.keys() <= {setting}, "nothing else is wrong"
        assert [fault for fault in found.values() if "expected " not in fault] == []
        # A text may be anything, but nothing can be made of a comma.
        assert found or nonsense == "?!"


# What the template admits, the function accepts ---------------------------------------------------

# What no pattern can say. A fault of such a form, in a value that the template admits, is known.
BEYOND_A_PATTERN = [
    # The policy language has a parser of its own; `policy-check` shows every fault before a deployment.
    r"DATA_PROTECTION_POLICY is ",
    # Two parts of one value against each other.
    r'PORTS is "(\d+)-(\d+)"',
    r'SERVICE is ".*": expected each service once',
    r'TAGS is ".*": expected each key once',
    r'\w+ is "arn:.*": expected the partition',
    # Two parameters against each other, which a rule of CloudFormation cannot multiply.
    r'MAX_RULES_PER_GROUP is "\d+": with MAX_GROUPS_PER_INTERFACE=',
    # A Region that another parameter does not name.
    r'VPC_ID is "[a-z0-9-]+/vpc-',
    # A rule of the template refuses it.
    r'SNS_VERIFY is "off": expected enforce',
    # It needs another parameter, and a rule of the template asks for that.
    r'DEPRECATE_PREVIOUS_AFTER_DAYS is "\d+": expected LATEST_PARAMETER as well',
]


def is_known(fault):
    return any(re.match(form, fault) for form in BEYOND_A_PATTERN)


def parameters_of(function):
    """The settings that one parameter alone decides: setting → parameter."""
    declared = load(function.template)["Parameters"].keys()
    found = {name: references(value) & declared for name, value in variables_of(function).items()}
    return {setting: used.pop() for setting, used in found.items() if len(used) == 1}


def variables_of(function):
    return load(function.template)["Resources"][function.logical_id]["Properties"]["Environment"]["Variables"]


@each_function
def test_what_the_template_admits_the_function_accepts(aws, invoke, function):
    document = with_every_resource(load(function.template))
    values = {
        setting: [(parameter, value) for value in admitted(document["Parameters"][parameter])]
        for setting, parameter in parameters_of(function).items()
    }
    assert values

    variables = variables_of(function)

    def given(parameter, value, setting):
        deployed = Deployed({**document, "Resources": {}, "Outputs": {}}, **{parameter: value})
        return _arn(str(deployed.resolve(variables[setting])))

    refused = {}
    # Each setting has its next value in each round. One that is refused for a reason not known is tried by itself.
    for round_ in range(max(map(len, values.values()))):
        chosen = {setting: given(*pairs[round_ % len(pairs)], setting) for setting, pairs in values.items()}
        for setting, said in faults(aws, invoke, function, look_at_log=False, **chosen).items():
            if is_known(said):
                continue
            alone = {setting: chosen.get(setting, "")}
            refused |= {said: alone for said in faults(aws, invoke, function, look_at_log=False, **alone).values()}
    unknown = [said for said in refused if not is_known(said)]
    assert not unknown, "\n".join(unknown)
