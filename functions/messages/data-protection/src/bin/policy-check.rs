//! Shows what a subscriber would receive under a data protection policy, without deploying anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use data_protection::{
    Attribute, AttributeValue, Content, Decision, Direction, Done, Engine, Faults, LogsPolicy, Managed, NothingApplies,
    Options, Policy, Principal,
};
use lexopt::prelude::*;
use serde::Deserialize;

const HELP: &str = "\
Shows what a subscriber receives of a message under a data protection policy of SNS, and what CloudWatch Logs shows under
one of its own.

Usage: policy-check --policy FILE [--principal ARN]
       policy-check --identifiers
       policy-check --policy FILE --principal ARN --message FILE
                    [--subject TEXT] [--attributes FILE] [--direction Outbound|Inbound]

  --policy FILE      the policy: AWS's JSON. Alone, it is only checked.
  --principal ARN    the subscriber; with --direction Inbound, the publisher. A policy of CloudWatch Logs needs none.
  --message FILE     the message as it is published
  --subject TEXT     its subject
  --attributes FILE  its message attributes: the JSON that aws sns publish --message-attributes takes,
                     {\"office\": {\"DataType\": \"String\", \"StringValue\": \"Sydney\"}}
  --direction SIDE   Outbound, the default: the statements that the redactor applies; or Inbound
  --dialect NAME     sns or logs. Without, a policy whose statements have neither DataDirection nor Principal is one of
                     CloudWatch Logs.
  --allow-unprotected
                     as ALLOW_UNPROTECTED of the redactor: show the message where no statement applies
  --require-keywords false
                     as REQUIRE_KEYWORDS of the redactor: find every value of a form, also without a keyword near it
  --identifiers      lists the managed data identifiers, and whether each needs a keyword near its value
  -h, --help         shows this

FILE may be - for one of them, which is then read from the standard input.

Exits 0; 2 when the policy has a fault, or no statement applies to the principal; 1 when it was called wrongly or cannot read a file.
";

/// Why nothing was shown.
enum Failure {
    /// Called wrongly, or a file that cannot be read.
    Usage(String),
    /// The policy has faults.
    Policy(String),
}

#[derive(Default)]
struct Arguments {
    policy: Option<PathBuf>,
    principal: Option<String>,
    message: Option<PathBuf>,
    subject: Option<String>,
    attributes: Option<PathBuf>,
    direction: Option<Direction>,
    /// Whether the policy is one of CloudWatch Logs.
    logs: Option<bool>,
    allow_unprotected: bool,
    options: Options,
    identifiers: bool,
    help: bool,
}

impl Arguments {
    /// Whether there is nothing to apply the policy to.
    fn are_for_policy_alone(&self) -> bool {
        let Self { principal, message, subject, attributes, direction, .. } = self;
        principal.is_none() && message.is_none() && subject.is_none() && attributes.is_none() && direction.is_none()
    }
}

/// A message attribute as `aws sns publish` takes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GivenAttribute {
    data_type: String,
    string_value: Option<String>,
    /// In base64.
    binary_value: Option<String>,
}

