//! Making calls to AWS: how many at a time, until when, and why one failed.
//!
//! All calls of a run in one Region go through [`Caller::call`], which bounds how many are under way, stops before Lambda's
//! deadline, and waits until AWS knows what was just created.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::deadline::backoff;
use gatehouse_shared::failure::chain;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

/// How many calls are under way at a time in one Region: enough to be quick, too few to be throttled.
pub(crate) const AT_A_TIME: usize = 4;
/// The first pause before something is looked at, or tried, again. Each further one is twice as long.
pub(crate) const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// The longest pause, and the last: a minute in all.
///
/// Source: EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API": "starting with a couple of seconds of wait
/// time, and increasing gradually up to a few minutes".
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(32);

/// A call that failed, as AWS put it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// AWS answered with an error.
    #[error("{code}: {message}{hint}")]
    Refused {
        /// The error code.
        code: String,
        message: String,
        /// What to do next, where it is known.
        hint: &'static str,
    },
    /// There was no answer that could be understood, after the SDK's retries.
    #[error("{0}")]
    Unanswered(String),
    /// The answer lacks what every such answer has.
    #[error("the answer has no {0}")]
    Incomplete(&'static str),
    /// EC2 accepted the call, and these rules are still there.
    #[error("EC2 accepted the call and did not remove {}; the next run tries again", list(.0))]
    NotRemoved(BTreeSet<IpNet>),
    /// AWS answered the calls, and what they were made for cannot be done, or was not done.
    #[error("{0}")]
    NotDone(String),
    /// Lambda's deadline is near.
    #[error("Lambda's deadline is near{}; the next run continues", if *.under_way { ", and a call that was under way may have taken effect" } else { "" })]
    OutOfTime {
        /// Whether the call was made.
        under_way: bool,
    },
}

impl<E> From<SdkError<E>> for CallError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match (error.code(), error.message()) {
            (Some(code), message) => Self::Refused {
                code: code.to_owned(),
                message: message.unwrap_or("no message").to_owned(),
                hint: hint(code),
            },
            _ => Self::Unanswered(chain(&error)),
        }
    }
}

impl CallError {
    /// The error code.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether a security group that the call names is not known. To EC2 that may be so for a while after its creation.
    pub(crate) fn is_unknown_group(&self) -> bool {
        matches!(
            self.code(),
            Some("InvalidGroup.NotFound" | "InvalidSecurityGroupID.NotFound" | "InvalidSecurityGroup")
        )
    }

    /// Whether the interface or the load balancer that the call names does not exist.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.code(), Some("InvalidNetworkInterfaceID.NotFound" | "LoadBalancerNotFound"))
    }

    /// Whether this is what AWS may answer about something that was just created, or just tagged: rights are
    /// bound to a tag, and the tag is as eventually consistent as the rest.
    fn is_not_known_yet(&self) -> bool {
        self.is_unknown_group()
            || matches!(
                self.code(),
                Some(
                    "InvalidID"
                        | "InvalidPrefixListId.NotFound"
                        | "InvalidPrefixListID.NotFound"
                        | "UnauthorizedOperation"
                        | "WAFUnavailableEntityException"
                )
            )
    }
}

fn list(ranges: &BTreeSet<IpNet>) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a person can do about the errors that are met in practice.
fn hint(code: &str) -> &'static str {
    match code {
        "RulesPerSecurityGroupLimitExceeded" => {
            "; the quota of rules in a group is lower than MAX_RULES_PER_GROUP says, or prefix lists in the group use it up: lower the setting or raise the quota"
        }
        "SecurityGroupsPerInterfaceLimitExceeded" => {
            "; the quota of groups on an interface is lower than MAX_GROUPS_PER_INTERFACE says: lower the setting or raise the quota"
        }
        "SecurityGroupLimitExceeded" => "; raise the quota of groups in a VPC, or delete groups nobody uses",
        "WAFLimitsExceededException" => "; raise the quota of IP sets, or delete sets nobody uses",
        "ParameterLimitExceeded" => "; raise the quota of parameters, or delete parameters nobody uses",
        _ if ErrorKind::from_code(code) == Some(ErrorKind::Denied) => {
            "; the function's role does not allow it: compare with the policy in the template"
        }
        _ => "",
    }
}

/// Makes the calls of one run in one Region.
#[derive(Debug)]
pub(crate) struct Caller {
    permits: Semaphore,
    stop: Instant,
}

impl Caller {
    /// Makes no call after `stop`.
    pub(crate) fn new(stop: Instant) -> Self {
        Self { permits: Semaphore::new(AT_A_TIME), stop }
    }

    /// Makes a call. With `just_created`, it is repeated for up to a minute while AWS does not know the thing yet.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn call<T, E: Into<CallError>>(
        &self,
        just_created: bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, CallError> {
        self.call_while(|error| just_created && error.is_not_known_yet(), call).await
    }

    /// Makes a call. It is repeated for up to a minute while its error is one that `is_transient`.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn call_while<T, E: Into<CallError>>(
        &self,
        is_transient: impl Fn(&CallError) -> bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, CallError> {
        for pause in backoff(INITIAL_BACKOFF, MAX_BACKOFF) {
            match self.call_once(&call).await {
                Err(error) if is_transient(&error) => {
                    debug!(error = error.to_string(), ?pause, "waiting until AWS knows it");
                    self.pause(pause).await;
                }
                outcome => return outcome,
            }
        }
        self.call_once(&call).await
    }

    async fn call_once<T, E: Into<CallError>>(&self, call: &impl AsyncFn() -> Result<T, E>) -> Result<T, CallError> {
        let permit = timeout_at(self.stop, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| CallError::OutOfTime { under_way: false })?;
        if Instant::now() >= self.stop {
            return Err(CallError::OutOfTime { under_way: false });
        }
        match timeout_at(self.stop, call()).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) => Err(CallError::OutOfTime { under_way: true }),
        }
    }

    /// Waits, but not beyond the end of the run.
    pub(crate) async fn pause(&self, pause: Duration) {
        sleep_until((Instant::now() + pause).min(self.stop)).await;
    }
}
