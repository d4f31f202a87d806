//! The clients of EC2 and of its load balancers, and the tags of what EC2 keeps.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use aws_sdk_elasticloadbalancingv2 as elb;
use tokio::time::Instant;
use tracing::{info, warn};

use super::caller::{CallError, Caller};
use crate::config::CustomTag;
use crate::tags;

/// The calls to EC2 and ELB of one run in one Region.
#[derive(Debug)]
pub(crate) struct Ec2 {
    /// EC2.
    pub(crate) client: aws_sdk_ec2::Client,
    /// Its load balancers.
    pub(crate) elb: elb::Client,
    /// `TAGS`: for what is created.
    pub(crate) tags: Vec<CustomTag>,
    caller: Caller,
}

impl Ec2 {
    /// Makes no call after `stop`.
    pub(crate) fn new(client: &aws_sdk_ec2::Client, elb: &elb::Client, tags: &[CustomTag], stop: Instant) -> Self {
        Self { client: client.clone(), elb: elb.clone(), tags: tags.to_vec(), caller: Caller::new(stop) }
    }

    /// As [`Caller::call`].
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn call<T, E: Into<CallError>>(
        &self,
        just_created: bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, CallError> {
        self.caller.call(just_created, call).await
    }

    /// As [`Caller::call_while`].
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn call_while<T, E: Into<CallError>>(
        &self,
        is_transient: impl Fn(&CallError) -> bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, CallError> {
        self.caller.call_while(is_transient, call).await
    }

    /// As [`Caller::pause`].
    pub(crate) async fn pause(&self, pause: Duration) {
        self.caller.pause(pause).await;
    }

    /// Tags groups or prefix lists.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn tag(&self, ids: Vec<String>, tags: Vec<Tag>) -> Result<(), CallError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.call(false, async || {
            self.client.create_tags().set_resources(Some(ids.clone())).set_tags(Some(tags.clone())).send().await
        })
        .await?;
        info!(?ids, ?tags, "tagged");
        Ok(())
    }

    /// Removes tags of runs and documents that are over. A failure does no harm: the next run that changes something tries
    /// again.
    pub(crate) async fn remove_tags(&self, ids: Vec<String>, keys: BTreeSet<String>) {
        if ids.is_empty() || keys.is_empty() {
            return;
        }
        let tags: Vec<Tag> = keys.iter().map(|key| Tag::builder().key(key).build()).collect();
        let removed = self
            .call(false, async || {
                self.client.delete_tags().set_resources(Some(ids.clone())).set_tags(Some(tags.clone())).send().await
            })
            .await;
        match removed {
            Ok(_) => info!(?ids, ?keys, "tags removed"),
            Err(error) => warn!(?ids, ?keys, error = error.to_string(), "tags stay"),
        }
    }

    /// Removes the tokens of documents.
    pub(crate) async fn remove_sync_tokens(&self, ids: Vec<String>, tokens: BTreeSet<u64>) {
        self.remove_tags(ids, tokens.into_iter().map(tags::sync_token_key).collect()).await;
    }
}
