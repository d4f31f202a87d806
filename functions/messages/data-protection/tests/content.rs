//! What becomes of a message, its subject and its attributes under a policy: the rules where AWS documents none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use data_protection::{
    Attribute, AttributeValue, Content, Decision, Direction, Done, Engine, Finding, Outcome, Policy, Principal,
};
use serde_json::{Value, json};

const CARD: &str = "4539894458086459";
const MASKED: &str = "################";

/// The rules of statements: identifiers and operation of each. Custom identifiers are `Employee` (EID- and digits), `Word`
/// (secret and letters), `Digits`, and `Long` (a letter, digits, a letter).
fn rules(statements: &[(&[&str], Value)]) -> Engine {
    let custom = [("Employee", "EID-\\d+"), ("Word", "secret[a-z]*"), ("Digits", "\\d+"), ("Long", "[a-z]\\d+[a-z]")];
    let identifier = |name: &&str| match custom.iter().find(|(custom, _)| custom == name) {
        Some((custom, _)) => (*custom).to_owned(),
        None => format!("arn:aws:dataprotection::aws:data-identifier/{name}"),
    };
    let statement = |(identifiers, operation): &(&[&str], Value)| {
        json!({
            "DataDirection": "Outbound", "Principal": ["*"], "Operation": operation,
            "DataIdentifier": identifiers.iter().map(identifier).collect::<Vec<_>>(),
        })
    };
    let policy = json!({
        "Name": "test", "Version": "2021-06-01",
        "Configuration": {
            "CustomDataIdentifier":
                custom.map(|(name, regex)| json!({ "Name": name, "Regex": regex })),
        },
        "Statement": statements.iter().map(statement).collect::<Vec<_>>(),
    });
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal)
}

fn mask(character: char) -> Value {
    json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": character.to_string() } } })
}

fn redact() -> Value {
    json!({ "Deidentify": { "RedactConfig": {} } })
}

fn deny() -> Value {
    json!({ "Deny": {} })
}

fn audit() -> Value {
    json!({ "Audit": { "SampleRate": "99", "FindingsDestination": { "S3": { "Bucket": "b" } } } })
}

fn message(text: &str) -> Content {
    Content { message: text.to_owned(), subject: None, attributes: Vec::new() }
}

/// What is delivered.
fn delivered(verdict: Outcome) -> Content {
    match verdict.decision {
        Decision::Deliver(content) => content,
        other => panic!("{other:?}"),
    }
}

/// What is delivered of a message.
fn text(rules: &Engine, text: &str) -> String {
    delivered(rules.apply(&message(text))).message
}

fn paths(verdict: &Outcome) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.path.as_str()).collect()
}

#[test]
fn findings_that_overlap_are_one_finding() {
    let cards: &[&str] = &["CreditCardNumber"];
    let digits: &[&str] = &["Digits"];
    let long: &[&str] = &["Long"];
    let given = format!("a{CARD}b");
    for (name, statements, given, expected) in [
        (
            "the same place: the first statement's character",
            vec![(cards, mask('#')), (digits, mask('*'))],
            CARD,
            MASKED.to_owned(),
        ),
        ("the other way round", vec![(digits, mask('*')), (cards, mask('#'))], CARD, "*".repeat(16)),
        ("redact before mask", vec![(cards, mask('#')), (digits, redact())], "no 4539894458086459!", "no !".to_owned()),
        (
            "whichever comes first",
            vec![(digits, redact()), (cards, mask('#'))],
            "no 4539894458086459!",
            "no !".to_owned(),
        ),
        ("one within another, the outer first", vec![(long, mask('#')), (digits, mask('*'))], &given, "#".repeat(18)),
        ("one within another, the inner first", vec![(digits, mask('*')), (long, mask('#'))], &given, "*".repeat(18)),
        (
            "the outer is redacted with the inner",
            vec![(long, mask('#')), (digits, redact())],
            &format!("no {given}!"),
            "no !".to_owned(),
        ),
        (
            "beside one another",
            vec![(&["Employee"], mask('#')), (cards, mask('*'))],
            &format!("EID-1 {CARD}"),
            format!("##### {}", "*".repeat(16)),
        ),
        ("twice in the policy", vec![(cards, mask('#')), (cards, mask('*'))], CARD, MASKED.to_owned()),
        (
            "what is only counted changes nothing",
            vec![(digits, audit()), (cards, mask('#'))],
            &format!("1 {CARD}"),
            format!("1 {MASKED}"),
        ),
    ] {
        assert_eq!(text(&rules(&statements), given), expected, "{name}");
    }
}

