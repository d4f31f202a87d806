//! Asks AWS Health.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_sdk_health::Client;
use aws_sdk_health::config::Region;
use aws_sdk_health::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_health::operation::describe_events::DescribeEventsError;
use aws_sdk_health::types::{Event, EventFilter};
use futures::{StreamExt, stream};
use gatehouse_shared::failure::chain;

use crate::config::Config;
use crate::endpoint::Endpoint;

/// DescribeEvents takes so many Regions, and so many services, in one filter.
///
/// Source: AWS Health API Reference, EventFilter.
const FILTER_LIMIT: usize = 10;

/// Calls under way at once. AWS Health throttles early.
const CONCURRENT_CALLS: usize = 5;

/// AWS Health, behind the endpoint that is active.
pub struct Health {
    client: Client,
    endpoint: Endpoint,
}

/// What was learned so far. It fills while the calls run, so that nothing is lost when they are cut short.
#[derive(Debug, Default)]
pub struct Findings {
    events: Mutex<BTreeMap<String, Event>>,
    calls: AtomicUsize,
}

impl Findings {
    /// The events, each once.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many pages were asked for; what the SDK repeats is not counted.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn add(&self, events: Vec<Event>) {
        let mut known = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            // One without an ARN is not the same as another without an ARN.
            let key = event.arn.clone().unwrap_or_else(|| format!("{event:?}"));
            known.insert(key, event);
        }
    }
}

/// Why AWS Health could not be asked, or not in full.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unknown {
    /// The account's support plan does not include the API.
    #[error(
        "this account's support plan does not include the AWS Health API (SubscriptionRequiredException): it takes \
         Business, Enterprise On-Ramp or Enterprise Support, or one of the plans that followed them (Business Support+, \
         Enterprise Support, Unified Operations)"
    )]
    Subscription,
    /// The function's role does not admit the call.
    #[error("the function's role must allow health:DescribeEvents: {0}")]
    Denied(String),
    /// The request was refused.
    #[error("AWS Health refused the request: {0}")]
    Refused(String),
    /// AWS Health asked to slow down until the SDK gave up.
    #[error("AWS Health throttled every attempt: {0}")]
    Throttled(String),
    /// A reply that makes no sense.
    #[error("AWS Health sent a reply that cannot be read: {0}")]
    Malformed(String),
    /// No connection, no reply, or an error of the server.
    #[error("AWS Health cannot be reached: {0}")]
    Unreachable(String),
    /// The function's own time was up.
    #[error("AWS Health had not answered in full when the function's time was up")]
    OutOfTime,
}

impl Unknown {
    /// Whether it may be over in a minute, without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Subscription | Self::Denied(_) | Self::Refused(_) => false,
            Self::Throttled(_) | Self::Malformed(_) | Self::Unreachable(_) | Self::OutOfTime => true,
        }
    }
}

impl Health {
    /// `client` may be for any Region: the endpoint decides.
    #[must_use]
    pub fn new(client: Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// Asks for all events of the Regions, services, categories and statuses in `config`, all pages of them, and puts
    /// them into `findings`. The filter knows no scope: that is left to the caller.
    ///
    /// The passive endpoint is asked only where the active one cannot be reached.
    ///
    /// # Errors
    ///
    /// [`Unknown`] when one or more calls failed: what the others found is in `findings` all the same.
    pub async fn ask(&self, config: &Config, findings: &Findings) -> Result<(), Unknown> {
        let mut outcome = Ok(());
        for region in self.endpoint.regions().await {
            let conf = self.client.config().to_builder().region(Region::new(region.clone())).build();
            outcome = ask_all(&Client::from_conf(conf), config, findings).await;
            let Err(Unknown::Unreachable(error)) = &outcome else { break };
            tracing::warn!(region, error, "this endpoint of AWS Health cannot be reached");
            self.endpoint.forget();
        }
        outcome
    }
}

/// The worst failure, if any: one that does not pass tells more than one that may.
async fn ask_all(client: &Client, config: &Config, findings: &Findings) -> Result<(), Unknown> {
    stream::iter(filters(config))
        .map(|filter| ask_one(client, filter, findings))
        .buffer_unordered(CONCURRENT_CALLS)
        .filter_map(async |outcome| outcome.err())
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .min()
        .map_or(Ok(()), Err)
}

fn filters(config: &Config) -> Vec<EventFilter> {
    let services: Vec<Option<&[String]>> = match config.services.as_slice() {
        [] => vec![None],
        services => services.chunks(FILTER_LIMIT).map(Some).collect(),
    };
    let of = |regions: &[String], services: Option<&[String]>| {
        EventFilter::builder()
            .set_regions(Some(regions.to_vec()))
            .set_services(services.map(<[String]>::to_vec))
            .set_event_type_categories(Some(config.categories.clone()))
            .set_event_status_codes(Some(config.statuses.clone()))
            .build()
    };
    config
        .regions
        .chunks(FILTER_LIMIT)
        .flat_map(|regions| services.iter().map(move |services| of(regions, *services)))
        .collect()
}

async fn ask_one(client: &Client, filter: EventFilter, findings: &Findings) -> Result<(), Unknown> {
    let mut next = None;
    loop {
        findings.calls.fetch_add(1, Ordering::Relaxed);
        let request = client.describe_events().filter(filter.clone()).max_results(100).set_next_token(next.clone());
        let page = request.send().await.map_err(unknown)?;
        // An answer that lacks the list is not an answer that lists nothing.
        findings.add(page.events.ok_or_else(|| Unknown::Malformed("it has no list of events".to_owned()))?);
        match page.next_token.filter(|token| !token.is_empty()) {
            None => return Ok(()),
            Some(token) if Some(&token) == next.as_ref() => {
                return Err(Unknown::Malformed("its next page is the same page".to_owned()));
            }
            token => next = token,
        }
    }
}

fn unknown(error: SdkError<DescribeEventsError>) -> Unknown {
    let text = chain(&error);
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match (&error, error.code().unwrap_or_default()) {
        (_, "SubscriptionRequiredException") => Unknown::Subscription,
        (_, "AccessDeniedException" | "AccessDenied") => Unknown::Denied(text),
        (_, code) if code.contains("Throttl") || code.contains("TooManyRequests") || status == 429 => {
            Unknown::Throttled(text)
        }
        _ if status >= 500 => Unknown::Unreachable(text),
        (SdkError::TimeoutError(_) | SdkError::DispatchFailure(_), _) => Unknown::Unreachable(text),
        (SdkError::ResponseError(_), _) => Unknown::Malformed(text),
        _ => Unknown::Refused(text),
    }
}
