//! Tables of values: what each identifier finds, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use data_protection::{Content, Decision, Direction, Engine, Policy, Principal};
use serde_json::{Value, json};

fn rules(identifiers: &[&str], operation: &Value) -> Engine {
    let arn = |name: &&str| format!("arn:aws:dataprotection::aws:data-identifier/{name}");
    let policy = json!({
        "Name": "test", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"],
            "DataIdentifier": identifiers.iter().map(arn).collect::<Vec<_>>(), "Operation": operation,
        }],
    });
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal)
}

fn masked(identifier: &str, text: &str) -> String {
    delivered(&rules(&[identifier], &json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } })), text)
}

fn delivered(rules: &Engine, text: &str) -> String {
    let content = Content { message: text.to_owned(), subject: None, attributes: Vec::new() };
    match rules.apply(&content).decision {
        Decision::Deliver(content) => content.message,
        other => panic!("{other:?}"),
    }
}

fn finds(identifier: &str, values: &[&str]) {
    for value in values {
        let hidden = "#".repeat(value.chars().count());
        for (before, after) in [("", ""), ("It is ", "."), ("(", ")"), ("a,", ",b"), ("<", ">")] {
            let expected = format!("{before}{hidden}{after}");
            assert_eq!(masked(identifier, &format!("{before}{value}{after}")), expected, "{identifier}");
        }
    }
}

fn leaves(identifier: &str, values: &[&str]) {
    for value in values {
        assert_eq!(masked(identifier, value), *value, "{identifier}");
    }
}

#[test]
fn cards() {
    finds(
        "CreditCardNumber",
        &[
            "4539894458086459",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "5105105105105100",
            "2223003122003222",
            "4222222222222",
            "4539 8944\n5808 6459",
            "45398944\n58086459",
            "4539-8944-5808-6459",
            "4539.8944.5808.6459",
            "453989 4458086459",
            "4539 89445808 6459",
            // UATP, Maestro and Shetab
            "135410010000007",
            "5066991111111118",
            "6362970000457013",
            "６３６２９７００００４５７０１３",
            "４５３９８９４４５８０８６４５９",
            "٤٥٣٩٨٩٤٤٥٨٠٨٦٤٥٩",
        ],
    );
    leaves(
        "CreditCardNumber",
        &[
            "4539894458086458",
            "4539894458086459.25",
            "0.4539894458086459",
            "1786607225000",
            "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "978-3-16-148410-0",
            "2026-08-13T07:47:05.893Z",
            "d41d8cd98f00b204e9800998ecf8427e",
            "arn:aws:sns:us-east-1:123456789012:example",
            // Parts of longer numbers.
            "15-3953-0512826-000",
            "3953 0512826 000",
            "1.4539894458086459",
            // Numbers below each other, and in columns.
            "4539\n8944\n5808\n6459",
            "4539\t8944\t5808\t6459",
            "17892351\n45398944\n58086459\n61234567",
            // The barcode of an article, a SIRET, a number of Facebook.
            "4006381333023",
            "38000000400016",
            "100004328293718",
        ],
    );
    for (text, expected) in [
        ("x_4539894458086459_y", "x_################_y"),
        // Letters beside a number are a currency or a name; a hash is told by its length.
        ("4539894458086459USD", "################USD"),
        ("x4539894458086459x", "x################x"),
        ("c0ffee4539894458086459", "c0ffee################"),
        ("0815-4539-8944-5808-6459", "0815-###################"),
        ("4539-8944-5808-6459-0815", "###################-0815"),
        ("card4539894458086459", "card################"),
        ("CardNumber4539894458086459;", "CardNumber################;"),
        ("card-4539-8944-5808-6459", "card-###################"),
        ("4539-8944-5808-6459-12/29", "###################-12/29"),
        ("a\\n4539894458086459\\n", "a\\n################\\n"),
        ("4539894458086459\n4539894458086459", "################\n################"),
        ("4539 8944 5808 6459\n4539 8944 5808 6459", "###################\n###################"),
        ("卡号4539894458086459。", "卡号################。"),
    ] {
        assert_eq!(masked("CreditCardNumber", text), expected);
    }
}

