//! The policy: from the setting, or from a parameter that is read again from time to time.

use std::cell::RefCell;
use std::sync::Arc;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use gatehouse_shared::failure::chain;
use time::{Duration, OffsetDateTime};

use crate::config::{PROTECT, PolicySetting};
use crate::error::{Error, next_of_parameter};
use data_protection::{Direction, Engine, Options, Policy, Principal};

/// How long a policy is used before the parameter is read again: a change takes effect within five minutes.
const TIME_TO_LIVE: Duration = Duration::minutes(5);
/// How long it is used while the parameter cannot be read.
const MAX_USE: Duration = Duration::HOUR;
/// How long until the next attempt then: not every message waits for one.
const RETRY_AFTER: Duration = Duration::seconds(30);

/// Where the rules for the subscriber come from.
#[derive(Debug)]
pub(crate) enum Source {
    Inline(Arc<Engine>),
    Parameter { name: String, subscriber: Subscriber, kept: RefCell<Option<Kept>> },
}

/// For whom a policy is applied, and how.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) principal: Principal,
    pub(crate) allow_unprotected: bool,
    pub(crate) options: Options,
}

/// The rules that were read last.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    rules: Arc<Engine>,
    read_at: OffsetDateTime,
    read_again_at: OffsetDateTime,
}

impl Source {
    pub(crate) fn new(setting: PolicySetting, subscriber: Subscriber) -> Self {
        match setting {
            PolicySetting::Inline(policy) => Self::Inline(compiled(&policy, &subscriber)),
            PolicySetting::Parameter(name) => Self::Parameter { name, subscriber, kept: RefCell::default() },
        }
    }

    pub(crate) async fn rules(&self, ssm: &Client, now: OffsetDateTime) -> Result<Arc<Engine>, Error> {
        let (name, subscriber, kept) = match self {
            Self::Inline(rules) => return Ok(Arc::clone(rules)),
            Self::Parameter { name, subscriber, kept } => (name, subscriber, kept),
        };
        let known = kept.borrow().clone();
        if let Some(known) = &known
            && now < known.read_again_at
        {
            return Ok(Arc::clone(&known.rules));
        }
        let next = match (read(ssm, name).await, known) {
            (Ok(policy), _) => {
                if !subscriber.allow_unprotected
                    && let Err(source) = policy.applies_to(Direction::Outbound, &subscriber.principal)
                {
                    return Err(Error::Unprotected { parameter: name.clone(), next: PROTECT, source });
                }
                let rules = compiled(&policy, subscriber);
                Kept { rules, read_at: now, read_again_at: now + TIME_TO_LIVE }
            }
            // A policy with faults is not one that cannot be read: somebody changed it.
            (Err(error @ Error::Policy { .. }), Some(known)) if now - known.read_at < MAX_USE => {
                tracing::warn!(
                    parameter = name,
                    error = chain(&error),
                    "the policy cannot be read: the one before is used for up to an hour"
                );
                let read_again_at = (now + RETRY_AFTER).min(known.read_at + MAX_USE);
                Kept { read_again_at, ..known }
            }
            (Err(error), _) => return Err(error),
        };
        let rules = Arc::clone(&next.rules);
        kept.replace(Some(next));
        Ok(rules)
    }
}

/// Says in the log what of the policy does nothing here.
fn compiled(policy: &Policy, subscriber: &Subscriber) -> Arc<Engine> {
    let inbound: Vec<String> = policy.statements_of(Direction::Inbound).collect();
    if !inbound.is_empty() {
        tracing::warn!(
            statements = inbound.join(", "),
            "statements with DataDirection Inbound do nothing here: set Outbound for what subscribers receive"
        );
    }
    let rules = Engine::new(policy, Direction::Outbound, &subscriber.principal).with(subscriber.options);
    if rules.is_empty() {
        tracing::warn!(
            policy = policy.name(),
            principal = subscriber.principal.as_str(),
            "no Outbound statement applies to SUBSCRIBER_PRINCIPAL: with ALLOW_UNPROTECTED messages pass unchanged"
        );
    }
    Arc::new(rules)
}

