//! The policy: from the setting, or from a parameter that is read again from time to time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata as _;

use crate::config::PolicySetting;
use crate::error::{Error, next_of};
use crate::policy::{Direction, Policy};
use crate::principal::Principal;
use crate::rules::Rules;

/// How long a policy is used before the parameter is read again: a change takes effect within five minutes.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);
/// How long it is used while the parameter cannot be read.
const LONGEST_USE: Duration = Duration::from_secs(3_600);

/// The rules for the subscriber.
#[derive(Debug)]
pub(crate) struct Source {
    principal: Principal,
    parameter: Option<String>,
    kept: Mutex<Option<(Instant, Arc<Rules>)>>,
}

impl Source {
    pub(crate) fn new(setting: PolicySetting, principal: Principal) -> Self {
        match setting {
            PolicySetting::Inline(policy) => {
                let rules = compiled(&policy, &principal);
                Self { principal, parameter: None, kept: Mutex::new(Some((Instant::now(), rules))) }
            }
            PolicySetting::Parameter(parameter) => {
                Self { principal, parameter: Some(parameter), kept: Mutex::default() }
            }
        }
    }

    pub(crate) async fn rules(&self, ssm: &Client) -> Result<Arc<Rules>, Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age = kept.as_ref().map(|(at, _)| at.elapsed());
        match (&self.parameter, kept) {
            (None, Some((_, rules))) => Ok(rules),
            (Some(_), Some((at, rules))) if at.elapsed() < TIME_TO_LIVE => Ok(rules),
            (parameter, kept) => {
                let parameter = parameter.as_deref().unwrap_or_default();
                let policy = match read(ssm, parameter).await {
                    Ok(policy) => policy,
                    // A policy with faults is not one that cannot be read: somebody changed it.
                    Err(error @ Error::Policy { .. }) if age.is_some_and(|age| age < LONGEST_USE) => {
                        let Some((_, rules)) = kept else { return Err(error) };
                        tracing::warn!(
                            parameter,
                            "the policy cannot be read: the one before is used for up to an hour"
                        );
                        return Ok(rules);
                    }
                    Err(error) => return Err(error),
                };
                let rules = compiled(&policy, &self.principal);
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), rules.clone()));
                Ok(rules)
            }
        }
    }
}

/// Says in the log what of the policy does nothing here.
fn compiled(policy: &Policy, principal: &Principal) -> Arc<Rules> {
    let inbound: Vec<String> = policy.statements_of(Direction::Inbound).collect();
    if !inbound.is_empty() {
        tracing::warn!(
            statements = inbound.join(", "),
            "statements with DataDirection Inbound do nothing here: set Outbound for what subscribers receive"
        );
    }
    let rules = Rules::of(policy, Direction::Outbound, principal);
    if rules.are_empty() {
        tracing::warn!(
            policy = policy.name,
            principal = principal.as_str(),
            "no Outbound statement applies to SUBSCRIBER_PRINCIPAL: messages pass unchanged"
        );
    }
    Arc::new(rules)
}

async fn read(ssm: &Client, parameter: &str) -> Result<Policy, Error> {
    let answer = ssm.get_parameter().name(parameter).with_decryption(true).send().await.map_err(|error| {
        Error::Policy { parameter: parameter.to_owned(), next: next_of(error.code()), source: error.into() }
    })?;
    let text = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    Policy::parse(&text).map_err(|source| Error::InvalidPolicy { parameter: parameter.to_owned(), source })
}