#[test]
fn one_finding_of_deny_anywhere_delivers_nothing() {
    let rules = rules(&[(&["Employee"], mask('#')), (&["CreditCardNumber"], deny()), (&["Digits"], audit())]);
    let attribute = |value| vec![Attribute { name: "a".to_owned(), data_type: "String".to_owned(), value }];
    let text = || AttributeValue::Text(CARD.to_owned());
    for (content, path) in [
        (message(CARD), "message"),
        (Content { subject: Some(CARD.to_owned()), ..message("x") }, "subject"),
        (Content { attributes: attribute(text()), ..message("x") }, "attributes.a"),
        (Content { attributes: attribute(AttributeValue::Binary(CARD.into())), ..message("x") }, "attributes.a"),
    ] {
        let verdict = rules.apply(&content);
        assert_eq!(verdict.decision, Decision::Denied, "{path}");
        let finding = |operation, identifier: &str| Finding {
            path: path.to_owned(),
            identifier: identifier.to_owned(),
            operation,
            count: 1,
            range: 0..CARD.len(),
        };
        assert_eq!(verdict.findings, [finding(Done::Deny, "CreditCardNumber"), finding(Done::Audit, "Digits")]);
        assert_eq!(verdict.audited, [("Digits".to_owned(), 1)]);
    }
}

#[test]
fn what_denied_a_message_is_named_however_much_else_was_found() {
    let rules = rules(&[(&["Employee"], mask('#')), (&["CreditCardNumber"], deny())]);
    let mut fields: Vec<_> = (0..300).map(|number| format!("\"key{number}\":\"EID-1\"")).collect();
    fields.push(format!("\"card\":\"{CARD}\""));
    let denied = rules.apply(&message(&format!("{{{}}}", fields.join(","))));
    assert_eq!(paths(&denied), ["$.card"]);
    assert_eq!((denied.decision, denied.more_findings), (Decision::Denied, 0));

    fields.pop();
    let masked = rules.apply(&message(&format!("{{{}}}", fields.join(","))));
    assert_eq!((masked.findings.len(), masked.more_findings), (50, 250));
    let fields: Vec<_> = (0..60).map(|number| format!("\"key{number}\":\"{CARD}\"")).collect();
    let denied = rules.apply(&message(&format!("{{{}}}", fields.join(","))));
    assert_eq!((denied.findings.len(), denied.more_findings), (50, 10));
}

#[test]
fn no_path_shows_what_was_looked_for() {
    let rules = rules(&[(&["Employee", "Word"], mask('#')), (&["EmailAddress"], audit())]);
    let given = r#"{"EID-12345":{"a":"EID-1"},"secretone":1,"plain":"EID-2","jane@example.com":["EID-3"],"in":"{\"EID-7\":0}"}"#;
    let verdict = rules.apply(&message(given));
    assert_eq!(paths(&verdict), ["$.{0}", "$.{0}.a", "$.{1}", "$.plain", "$.{3}", "$.{3}[0]", "$.in:$.{0}"]);
    let attributes = ["EID-12345", "secretone", "plain"].map(|name| Attribute {
        name: name.to_owned(),
        data_type: "String".to_owned(),
        value: AttributeValue::Text("EID-1".to_owned()),
    });
    let verdict = rules.apply(&Content { attributes: attributes.into(), ..message("x") });
    assert_eq!(paths(&verdict), ["attributes.{…}", "attributes.{…}", "attributes.plain"]);
}

