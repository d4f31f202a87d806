//! The request for an approval: what the Automation execution is started with.

use std::collections::HashMap;

use ami_approval::effects::Effects;
use ami_approval::execution::Execution;
use ami_approval::image::{BuildArn, ImageRef};
use ami_approval::target::{MAX_VALUE, Targets};
use ami_approval::text::{line, list};
use aws_lc_rs::digest::{SHA256, digest};

use crate::config::Config;
use crate::notice::{Ami, Notice};

/// Systems Manager takes at most 50 values a parameter.
pub const MAX_IMAGES: usize = 50;
/// Systems Manager takes at most 256 characters in the value of a tag.
const MAX_TAG_LENGTH: usize = 256;

/// The request for an approval. The same notice always gives the same request, whether SNS or EventBridge brought it, so
/// that Systems Manager knows a second delivery by its client token.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// A UUID in lower case, derived from the document and the ARN of the build.
    pub client_token: String,
    /// The parameter `images`: the AMIs of this account in all Regions, sorted.
    pub images: Vec<ImageRef>,
    /// The parameter `imageName`.
    pub image_name: String,
    /// The parameter `buildArn`.
    pub build: BuildArn,
    /// The parameter `summary`: one line about the build, for the message of the approve step. Empty where nothing is known.
    pub summary: String,
    /// The parameter `receivers`: who will receive the images.
    pub receivers: Targets,
    /// The parameter `effects`: what is done with the images besides.
    pub effects: Effects,
    /// Tags of the execution; rights to signal are bound to the first.
    pub tags: Vec<(String, String)>,
    /// AMIs that Image Builder has put into other accounts already.
    pub elsewhere: Vec<Ami>,
}

impl StartRequest {
    /// The request for these images of the build.
    #[must_use]
    pub fn new(notice: &Notice, mut images: Vec<ImageRef>, elsewhere: Vec<Ami>, config: &Config) -> Self {
        let build_number = notice.build.as_str().rsplit('/').take(2).collect::<Vec<_>>();
        let mut tags = vec![
            ("gatehouse:capability", "amis".to_owned()),
            ("gatehouse:image-name", tag_value(&notice.name)),
            ("gatehouse:build", build_number.into_iter().rev().collect::<Vec<_>>().join("/")),
        ];
        tags.extend(notice.pipeline_name().map(|name| ("gatehouse:pipeline", tag_value(name))));
        images.sort();
        Self {
            client_token: client_token(&config.automation_document, notice.build.as_str()),
            images,
            image_name: line(&notice.name, MAX_VALUE),
            build: notice.build.clone(),
            summary: summary(notice),
            receivers: config.targets.clone(),
            effects: config.effects.clone(),
            tags: tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            elsewhere,
        }
    }

    /// The request for the same images again, with the receivers and effects of today. It has one client token for each execution that
    /// it comes after.
    #[must_use]
    pub fn again(execution: &Execution, build: BuildArn, tags: Vec<(String, String)>, config: &Config) -> Self {
        Self {
            client_token: client_token(&config.automation_document, &execution.id),
            images: execution.images.clone(),
            image_name: execution.image_name.clone(),
            build,
            summary: execution.summary.clone().unwrap_or_default(),
            receivers: config.targets.clone(),
            effects: config.effects.clone(),
            tags,
            elsewhere: Vec::new(),
        }
    }

    /// The parameters of the execution. Systems Manager refuses an empty value: what is empty is left to the document's
    /// default.
    #[must_use]
    pub fn parameters(&self) -> HashMap<String, Vec<String>> {
        let images: Vec<String> = self.images.iter().map(ToString::to_string).collect();
        let receivers: Vec<String> =
            self.receivers.described().iter().map(|(what, id)| format!("{what} {id}")).collect();
        let effects: Vec<String> =
            self.effects.described().iter().map(|(what, effect)| format!("{what}: {effect}")).collect();
        let texts = [
            ("imagesText", list(images.iter().map(String::as_str), MAX_VALUE)),
            ("receiversText", list(receivers.iter().map(String::as_str), MAX_VALUE)),
            ("effectsText", list(effects.iter().map(String::as_str), MAX_VALUE)),
            ("imageName", self.image_name.clone()),
            ("buildArn", self.build.to_string()),
            ("summary", self.summary.clone()),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, vec![text]));
        let lists =
            [("images", images), ("receivers", self.receivers.to_values()), ("effects", self.effects.to_values())];
        lists.into_iter().chain(texts).map(|(name, values)| (name.to_owned(), values)).collect()
    }
}