#[test]
fn a_part_of_an_account_number_is_no_card() {
    // The four groups after the first, and the four before the last, have the form of a card number.
    let accounts = ["FR82 4539 8944 5808 6459 0000 007", "MT83 MALT 0110 4539 8944 5808 6459 01S"];
    for account in accounts {
        let text = format!("from {account} today");
        assert_eq!(masked("CreditCardNumber", &text), text);
    }
    let text = "FR82, 4539 8944 5808 6459, 0000 007";
    assert_eq!(masked("CreditCardNumber", text), "FR82, ###################, 0000 007");
    // Not an account number: its check digits are wrong.
    assert_eq!(masked("CreditCardNumber", "AB12 4539 8944 5808 6459"), "AB12 ###################");
}

#[test]
fn findings_of_different_identifiers_that_overlap_are_one() {
    let mask = json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } });
    let both = rules(&["IpAddress", "EmailAddress"], &mask);
    assert_eq!(delivered(&both, "jane@[192.0.2.1], 192.0.2.1"), "################, #########");
    let both = rules(&["CreditCardNumber", "BankAccountNumber-DE"], &mask);
    assert_eq!(
        delivered(&both, "DE89 3704 0044 0532 0130 00, 4539894458086459"),
        "###########################, ################"
    );
    let redact = rules(&["EmailAddress", "IpAddress"], &json!({ "Deidentify": { "RedactConfig": {} } }));
    assert_eq!(delivered(&redact, "a jane@[192.0.2.1] b"), "a  b");
}