async fn read(ssm: &Client, parameter: &str) -> Result<Policy, Error> {
    let answer = ssm.get_parameter().name(parameter).with_decryption(true).send().await.map_err(|error| {
        Error::Policy { parameter: parameter.to_owned(), next: next_of_parameter(error.code()), source: error.into() }
    })?;
    let text = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    Policy::parse(&text).map_err(|source| Error::InvalidPolicy { parameter: parameter.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests {

    use gatehouse_shared::failure::ErrorType as _;
    use gatehouse_testkit::{Aws, Reply};
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-03-06 20:00 UTC);
    const OTHER: &str = "arn:aws:iam::111122223333:role/Payment";

    /// A policy that denies card numbers for this principal.
    pub(crate) fn policy(principal: &str) -> String {
        json!({
            "Name": "expenses", "Version": "2021-06-01",
            "Statement": [{
                "DataDirection": "Outbound", "Principal": [principal], "Operation": { "Deny": {} },
                "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
            }],
        })
        .to_string()
    }

    /// A Systems Manager whose first answers are these: a policy, or the code of an error. It publishes too.
    pub(crate) fn aws(answers: Vec<Result<String, &'static str>>) -> Aws {
        Aws::new(move |call| {
            if call.operation == "Publish" {
                return Reply::Empty;
            }
            assert_eq!(
                (call.operation.as_str(), &call.parameters),
                ("GetParameter", &json!({ "Name": "/policy", "WithDecryption": true }))
            );
            match &answers[call.earlier] {
                Ok(text) => Reply::Json(json!({ "Parameter": { "Value": text } })),
                Err(code) => Reply::Error(code),
            }
        })
    }

    fn ssm(answers: Vec<Result<String, &'static str>>) -> (Client, Aws) {
        let aws = aws(answers);
        (Client::new(&aws.sdk_without_retries()), aws)
    }

    fn source() -> Source {
        source_with(false)
    }

    fn source_with(allow_unprotected: bool) -> Source {
        let principal = "arn:aws:iam::111122223333:role/Reporting".parse().unwrap();
        let subscriber = Subscriber { principal, allow_unprotected, options: Options::default() };
        Source::new(PolicySetting::Parameter("/policy".to_owned()), subscriber)
    }

    #[tokio::test]
    async fn the_parameter_is_read_at_the_first_message_and_again_after_five_minutes() {
        let (ssm, aws) = ssm(vec![Ok(policy("*")), Ok(policy(OTHER))]);
        let source = source_with(true);
        assert_eq!(aws.calls().len(), 0);
        for (seconds, calls, is_empty) in [(0, 1, false), (299, 1, false), (300, 2, true), (599, 2, true)] {
            let rules = source.rules(&ssm, START + Duration::seconds(seconds)).await.unwrap();
            assert_eq!((aws.calls().len(), rules.is_empty()), (calls, is_empty), "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn a_policy_is_used_for_an_hour_while_the_parameter_cannot_be_read() {
        let mut answers = vec![Ok(policy("*"))];
        answers.extend(vec![Err("InternalServerError"); 5]);
        answers.push(Ok(policy(OTHER)));
        let (ssm, aws) = ssm(answers);
        let source = source_with(true);
        for (seconds, calls, expected) in [
            (0, 1, Some(false)),
            (300, 2, Some(false)),
            // The next attempt is 30 s later: not every message waits for one.
            (329, 2, Some(false)),
            (330, 3, Some(false)),
            (3_590, 4, Some(false)),
            (3_599, 4, Some(false)),
            // From here on each message makes an attempt, and fails with it.
            (3_600, 5, None),
            (3_601, 6, None),
            (3_602, 7, Some(true)),
        ] {
            let rules = source.rules(&ssm, START + Duration::seconds(seconds)).await;
            assert_eq!(rules.as_ref().ok().map(|rules| rules.is_empty()), expected, "after {seconds} s");
            assert_eq!(aws.calls().len(), calls, "after {seconds} s");
            if let Err(error) = rules {
                assert_eq!(error.error_type(), "Policy");
            }
        }
    }

    #[tokio::test]
    async fn without_a_policy_an_error_says_what_to_do() {
        for (code, next) in [
            ("AccessDeniedException", "; allow ssm:GetParameter on it in the function's role: "),
            ("ParameterNotFound", "; create it, or correct DATA_PROTECTION_POLICY: "),
            ("ParameterVersionNotFound", "; create it, or correct DATA_PROTECTION_POLICY: "),
            ("InvalidKeyId", "; the key that encrypts it cannot be used: check its state and the function's role: "),
            ("ThrottlingException", "; it is tried again when the message is delivered again: "),
        ] {
            let (ssm, _) = ssm(vec![Err(code)]);
            let error = source().rules(&ssm, START).await.unwrap_err();
            let text = chain(&error);
            assert_eq!(error.error_type(), "Policy", "{text}");
            assert!(text.starts_with("reading the policy in the parameter /policy; ") && text.contains(next), "{text}");
        }
    }

    #[tokio::test]
    async fn a_policy_that_no_longer_applies_is_a_fault_until_it_does() {
        let (ssm, _) = ssm(vec![Ok(policy("*")), Ok(policy(OTHER)), Ok(policy("role/Reporting"))]);
        let source = source();
        source.rules(&ssm, START).await.unwrap();
        let error = source.rules(&ssm, START + TIME_TO_LIVE).await.unwrap_err();
        let text = chain(&error);
        assert_eq!(error.error_type(), "InvalidSettings");
        for part in ["/policy", "role/Reporting", OTHER, "$.Statement[0].Principal", "ALLOW_UNPROTECTED=true"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        source.rules(&ssm, START + TIME_TO_LIVE).await.unwrap();
    }

    #[tokio::test]
    async fn a_policy_with_faults_is_an_error_even_where_one_was_read_before() {
        let (ssm, _) = ssm(vec![Ok(policy("*")), Ok(policy("Reporting")), Ok(policy("*"))]);
        let source = source();
        source.rules(&ssm, START).await.unwrap();
        let error = source.rules(&ssm, START + TIME_TO_LIVE).await.unwrap_err();
        assert_eq!(error.error_type(), "InvalidSettings");
        assert!(chain(&error).contains("$.Statement[0].Principal[0] is \"Reporting\""), "{}", chain(&error));
        source.rules(&ssm, START + TIME_TO_LIVE).await.unwrap();
    }
}
