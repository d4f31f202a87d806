//! What was decided and done: never a value.

use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::sns::Verified;
use serde::Serialize;
use time::OffsetDateTime;

use data_protection::Finding;

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryReport {
    /// What was done.
    pub outcome: DeliveryOutcome,
    /// SNS's identifier of the message that arrived.
    pub message_id: String,
    /// The topic it arrived from.
    pub topic_arn: String,
    /// SNS's identifier of what was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_message_id: Option<String>,
    /// What was found, by place, identifier and operation.
    pub findings: Vec<Finding>,
    /// How many findings are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_findings: usize,
    /// How many message attributes were left out, because nothing is left of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub attributes_dropped: usize,
    /// Whether this message is one that the Audit statement counts.
    pub audited: bool,
    /// Whether no statement of the policy applies, so that it is published as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unprotected: bool,
}

impl DeliveryReport {
    /// The report of a message with which nothing was done so far.
    pub(crate) fn of(message: &Verified) -> Self {
        Self {
            outcome: DeliveryOutcome::Planned,
            message_id: message.message_id().to_owned(),
            topic_arn: message.topic_arn().to_owned(),
            published_message_id: None,
            findings: Vec::new(),
            more_findings: 0,
            attributes_dropped: 0,
            audited: false,
            unprotected: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What was done. The names are those in the log and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum DeliveryOutcome {
    /// It was published to `TARGET_TOPIC_ARN`.
    Published,
    /// It was not published, because of a statement with Deny.
    Denied,
    /// It was not published, because nothing is left of it.
    NothingLeft,
    /// It would be published; `DRY_RUN` is set.
    Planned,
}

/// What an Audit statement counted in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audit(pub(crate) Vec<(String, usize)>);

/// The metrics of one invocation: all at each, so that a missing one means a missing invocation. The names of Audit are
/// AWS's, and `Found<identifier>`.
pub(crate) fn metrics(
    function_name: &str,
    now: OffsetDateTime,
    reports: &[DeliveryReport],
    audits: &[Audit],
    failed: usize,
) -> Metrics {
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    let published = |report: &&DeliveryReport| report.outcome == DeliveryOutcome::Published && report.unprotected;
    let unprotected = reports.iter().filter(published).count();
    let mut metrics = Metrics::of(function_name, now)
        .count("Published", count(DeliveryOutcome::Published))
        .count("Denied", count(DeliveryOutcome::Denied))
        .count("NothingLeft", count(DeliveryOutcome::NothingLeft))
        .count("Unprotected", unprotected)
        .count("Failed", failed);
    if audits.is_empty() {
        return metrics;
    }
    let with_findings = audits.iter().filter(|Audit(counts)| counts.iter().any(|(_, count)| *count > 0)).count();
    metrics = metrics
        .count("MessagesWithFindings", with_findings)
        .count("MessagesWithNoFindings", audits.len() - with_findings);
    let mut totals: Vec<(&str, usize)> = Vec::new();
    for (name, count) in audits.iter().flat_map(|Audit(counts)| counts) {
        match totals.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => *total += count,
            None => totals.push((name, *count)),
        }
    }
    totals.into_iter().fold(metrics, |metrics, (name, total)| metrics.count(&format!("Found{name}"), total))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use data_protection::{Content, Decision, Direction, Engine, Policy};

    const CARD: &str = "4539894458086459";

    /// Rules that count cards and employees, at this rate, and mask cards.
    fn rules(sample_rate: &str) -> Engine {
        let card = "arn:aws:dataprotection::aws:data-identifier/CreditCardNumber";
        let policy = json!({
            "Name": "audit", "Version": "2021-06-01",
            "Configuration": { "CustomDataIdentifier": [{ "Name": "EmployeeId", "Regex": "EID-\\d+" }] },
            "Statement": [
                {
                    "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": [card, "EmployeeId"],
                    "Operation": { "Audit": { "SampleRate": sample_rate, "FindingsDestination": { "S3": { "Bucket": "b" } } } },
                },
                {
                    "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": [card],
                    "Operation": { "Deidentify": { "MaskConfig": {} } },
                },
            ],
        });
        let principal = "arn:aws:iam::111122223333:role/Reporting".parse().unwrap();
        Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal)
    }

    fn report(outcome: DeliveryOutcome) -> DeliveryReport {
        DeliveryReport {
            outcome,
            message_id: "m-1".to_owned(),
            topic_arn: "arn:aws:sns:eu-west-1:111122223333:expenses".to_owned(),
            published_message_id: None,
            findings: Vec::new(),
            more_findings: 0,
            attributes_dropped: 0,
            audited: false,
            unprotected: false,
        }
    }

    /// The metrics of the line, by name, without what every line has.
    fn line(reports: &[DeliveryReport], audits: &[Audit], failed: usize) -> Value {
        let line = metrics("redactor", datetime!(2026-03-06 20:00 UTC), reports, audits, failed).line();
        assert!(!line.contains(CARD) && !line.contains("EID-"), "{line}");
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let defined: Vec<_> = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap().to_owned())
            .collect();
        let fields = line.as_object_mut().unwrap();
        fields.remove("_aws");
        assert_eq!(fields.remove("FunctionName").unwrap(), "redactor");
        assert!(defined.len() == fields.len() && defined.iter().all(|name| fields.contains_key(name)), "{defined:?}");
        line
    }

