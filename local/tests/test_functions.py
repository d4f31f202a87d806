"""The list of functions: what is read from the templates, and what is said where a template lacks something."""

import subprocess
import sys

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import BadTemplate, capabilities, functions

TEMPLATE = """
Resources:
  Queue:
    Type: AWS::SQS::Queue
  KnockFunction:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties:
        Binary: door-knock
    Properties:
      CodeUri: knock
      Environment:
        Variables:
          GREETING: !Ref Greeting
          TOPIC_ARN: !If [HasTopic, !GetAtt Queue.Arn, !Ref AWS::NoValue]
"""


@pytest.fixture
def suite(tmp_path):
    """A suite of one function. Gives a function that writes its template and reads the list."""
    crate = tmp_path / "functions/door/knock"
    (crate / "src").mkdir(parents=True)
    (crate / "src/main.rs").touch()
    (crate / "Cargo.toml").write_text('[package]\nname = "door-knock"\n')

    def read(template=TEMPLATE):
        (tmp_path / "functions/door/template.yaml").write_text(template)
        return functions(tmp_path)

    return read


def test_a_function_is_read_from_its_template(suite):
    (knock,) = suite()
    assert (knock.capability, knock.template) == ("door", "functions/door/template.yaml")
    assert (knock.logical_id, knock.crate, knock.binary) == ("KnockFunction", "functions/door/knock", "door-knock")
    assert knock.settings == ("GREETING", "TOPIC_ARN")
    assert knock.bootstrap == ".aws-sam/door/KnockFunction/bootstrap"
    assert knock.properties["Environment"]["Variables"] == {
        "GREETING": {"Ref": "Greeting"},
        "TOPIC_ARN": {"Fn::If": ["HasTopic", {"Fn::GetAtt": ["Queue", "Arn"]}, {"Ref": "AWS::NoValue"}]},
    }


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("      CodeUri: knock\n", "", "KnockFunction has no Properties.CodeUri"),
        ("CodeUri: knock", "CodeUri: ring", "functions/door/ring/Cargo.toml does not exist"),
        ("        Binary: door-knock\n", "", "KnockFunction has no Metadata.BuildProperties.Binary"),
        ("door-knock", "door-ring", "has Binary door-ring, but the crate functions/door/knock builds door-knock"),
        ("Variables", "Variable", "KnockFunction has no Properties.Environment.Variables"),
        ("Type: AWS::Serverless::Function", "Type: AWS::Lambda::Function", "has no AWS::Serverless::Function"),
        ("Resources:", "Rescources:", "functions/door/template.yaml has no Resources"),
    ],
)
def test_what_a_template_lacks_is_named(suite, written, instead, said):
    assert written in TEMPLATE
    with pytest.raises(BadTemplate, match=said):
        suite(TEMPLATE.replace(written, instead))


def test_a_folder_without_templates_is_an_error_and_not_an_empty_suite(tmp_path):
    with pytest.raises(BadTemplate, match=r"no functions/\*/template\.yaml"):
        functions(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "sources", "built"),
    [
        ("", ["bin/door-a.rs", "bin/door-b.rs", "lib.rs"], "door-a, door-b"),
        ('[[bin]]\nname = "bell"\npath = "src/main.rs"\n', ["main.rs"], "bell"),
    ],
)
def test_a_crate_may_build_binaries_of_other_names(suite, tmp_path, manifest, sources, built):
    crate = tmp_path / "functions/door/knock"
    (crate / "Cargo.toml").write_text(f'[package]\nname = "door-knock"\n{manifest}')
    (crate / "src/main.rs").unlink()
    (crate / "src/bin").mkdir()
    for source in sources:
        (crate / "src" / source).touch()
    for binary in built.split(", "):
        assert suite(TEMPLATE.replace("door-knock", binary))[0].binary == binary
    with pytest.raises(BadTemplate, match=f"builds {built}$"):
        suite()


@pytest.mark.parametrize("name", ["health-gate", "gate", "pipeline-health-gate"])
def test_an_event_is_the_functions_whose_name_it_starts_with(suite, tmp_path, name):
    events = tmp_path / "events/door"
    events.mkdir(parents=True)
    for event in (f"{name}-open.json", "knock-twice.json", "other.json"):
        (events / event).touch()
    (only,) = suite()
    assert len(only.events(tmp_path)) == 3, "a capability with one function needs no names"

    gate = tmp_path / "functions/door/health-gate"
    (gate / "src").mkdir(parents=True)
    (gate / "src/main.rs").touch()
    (gate / "Cargo.toml").write_text('[package]\nname = "pipeline-health-gate"\n')
    _, second = TEMPLATE.split("  KnockFunction:")
    second = second.replace("door-knock", "pipeline-health-gate").replace("CodeUri: knock", "CodeUri: health-gate")
    knock, gate = suite(f"{TEMPLATE}  GateFunction:{second}")
    assert [path.name for path in knock.events(tmp_path)] == ["knock-twice.json"]
    assert [path.name for path in gate.events(tmp_path)] == [f"{name}-open.json"]


def test_functions_of_one_binary_are_told_apart_by_their_logical_ids(suite, tmp_path):
    _, second = TEMPLATE.split("  KnockFunction:")
    front, back = suite(f"{TEMPLATE.replace('KnockFunction', 'FrontDoorFunction')}  BackDoorFunction:{second}")
    assert front.binary == back.binary == "door-knock" and not front.is_alone
    assert (str(front), str(back)) == ("front-door", "back-door")
    events = tmp_path / "events/door"
    events.mkdir(parents=True)
    for event in ("front-open.json", "back-door-open.json", "knock-twice.json"):
        (events / event).touch()
    assert [path.name for path in front.events(tmp_path)] == ["front-open.json"]
    assert [path.name for path in back.events(tmp_path)] == ["back-door-open.json"]


def test_the_lists_are_printed_one_a_line():
    def printed(what):
        command = [sys.executable, "-m", "gatehouse_local.functions", what]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "local", check=True, timeout=30)
        return ended.stdout.splitlines()

    suite = functions()
    assert printed("capabilities") == capabilities()
    # One that two functions run is built once.
    assert printed("binaries") == list(dict.fromkeys(function.binary for function in suite))
    assert printed("crates") == list(dict.fromkeys(function.crate for function in suite))
    assert printed("bootstraps") == [f"{function.binary}={function.bootstrap}" for function in suite]
