//! The ids of the groups, prefix lists or IP sets as parameters of SSM Parameter Store, for templates that refer to them.
//!
//! A parameter is a `StringList` with the name `<prefix>/<service>/<port or family>`. Where a Region has several VPCs, the
//! id of the VPC stands before the service, since no interface takes groups of two. Its value is what an interface or rule
//! needs: no group that is empty; of an IP set the ARN, by which rules of AWS WAF refer to it. It is written only where
//! it changes, and never deleted: a template may refer to it.
//!
//! A standard parameter takes 4,096 characters. No value comes near: the most ids are those of 100 prefix lists, 20
//! characters each.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{Parameter, ParameterType, Tag};
use tokio::time::Instant;
use tracing::info;

use crate::aws::caller::{CallError, Caller};
use crate::config::{Config, CustomTag, ParameterPrefix, Target};
use crate::failure::{Failure, FailureKind};
use crate::report::{ParameterReport, ParametersReport, ResourceReport};
use crate::run::Run;

/// The calls to SSM of one run in one Region.
#[derive(Debug)]
pub struct Ssm {
    client: aws_sdk_ssm::Client,
    /// `TAGS`: for what is created.
    tags: Vec<CustomTag>,
    caller: Caller,
}

/// The names of all parameters that the settings ask for, whether or not there is something to write to them now. Pure.
#[must_use]
pub fn names(prefix: &ParameterPrefix, vpc_ids: &[String], config: &Config) -> BTreeSet<String> {
    let lasts: Vec<String> = match config.target {
        Target::SecurityGroups => config.ports.iter().map(ToString::to_string).collect(),
        Target::PrefixLists | Target::WafIpSets => config.families.iter().map(ToString::to_string).collect(),
    };
    let vpc_ids: Vec<Option<&str>> =
        if vpc_ids.is_empty() { vec![None] } else { vpc_ids.iter().map(|id| Some(id.as_str())).collect() };
    let several = vpc_ids.len() > 1;
    let mut names = BTreeSet::new();
    for vpc_id in vpc_ids {
        for service in &config.services {
            names.extend(lasts.iter().map(|last| name(prefix, vpc_id.filter(|_| several), &service.name, last)));
        }
    }
    names
}

fn name(prefix: &ParameterPrefix, vpc_id: Option<&str>, service: &str, last: &str) -> String {
    let vpc_id = vpc_id.map(|vpc_id| format!("/{vpc_id}")).unwrap_or_default();
    format!("{}{vpc_id}/{service}/{last}", prefix.as_str())
}

/// What each parameter is to hold, in the order of the groups' numbers. Pure.
#[must_use]
pub fn values(prefix: &ParameterPrefix, vpc_ids: &[String], groups: &[ResourceReport]) -> BTreeMap<String, String> {
    let mut ids: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.is_in_use) {
        let vpc_id = group.vpc_id.as_deref().filter(|_| vpc_ids.len() > 1);
        let Some(last) = group.port.as_deref().or(group.family.as_deref()) else { continue };
        ids.entry(name(prefix, vpc_id, &group.service, last)).or_default().push(&group.resource_id);
    }
    ids.into_iter().map(|(name, ids)| (name, ids.join(","))).collect()
}

impl Ssm {
    /// Makes no call after `stop`.
    #[must_use]
    pub fn new(client: &aws_sdk_ssm::Client, tags: &[CustomTag], stop: Instant) -> Self {
        Self { client: client.clone(), tags: tags.to_vec(), caller: Caller::new(stop) }
    }

    /// Writes the parameters whose value is not right, and reports those that nothing keeps. `names` are all that the
    /// settings ask for, `values` those of which something is to be written.
    pub async fn publish(
        &self,
        prefix: &ParameterPrefix,
        names: &BTreeSet<String>,
        values: BTreeMap<String, String>,
        run: Run,
    ) -> ParametersReport {
        let mut report = ParametersReport::default();
        let present = match self.below(prefix).await {
            Ok(present) => present,
            Err(error) => {
                report.failures.push(Failure::of(format!("reading the parameters below {}", prefix.as_str()), &error));
                return report;
            }
        };
        // One after the other: SSM takes few calls of PutParameter in a second.
        for (name, value) in values {
            let now = present.iter().find(|parameter| parameter.name() == Some(&name));
            if now.is_some_and(|now| now.value() == Some(&value) && is_list(now)) {
                continue;
            }
            match self.write(&name, &value, now, run.dry_run).await {
                Ok(()) => report.parameters.push(ParameterReport { name, value, created: now.is_none() }),
                Err(failure) => report.failures.push(failure),
            }
        }
        let stale = present.iter().filter_map(Parameter::name).filter(|name| !names.contains(*name));
        report.notes.extend(stale.map(|name| {
            format!("the parameter {name} is below PARAMETER_PREFIX, and nothing updates it: what refers to it gets its old value. Delete it when nothing refers to it")
        }));
        report
    }