#[test]
fn bank_accounts() {
    for (identifier, found, left) in [
        (
            "BankAccountNumber-DE",
            ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"],
            &[
                "DE89370400440532013001",
                "DE893704004405320130001",
                "DE8937040044053201300",
                // The remainder is right, the structure is not.
                "DE85A70400440532013000",
                "DE89    3704 0044 0532 0130 00",
                "DE89.3704.0044.0532.0130.00",
                "GB82WEST12345698765432",
                // The remainder is right, but no check digits are 01.
                "DE01370400440000000042",
            ][..],
        ),
        (
            "BankAccountNumber-ES",
            ["ES9121000418450200051332", "ES91 2100 0418 4502 0005 1332", "ES91-2100-0418-4502-0005-1332"],
            &[
                "ES9221000418450200051332",
                "ES912100041845020005133",
                "ES91210004184502000513321",
                "ES08A1000418450200051332",
                "ES91 2100 0418 4502 0005 1333",
                "9121000418450200051332",
                "DE89370400440532013000",
            ][..],
        ),
        (
            "BankAccountNumber-FR",
            ["FR1420041010050500013M02606", "FR14 2004 1010 0505 0001 3M02 606", "fr1420041010050500013m02606"],
            &[
                "FR1520041010050500013M02606",
                "FR1420041010050500013M0260",
                "FR1420041010050500013M026060",
                "FR43A0041010050500013M02606",
                "FR1420041010050500013M0260A",
                "FR14 2004 1010 0505 0001 3M02 607",
                "MC5811222000010123456789030",
            ][..],
        ),
        (
            "BankAccountNumber-GB",
            ["GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "gb82 west 1234 5698 7654 32"],
            &[
                "GB83WEST12345698765432",
                "GB82WEST1234569876543",
                "GB82WEST123456987654321",
                "GB68W1ST12345698765432",
                "GB55WEST1234569876543A",
                "GB00HLFX11016111455365",
                "IE29AIBK93115212345678",
                "GI75NWBK000000007099453",
            ][..],
        ),
        (
            "BankAccountNumber-IT",
            ["IT60X0542811101000000123456", "IT60 X054 2811 1010 0000 0123 456", "it60x0542811101000000123456"],
            &[
                "IT61X0542811101000000123456",
                "IT60X054281110100000012345",
                "IT60X05428111010000001234560",
                "IT2910542811101000000123456",
                "IT60XA542811101000000123456",
                "IT60 X054 2811 1010 0000 0123 457",
                "SM86U0322509800000000270100",
                "ITX60X0542811101000000123456",
            ][..],
        ),
    ] {
        finds(identifier, &found);
        leaves(identifier, left);
    }
    for (text, expected) in [
        ("IBANDE89370400440532013000", "IBAN######################"),
        ("XDE89370400440532013000EUR", "X######################EUR"),
        ("iban_DE89370400440532013000", "iban_######################"),
        ("DE89 3704 0044\n0532 0130 00", "###########################"),
        ("DE89   3704 0044 0532 0130 00", "#############################"),
        ("DE89 3704 0044 0532 0130 00 EUR", "########################### EUR"),
        ("ＤＥ８９３７０４００４４０５３２０１３０００", "######################"),
    ] {
        assert_eq!(masked("BankAccountNumber-DE", text), expected);
    }
}

#[test]
fn mail_addresses() {
    finds(
        "EmailAddress",
        &[
            "jane@example.com",
            "jane.doe+tag@mail.example.co.uk",
            "x@x.au",
            "jané@exämple.de",
            "\"jane doe\"@example.com",
            "\"jane \\\" doe\"@example.com",
            "\"jane@example.org\"@example.com",
            // An accent of its own, and marks of an Indian script.
            "jane\u{301}.doe@exa\u{308}mple.de",
            "राम@मोहन.परीक्षा",
            "jane@print_server.example.com",
            "jane@[192.0.2.1]",
        ],
    );
    // All of a text is one address, whatever is in it.
    for text in ["jane|doe@example.com", "jane{doe}x@example.com", "jane`doe@example.com"] {
        assert_eq!(masked("EmailAddress", text), "#".repeat(text.len()));
        assert_eq!(
            masked("EmailAddress", &format!("{{\"to\":\"{text}\"}}")),
            format!("{{\"to\":\"{}\"}}", "#".repeat(text.len()))
        );
    }
    for (text, expected) in [
        ("mail=jane@example.com", "mail=################"),
        ("users/jane@example.com", "users/################"),
        ("1|jane@example.com|x", "1|################|x"),
        ("1|jane@example.com\n2|john@example.com", "1|################\n2|################"),
        ("\\\"jane doe\\\"@example.com", "########################"),
        ("row: 1|jane@example.com|x", "row: 1|################|x"),
        ("邮箱jane@example.com联系", "邮箱################联系"),
        ("**jane@example.com**", "**################**"),
        ("two..dots@example.com", "two..################"),
        ("jane@example.com_2026.csv", "################_2026.csv"),
        ("\"jane@example.com\",\"john@example.com\"", "\"################\",\"################\""),
        (
            "----------------------------------------------------------------------jane@example.com",
            "----------------------------------------------------------------------################",
        ),
    ] {
        assert_eq!(masked("EmailAddress", text), expected);
    }
    let long = "a".repeat(65);
    leaves("EmailAddress", &[&format!("{long}@example.com"), &format!("-{long}@example.com")]);
    let labels = format!("{0}.{0}.{0}", "a".repeat(60));
    finds("EmailAddress", &[&format!("{}@{labels}.com", "j".repeat(64))]);
    leaves("EmailAddress", &[&format!("{}@{labels}.example.com", "j".repeat(64))]);
    leaves(
        "EmailAddress",
        &[
            "@example.com",
            "jane@_example.com",
            "*@example.com",
            "jane@localhost",
            "icon@2x.png",
            "package@1.2.3",
            "jane.@example.com",
            "a@b",
        ],
    );
}

#[test]
fn ip_addresses() {
    finds(
        "IpAddress",
        &[
            "192.0.2.1",
            "10.0.0.1",
            "255.255.255.255",
            "2001:db8::1",
            "fe80::a6db:30ff:fe98:e946",
            "::1",
            "::ffff:127.0.0.1",
            "1:2:3:4:5:6:7:8",
        ],
    );
    for (text, expected) in [
        ("http://192.0.2.1:8080/24", "http://#########:8080/24"),
        ("0.0.0.0/0", "#######/0"),
        ("from 0.0.1.1 and {\"sourceIp\":", "from ####### and {\"sourceIp\":"),
        ("{\"sourceIp\":\"0.0.1.1\",\"lib\":\"0.0.1.1\"}", "{\"sourceIp\":\"#######\",\"lib\":\"0.0.1.1\"}"),
        ("The address ::, x :: y", "The address ##, x :: y"),
        ("app.10.0.0.1.nip.io", "app.########.nip.io"),
        ("src == 203.0.113.5", "src == ###########"),
        ("from 192.0.2.1-192.0.2.9", "from #########-#########"),
        ("١٩٢.٠.٢.١", "#########"),
        ("::ffff:256.0.0.1 text::ffff:192.0.2.1", "::ffff:256.0.0.1 text::ffff:#########"),
    ] {
        assert_eq!(masked("IpAddress", text), expected);
    }
    leaves(
        "IpAddress",
        &[
            "v1.2.3.4",
            "version 1.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.02.03.04",
            "Chrome/124.0.0.0",
            "1.2.3.4-beta",
            "00:1A:2B:3C:4D:5E",
            "00:1A:2B:FF:FE:3C:4D:5E",
            "std::vector",
            "arn:aws:iam::123456789012:role/x",
            "12:34:56",
            "x[1::2]",
            "2026.08.13",
            "{\"version\":\"1.2.3.4\"}",
            "{\"engineVersion\":\"12.1.0.2\"}",
            "{\"version_number\":\"12.1.0.2\"}",
            "EngineVersion=12.1.0.2",
            "12.1.0.2.v8",
            "1.0.0-beta.preview.1.19.50.25",
            "zlib1g (>= 1:1.2.3.4)",
            "libpam0g (<< 3.99.7.1)",
            "0.1.2.3",
            "13.08.2026.1",
            "10.30.15.123.5",
            "192.168.1.256",
            "2026-08-13T07:47:05.893Z",
            "01:02:03:04:05:06:07:ab",
            "0102.0304.0506",
        ],
    );
}

#[test]
fn social_security_numbers() {
    finds("Ssn-US", &["536-22-8726", "123-45-6789", "536 22 8726", "536–22–8726"]);
    leaves(
        "Ssn-US",
        &[
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "078-05-1120",
            "219-09-9999",
            "123-45-67890",
            "536228726",
            "1-536-22-8726",
            "a536-22-8726",
            "536-22-8726-1",
            "536-22.8726",
            "536.22.8726.1",
            "+536-22-8726",
            "536/22/8726",
            "2026-08-13",
            "978-0-306-40615-7",
        ],
    );
    for (text, expected) in [
        ("{\"ssn\":536228726}", "{\"ssn\":\"#########\"}"),
        ("SSN 536228726", "SSN #########"),
        ("536228726 is his SSN", "######### is his SSN"),
        ("536.22.8726", "###########"),
        ("536\n22\n8726", "536\n22\n8726"),
        ("536-22-\n8726", "############"),
        ("HTTP 1 536 22 8726", "HTTP 1 536 22 8726"),
        ("536 22 8726 12", "536 22 8726 12"),
        ("SSN 1 536 22 8726", "SSN 1 ###########"),
        ("５３６-２２-８７２６", "###########"),
        ("ssn_536-22-8726", "ssn_###########"),
    ] {
        assert_eq!(masked("Ssn-US", text), expected);
    }
}

#[test]
fn phone_numbers() {
    finds(
        "PhoneNumber-US",
        &[
            "415-555-2671",
            "(415) 555-2671",
            "+1 415 555 2671",
            "+14155552671",
            "415.555.2671",
            "1-415-555-2671",
            "001-415-555-2671",
            "+1-415-555-2671x0123",
            "(415)555-2671x12",
            "+1 (415) 555-2671",
            "1.415.555.2671",
            "415 555-2671",
        ],
    );
    leaves(
        "PhoneNumber-US",
        &[
            "115-555-2671",
            "415-155-2671",
            "911-555-2671",
            "4155552671",
            "415 5552671",
            "415-555-26711",
            "415-555.2671",
            "1.601.966\t4404",
            "415-555-2671x1234567",
            "415-555-2671-1",
            "1-1-415-555-2671",
            "a415-555-2671",
            "2026-08-13",
            "978-0-306-40615-7",
            "192.168.100.1",
        ],
    );
    assert_eq!(masked("PhoneNumber-US", "Phone: 4155552671"), "Phone: ##########");
    assert_eq!(masked("PhoneNumber-US", "{\"mobile\":14155552671}"), "{\"mobile\":\"###########\"}");
}

#[test]
fn keys() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKj\n";
    for (identifier, label) in [
        ("PkcsPrivateKey", "RSA PRIVATE KEY"),
        ("PkcsPrivateKey", "PRIVATE KEY"),
        ("OpenSshPrivateKey", "OPENSSH PRIVATE KEY"),
        ("PgpPrivateKey", "PGP PRIVATE KEY BLOCK"),
    ] {
        let key = format!("-----BEGIN {label}-----\n{body}-----END {label}-----");
        assert_eq!(masked(identifier, &format!("key: {key} end")), format!("key: {} end", "#".repeat(key.len())));
    }
    leaves(
        "PkcsPrivateKey",
        &["-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "write -----BEGIN PRIVATE KEY----- first"],
    );
    finds("AwsSecretKey", &["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]);
    leaves(
        "AwsSecretKey",
        &[
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "AWSServiceRoleForApplicationAutoScaling1",
            "AmazonSSMManagedEC2InstanceDefaultPolicy",
        ],
    );
}

#[test]
fn the_example_of_aws_reaches_payment_as_it_is_and_reporting_masked() {
    let policy = json!({
        "Name": "expenses", "Version": "2021-06-01",
        "Configuration": { "CustomDataIdentifier": [{ "Name": "EmployeeId", "Regex": "EID-\\d{9}-US" }] },
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["arn:aws:iam::123456789012:role/Reporting"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber", "EmployeeId"],
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    });
    let policy = Policy::parse(&policy.to_string()).unwrap();
    let report =
        r#"{"card": 4539894458086459, "employee": "EID-123456789-US", "customer": "CID-000012348-CA", "sum": 1.10}"#;
    let side = |name: &str| {
        let principal: Principal = format!("arn:aws:iam::123456789012:role/{name}").parse().unwrap();
        delivered(&Engine::new(&policy, Direction::Outbound, &principal), report)
    };
    assert_eq!(side("Payment"), report);
    let hidden = "#".repeat(16);
    assert_eq!(
        side("Reporting"),
        format!(r#"{{"card": "{hidden}", "employee": "{hidden}", "customer": "CID-000012348-CA", "sum": 1.10}}"#)
    );
}

#[test]
fn deny_delivers_nothing_and_a_whole_value_that_is_redacted_leaves_nothing() {
    let content = |message: &str| Content { message: message.to_owned(), subject: None, attributes: Vec::new() };
    let deny = rules(&["EmailAddress"], &json!({ "Deny": {} })).apply(&content("{\"a\":[\"jane@example.com\"]}"));
    assert_eq!(deny.decision, Decision::Denied);
    assert_eq!(deny.findings[0].path, "$.a[0]");
    let redact = rules(&["EmailAddress"], &json!({ "Deidentify": { "RedactConfig": {} } }));
    assert_eq!(redact.apply(&content("jane@example.com")).decision, Decision::NothingLeft);
    assert_eq!(delivered(&redact, "to jane@example.com now"), "to  now");
}

#[test]
fn every_fault_of_a_policy_is_reported_with_its_path() {
    let policy = json!({
        "Version": "2021-06-01", "Extra": 1,
        "Configuration": { "CustomDataIdentifier": [{ "Name": "a b", "Regex": "(x)" }] },
        "Statement": [
            { "DataDirection": "Sideways", "Principal": [], "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/Name"], "Operation": { "Drop": {} } },
            { "DataDirection": "Inbound", "Principal": ["*"], "DataIdentifier": ["a b"], "Operation": { "Audit": { "SampleRate": "100", "FindingsDestination": { "S3": { "Bucket": "b" } } } } },
            { "DataDirection": "Inbound", "Principal": ["x"], "DataIdentifier": ["c"], "Operation": { "Audit": { "SampleRate": 5, "NoFindingsDestination": { "S3": { "Bucket": "b" } } } } },
        ],
    });
    let faults = Policy::parse(&policy.to_string()).unwrap_err();
    let mut paths: Vec<_> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "$.Configuration.CustomDataIdentifier[0].Name",
            "$.Configuration.CustomDataIdentifier[0].Regex",
            "$.Extra",
            "$.Name",
            "$.Statement[0].DataDirection",
            "$.Statement[0].DataIdentifier[0]",
            "$.Statement[0].Operation.Drop",
            "$.Statement[0].Principal",
            "$.Statement[1].Operation.Audit.SampleRate",
            "$.Statement[2].DataIdentifier[0]",
            "$.Statement[2].Operation.Audit",
            "$.Statement[2].Principal[0]",
        ]
    );
    let long = json!({ "Name": "n".repeat(30_720), "Version": "2021-06-01", "Statement": [] }).to_string();
    assert!(Policy::parse(&long).unwrap_err().to_string().contains("characters long: expected at most 30720"));
}
