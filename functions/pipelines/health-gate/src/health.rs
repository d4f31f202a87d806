//! Asks AWS Health.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_health::Client;
use aws_sdk_health::config::{Builder, Region};
use aws_sdk_health::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_health::types::{Event, EventFilter, EventTypeFilter};
use futures::{StreamExt, stream};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::chain;
use gatehouse_shared::sdk::{SdkConfig, TimeoutConfig};

use crate::config::{Config, MULTIPLE_SERVICES, SERVICES_OF_THE_ACCOUNT};
use crate::endpoint::Endpoint;

/// DescribeEvents takes so many Regions, and so many services, in one filter.
///
/// Source: AWS Health API Reference, EventFilter.
const FILTER_LIMIT: usize = 10;

/// Calls under way at once. AWS Health throttles early.
const CONCURRENT_CALLS: usize = 5;

/// Whether a service exists is worth no longer wait: it only adds to a message.
const EVENT_TYPES_TIMEOUT: Duration = Duration::from_secs(3);

/// AWS Health, behind the endpoint that is active.
pub struct Health {
    client: Client,
    endpoint: Endpoint,
    /// Services that AWS Health knows. Asked once for each.
    known_services: RefCell<BTreeSet<String>>,
}

/// The client for AWS Health. An attempt that hangs leaves time for another one.
#[must_use]
pub fn client(sdk: &SdkConfig) -> Client {
    let seconds = Duration::from_secs;
    let timeouts = TimeoutConfig::builder().connect_timeout(seconds(2)).operation_attempt_timeout(seconds(5)).build();
    Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build())
}

/// What was learned so far. It fills while the calls run, so that nothing is lost when they are cut short.
#[derive(Debug, Default)]
pub struct Findings {
    events: RefCell<BTreeMap<String, Event>>,
    calls: Cell<usize>,
}

impl Findings {
    /// The events, each once.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.borrow().values().cloned().collect()
    }

    /// How many pages were asked for; what the SDK repeats is not counted.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.get()
    }

    fn add(&self, events: Vec<Event>) {
        let mut known = self.events.borrow_mut();
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
        "AWS Health does not answer: this account's support plan does not include its API \
         (SubscriptionRequiredException). It needs Business, Enterprise On-Ramp or Enterprise Support, or one of the \
         plans that followed them (Business Support+, Enterprise Support, Unified Operations)"
    )]
    Subscription,
    /// The function's role does not admit the call.
    #[error("AWS Health does not answer: the function's role must allow health:DescribeEvents: {0}")]
    Denied(String),
    /// The request was refused.
    #[error("AWS Health refused the request: {0}")]
    Refused(String),
    /// AWS Health asked to slow down until the SDK gave up.
    #[error("AWS Health throttled every attempt: {0}")]
    Throttled(String),
    /// AWS Health refused a request for a transient reason: credentials or a page that expired meanwhile.
    #[error("AWS Health refused the request for a transient reason: {0}")]
    Interrupted(String),
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
    /// Whether it may be over in a minute, although nothing is corrected.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Subscription | Self::Denied(_) | Self::Refused(_) => false,
            Self::Throttled(_) | Self::Interrupted(_) | Self::Malformed(_) | Self::Unreachable(_) | Self::OutOfTime => {
                true
            }
        }
    }
}