#[expect(clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(text) => {
            // A reader that has enough, such as head, is no failure.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(Failure::Usage(text)) => {
            eprintln!("{text}");
            ExitCode::from(1)
        }
        Err(Failure::Policy(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<String, Failure> {
    let arguments = parsed(arguments).map_err(|error| usage(&error.to_string()))?;
    if arguments.help {
        return Ok(HELP.to_owned());
    }
    if arguments.identifiers {
        let row = |managed: Managed| {
            let needs = if managed.needs_keyword() { "with a keyword" } else { "by itself" };
            format!("{:38} {needs}\n", managed.name())
        };
        return Ok(Managed::all().map(row).collect());
    }
    let is_for_policy_alone = arguments.are_for_policy_alone();
    let missing = |name: &str| usage(&format!("{name} is missing."));
    let path = arguments.policy.ok_or_else(|| missing("--policy"))?;
    let files = [Some(&path), arguments.message.as_ref(), arguments.attributes.as_ref()];
    if files.into_iter().flatten().filter(|path| is_stdin(path)).count() > 1 {
        return Err(usage("- is given more than once: the standard input can be one FILE."));
    }
    let text = read(&path)?;
    let faulty = |faults: Faults| {
        let (count, plural) = (faults.0.len(), if faults.0.len() == 1 { "" } else { "s" });
        let mut text = format!("{} has {count} fault{plural}:", name_of(&path));
        for fault in &faults.0 {
            let _ = write!(text, "\n- {fault}");
        }
        Failure::Policy(text)
    };
    let content = |message: Option<PathBuf>, subject, file: Option<PathBuf>| -> Result<Content, Failure> {
        let message = read(&message.ok_or_else(|| missing("--message"))?)?;
        let attributes = file.map_or(Ok(Vec::new()), |path| attributes(&path))?;
        Ok(Content { message, subject, attributes })
    };
    if arguments.logs.unwrap_or_else(|| LogsPolicy::is_one(&text)) {
        let policy = LogsPolicy::parse(&text).map_err(faulty)?;
        if is_for_policy_alone {
            return Ok(format!("{}: no fault, as a policy of CloudWatch Logs\n", name_of(&path)));
        }
        let content = content(arguments.message, arguments.subject, arguments.attributes)?;
        let engine = Engine::for_logs(&policy).with(arguments.options);
        return Ok(shown(String::new(), &engine, &content));
    }
    let policy = Policy::parse(&text).map_err(faulty)?;
    let mut notes = String::new();
    for note in policy.notes() {
        let _ = writeln!(notes, "Note: {note}.");
    }
    if is_for_policy_alone {
        return Ok(format!("{notes}{}: no fault\n", name_of(&path)));
    }
    let principal = arguments.principal.ok_or_else(|| missing("--principal"))?;
    let principal: Principal =
        principal.parse().map_err(|reason| usage(&format!("--principal is {principal:?}: {reason}")))?;
    let direction = arguments.direction.unwrap_or(Direction::Outbound);
    if !arguments.allow_unprotected {
        let unprotected = |nothing: NothingApplies| Failure::Policy(format!("{}: {nothing}", name_of(&path)));
        policy.applies_to(direction, &principal).map_err(unprotected)?;
    }
    if arguments.message.is_none() && arguments.subject.is_none() && arguments.attributes.is_none() {
        return Ok(format!("{notes}{}: no fault, and applies to {}\n", name_of(&path), principal.as_str()));
    }
    let content = content(arguments.message, arguments.subject, arguments.attributes)?;
    let other = if direction == Direction::Outbound { Direction::Inbound } else { Direction::Outbound };
    for path in policy.statements_of(other) {
        let _ = writeln!(notes, "Note: {path} has the direction {other:?} and is not applied here.");
    }
    let engine = Engine::new(&policy, direction, &principal).with(arguments.options);
    if engine.is_empty() {
        let _ = writeln!(notes, "Note: no {direction:?} statement applies to {}.", principal.as_str());
    }
    Ok(shown(notes, &engine, &content))
}

fn parsed(arguments: Vec<OsString>) -> Result<Arguments, lexopt::Error> {
    let mut found = Arguments::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("policy") => found.policy = Some(parser.value()?.into()),
            Long("principal") => found.principal = Some(parser.value()?.string()?),
            Long("message") => found.message = Some(parser.value()?.into()),
            Long("subject") => found.subject = Some(parser.value()?.string()?),
            Long("attributes") => found.attributes = Some(parser.value()?.into()),
            Long("direction") => {
                found.direction = Some(match parser.value()?.string()?.as_str() {
                    "Outbound" => Direction::Outbound,
                    "Inbound" => Direction::Inbound,
                    other => return Err(format!("--direction is {other:?}: expected Outbound or Inbound").into()),
                });
            }
            Long("dialect") => {
                found.logs = Some(match parser.value()?.string()?.as_str() {
                    "sns" => false,
                    "logs" => true,
                    other => return Err(format!("--dialect is {other:?}: expected sns or logs").into()),
                });
            }
            Long("allow-unprotected") => found.allow_unprotected = true,
            Long("require-keywords") => {
                found.options.require_keywords = match parser.value()?.string()?.as_str() {
                    "true" => true,
                    "false" => false,
                    other => return Err(format!("--require-keywords is {other:?}: expected true or false").into()),
                };
            }
            Long("identifiers") => found.identifiers = true,
            Short('h') | Long("help") => found.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(found)
}

fn usage(reason: &str) -> Failure {
    Failure::Usage(format!("{reason}\nTry policy-check --help."))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name_of(path: &Path) -> String {
    if is_stdin(path) { "the standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = if is_stdin(path) { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| Failure::Usage(format!("cannot read {}: {}", name_of(path), error)))
}

fn attributes(path: &Path) -> Result<Vec<Attribute>, Failure> {
    let fault = |reason: String| {
        Failure::Usage(format!(
            "{}: {reason}: expected what aws sns publish --message-attributes takes, such as \
             {{\"office\": {{\"DataType\": \"String\", \"StringValue\": \"Sydney\"}}}}",
            name_of(path)
        ))
    };
    let given: BTreeMap<String, GivenAttribute> =
        serde_json::from_str(&read(path)?).map_err(|error| fault(error.to_string()))?;
    let attribute = |(name, given): (String, GivenAttribute)| {
        let GivenAttribute { data_type, string_value, binary_value } = given;
        let value = match (data_type.starts_with("Binary"), string_value, binary_value) {
            (false, Some(text), None) => AttributeValue::Text(text),
            (true, None, Some(base64)) => AttributeValue::Binary(
                BASE64_STANDARD.decode(base64).map_err(|error| fault(format!("BinaryValue of {name}: {error}")))?,
            ),
            (false, ..) => return Err(fault(format!("{name} has the DataType {data_type}, and no StringValue alone"))),
            (true, ..) => return Err(fault(format!("{name} has the DataType {data_type}, and no BinaryValue alone"))),
        };
        Ok(Attribute { name, data_type, value })
    };
    given.into_iter().map(attribute).collect()
}

fn shown(mut text: String, engine: &Engine, content: &Content) -> String {
    let outcome = engine.apply(content);
    let found = if outcome.findings.is_empty() { "Findings: none" } else { "Findings:" };
    let _ = writeln!(text, "{found}");
    for finding in &outcome.findings {
        let done = match finding.operation {
            Done::Audit => "counted",
            Done::Deny => "denied",
            Done::Mask => "masked",
            Done::Redact => "redacted",
        };
        let _ = writeln!(text, "  {}: {}, {done} ({})", finding.path, finding.identifier, finding.count);
    }
    if outcome.more_findings > 0 {
        let _ = writeln!(text, "  and {} more", outcome.more_findings);
    }
    match outcome.decision {
        Decision::Denied => text.push_str("Not delivered: a statement denies it.\n"),
        Decision::NothingLeft => text.push_str("Not delivered: nothing is left of it.\n"),
        Decision::Deliver(content) => delivered(&mut text, content, outcome.attributes_dropped),
    }
    text
}

fn delivered(text: &mut String, content: Content, attributes_dropped: usize) {
    let Content { message, subject, attributes } = content;
    if let Some(subject) = subject {
        let _ = writeln!(text, "Subject: {subject}");
    }
    if !attributes.is_empty() {
        text.push_str("Attributes:\n");
    }
    for Attribute { name, data_type, value } in attributes {
        let value = match value {
            AttributeValue::Text(text) => text,
            AttributeValue::Binary(bytes) => BASE64_STANDARD.encode(bytes),
        };
        let _ = writeln!(text, "  {name} ({data_type}): {value}");
    }
    if attributes_dropped > 0 {
        let _ = writeln!(text, "Attributes left out: {attributes_dropped}");
    }
    let _ = write!(text, "Delivered:\n{message}");
    if !message.ends_with('\n') {
        text.push('\n');
    }
}