#[test]
fn attributes_keep_their_form_and_are_left_out_where_nothing_is_left() {
    let masking = rules(&[(&["CreditCardNumber", "Employee"], mask('#'))]);
    let redacting = rules(&[(&["CreditCardNumber", "Employee"], redact())]);
    let text = |text: &str| AttributeValue::Text(text.to_owned());
    let bytes = |bytes: &[u8]| AttributeValue::Binary(bytes.to_owned());
    let mixed = [b"\xff\xfe", CARD.as_bytes(), b"\x00\xe9"].concat();
    let mixed_masked = [b"\xff\xfe", MASKED.as_bytes(), b"\x00\xe9"].concat();
    let array = format!("[\"x {CARD}\",{CARD},7,true,null]");
    // Name, type and value; with what type and value it is delivered, masked and redacted.
    for (name, data_type, value, masked, redacted) in [
        ("text", "String", text("plain"), Some(("String", text("plain"))), Some(("String", text("plain")))),
        ("text", "String", text(CARD), Some(("String", text(MASKED))), None),
        (
            "part",
            "String",
            text(&format!("no {CARD}")),
            Some(("String", text(&format!("no {MASKED}")))),
            Some(("String", text("no "))),
        ),
        ("number", "Number", text("12.50"), Some(("Number", text("12.50"))), Some(("Number", text("12.50")))),
        ("number", "Number", text(CARD), Some(("String", text(MASKED))), None),
        ("exponent", "Number", text("4.539894458086459E15"), Some(("String", text("####################"))), None),
        (
            "array",
            "String.Array",
            text(&array),
            Some(("String.Array", text(&format!("[\"x {MASKED}\",\"{MASKED}\",7,true,null]")))),
            Some(("String.Array", text("[\"x \",\"\",7,true,null]"))),
        ),
        (
            "object",
            "String",
            text(&format!("{{\"card\": {CARD}}}")),
            Some(("String", text(&format!("{{\"card\": \"{MASKED}\"}}")))),
            Some(("String", text("{\"card\": \"\"}"))),
        ),
        (
            "utf8",
            "Binary",
            bytes(format!("é {CARD}").as_bytes()),
            Some(("Binary", bytes(format!("é {MASKED}").as_bytes()))),
            Some(("Binary", bytes("é ".as_bytes()))),
        ),
        ("utf8", "Binary", bytes(CARD.as_bytes()), Some(("Binary", bytes(MASKED.as_bytes()))), None),
        (
            "bytes",
            "Binary",
            bytes(&mixed),
            Some(("Binary", bytes(&mixed_masked))),
            Some(("Binary", bytes(b"\xff\xfe\x00\xe9"))),
        ),
        (
            "bytes",
            "Binary",
            bytes(b"\xff\x00"),
            Some(("Binary", bytes(b"\xff\x00"))),
            Some(("Binary", bytes(b"\xff\x00"))),
        ),
        // The name itself is sensitive.
        ("EID-123456789", "String", text("plain"), None, None),
    ] {
        for (rules, expected) in [(&masking, masked), (&redacting, redacted)] {
            let attribute = Attribute { name: name.to_owned(), data_type: data_type.to_owned(), value: value.clone() };
            let verdict = rules.apply(&Content { attributes: vec![attribute], ..message("x") });
            assert_eq!(verdict.attributes_dropped, usize::from(expected.is_none()), "{name}");
            let mut attributes = delivered(verdict).attributes;
            let seen = attributes.pop().map(|seen| (seen.name, seen.data_type, seen.value));
            let expected = expected.map(|(data_type, value)| (name.to_owned(), data_type.to_owned(), value));
            assert!(
                seen == expected,
                "{name}: {:?}",
                seen.map(|(_, data_type, value)| match value {
                    AttributeValue::Text(text) => (data_type, text.into_bytes()),
                    AttributeValue::Binary(bytes) => (data_type, bytes),
                })
            );
        }
    }
}

#[test]
fn a_subject_of_which_nothing_is_left_is_left_out() {
    let subject = |operation: Value, subject: &str| {
        let rules = rules(&[(&["CreditCardNumber"], operation)]);
        delivered(rules.apply(&Content { subject: Some(subject.to_owned()), ..message("x") })).subject
    };
    for (operation, given, expected) in [
        (mask('#'), "Expense report", Some("Expense report")),
        (mask('#'), "Card 4539894458086459 was used", Some("Card ################ was used")),
        (redact(), "Card 4539894458086459 was used", Some("Card  was used")),
        // SNS refuses a subject that is empty, or begins or ends with spaces.
        (redact(), "4539894458086459 was used", Some("was used")),
        (redact(), "4539894458086459", None),
        (mask(' '), "4539894458086459", None),
    ] {
        assert_eq!(subject(operation, given).as_deref(), expected, "{given}");
    }
}

