//! The command as people call it: what it prints, and its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_protection::Managed;
use serde_json::{Value, json};

const PRINCIPAL: &str = "arn:aws:iam::111122223333:role/Reporting";
/// The expense report of AWS's announcement.
const REPORT: &str = r#"{"report":"CID-000012348-CA","employee":"EID-123456789-US","card":"4539894458086459"}"#;

/// The policy of AWS's announcement.
fn policy() -> Value {
    json!({
        "Name": "expense-reports",
        "Version": "2021-06-01",
        "Configuration": { "CustomDataIdentifier": [{ "Name": "EmployeeId", "Regex": "EID-\\d{9}-US" }] },
        "Statement": [{
            "Sid": "MaskForReporting",
            "DataDirection": "Outbound",
            "Principal": [PRINCIPAL],
            "DataIdentifier": ["EmployeeId", "arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    })
}

fn policy_with(operation: Value) -> String {
    let mut policy = policy();
    policy["Statement"][0]["Operation"] = operation;
    policy.to_string()
}

/// A folder with the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The exit code, and what was written to the standard output and the standard error.
fn policy_check(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_policy-check"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it may have ended.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_policy_alone_is_only_checked() {
    let policy = Folder::new("alone").file("policy.json", policy().to_string());
    assert_eq!(policy_check(&["--policy", &policy], ""), (0, format!("{policy}: no fault\n"), String::new()));
}

#[test]
fn the_example_of_aws_is_masked_and_each_finding_is_named() {
    let folder = Folder::new("example");
    let (policy, message) = (folder.file("policy.json", policy().to_string()), folder.file("message.json", REPORT));
    let expected = "Findings:
  $.employee: EmployeeId, masked (1)
  $.card: CreditCardNumber, masked (1)
Delivered:
{\"report\":\"CID-000012348-CA\",\"employee\":\"################\",\"card\":\"################\"}
";
    for (policy_file, message_file, stdin) in [
        (policy.as_str(), message.as_str(), ""),
        (policy.as_str(), "-", REPORT),
        ("-", &message, &self::policy().to_string()),
    ] {
        let arguments = ["--policy", policy_file, "--principal", PRINCIPAL, "--message", message_file];
        assert_eq!(
            policy_check(&arguments, stdin),
            (0, expected.to_owned(), String::new()),
            "{policy_file} {message_file}"
        );
    }
}

#[test]
fn subject_and_attributes_are_shown_as_they_are_delivered() {
    let folder = Folder::new("attributes");
    let policy = folder.file("policy.json", policy().to_string());
    let message = folder.file("message.txt", "It is EID-123456789-US.\n");
    let attributes = folder.file(
        "attributes.json",
        json!({
            "office": { "DataType": "String", "StringValue": "Sydney" },
            "card": { "DataType": "Number", "StringValue": "4539894458086459" },
            "scan": { "DataType": "Binary", "BinaryValue": "RUlELTEyMzQ1Njc4OS1VUw==" },
            "EID-123456789-US": { "DataType": "String", "StringValue": "x" },
        })
        .to_string(),
    );
    let arguments = ["--policy", &policy, "--principal", PRINCIPAL, "--message", &message, "--subject"];
    let arguments = [&arguments[..], &["4539894458086459", "--attributes", &attributes]].concat();
    let expected = "Findings:
  message: EmployeeId, masked (1)
  subject: CreditCardNumber, masked (1)
  attributes.{…}: EmployeeId, masked (1)
  attributes.card: CreditCardNumber, masked (1)
  attributes.scan: EmployeeId, masked (1)
Subject: ################
Attributes:
  card (String): ################
  office (String): Sydney
  scan (Binary): IyMjIyMjIyMjIyMjIyMjIw==
Attributes left out: 1
Delivered:
It is ################.
";
    assert_eq!(policy_check(&arguments, ""), (0, expected.to_owned(), String::new()));
}

#[test]
fn what_is_not_delivered_and_what_does_not_apply_is_said() {
    let folder = Folder::new("decisions");
    let message = folder.file("message.txt", "4539894458086459");
    let mut inbound = policy();
    inbound["Statement"][0]["DataDirection"] = "Inbound".into();
    let audit = json!({ "Audit": { "SampleRate": "99", "FindingsDestination": { "S3": { "Bucket": "b" } } } });
    for (policy, principal, direction, expected) in [
        (
            policy_with(json!({ "Deny": {} })),
            PRINCIPAL,
            "Outbound",
            "denied (1)\nNot delivered: a statement denies it.\n",
        ),
        (
            policy_with(json!({ "Deidentify": { "RedactConfig": {} } })),
            PRINCIPAL,
            "Outbound",
            "redacted (1)\nNot delivered: nothing is left of it.\n",
        ),
        (
            policy_with(audit),
            PRINCIPAL,
            "Outbound",
            "message: CreditCardNumber, counted (1)\nDelivered:\n4539894458086459\n",
        ),
        (
            inbound.to_string(),
            PRINCIPAL,
            "Inbound",
            "message: CreditCardNumber, masked (1)\nDelivered:\n################\n",
        ),
    ] {
        let policy = folder.file("policy.json", policy);
        let arguments =
            ["--policy", &policy, "--principal", principal, "--message", &message, "--direction", direction];
        let (code, output, errors) = policy_check(&arguments, "");
        assert!(output.contains(expected), "{output}");
        assert_eq!((code, errors.as_str()), (0, ""));
    }
}

/// What lets everything through is a fault: each near miss is named.
#[test]
fn a_policy_that_does_not_apply_ends_with_2_and_says_what_was_nearly_the_same() {
    let folder = Folder::new("unprotected");
    let message = folder.file("message.txt", "4539894458086459");
    let named = |principal: &str| {
        let mut policy = policy();
        policy["Statement"][0]["Principal"] = json!([principal]);
        policy
    };
    let mut inbound = policy();
    inbound["Statement"][0]["DataDirection"] = "Inbound".into();
    let session = "arn:aws:sts::111122223333:assumed-role/Reporting/i-1";
    let new = "arn:aws:iam::111122223333:role/messages-ReportingRole-1A2B3C4D5E6F";
    for (policy, principal, parts) in [
        (inbound, PRINCIPAL, vec!["$.Statement[0].DataDirection is Inbound"]),
        (named("arn:aws:iam::111122223333:role/path/Reporting"), PRINCIPAL, vec!["another path: it is role/Reporting"]),
        (
            named("arn:aws:iam::111122223333:role/path/Reporting"),
            session,
            vec!["$.Statement[0].Principal is arn:aws:iam"],
        ),
        (named("arn:aws:iam::111122223334:role/Reporting"), PRINCIPAL, vec!["the account is 111122223333"]),
        (named("111122223334"), PRINCIPAL, vec!["the account is 111122223333"]),
        (named("arn:aws:iam::111122223333:role/reporting"), PRINCIPAL, vec!["upper and lower case differ"]),
        (named("arn:aws-cn:iam::111122223333:role/Reporting"), PRINCIPAL, vec!["the partition is aws"]),
        (
            named("arn:aws:iam::111122223333:role/messages-ReportingRole-Z9Y8X7W6V5U4"),
            new,
            vec!["perhaps of another stack: role/messages-ReportingRole names it in every stack"],
        ),
        (named("arn:aws:iam::111122223333:role/Payment"), PRINCIPAL, vec!["role/Payment"]),
        (named("role/reporting"), PRINCIPAL, vec!["role/reporting (the role is Reporting)"]),
    ] {
        let policy = folder.file("policy.json", policy.to_string());
        let arguments = ["--policy", &policy, "--principal", principal, "--message", &message];
        let (code, output, errors) = policy_check(&arguments, "");
        assert_eq!((code, output.as_str()), (2, ""), "{errors}");
        for part in parts.into_iter().chain([principal, "no Outbound statement of the policy applies to "]) {
            assert!(errors.contains(part), "{part}: {errors}");
        }
        let (code, output, _) = policy_check(&[&arguments[..], &["--allow-unprotected"]].concat(), "");
        assert!(code == 0 && output.contains("Delivered:\n4539894458086459\n"), "{output}");
        // Without a message: whether it applies.
        assert_eq!(policy_check(&arguments[..4], "").0, 2);
    }
    for (name, principal) in [
        ("role/messages-ReportingRole", new),
        ("role/messages-ReportingRole", "arn:aws:iam::111122223333:role/messages-ReportingRole-Z9Y8X7W6V5U4"),
        ("role/Reporting", PRINCIPAL),
        ("role/Reporting", session),
    ] {
        let policy = folder.file("policy.json", named(name).to_string());
        let arguments = ["--policy", &policy, "--principal", principal, "--message", &message];
        let (code, output, errors) = policy_check(&arguments, "");
        assert!(code == 0 && output.ends_with("\n################\n"), "{name}: {errors}");
    }
}

#[test]
fn an_identifier_that_is_not_supported_is_a_note_where_it_has_no_effect() {
    let folder = Folder::new("notes");
    let mut policy = policy();
    policy["Statement"].as_array_mut().unwrap().push(json!({
        "DataDirection": "Inbound", "Principal": ["*"], "Operation": { "Deny": {} },
        "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/Name"],
    }));
    let policy = folder.file("policy.json", policy.to_string());
    let (code, output, errors) = policy_check(&["--policy", &policy], "");
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.starts_with("Note: $.Statement[1].DataIdentifier[0] is Name, which no pattern finds"), "{output}");
    assert!(output.ends_with(&format!("{policy}: no fault\n")), "{output}");
}

/// The same language without principals and directions.
#[test]
fn a_policy_of_cloudwatch_logs_is_checked_and_applied() {
    let folder = Folder::new("logs");
    let arn = "arn:aws:dataprotection::aws:data-identifier/CreditCardNumber";
    let policy = || {
        json!({
            "Name": "data-protection-policy", "Description": "", "Version": "2021-06-01",
            "Statement": [
                {
                    "Sid": "audit-policy", "DataIdentifier": [arn],
                    "Operation": { "Audit": { "FindingsDestination": { "CloudWatchLogs": { "LogGroup": "findings" } } } },
                },
                { "Sid": "redact-policy", "DataIdentifier": [arn], "Operation": { "Deidentify": { "MaskConfig": {} } } },
            ],
        })
    };
    let file = folder.file("policy.json", policy().to_string());
    let expected = format!("{file}: no fault, as a policy of CloudWatch Logs\n");
    assert_eq!(policy_check(&["--policy", &file], ""), (0, expected, String::new()));
    let (code, output, _) = policy_check(&["--policy", &file, "--message", "-"], "card 4539894458086459");
    assert!(code == 0 && output.ends_with("Delivered:\ncard ****************\n"), "{output}");
    for (pointer, value, fault) in [
        (
            "/Statement/1/DataIdentifier",
            json!(["arn:aws:dataprotection::aws:data-identifier/Ssn-US"]),
            "the same data identifiers",
        ),
        (
            "/Statement/0/Operation",
            json!({ "Audit": {} }),
            "$.Statement[0].Operation.Audit.FindingsDestination is missing",
        ),
        (
            "/Statement/1/Operation",
            json!({ "Deny": {} }),
            "$.Statement[1].Operation is another operation: expected Deidentify",
        ),
        (
            "/Statement/1/Operation/Deidentify",
            json!({ "MaskConfig": { "MaskWithCharacter": "#" } }),
            "CloudWatch Logs masks with *",
        ),
        (
            "/Statement",
            json!([{ "DataIdentifier": [arn], "Operation": { "Deidentify": { "MaskConfig": {} } } }]),
            "expected two statements",
        ),
        ("/Version", json!("2012-10-17"), "$.Version is"),
    ] {
        let mut policy = policy();
        *policy.pointer_mut(pointer).unwrap() = value;
        let (code, _, errors) = policy_check(&["--policy", &folder.file("faulty.json", policy.to_string())], "");
        assert!(code == 2 && errors.contains(fault), "{fault}: {errors}");
    }
    // As a policy of SNS it lacks what SNS wants.
    let (code, _, errors) = policy_check(&["--policy", &file, "--dialect", "sns"], "");
    assert!(code == 2 && errors.contains("$.Statement[0].DataDirection is missing"), "{errors}");
}

#[test]
fn without_keywords_every_value_of_a_form_is_found() {
    let folder = Folder::new("keywords");
    let mut policy = policy();
    policy["Statement"][0]["DataIdentifier"] = json!(["arn:aws:dataprotection::aws:data-identifier/PassportNumber-US"]);
    let policy = folder.file("policy.json", policy.to_string());
    let arguments = ["--policy", &policy, "--principal", PRINCIPAL, "--message", "-"];
    for (given, more, expected) in [
        ("number 123456789", &[][..], "number 123456789"),
        ("passport 123456789", &[], "passport #########"),
        ("number 123456789", &["--require-keywords", "false"], "number #########"),
    ] {
        let (_, output, errors) = policy_check(&[&arguments[..], more].concat(), given);
        assert!(output.ends_with(&format!("Delivered:\n{expected}\n")), "{output}{errors}");
    }
}

#[test]
fn each_fault_of_a_policy_is_named_with_its_place_and_ends_with_2() {
    let folder = Folder::new("faults");
    let with = |pointer: &str, value: Value| {
        let mut policy = policy();
        *policy.pointer_mut(pointer).unwrap() = value;
        policy.to_string()
    };
    let twice = policy().to_string().replacen('{', "{\"Name\":\"again\",", 1);
    for (policy, count, faults) in [
        (
            "{".to_owned(),
            1,
            vec!["$ is no JSON (EOF while parsing an object at line 1 column 1): expected a data protection policy"],
        ),
        ("[]".to_owned(), 1, vec!["$ is an empty array: expected a data protection policy, which is a JSON object"]),
        ("{}".to_owned(), 3, vec!["$.Name is missing", "$.Version is missing", "$.Statement is missing"]),
        (twice, 1, vec!["$.Name is given twice: expected each key once"]),
        (with("/Version", json!("2012-10-17")), 1, vec!["$.Version is \"2012-10-17\": expected \"2021-06-01\""]),
        (with("/Statement", json!([])), 1, vec!["$.Statement is an empty array: expected one or more statements"]),
        (
            with("/Statement/0/DataDirection", json!("outbound")),
            1,
            vec!["$.Statement[0].DataDirection is \"outbound\": expected Inbound or Outbound"],
        ),
        (
            with("/Statement/0/Principal/0", json!("Reporting")),
            1,
            vec!["$.Statement[0].Principal[0] is \"Reporting\": expected \"*\", an account of 12 digits"],
        ),
        (
            with("/Statement/0/DataIdentifier/1", json!("CreditCardNumber")),
            1,
            vec![
                "$.Statement[0].DataIdentifier[1] is \"CreditCardNumber\": expected \
                 arn:aws:dataprotection::aws:data-identifier/CreditCardNumber",
            ],
        ),
        (
            with("/Statement/0/DataIdentifier/0", json!("EmployeId")),
            1,
            vec![
                "$.Statement[0].DataIdentifier[0] is \"EmployeId\": expected a name of \
                 Configuration.CustomDataIdentifier, EmployeeId, or an ARN",
            ],
        ),
        (
            with("/Statement/0/DataIdentifier/1", json!("arn:aws:dataprotection::aws:data-identifier/Name")),
            1,
            vec![
                "$.Statement[0].DataIdentifier[1] is Name, which no pattern finds: expected another identifier: names",
            ],
        ),
        (
            with("/Statement/0/DataIdentifier/1", json!("arn:aws:dataprotection::aws:data-identifier/Ssn-FR")),
            1,
            vec!["$.Statement[0].DataIdentifier[1] is \"Ssn-FR\": expected the name of one of AWS's managed data"],
        ),
        (
            with("/Statement/0/Operation", json!({ "Audit": { "SampleRate": "99" } })),
            1,
            vec!["$.Statement[0].Operation.Audit.FindingsDestination is missing: expected FindingsDestination or"],
        ),
        (policy().to_string().replace("\\\\d", "\\d"), 1, vec!["$ is no JSON (invalid escape at line 1 column "]),
        (
            with("/Statement/0/Operation", json!({ "Mask": {} })),
            1,
            vec!["$.Statement[0].Operation.Mask is an unknown key: expected only Audit, Deny, Deidentify"],
        ),
        (
            with(
                "/Statement/0/Operation",
                json!({ "Audit": { "SampleRate": 100, "FindingsDestination": { "S3": { "Bucket": "b" } } } }),
            ),
            1,
            vec!["$.Statement[0].Operation.Audit.SampleRate is 100: expected a whole number from 0 to 99"],
        ),
        (
            with("/Statement/0/Operation/Deidentify/MaskConfig/MaskWithCharacter", json!("##")),
            1,
            vec![
                "$.Statement[0].Operation.Deidentify.MaskConfig.MaskWithCharacter is \"##\": expected one letter, digit",
            ],
        ),
        (
            with("/Configuration/CustomDataIdentifier/0/Regex", json!("(a)")),
            1,
            vec!["$.Configuration.CustomDataIdentifier[0].Regex is \"(a)\": expected no ['(', ')']"],
        ),
        (
            with("/Configuration/CustomDataIdentifier/0/Name", json!("Employee Id")),
            2,
            vec![
                "$.Configuration.CustomDataIdentifier[0].Name is \"Employee Id\": expected 1 to 128 letters",
                "$.Statement[0].DataIdentifier[0] is \"EmployeeId\": expected a name of \
                 Configuration.CustomDataIdentifier, or an ARN arn:aws:dataprotection::aws:data-identifier/…",
            ],
        ),
    ] {
        let path = folder.file("policy.json", &policy);
        let (code, output, errors) = policy_check(&["--policy", &path], "");
        assert_eq!((code, output.as_str()), (2, ""), "{policy}");
        let plural = if count == 1 { "" } else { "s" };
        assert!(errors.starts_with(&format!("{path} has {count} fault{plural}:\n- $")), "{errors}");
        assert_eq!(errors.matches("\n- ").count(), count, "{errors}");
        for fault in faults {
            assert!(errors.contains(&format!("\n- {fault}")), "{fault}: {errors}");
        }
    }
    assert_eq!(policy_check(&["--policy", "-"], "{}").0, 2);
    assert!(policy_check(&["--policy", "-"], "{}").2.starts_with("the standard input has 3 faults:\n"));
}

#[test]
fn a_wrong_call_says_what_is_wrong_and_ends_with_1() {
    let folder = Folder::new("calls");
    let policy = folder.file("policy.json", policy().to_string());
    let message = folder.file("message.json", REPORT);
    let latin = folder.file("latin.json", [b'"', 0xe9, b'"']);
    let attributes = |name: &str, content: Value| folder.file(name, content.to_string());
    let unknown_key = attributes("unknown-key.json", json!({ "a": { "Type": "String", "Value": "x" } }));
    let no_object = attributes("no-object.json", json!([]));
    let no_value = attributes("no-value.json", json!({ "a": { "DataType": "String", "BinaryValue": "eA==" } }));
    let no_bytes = attributes("no-bytes.json", json!({ "a": { "DataType": "Binary", "StringValue": "x" } }));
    let no_base64 = attributes("no-base64.json", json!({ "a": { "DataType": "Binary", "BinaryValue": "!" } }));
    let missing = folder.0.join("missing.json").to_str().unwrap().to_owned();
    let all = ["--policy", &policy, "--principal", PRINCIPAL, "--message", &message];
    let with = |more: &[&'static str]| {
        [&all.map(str::to_owned)[..], &more.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()].concat()
    };
    let with_attributes =
        |path: &str| [&all.map(str::to_owned)[..], &["--attributes".to_owned(), path.to_owned()]].concat();
    let owned = |arguments: &[&str]| arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    for (arguments, expected) in [
        (owned(&[]), "--policy is missing.\nTry policy-check --help.\n"),
        (owned(&["--policy"]), "missing argument for option '--policy'"),
        (owned(&["--polcy", &policy]), "invalid option '--polcy'"),
        (owned(&[&policy]), "unexpected argument"),
        (owned(&["--policy", &missing]), "No such file or directory"),
        (owned(&["--policy", folder.0.to_str().unwrap()]), "Is a directory"),
        (owned(&["--policy", &latin]), "stream did not contain valid UTF-8"),
        (owned(&["--policy", &policy, "--message", &message]), "--principal is missing."),
        (owned(&["--policy", &policy, "--subject", "x"]), "--principal is missing."),
        (owned(&["--policy", &policy, "--attributes", &no_value]), "--principal is missing."),
        (owned(&["--policy", &policy, "--direction", "Inbound"]), "--principal is missing."),
        (
            owned(&["--policy", &policy, "--principal", "Reporting", "--message", &message]),
            "--principal is \"Reporting\": expected the ARN of a principal, such as arn:aws:iam::",
        ),
        (owned(&["--policy", &policy, "--principal", "*", "--message", &message]), "--principal is \"*\": expected"),
        (owned(&["--policy", "-", "--principal", PRINCIPAL, "--message", "-"]), "- is given more than once"),
        (with(&["--direction", "outbound"]), "--direction is \"outbound\": expected Outbound or Inbound"),
        (with_attributes(&missing), "No such file or directory"),
        (
            with_attributes(&unknown_key),
            "unknown field `Type`, expected one of `DataType`, `StringValue`, `BinaryValue`",
        ),
        (with_attributes(&no_object), "expected what aws sns publish --message-attributes takes, such as {\"office\""),
        (with_attributes(&no_value), "a has the DataType String, and no StringValue alone: expected what aws sns"),
        (with_attributes(&no_bytes), "a has the DataType Binary, and no BinaryValue alone: expected what aws sns"),
        (with_attributes(&no_base64), "BinaryValue of a: Invalid"),
    ] {
        let (code, output, errors) = policy_check(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert_eq!((code, output.as_str()), (1, ""), "{arguments:?}");
        assert!(!errors.contains("4539894458086459"), "{errors}");
    }
}

const README: &str = include_str!("../../README.md");

#[test]
fn the_policy_and_the_output_in_the_readme_are_right() {
    let folder = Folder::new("readme");
    let block = |start: &str| README.split(start).nth(1).unwrap().split("```").next().unwrap();
    let policy = folder.file("policy.json", block("```json\n"));
    let message = folder.file("message.json", REPORT);
    let arguments = ["--policy", &policy, "--principal", PRINCIPAL, "--message", &message];
    let output = block("```\nFindings:\n");
    assert_eq!(policy_check(&arguments, ""), (0, format!("Findings:\n{output}"), String::new()));
}

#[test]
fn the_readme_names_every_managed_identifier_that_is_supported() {
    let missing: Vec<_> =
        Managed::all().map(Managed::name).filter(|name| !README.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_help_names_every_option() {
    for option in ["--help", "-h"] {
        let (code, output, errors) = policy_check(&[option], "");
        assert_eq!((code, errors.as_str()), (0, ""));
        for named in [
            "--policy",
            "--principal",
            "--message",
            "--subject",
            "--attributes",
            "--direction",
            "--dialect",
            "--identifiers",
            "--allow-unprotected",
            "--require-keywords",
            "-h, --help",
            "Exits 0",
        ] {
            assert!(output.contains(named), "{named}: {output}");
        }
    }
}
