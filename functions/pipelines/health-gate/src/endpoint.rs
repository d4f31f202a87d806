//! Which Region's endpoint of AWS Health to call.
//!
//! AWS Health runs in two Regions of a partition, one active, one passive and a little behind. A DNS name of its own
//! says which is which: the CNAME of `global.health.amazonaws.com` is `health.<active region>.amazonaws.com`. Requests
//! must be signed for that Region.
//!
//! Source: AWS Health User Guide, "Choosing endpoints for AWS Health API requests"; for the names in China and GovCloud,
//! `endpoints.json` of botocore.

use std::cell::RefCell;
use std::time::Duration;

use futures::future::BoxFuture;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::BoxError;
use gatehouse_shared::region::Region;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::{Instant, timeout};

/// How long an answer of the DNS is used. AWS gives its record 10 seconds to live, and moves it hardly ever.
const TIME_TO_LIVE: Duration = Duration::from_secs(5 * 60);

/// The fallbacks are good enough not to wait longer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks CNAME records up.
pub trait Resolver: Send + Sync {
    /// The name that `name` stands for; both fully qualified.
    fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<String, BoxError>>;
}

/// The DNS servers of `/etc/resolv.conf`.
#[derive(Debug, Clone, Copy)]
pub struct Dns;

impl Resolver for Dns {
    fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<String, BoxError>> {
        Box::pin(async move {
            let resolver = TokioResolver::builder_tokio()?.build()?;
            let reply = resolver.lookup(name, RecordType::CNAME).await?;
            let cname = reply.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some(target.to_utf8()),
                _ => None,
            });
            Ok(cname.ok_or("the reply holds no CNAME record")?)
        })
    }
}

/// Where AWS Health is, seen from this function.
pub struct Endpoint {
    global: Option<&'static str>,
    /// Used where the DNS does not help, in this order.
    fallbacks: Vec<String>,
    resolver: Box<dyn Resolver>,
    active: RefCell<Option<(Instant, String)>>,
}

impl Endpoint {
    /// The endpoint for a function in the Region `AWS_REGION`.
    ///
    /// Where the environment sets an endpoint (`AWS_ENDPOINT_URL_HEALTH` or `AWS_ENDPOINT_URL`) the SDK uses that, so
    /// nothing is looked up. The same in partitions for which AWS documents no global name.
    #[must_use]
    pub fn new(env: &Env<'_>, resolver: impl Resolver + 'static) -> Self {
        let own_region = env.text("AWS_REGION").unwrap_or_default();
        let is_set = ["AWS_ENDPOINT_URL_HEALTH", "AWS_ENDPOINT_URL"].iter().any(|name| env.text(name).is_some());
        let partition = own_region.parse().map_or("aws", |region: Region| region.partition());
        let known = match partition {
            _ if is_set => None,
            "aws" => Some(("global.health.amazonaws.com.", ["us-east-1", "us-east-2"])),
            "aws-cn" => Some(("global.health.amazonaws.com.cn.", ["cn-northwest-1", "cn-north-1"])),
            "aws-us-gov" => Some(("global.health.us-gov.amazonaws.com.", ["us-gov-west-1", "us-gov-east-1"])),
            _ => None,
        };
        let fallbacks = known.map_or_else(|| vec![own_region], |(_, regions)| regions.map(str::to_owned).into());
        Self {
            global: known.map(|(name, _)| name),
            fallbacks,
            resolver: Box::new(resolver),
            active: RefCell::default(),
        }
    }

    /// The Regions to call and sign for, best first. There is always one.
    pub async fn regions(&self) -> Vec<String> {
        let mut regions = Vec::from_iter(self.active().await);
        regions.extend(self.fallbacks.iter().filter(|region| !regions.contains(region)).cloned().collect::<Vec<_>>());
        regions
    }

    /// Looks up again the next time, because the endpoint that was thought active does not answer.
    pub fn forget(&self) {
        self.active.replace(None);
    }