impl Health {
    /// `client` may be for any Region: the endpoint decides.
    #[must_use]
    pub fn new(client: Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint, known_services: RefCell::default() }
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
            outcome = self.ask_in(&Region::new(region.clone()), config, findings).await;
            let Err(Unknown::Unreachable(error)) = &outcome else { break };
            tracing::warn!(region, error, "this endpoint of AWS Health cannot be reached");
            self.endpoint.forget();
        }
        outcome
    }

    /// The services in `config` that AWS Health does not know. None where it does not answer.
    ///
    /// AWS publishes no list of the services; AWS Health knows the types of event of each.
    pub async fn unfamiliar_services(&self, config: &Config) -> Vec<String> {
        let known = |service: &&String| self.known_services.borrow().contains(service.as_str());
        // MULTIPLE_SERVICES is no service of its own, and always meant.
        let named = config.services.iter().filter(|service| *service != MULTIPLE_SERVICES);
        let left_out = config
            .excluded_services
            .iter()
            .filter(|service| *service != MULTIPLE_SERVICES && !SERVICES_OF_THE_ACCOUNT.contains(&service.as_str()));
        let not_seen: Vec<_> = named.chain(left_out).filter(|service| !known(service)).cloned().collect();
        if not_seen.is_empty() {
            return Vec::new();
        }
        match tokio::time::timeout(EVENT_TYPES_TIMEOUT, self.find_services(&not_seen)).await {
            Ok(Ok(())) => return not_seen.into_iter().filter(|service| !known(&service)).collect(),
            Ok(Err(error)) => tracing::warn!(%error, "cannot check the names of the services"),
            Err(_) => tracing::warn!("no time to check the names of the services"),
        }
        Vec::new()
    }

    /// Adds those of `services` that exist to what is known.
    async fn find_services(&self, services: &[String]) -> Result<(), Unknown> {
        let region = self.endpoint.regions().await.into_iter().next().unwrap_or_default();
        for chunk in services.chunks(FILTER_LIMIT) {
            let mut missing: BTreeSet<_> = chunk.iter().cloned().collect();
            let filter = EventTypeFilter::builder().set_services(Some(chunk.to_vec())).build();
            let mut next = None;
            while !missing.is_empty() {
                let request =
                    self.client.describe_event_types().filter(filter.clone()).max_results(100).set_next_token(next);
                let for_region = Builder::new().region(Region::new(region.clone()));
                let page = request.customize().config_override(for_region).send().await.map_err(unknown)?;
                let kinds = page.event_types.ok_or_else(|| Unknown::Malformed("it has no list of types".to_owned()))?;
                for service in kinds.iter().filter_map(|kind| kind.service()) {
                    missing.remove(service);
                    self.known_services.borrow_mut().insert(service.to_owned());
                }
                next = page.next_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Gives the worst failure, if any: one that does not pass tells more than one that may.
    async fn ask_in(&self, region: &Region, config: &Config, findings: &Findings) -> Result<(), Unknown> {
        stream::iter(filters(config))
            .map(|filter| self.pages(region, filter, findings))
            .buffer_unordered(CONCURRENT_CALLS)
            .filter_map(async |outcome| outcome.err())
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .min()
            .map_or(Ok(()), Err)
    }

    async fn pages(&self, region: &Region, filter: EventFilter, findings: &Findings) -> Result<(), Unknown> {
        let mut next = None;
        loop {
            findings.calls.update(|calls| calls + 1);
            let request = self.client.describe_events().filter(filter.clone()).max_results(100);
            // The Region of this call alone: a client of its own would open connections of its own, each time.
            let for_region = Builder::new().region(region.clone());
            let request = request.set_next_token(next.clone()).customize().config_override(for_region);
            let page = request.send().await.map_err(unknown)?;
            tracing::debug!(%region, events = page.events().len(), "a page of AWS Health");
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
            .set_actionabilities(Some(config.actionabilities.clone()).filter(|wanted| !wanted.is_empty()))
            .set_personas(Some(config.personas.clone()).filter(|wanted| !wanted.is_empty()))
            .build()
    };
    config
        .regions
        .chunks(FILTER_LIMIT)
        .flat_map(|regions| services.iter().map(move |services| of(regions, *services)))
        .collect()
}

fn unknown<E>(error: SdkError<E>) -> Unknown
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let text = if status == 0 { chain(&error) } else { format!("{} (HTTP status {status})", chain(&error)) };
    match (error.code(), ErrorKind::from(&error)) {
        (Some("SubscriptionRequiredException"), _) => Unknown::Subscription,
        // A token of a page expires.
        (Some("InvalidPaginationToken"), _) | (_, ErrorKind::Interrupted) => Unknown::Interrupted(text),
        (_, ErrorKind::Denied) => Unknown::Denied(text),
        (_, ErrorKind::Throttled) => Unknown::Throttled(text),
        (_, ErrorKind::Unreachable) => Unknown::Unreachable(text),
        (_, ErrorKind::Refused) => Unknown::Refused(text),
        (_, ErrorKind::Unreadable) => Unknown::Malformed(text),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use gatehouse_shared::env::Env;
    use gatehouse_shared::failure::BoxError;
    use gatehouse_testkit::{Aws, Call, Reply};
    use serde_json::{Value, json};

    use super::*;
    use crate::endpoint::Resolver;

    struct NoDns;

    impl Resolver for NoDns {
        fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<String, BoxError>> {
            unreachable!("the environment sets an endpoint, and {name} is looked up")
        }
    }

    async fn ask(aws: &Aws, settings: &[(&str, &str)]) -> (Result<(), Unknown>, Vec<String>, usize) {
        let local = [("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
        let table: Vec<_> = settings.iter().copied().chain(local).collect();
        let env = Env::of_table(&table);
        let health = Health::new(client(&aws.sdk()), Endpoint::new(&env, NoDns));
        let findings = Findings::default();
        let outcome = health.ask(&env.read(Config::from_env).unwrap(), &findings).await;
        assert!(aws.operations().iter().all(|operation| operation == "DescribeEvents"), "{aws:?}");
        let arns = findings.events().into_iter().map(|event| event.arn.unwrap_or_default()).collect();
        (outcome, arns, findings.calls())
    }

    fn page(arns: &[&str], next: Option<&str>) -> Reply {
        let events: Vec<_> = arns.iter().map(|arn| json!({ "arn": arn })).collect();
        let mut output = json!({ "events": events });
        if let Some(next) = next {
            output["nextToken"] = next.into();
        }
        Reply::Json(output)
    }

    fn named(call: &Call, name: &str) -> Vec<String> {
        let values = call.parameters["filter"][name].as_array();
        values.into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn all_pages_are_read() {
        let aws = Aws::new(|call| match call.text("nextToken") {
            "" => page(&["a", "b"], Some("page2")),
            "page2" => page(&["c"], Some("page3")),
            _ => page(&["d"], Some("")),
        });
        let (outcome, arns, calls) = ask(&aws, &[]).await;
        assert_eq!((outcome, arns.join(" ").as_str(), calls), (Ok(()), "a b c d", 3));
    }

    #[tokio::test]
    async fn more_than_ten_are_asked_in_several_calls_and_each_event_counts_once() {
        let regions: Vec<_> = (1..=24).map(|number| format!("eu-west-{number}")).collect();
        let services: Vec<_> = (1..=10).map(|number| format!("SERVICE_{number}")).collect();
        // Every call finds the same event, and one of its own.
        let aws = Aws::new(|call| {
            page(&["shared", &named(call, "regions").join("+"), &named(call, "services").join("+")], None)
        });
        let settings = [("REGIONS", regions.join(",")), ("SERVICES", services.join(","))];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (outcome, arns, calls) = ask(&aws, &settings).await;
        // 24 Regions and global, 10 services and MULTIPLE_SERVICES.
        assert_eq!((outcome, calls, aws.calls().len()), (Ok(()), 3 * 2, 3 * 2));
        assert_eq!(arns.len(), 1 + 3 + 2);
        let mut asked = BTreeSet::new();
        for call in aws.calls() {
            let (regions, services) = (named(&call, "regions"), named(&call, "services"));
            assert!(regions.len() <= FILTER_LIMIT && services.len() <= FILTER_LIMIT);
            asked.extend(regions.iter().flat_map(|region| services.iter().map(move |it| format!("{region} {it}"))));
        }
        assert_eq!(asked.len(), 25 * 11);
    }

    #[tokio::test]
    async fn the_filter_names_only_what_is_wanted() {
        for (settings, name, expected) in [
            (vec![], "services", Value::Null),
            (vec![], "actionabilities", Value::Null),
            (vec![], "personas", Value::Null),
            (vec![("ACTIONABILITIES", "ACTION_REQUIRED")], "actionabilities", json!(["ACTION_REQUIRED"])),
            (vec![("PERSONAS", "OPERATIONS")], "personas", json!(["OPERATIONS"])),
        ] {
            let aws = Aws::new(|_| page(&[], None));
            assert_eq!(ask(&aws, &settings).await, (Ok(()), vec![], 1));
            let parameters = &aws.calls()[0].parameters;
            assert_eq!(
                (&parameters["filter"][name], &parameters["maxResults"]),
                (&expected, &json!(100)),
                "{settings:?}"
            );
        }
    }

    #[tokio::test]
    async fn events_without_an_arn_are_not_taken_for_one() {
        let aws = Aws::new(|_| {
            Reply::Json(json!({ "events": [{ "service": "EC2" }, { "service": "RDS" }, { "service": "EC2" }] }))
        });
        assert_eq!(ask(&aws, &[]).await.1.len(), 2);
    }

    #[tokio::test]
    async fn throttling_is_ridden_out() {
        let aws = Aws::new(|call| if call.earlier < 2 { Reply::Throttled } else { page(&["a"], None) });
        let (outcome, arns, calls) = ask(&aws, &[]).await;
        assert_eq!((outcome, arns.len(), calls), (Ok(()), 1, 1));
        assert_eq!(aws.calls().len(), 3);
    }

    #[tokio::test]
    async fn what_no_person_can_correct_is_transient() {
        for (code, is_transient) in [
            ("InvalidPaginationToken", true),
            ("ExpiredTokenException", true),
            ("ThrottlingException", true),
            ("ValidationException", false),
            ("UnsupportedLocale", false),
            ("AccessDeniedException", false),
            ("SubscriptionRequiredException", false),
            ("SomethingNew", false),
        ] {
            let (outcome, ..) = ask(&Aws::new(move |_| Reply::Error(code)), &[]).await;
            let unknown = outcome.unwrap_err();
            assert_eq!(unknown.is_transient(), is_transient, "{code}: {unknown}");
        }
    }

    #[tokio::test]
    async fn the_worst_failure_is_reported_and_what_was_found_is_kept() {
        let regions: Vec<_> = (1..=20).map(|number| format!("eu-west-{number}")).collect();
        let aws = Aws::new(|call| match named(call, "regions")[0].as_str() {
            "eu-west-1" => page(&["a"], None),
            "eu-west-11" => Reply::Error("ValidationException"),
            _ => Reply::Error("AccessDeniedException"),
        });
        let (outcome, arns, calls) = ask(&aws, &[("REGIONS", &regions.join(","))]).await;
        assert!(
            matches!(&outcome, Err(Unknown::Denied(text)) if text.contains("AccessDeniedException")),
            "{outcome:?}"
        );
        assert_eq!((arns.join(" ").as_str(), calls), ("a", 3));
    }
}