/// A UUID of version 8 (RFC 9562: made from whatever the application has), the same for each notice of a build, and for
/// each time that a person asks again after the same execution. Each document has its own: two stacks ask each for itself.
fn client_token(document: &str, subject: &str) -> String {
    let hash = digest(&SHA256, format!("gatehouse/amis/client-token\n{document}\n{subject}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Recipe, pipeline and operating system, as far as the notice has them. SNS and EventBridge write the date in two forms.
fn summary(notice: &Notice) -> String {
    let parts = [
        ("Recipe", notice.recipe.as_deref()),
        ("Pipeline", notice.pipeline_name()),
        ("Operating system", notice.os.as_deref()),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect();
    line(&parts.join(". "), MAX_VALUE)
}

/// A text as the value of a tag: letters, digits, spaces and `_.:/=+-@`; anything else becomes a hyphen.
///
/// Source: Systems Manager API Reference, `Tag`.
fn tag_value(text: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || " _.:/=+-@".contains(c) { c } else { '-' };
    text.chars().take(MAX_TAG_LENGTH).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    fn config(document: &str) -> Config {
        let table = [
            ("APPROVER_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:Automation-approvers"),
            ("AUTOMATION_DOCUMENT", document),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
        ];
        let env = Env::of_table(&table);
        env.read(Config::from_env).unwrap()
    }

    fn request(notice: &str) -> StartRequest {
        StartRequest::new(&Notice::parse(notice).unwrap(), vec![], vec![], &config("ApproveAndShare"))
    }

    #[test]
    fn a_build_has_one_client_token_for_ever_in_each_document() {
        let token = |document, subject| client_token(document, subject);
        let first = token("ApproveAndShare", "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3");
        assert_eq!(first, "a34c586f-3aad-8db4-a35d-65055f5ea83d");
        assert_eq!(first.len(), 36);
        assert_ne!(first, token("ApproveAndShare", "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/4"));
        assert_ne!(first, token("Other", "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3"));
        assert_eq!((&first[14..15], first.to_lowercase()), ("8", first.clone()));
    }

    #[test]
    fn an_empty_parameter_is_left_out() {
        let least = r#"{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3",
            "state": {"status": "AVAILABLE"}}"#;
        let mut request = request(least);
        request.images = vec!["eu-west-1:ami-11111111".parse().unwrap()];
        let parameters = request.parameters();
        assert!(!parameters.contains_key("summary") && !parameters.contains_key("effectsText"));
        assert_eq!(parameters["effects"], ["snapshots=false"]);
        assert_eq!(parameters["receivers"], ["444455556666"]);
        assert_eq!(parameters["receiversText"], ["Account 444455556666"]);
        assert_eq!(parameters["imagesText"], parameters["images"]);
        assert!(parameters.values().flatten().all(|value| (1..=512).contains(&value.chars().count())));
    }

    #[test]
    fn a_tag_takes_what_systems_manager_takes() {
        assert_eq!(tag_value("My image (v2) <b>"), "My image -v2- -b-");
        assert_eq!(tag_value(&"ä".repeat(300)).chars().count(), 256);
    }

    #[test]
    fn the_summary_and_the_tags_say_where_the_image_comes_from() {
        let request = request(
            r#"{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "name": "Web {{x}}",
                "state": {"status": "AVAILABLE"}, "osVersion": "Amazon Linux 2023",
                "imageRecipe": {"name": "web", "version": "1.0.0"}, "dateCreated": "Jul 28, 2026 1:13:45 AM",
                "sourcePipelineArn": "arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly"}"#,
        );
        assert_eq!(request.image_name, "Web { {x}}");
        assert_eq!(request.summary, "Recipe: web 1.0.0. Pipeline: web-weekly. Operating system: Amazon Linux 2023");
        assert_eq!(
            request.tags,
            [
                ("gatehouse:capability", "amis"),
                ("gatehouse:image-name", "Web - -x--"),
                ("gatehouse:build", "1.0.0/3"),
                ("gatehouse:pipeline", "web-weekly"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(request.tags.len() <= 5, "Systems Manager takes five tags at the start of an execution");
    }

    #[test]
    fn no_value_is_longer_than_systems_manager_takes() {
        let long = "x".repeat(3_000);
        let notice = format!(
            r#"{{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "name": "{long}",
                "state": {{"status": "AVAILABLE"}}, "imageRecipe": {{"name": "{long}"}}, "osVersion": "{long}",
                "dateCreated": "{long}", "sourcePipelineArn": "a/{long}"}}"#
        );
        let request = request(&notice);
        assert!(request.image_name.chars().count() <= 512 && request.summary.chars().count() <= 512);
        assert!(request.tags.iter().all(|(_, value)| value.chars().count() <= 256));
    }
}