    #[test]
    fn each_outcome_is_counted_and_all_metrics_are_there_at_each_invocation() {
        assert_eq!(
            line(&[], &[], 1),
            json!({ "Published": 0.0, "Denied": 0.0, "NothingLeft": 0.0, "Unprotected": 0.0, "Failed": 1.0 })
        );
        let outcomes = [
            DeliveryOutcome::Published,
            DeliveryOutcome::Published,
            DeliveryOutcome::Denied,
            DeliveryOutcome::NothingLeft,
            DeliveryOutcome::Planned,
        ];
        let mut reports = outcomes.map(report);
        reports[0].unprotected = true;
        reports[2].unprotected = true;
        assert_eq!(
            line(&reports, &[], 0),
            json!({ "Published": 2.0, "Denied": 1.0, "NothingLeft": 1.0, "Unprotected": 1.0, "Failed": 0.0 })
        );
    }

    #[test]
    fn an_audit_counts_messages_and_findings_of_the_original_text() {
        let audits = [format!("{{\"a\":{CARD},\"b\":[\"EID-1 and EID-2\"]}}"), CARD.to_owned(), "nothing".to_owned()];
        let audits = audits.map(|message| {
            let verdict = rules("99").apply(&Content::message(message));
            assert!(matches!(verdict.decision, Decision::Deliver(_)));
            Audit(verdict.audited)
        });
        assert_eq!(
            line(&[], &audits, 0),
            json!({
                "Published": 0.0, "Denied": 0.0, "NothingLeft": 0.0, "Unprotected": 0.0, "Failed": 0.0,
                "MessagesWithFindings": 2.0, "MessagesWithNoFindings": 1.0,
                "FoundCreditCardNumber": 2.0, "FoundEmployeeId": 2.0,
            })
        );
    }

    #[test]
    fn the_sample_rate_is_the_share_of_the_messages_and_the_same_message_is_always_in_it_or_never() {
        for (sample_rate, least, most) in [("0", 0, 0), ("50", 4_800, 5_200), ("99", 9_850, 9_950)] {
            let rules = rules(sample_rate);
            let ids = || (0..10_000).map(|number| format!("da41e39f-ea4d-435a-b922-{number:012x}"));
            let audited: Vec<_> = ids().filter(|id| rules.audits(id)).collect();
            assert!((least..=most).contains(&audited.len()), "{sample_rate}: {}", audited.len());
            assert_eq!(audited, ids().filter(|id| rules.audits(id)).collect::<Vec<_>>());
        }
    }
}
