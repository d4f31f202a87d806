"""Nothing of a function is forgotten: the suite has it all, and of a made-up function each missing part is named."""

import shutil

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import functions
from template_checks.complete import missing

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


TEMPLATE, README = "functions/doors/template.yaml", "functions/doors/README.md"
LOG_GROUP = """  KnockLogGroup:
    Type: AWS::Logs::LogGroup
    Properties:
      RetentionInDays: 90
"""
ALARM = "".join(MADE_UP[TEMPLATE].partition("  KnockErrorsAlarm:")[1:])
# What is forgotten: texts by file, or the whole file. Then what is said, one for each.
FORGOTTEN = {
    "its crate": (
        {"functions/doors/knock/Cargo.toml": None},
        ["functions/doors/knock/Cargo.toml does not exist"],
    ),
    "its template": (
        {TEMPLATE: None},
        [
            "functions/doors/knock builds door-knock, and no template deploys it: add an AWS::Serverless::Function "
            "with CodeUri: knock to functions/doors/template.yaml",
            "events/doors/knock-once.json is an event of no function",
        ],
    ),
    "its resource": (
        {TEMPLATE: ["    Type: AWS::Serverless::Function\n"]},
        ["functions/doors/template.yaml has no AWS::Serverless::Function"],
    ),
    "what belongs to its resource": (
        {
            TEMPLATE: [
                "          GREETING: !Ref Greeting\n",
                "health:DescribeEvents",
                LOG_GROUP,
                ALARM,
            ]
        },
        [
            "KnockFunction lacks the variable GREETING, which its code reads: add it, and the parameter Greeting",
            "the role of KnockFunction: called and not allowed: health:DescribeEvents",
            "KnockFunction has no log group: add an AWS::Logs::",
            "KnockFunction has no alarm on its errors: add an AWS::CloudWatch::Alarm on its metric Errors",
        ],
    ),
    "a parameter, and what all functions read": (
        {TEMPLATE: ["  Greeting: { Type: String, Default: hello }\n", "          DEBUG: !Ref Debug\n"]},
        [
            "KnockFunction lacks the variable DEBUG, which its code reads: add it, and the parameter Debug",
            "functions/doors/template.yaml lacks the parameter Greeting, for the variable GREETING of KnockFunction",
        ],
    ),
    "the code of a setting": (
        {"functions/doors/knock/src/main.rs": ['    let greeting = env.text("GREETING");\n']},
        ["KnockFunction has the variable GREETING: its code does not read it; remove it"],
    ),
    "what shows it": (
        {
            "+template.yaml": None,
            "+samconfig.toml": ['[doors.deploy.parameters]\ntemplate_file = ".aws-sam/doors/template.yaml"\n'],
            "events/doors/knock-once.json": None,
            "local/tests/test_doors_flow.py": None,
        },
        [
            "template.yaml does not nest functions/doors/template.yaml: add an AWS::Serverless::Application with it",
            'samconfig.toml: add template_file = ".aws-sam/doors/template.yaml" to [doors.deploy.parameters]',
            "door-knock has no sample event: add one, such as events/doors/knock-<case>.json",
            'no flow runs door-knock: add one to local/tests/test_doors_flow.py, with binary("door-knock")',
        ],
    ),
    "what is written about it": (
        {
            README: ["| `Greeting` | `hello` |\n", "| `NobodyHome` | come back later |\n", "`Knocks`"],
            "+README.md": ["| [doors](functions/doors/README.md) | `door-knock` |\n"],
            "+CHANGELOG.md": None,
        },
        [
            "functions/doors/README.md does not describe the parameter Greeting: add a row to its table of settings",
            "functions/doors/README.md does not explain the errorType NobodyHome of door-knock: add a row to its table",
            "functions/doors/README.md does not name the metric Knocks of door-knock: add it to the list of metrics",
            "README.md does not name door-knock: name it in the table of capabilities",
            "CHANGELOG.md does not name door-knock: add a line under Unreleased",
        ],
    ),
    "its README": (
        {README: None},
        ["functions/doors/README.md does not exist: add it, with the settings, errors and metrics of door-knock"],
    ),
}


def noticed(suite, before, said):
    found = [it for it in missing(suite) if it not in before]
    assert len(found) == len(said), found
    assert [expected for expected, seen in zip(said, found, strict=True) if expected not in seen] == []


@pytest.mark.parametrize("part", FORGOTTEN)
def test_a_part_that_is_forgotten_is_named(suite, before, part):
    left_out, said = FORGOTTEN[part]
    parts = {name: text for name, text in MADE_UP.items() if left_out.get(name, "") is not None}
    for name, texts in left_out.items():
        for text in texts or []:
            assert parts[name].count(text) == 1
            parts[name] = parts[name].replace(text, "")
    add(suite, parts)
    noticed(suite, before, said)


def test_what_does_not_belong_there_is_named(suite, before):
    add(suite, MADE_UP | {TEMPLATE: MADE_UP[TEMPLATE].replace("GREETING: !Ref Greeting", "GREETING: hello")})
    add(suite, {"events/windows/open.json": "{}"})
    for part in ("shared/src/chat.rs", "shared/sns/src/topic.rs"):
        (suite / part).write_text((suite / part).read_text() + '\nconst OURS: [&str; 1] = ["door_knock"];')
    said = [
        "events/windows/open.json is an event of no function: start its name with",
        "shared/sns/src/topic.rs names door-knock: shared code names no function",
        "shared/src/chat.rs names door-knock: shared code names no function",
        "KnockFunction: the variable GREETING is fixed: refer to a parameter Greeting",
    ]
    noticed(suite, before, said)
