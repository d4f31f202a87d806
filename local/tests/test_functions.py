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
