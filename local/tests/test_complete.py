"""Nothing of a function is forgotten: the suite has it all, and for a made-up function each missing part is noticed."""

import shutil

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import functions
from template_checks import complete
from template_checks.complete import missing, tables

# A capability of one function, with all that belongs to it. What is added to a file of the suite starts with "+".
MADE_UP = {
    "functions/doors/knock/Cargo.toml": """
[package]
name = "door-knock"

[dependencies]
aws-sdk-health.workspace = true
gatehouse-shared.workspace = true
""",
    "functions/doors/knock/src/main.rs": """
fn main() {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let greeting = env.text("GREETING");
    health.describe_events().send();
    Metrics::of("knock", now).count("Knocks", 1).emit();
}
""",
    "functions/doors/knock/src/error.rs": """
impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::NobodyHome => "NobodyHome",
        }
    }
}
""",
    "functions/doors/template.yaml": """
Parameters:
  Debug: { Type: String, Default: "false" }
  Greeting: { Type: String, Default: hello }
Resources:
  KnockFunction:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties:
        Binary: door-knock
    Properties:
      CodeUri: knock
      Role: !GetAtt KnockRole.Arn
      LoggingConfig:
        LogFormat: JSON
        LogGroup: !Ref KnockLogGroup
      Environment:
        Variables:
          DEBUG: !Ref Debug
          GREETING: !Ref Greeting
  KnockLogGroup:
    Type: AWS::Logs::LogGroup
    Properties:
      RetentionInDays: 90
  KnockRole:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyDocument:
            Statement:
              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !GetAtt KnockLogGroup.Arn
              - Effect: Allow
                Action: [health:DescribeEvents]
                Resource: "*"
  KnockErrorsAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - { Name: FunctionName, Value: !Ref KnockFunction }
""",
    "functions/doors/README.md": """
# doors

| parameter | default |
|---|---|
| `Greeting` | `hello` |
| `Debug` | `false` |

| errorType | what to do |
|---|---|
| `NobodyHome` | come back later |

Metrics: `Knocks`.
""",
    "events/doors/knock-once.json": "{}",
    "local/tests/test_doors_flow.py": 'def test_a_knock(binary): binary("door-knock")\n',
    "+README.md": """
| capability | functions |
|---|---|
| [doors](functions/doors/README.md) | `door-knock` |
""",
    "+CHANGELOG.md": "- `doors`: `door-knock` knocks.\n",
    "+template.yaml": """
  Doors:
    Type: AWS::Serverless::Application
    Properties:
      Location: functions/doors/template.yaml
""",
    "+samconfig.toml": """
[doors.build.parameters]
template_file = "functions/doors/template.yaml"
[doors.validate.parameters]
template_file = "functions/doors/template.yaml"
[doors.local_invoke.parameters]
template_file = ".aws-sam/doors/template.yaml"
[doors.deploy.parameters]
template_file = ".aws-sam/doors/template.yaml"
""",
}


@pytest.fixture
def suite(tmp_path):
    """A copy of what the checks read of the suite."""
    for pattern in (
        "*.md", "*.toml", "*.yaml", "functions/**/*.yaml", "functions/**/*.md", "functions/**/Cargo.toml",
        "functions/**/*.rs", "shared/Cargo.toml", "shared/src/**/*.rs", "shared/sns/src/**/*.rs", "events/**/*.json",
        "local/tests/*_flow.py",
    ):  # fmt: skip
        for path in ROOT.glob(pattern):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return tmp_path


@pytest.fixture(scope="module")
def before():
    """What the suite itself lacks: nothing, or else a test of its own fails. A copy lacks the same."""
    return missing()


def add(suite, parts):
    for name, text in parts.items():
        path = suite / name.removeprefix("+")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "+template.yaml":  # among the resources, wherever these are in the file
            path.write_text(path.read_text().replace("\nResources:\n", f"\nResources:\n{text}", 1))
        elif name.startswith("+"):
            path.write_text(f"{path.read_text()}\n{text}")
        else:
            path.write_text(text)


def test_nothing_is_forgotten_of_any_function(before):
    if before:
        pytest.fail("\n".join(before), pytrace=False)


def test_a_function_with_all_its_parts_passes(suite, before):
    add(suite, MADE_UP)
    assert "door-knock" in [function.binary for function in functions(suite)]
    assert missing(suite) == before