#[test]
fn a_message_of_which_nothing_is_left_is_not_delivered() {
    let rules = rules(&[(&["CreditCardNumber"], redact())]);
    for (given, expected) in [
        ("4539894458086459", Decision::NothingLeft),
        (" 4539894458086459\r\n", Decision::NothingLeft),
        ("\"4539894458086459\"", Decision::NothingLeft),
        ("\u{feff}4539894458086459", Decision::NothingLeft),
        ("4539894458086459.", Decision::Deliver(message("."))),
        ("[4539894458086459]", Decision::Deliver(message("[\"\"]"))),
    ] {
        assert_eq!(rules.apply(&message(given)).decision, expected, "{given}");
    }
}

#[test]
fn json_stays_json_whatever_its_form() {
    let rules = rules(&[(&["CreditCardNumber"], mask('#'))]);
    let deep = |value: &str| format!("{}{value}{}", "{\"a\":[".repeat(5_000), "]}".repeat(5_000));
    let escaped = "\\u0034\\u0035\\u00339894458086459";
    for (name, given, expected) in [
        (
            "a key given twice",
            format!("{{\"a\":{CARD},\"a\":\"{CARD}\"}}"),
            format!("{{\"a\":\"{MASKED}\",\"a\":\"{MASKED}\"}}"),
        ),
        ("deeper than parsers go", deep(CARD), deep(&format!("\"{MASKED}\""))),
        ("deep and escaped", deep(&format!("\"{escaped}\"")), deep(&format!("\"{MASKED}\""))),
        ("a byte order mark", format!("\u{feff}{{\"a\":{CARD}}}"), format!("\u{feff}{{\"a\":\"{MASKED}\"}}")),
        (
            "line breaks of Windows",
            format!("{{\r\n\"a\" : {CARD}\r\n}}\r\n"),
            format!("{{\r\n\"a\" : \"{MASKED}\"\r\n}}\r\n"),
        ),
        ("white space around", format!(" \t[{CARD}] \n "), format!(" \t[\"{MASKED}\"] \n ")),
        ("a text alone", format!("\"card {CARD}\""), format!("\"card {MASKED}\"")),
        ("a number alone is a text", CARD.to_owned(), MASKED.to_owned()),
        ("a number alone, as Java writes it", "4.539894458086459E15".to_owned(), "#".repeat(20)),
        ("a number as Java writes it", "[4.539894458086459E15]".to_owned(), format!("[\"{}\"]", "#".repeat(20))),
        ("escaped", format!("{{\"a\":\"{escaped}\"}}"), format!("{{\"a\":\"{MASKED}\"}}")),
        (
            "a text with JSON",
            "[\"{\\\"a\\\":4539894458086459}\"]".to_owned(),
            format!("[\"{{\\\"a\\\":\\\"{MASKED}\\\"}}\"]"),
        ),
        (
            "a text with a byte order mark and JSON",
            "[\"\u{feff}{\\\"a\\\":4539894458086459}\"]".to_owned(),
            format!("[\"\u{feff}{{\\\"a\\\":\\\"{MASKED}\\\"}}\"]"),
        ),
        ("no JSON", format!("{{\"a\":{CARD}"), format!("{{\"a\":{MASKED}")),
        ("empty", "{}".to_owned(), "{}".to_owned()),
    ] {
        assert_eq!(text(&rules, &given), expected, "{name}");
    }
}

#[test]
fn the_largest_message_is_masked_and_may_grow_by_the_quotes_of_its_numbers() {
    let rules = rules(&[(&["CreditCardNumber"], mask('#'))]);
    let numbers = vec![CARD; 256 * 1_024 / (CARD.len() + 1) - 1].join(",");
    let given = format!("[{numbers}]");
    assert!(given.len() <= 256 * 1_024 && given.len() > 255 * 1_024);
    let masked = text(&rules, &given);
    let numbers: Vec<String> = serde_json::from_str(&masked).unwrap();
    assert!(numbers.iter().all(|number| number == MASKED));
    assert_eq!(masked.len(), given.len() + 2 * numbers.len());
}

#[test]
fn two_keys_that_become_the_same_stay_two() {
    let given = "{\"EID-1\":1,\"EID-2\":2,\"EID-3\":{\"EID-4\":3}}";
    assert_eq!(
        text(&rules(&[(&["Employee"], mask('#'))]), given),
        "{\"#####\":1,\"##### (2)\":2,\"##### (3)\":{\"#####\":3}}"
    );
    assert_eq!(text(&rules(&[(&["Employee"], redact())]), given), "{\"\":1,\" (2)\":2,\" (3)\":{\"\":3}}");
}