    async fn below(&self, prefix: &ParameterPrefix) -> Result<Vec<Parameter>, CallError> {
        self.caller
            .call(false, async || {
                let call = self.client.get_parameters_by_path().path(prefix.as_str()).recursive(true);
                // SSM gives at most 10 a page, and may give an empty page before the last one.
                let mut pages = call.into_paginator().page_size(10).send();
                let mut found = Vec::new();
                while let Some(page) = pages.try_next().await? {
                    found.extend(page.parameters.unwrap_or_default());
                }
                let is_whole = found.iter().all(|parameter| parameter.name().is_some());
                if is_whole { Ok(found) } else { Err(CallError::Incomplete("Name")) }
            })
            .await
    }

    async fn write(&self, name: &str, value: &str, now: Option<&Parameter>, dry_run: bool) -> Result<(), Failure> {
        let what = format!("writing the parameter {name}");
        if let Some(other) = now.filter(|now| !is_list(now)) {
            let kind = other.r#type().map_or("of another type", ParameterType::as_str);
            let reason = format!(
                "it is {kind}, expected StringList: delete it, or choose another PARAMETER_PREFIX; it was left as it is"
            );
            return Err(Failure { kind: FailureKind::Partial, what, reason });
        }
        if dry_run {
            return Ok(());
        }
        // It is overwritten even where it was not there: the reply of the first attempt may be lost. Only what is not
        // overwritten can be tagged.
        let is_tagged = now.is_none() && !self.tags.is_empty();
        let written = match self.put(name, value, is_tagged).await {
            Err(error) if is_tagged && error.code() == Some("ParameterAlreadyExists") => {
                self.put(name, value, false).await
            }
            written => written,
        };
        written.map_err(|error| Failure::of(what, &error))?;
        info!(name, value, "parameter written");
        Ok(())
    }

    /// One call: creates the parameter with tags, or overwrites it.
    ///
    /// Source: SSM API reference, PutParameter, Tags: "To add tags to an existing Systems Manager parameter, use the
    /// AddTagsToResource operation".
    async fn put(&self, name: &str, value: &str, is_tagged: bool) -> Result<(), CallError> {
        let tag = |tag: &CustomTag| Tag::builder().key(&tag.key).value(&tag.value).build();
        let tags = self.tags.iter().map(tag).collect::<Result<Vec<Tag>, _>>();
        let tags = tags.map_err(|error| CallError::Unanswered(error.to_string()))?;
        let call = self.caller.call(false, async || {
            let call = self.client.put_parameter().name(name).value(value).r#type(ParameterType::StringList);
            let call = call.description("Ids kept by Gatehouse").overwrite(!is_tagged);
            call.set_tags(is_tagged.then(|| tags.clone())).send().await
        });
        call.await.map(drop)
    }
}

fn is_list(parameter: &Parameter) -> bool {
    parameter.r#type() == Some(&ParameterType::StringList)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_that_ssm_takes() {
        let twelve = "/a".repeat(12);
        for text in ["/gatehouse", "/gatehouse/ip-ranges", "/a.b_c-D/9", &twelve] {
            assert_eq!(text.parse::<ParameterPrefix>().unwrap().as_str(), text);
        }
        let (thirteen, long) = ("/a".repeat(13), format!("/{}", "a".repeat(500)));
        for text in [
            "gatehouse",
            "/",
            "/gatehouse/",
            "//a",
            "/a//b",
            "/aws/gatehouse",
            "/AWS",
            "/awsome",
            "/ssm",
            "/SSM/x",
            "/a b",
            "/ä",
            &thirteen,
            &long,
        ] {
            assert!(text.parse::<ParameterPrefix>().is_err(), "{text}");
        }
    }
}