RESOURCE = """  KnockLogGroup:
    Type: AWS::Logs::LogGroup
    Properties:
      RetentionInDays: 90
"""
ALARM = MADE_UP["functions/doors/template.yaml"].partition("  KnockErrorsAlarm:")
FORGOTTEN = {
    "its crate": ("functions/doors/knock/Cargo.toml", None, "functions/doors/knock/Cargo.toml does not exist"),
    "its template": (
        "functions/doors/template.yaml",
        None,
        "functions/doors/knock builds door-knock, and no template deploys it: add an AWS::Serverless::Function with "
        "CodeUri: knock to functions/doors/template.yaml",
        "events/doors/knock-once.json is an event of no function",
    ),
    "its resource": (
        "functions/doors/template.yaml",
        "    Type: AWS::Serverless::Function\n",
        "functions/doors/template.yaml has no AWS::Serverless::Function",
    ),
    "a variable": (
        "functions/doors/template.yaml",
        "          GREETING: !Ref Greeting\n",
        "KnockFunction lacks the variable GREETING, which its code reads: add it, and the parameter Greeting",
    ),
    "what all functions read": (
        "functions/doors/template.yaml",
        "          DEBUG: !Ref Debug\n",
        "KnockFunction lacks the variable DEBUG, which its code reads: add it, and the parameter Debug",
    ),
    "a parameter": (
        "functions/doors/template.yaml",
        "  Greeting: { Type: String, Default: hello }\n",
        "functions/doors/template.yaml lacks the parameter Greeting, for the variable GREETING of KnockFunction",
    ),
    "the code of a setting": (
        "functions/doors/knock/src/main.rs",
        '    let greeting = env.text("GREETING");\n',
        "KnockFunction has the variable GREETING: its code does not read it; remove it",
    ),
    "a right": (
        "functions/doors/template.yaml",
        "health:DescribeEvents",
        "the role of KnockFunction: called and not allowed: health:DescribeEvents",
    ),
    "its log group": ("functions/doors/template.yaml", RESOURCE, "KnockFunction has no log group: add an AWS::Logs::"),
    "its alarm": (
        "functions/doors/template.yaml",
        ALARM[1] + ALARM[2],
        "KnockFunction has no alarm on its errors: add an AWS::CloudWatch::Alarm on its metric Errors",
    ),
    "its events": (
        "events/doors/knock-once.json",
        None,
        "door-knock has no sample event: add one, such as events/doors/knock-<case>.json",
    ),
    "its flow": (
        "local/tests/test_doors_flow.py",
        None,
        'no flow runs door-knock: add one to local/tests/test_doors_flow.py, with binary("door-knock")',
    ),
    "its README": (
        "functions/doors/README.md",
        None,
        "functions/doors/README.md does not exist: add it, with the settings, errors and metrics of door-knock",
    ),
    "a row of the settings": (
        "functions/doors/README.md",
        "| `Greeting` | `hello` |\n",
        "functions/doors/README.md does not describe the parameter Greeting: add a row to its table of settings",
    ),
    "a row of the errors": (
        "functions/doors/README.md",
        "| `NobodyHome` | come back later |\n",
        "functions/doors/README.md does not explain the errorType NobodyHome of door-knock: add a row to its table",
    ),
    "a metric": (
        "functions/doors/README.md",
        "`Knocks`",
        "functions/doors/README.md does not name the metric Knocks of door-knock: add it to the list of metrics",
    ),
    "its row in the README of the suite": (
        "+README.md",
        "| [doors](functions/doors/README.md) | `door-knock` |\n",
        "README.md does not name door-knock: name it in the table of capabilities",
    ),
    "its line in the changelog": (
        "+CHANGELOG.md",
        None,
        "CHANGELOG.md does not name door-knock: add a line under Unreleased",
    ),
    "its capability in the template of the suite": (
        "+template.yaml",
        None,
        "template.yaml does not nest functions/doors/template.yaml: add an AWS::Serverless::Application with it",
    ),
    "its capability in samconfig.toml": (
        "+samconfig.toml",
        '[doors.deploy.parameters]\ntemplate_file = ".aws-sam/doors/template.yaml"\n',
        'samconfig.toml: add template_file = ".aws-sam/doors/template.yaml" to [doors.deploy.parameters]',
    ),
}


@pytest.mark.parametrize("part", FORGOTTEN)
def test_a_part_that_is_forgotten_is_named(suite, before, part):
    name, text, *said = FORGOTTEN[part]
    parts = dict(MADE_UP)
    if text is None:
        del parts[name]
    else:
        assert parts[name].count(text) == 1
        parts[name] = parts[name].replace(text, "")
    add(suite, parts)
    found = [it for it in missing(suite) if it not in before]
    assert len(found) == len(said), found
    assert [expected for expected, seen in zip(said, found, strict=True) if expected not in seen] == []


def test_a_variable_without_a_parameter_is_named(suite, before):
    name = "functions/doors/template.yaml"
    add(suite, MADE_UP | {name: MADE_UP[name].replace("GREETING: !Ref Greeting", "GREETING: hello")})
    [found] = [it for it in missing(suite) if it not in before]
    assert "KnockFunction: the variable GREETING is fixed: refer to a parameter Greeting" in found


def test_an_event_that_belongs_to_no_function_is_named(suite, before):
    add(suite, {"events/pipelines/closed.json": "{}", "events/windows/open.json": "{}"})
    found = [it for it in missing(suite) if it not in before]
    assert len(found) == 2
    assert found[0].startswith("events/pipelines/closed.json is an event of no function: start its name with")
    assert "(gate-, retry-)" in found[0] and "(there is none in windows)" in found[1]


def test_a_function_that_shared_code_names_is_named(suite, before):
    add(suite, MADE_UP)
    for file in ("shared/src/log.rs", "shared/sns/src/topic.rs"):
        (suite / file).write_text('const OURS: [&str; 1] = ["door_knock"];')
    found = [it for it in missing(suite) if it not in before]
    for file in ("shared/src/log.rs", "shared/sns/src/topic.rs"):
        assert f"{file} names door-knock: shared code names no function" in found


def test_the_tables_of_a_text_are_read_cell_by_cell():
    text = "a | b\n\n| a | b |\n|---|:-:|\n| `x` | y \\| z |\n|  |  |\n\n| c |\n|---|\n| d |"
    assert [(table.header, table.rows) for table in tables(text)] == [
        (["a", "b"], [["`x`", "y \\| z"], ["", ""]]),
        (["c"], [["d"]]),
    ]


def test_a_row_counts_for_the_function_that_it_names(suite):
    add(
        suite, MADE_UP | {"functions/doors/README.md": "| function | errorType |\n|---|---|\n| ring | `NobodyHome` |\n"}
    )
    [knock] = [function for function in functions(suite) if function.binary == "door-knock"]
    assert any("errorType NobodyHome" in said for said in complete.readme(suite, knock))
    for name in ("knock", "`door-knock`"):
        (suite / "functions/doors/README.md").write_text(
            f"| function | errorType |\n|---|---|\n| {name} | `NobodyHome` |\n"
        )
        assert not any("errorType NobodyHome" in said for said in complete.readme(suite, knock))
