//! Shows what a subscriber would receive under a data protection policy, without deploying anything.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gatehouse_shared::failure::chain;
use lexopt::prelude::*;
use message_redactor::content::{Content, Decision, Done, apply};
use message_redactor::policy::{Direction, Policy};
use message_redactor::principal::Principal;
use message_redactor::rules::Rules;

const HELP: &str = "\
Shows what a subscriber receives of a message under an SNS data protection policy.

Usage: policy-check --policy FILE --principal ARN --message FILE [--subject TEXT] [--direction Outbound|Inbound]
       policy-check --policy FILE

  --policy FILE      the policy: AWS's JSON. Alone, it is only checked.
  --principal ARN    the subscriber; with --direction Inbound, the publisher
  --message FILE     the message as it is published
  --subject TEXT     its subject
  --direction SIDE   Outbound, the default: the statements that the redactor applies; or Inbound

Exits 0, 2 when the policy has a fault, 1 when it was called wrongly or cannot read a file.
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
    inbound: bool,
    help: bool,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(text) => {
            print!("{text}");
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
    let arguments = parsed(arguments).map_err(|error| Failure::Usage(format!("{error}\nTry policy-check --help.")))?;
    if arguments.help {
        return Ok(HELP.to_owned());
    }
    let missing = |name: &str| Failure::Usage(format!("{name} is missing.\nTry policy-check --help."));
    let path = arguments.policy.ok_or_else(|| missing("--policy"))?;
    let policy = Policy::parse(&read(&path)?).map_err(|faults| {
        let mut text = format!("{} has {} faults:", path.display(), faults.0.len());
        for fault in &faults.0 {
            let _ = write!(text, "\n- {fault}");
        }
        Failure::Policy(text)
    })?;
    if arguments.message.is_none() && arguments.principal.is_none() {
        return Ok(format!("{}: no fault\n", path.display()));
    }
    let principal = arguments.principal.ok_or_else(|| missing("--principal"))?;
    let principal: Principal =
        principal.parse().map_err(|reason| Failure::Usage(format!("--principal is {principal:?}: {reason}")))?;
    let message = read(&arguments.message.ok_or_else(|| missing("--message"))?)?;
    let direction = if arguments.inbound { Direction::Inbound } else { Direction::Outbound };
    let content = Content { message, subject: arguments.subject, attributes: Vec::new() };
    Ok(shown(&policy, direction, &principal, &content))
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
            Long("direction") => {
                found.inbound = match parser.value()?.string()?.as_str() {
                    "Outbound" => false,
                    "Inbound" => true,
                    other => return Err(format!("--direction is {other:?}: expected Outbound or Inbound").into()),
                }
            }
            Short('h') | Long("help") => found.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {}", path.display(), chain(&error))))
}

fn shown(policy: &Policy, direction: Direction, principal: &Principal, content: &Content) -> String {
    let mut text = String::new();
    let other = if direction == Direction::Outbound { Direction::Inbound } else { Direction::Outbound };
    for path in policy.statements_of(other) {
        let _ = writeln!(text, "Note: {path} has the direction {other:?} and is not applied here.");
    }
    let rules = Rules::of(policy, direction, principal);
    if rules.are_empty() {
        let _ = writeln!(text, "Note: no {direction:?} statement applies to {}.", principal.as_str());
    }
    let verdict = apply(&rules, content);
    let found = if verdict.findings.is_empty() { "Findings: none" } else { "Findings:" };
    let _ = writeln!(text, "{found}");
    for finding in &verdict.findings {
        let done = match finding.operation {
            Done::Audit => "counted",
            Done::Deny => "denied",
            Done::Mask => "masked",
            Done::Redact => "redacted",
        };
        let _ = writeln!(text, "  {}: {}, {done} ({})", finding.path, finding.identifier, finding.count);
    }
    if verdict.more_findings > 0 {
        let _ = writeln!(text, "  and {} more", verdict.more_findings);
    }
    match verdict.decision {
        Decision::Denied => text.push_str("Not delivered: a statement denies it.\n"),
        Decision::NothingLeft => text.push_str("Not delivered: nothing is left of it.\n"),
        Decision::Deliver(content) => {
            if let Some(subject) = content.subject {
                let _ = writeln!(text, "Subject: {subject}");
            }
            let _ = write!(text, "Delivered:\n{}", content.message);
            if !content.message.ends_with('\n') {
                text.push('\n');
            }
        }
    }
    text
}