    async fn active(&self) -> Option<String> {
        let global = self.global?;
        if let Some((since, region)) = &*self.active.borrow()
            && since.elapsed() < TIME_TO_LIVE
        {
            return Some(region.clone());
        }
        let found = match timeout(LOOKUP_TIMEOUT, self.resolver.cname(global)).await {
            Ok(Ok(cname)) => region_of(&cname).ok_or_else(|| format!("{cname} is no endpoint of AWS Health")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no reply within {} s", LOOKUP_TIMEOUT.as_secs())),
        };
        match found {
            Ok(region) => {
                tracing::debug!(region, "found the active endpoint of AWS Health");
                self.active.replace(Some((Instant::now(), region.clone())));
                Some(region)
            }
            Err(error) => {
                let instead = self.fallbacks.first();
                tracing::warn!(name = global, error, instead, "cannot look up the active endpoint of AWS Health");
                None
            }
        }
    }
}

/// The Region of `health.<region>.<DNS suffix of its partition>`, with or without the dot at the end.
fn region_of(cname: &str) -> Option<String> {
    let cname = cname.strip_suffix('.').unwrap_or(cname).to_ascii_lowercase();
    let (region, suffix) = cname.strip_prefix("health.")?.split_once('.')?;
    let region = region.parse().ok().filter(|region: &Region| region.dns_suffix() == suffix)?;
    Some(region.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// Answers always the same; clones share the count.
    #[derive(Clone)]
    struct Fake {
        cname: Option<&'static str>,
        hangs: bool,
        lookups: Arc<AtomicUsize>,
    }

    impl Fake {
        fn new(cname: Option<&'static str>) -> Self {
            Self { cname, hangs: false, lookups: Arc::default() }
        }
    }

    impl Resolver for Fake {
        fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<String, BoxError>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            assert!(name.starts_with("global.health.") && name.ends_with('.'), "{name}");
            Box::pin(async {
                if self.hangs {
                    std::future::pending::<()>().await;
                }
                self.cname.map(str::to_owned).ok_or_else(|| "no such host".into())
            })
        }
    }

    async fn regions(own_region: &str, env: &[(&str, &str)], fake: &Fake) -> Vec<String> {
        let table: Vec<_> = env.iter().copied().chain([("AWS_REGION", own_region)]).collect();
        Endpoint::new(&Env::of_table(&table), fake.clone()).regions().await
    }

    #[tokio::test]
    async fn the_cname_names_the_region_and_the_fallbacks_follow() {
        for (cname, own_region, expected) in [
            (Some("health.us-east-1.amazonaws.com."), "eu-west-1", ["us-east-1", "us-east-2"]),
            (Some("health.us-east-2.amazonaws.com"), "eu-west-1", ["us-east-2", "us-east-1"]),
            (Some("HEALTH.US-EAST-2.AMAZONAWS.COM."), "eu-west-1", ["us-east-2", "us-east-1"]),
            (Some("health.cn-north-1.amazonaws.com.cn."), "cn-northwest-1", ["cn-north-1", "cn-northwest-1"]),
            (Some("health.us-gov-west-1.amazonaws.com."), "us-gov-east-1", ["us-gov-west-1", "us-gov-east-1"]),
            (None, "eu-west-1", ["us-east-1", "us-east-2"]),
            (None, "cn-north-1", ["cn-northwest-1", "cn-north-1"]),
            // Not an endpoint of AWS Health: never called, whoever made the record.
            (Some("health.us-east-1.amazonaws.com.example.org."), "eu-west-1", ["us-east-1", "us-east-2"]),
            (Some("health.s3-us-west-2.amazonaws.com."), "eu-west-1", ["us-east-1", "us-east-2"]),
            (Some("health.cn-north-1.amazonaws.com."), "eu-west-1", ["us-east-1", "us-east-2"]),
            (Some("d1.cloudfront.net."), "eu-west-1", ["us-east-1", "us-east-2"]),
        ] {
            assert_eq!(regions(own_region, &[], &Fake::new(cname)).await, expected, "{cname:?}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_of_the_environment_wins_and_nothing_is_looked_up() {
        let fake = Fake::new(Some("health.us-east-2.amazonaws.com."));
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_HEALTH"] {
            assert_eq!(regions("eu-west-1", &[(name, "http://127.0.0.1:4566")], &fake).await, ["eu-west-1"]);
        }
        assert_eq!(regions("eusc-de-east-1", &[], &fake).await, ["eusc-de-east-1"]);
        assert_eq!(fake.lookups.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_for_five_minutes() {
        let fake = Fake::new(Some("health.us-east-2.amazonaws.com."));
        let endpoint = Endpoint::new(&Env::of_table(&[("AWS_REGION", "eu-west-1")]), fake.clone());
        for (step, lookups) in [(0, 1), (299, 1), (1, 2), (10, 2)] {
            tokio::time::advance(Duration::from_secs(step)).await;
            assert_eq!(endpoint.regions().await[0], "us-east-2");
            assert_eq!(fake.lookups.load(Ordering::Relaxed), lookups);
        }
        endpoint.forget();
        endpoint.regions().await;
        assert_eq!(fake.lookups.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dns_server_that_does_not_answer_costs_two_seconds() {
        let started = Instant::now();
        let fake = Fake { hangs: true, ..Fake::new(None) };
        assert_eq!(regions("eu-west-1", &[], &fake).await, ["us-east-1", "us-east-2"]);
        assert_eq!(started.elapsed(), LOOKUP_TIMEOUT);
    }

    proptest! {
        #[test]
        fn any_name_is_read_without_a_panic(name in "(health\\.)?[a-z0-9.-]{0,40}\\.?") {
            let _ = region_of(&name);
        }
    }
}
