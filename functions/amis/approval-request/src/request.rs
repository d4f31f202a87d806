//! The request for an approval: what the Automation execution is started with.

use ami_approval::image::{BuildArn, ImageRef};
use ami_approval::text::line;
use aws_lc_rs::digest::{SHA256, digest};

use crate::notice::{Ami, Notice};

/// Systems Manager takes at most 50 values a parameter.
pub const MOST_IMAGES: usize = 50;
/// Systems Manager takes at most 512 characters a value.
const LONGEST_VALUE: usize = 512;
/// Systems Manager takes at most 256 characters in the value of a tag.
const LONGEST_TAG: usize = 256;

/// The request for an approval. The same notice always gives the same request, so that Systems Manager knows a second
/// delivery by its client token.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// A UUID in lower case, derived from the ARN of the build.
    pub client_token: String,
    /// The parameter `images`: the AMIs of this account in all Regions.
    pub images: Vec<ImageRef>,
    /// The parameter `imageName`.
    pub image_name: String,
    /// The parameter `buildArn`.
    pub build: BuildArn,
    /// The parameter `summary`: one line about the build, for the message of the approve step.
    pub summary: String,
    /// Tags of the execution; rights to signal are bound to the first.
    pub tags: Vec<(&'static str, String)>,
    /// AMIs that Image Builder has put into other accounts already.
    pub elsewhere: Vec<Ami>,
}

impl Request {
    /// The request for these images of the build.
    #[must_use]
    pub fn new(notice: &Notice, images: Vec<ImageRef>, elsewhere: Vec<Ami>) -> Self {
        let build_number = notice.build.as_str().rsplit('/').take(2).collect::<Vec<_>>();
        let mut tags = vec![
            ("gatehouse:capability", "amis".to_owned()),
            ("gatehouse:image-name", tag_value(&notice.name)),
            ("gatehouse:build", build_number.into_iter().rev().collect::<Vec<_>>().join("/")),
        ];
        tags.extend(notice.pipeline_name().map(|name| ("gatehouse:pipeline", tag_value(name))));
        Self {
            client_token: client_token(&notice.build),
            images,
            image_name: line(&notice.name, LONGEST_VALUE),
            build: notice.build.clone(),
            summary: summary(notice),
            tags,
            elsewhere,
        }
    }
}

/// A UUID of version 8 (RFC 9562: made from whatever the application has), the same for each notice of a build.
fn client_token(build: &BuildArn) -> String {
    let hash = digest(&SHA256, format!("gatehouse/amis/client-token\n{build}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Recipe, pipeline, operating system and date, as far as the notice has them.
fn summary(notice: &Notice) -> String {
    let parts = [
        ("Recipe", notice.recipe.as_deref()),
        ("Pipeline", notice.pipeline_name()),
        ("Operating system", notice.os.as_deref()),
        ("Built", notice.date.as_deref()),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect();
    line(&parts.join(". "), LONGEST_VALUE)
}

/// A text as the value of a tag: letters, digits, spaces and `_.:/=+-@`; anything else becomes a hyphen.
///
/// Source: Systems Manager API Reference, `Tag`.
fn tag_value(text: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || " _.:/=+-@".contains(c) { c } else { '-' };
    text.chars().take(LONGEST_TAG).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(number: u32) -> BuildArn {
        format!("arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/{number}").parse().unwrap()
    }

    #[test]
    fn a_build_has_one_client_token_for_ever() {
        let token = client_token(&build(3));
        assert_eq!(token, "3d0fa3ef-0901-8ebe-a4e0-7b498e3c2f75");
        assert_eq!(token.len(), 36);
        assert_ne!(token, client_token(&build(4)));
        assert_eq!((&token[14..15], token.to_lowercase()), ("8", token.clone()));
    }

    #[test]
    fn a_tag_takes_what_systems_manager_takes() {
        assert_eq!(tag_value("My image (v2) <b>"), "My image -v2- -b-");
        assert_eq!(tag_value(&"ä".repeat(300)).chars().count(), 256);
    }

    #[test]
    fn the_summary_and_the_tags_say_where_the_image_comes_from() {
        let notice = Notice::parse(
            r#"{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "name": "Web {{x}}",
                "state": {"status": "AVAILABLE"}, "osVersion": "Amazon Linux 2023",
                "imageRecipe": {"name": "web", "version": "1.0.0"}, "dateCreated": "Jul 28, 2026 1:13:45 AM",
                "sourcePipelineArn": "arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly"}"#,
        )
        .unwrap();
        let request = Request::new(&notice, vec![], vec![]);
        assert_eq!(request.image_name, "Web { {x}}");
        assert_eq!(
            request.summary,
            "Recipe: web 1.0.0. Pipeline: web-weekly. Operating system: Amazon Linux 2023. Built: Jul 28, 2026 1:13:45 AM"
        );
        assert_eq!(
            request.tags,
            [
                ("gatehouse:capability", "amis".to_owned()),
                ("gatehouse:image-name", "Web - -x--".to_owned()),
                ("gatehouse:build", "1.0.0/3".to_owned()),
                ("gatehouse:pipeline", "web-weekly".to_owned()),
            ]
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
        let request = Request::new(&Notice::parse(&notice).unwrap(), vec![], vec![]);
        assert!(request.image_name.chars().count() <= 512 && request.summary.chars().count() <= 512);
        assert!(request.tags.iter().all(|(_, value)| value.chars().count() <= 256));
    }
}
