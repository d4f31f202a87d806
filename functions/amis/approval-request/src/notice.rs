//! What Image Builder says of a build, and what follows from it.

use ami_approval::image::{BuildArn, ImageRef};
use ami_approval::target::AccountId;
use ami_approval::text::line;
use aws_sdk_imagebuilder::types::Image;
use gatehouse_shared::field::{self, FieldError};
use serde::Deserialize;

use crate::request::MAX_IMAGES;

/// A notice of Image Builder, reduced to what is used here.
///
/// Fields that come and go with the releases of Image Builder are optional: `type`, `accountId` and `sourcePipelineArn`
/// are missing in older notices. Fields that are not used are not read: `semver` is a number beyond 64 bits.
///
/// Source: Image Builder User Guide, "Set up SNS notifications".
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub build: BuildArn,
    /// The name of the image, on one line; that in the ARN where the notice has none.
    pub name: String,
    /// `AVAILABLE`, `FAILED`, `CANCELLED` and others.
    pub status: String,
    /// Why it failed, where it did.
    pub reason: Option<String>,
    /// The recipe, for an AMI or a container image.
    pub recipe: Option<String>,
    pub pipeline: Option<String>,
    /// The operating system.
    pub os: Option<String>,
    /// When the build began.
    pub date: Option<String>,
    /// Ids by which people find logs of the build.
    pub executions: Vec<(&'static str, String)>,
    /// The AMIs, in the order of the notice, each once.
    pub amis: Vec<Ami>,
}

/// An AMI of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ami {
    /// Region and id.
    pub image: ImageRef,
    /// Whose it is: that of the build, where the notice does not say.
    pub account: AccountId,
}

/// Why a message is no notice of Image Builder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// The message has another form.
    #[error("expected a notice of EC2 Image Builder; does the topic carry other messages?")]
    Form(#[from] serde_json::Error),
    /// A field does not have its form.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Notice {
    /// Reads the message of a notice.
    ///
    /// # Errors
    ///
    /// [`NoticeError`] names the field and what was expected.
    pub fn parse(message: &str) -> Result<Self, NoticeError> {
        Self::read(serde_json::from_str(message)?)
    }

    /// What Image Builder knows of a build: the same as its notice says.
    ///
    /// # Errors
    ///
    /// As [`Notice::parse`].
    pub fn of_image(build: &BuildArn, image: &Image) -> Result<Self, NoticeError> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let state = image.state();
        let ami = |ami: &aws_sdk_imagebuilder::types::Ami| WireAmi {
            region: text(ami.region()),
            image: text(ami.image()),
            account_id: text(ami.account_id()),
        };
        Self::read(Wire {
            arn: build.to_string(),
            name: text(image.name()),
            state: WireState {
                status: state.and_then(|state| state.status()).map_or("unknown", |status| status.as_str()).to_owned(),
                reason: text(state.and_then(|state| state.reason())),
            },
            platform: image.platform().map(|platform| platform.as_str().to_owned()),
            os_version: text(image.os_version()),
            image_recipe: image
                .image_recipe()
                .map(|recipe| WireRecipe { name: text(recipe.name()), version: text(recipe.version()) }),
            container_recipe: image
                .container_recipe()
                .map(|recipe| WireRecipe { name: text(recipe.name()), version: text(recipe.version()) }),
            source_pipeline_arn: text(image.source_pipeline_arn()),
            date_created: text(image.date_created()),
            output_resources: image
                .output_resources()
                .map(|resources| WireOutput { amis: Some(resources.amis().iter().map(ami).collect()) }),
            build_execution_id: None,
            test_execution_id: None,
            distribution_job_id: None,
        })
    }

    /// A build that is not available has no AMI that matters: entries that cannot be read are skipped then, as its reason
    /// must reach the approvers.
    fn read(wire: Wire) -> Result<Self, NoticeError> {
        let build: BuildArn = field::parse("arn", &wire.arn)?;
        let mut amis = Vec::new();
        let wire_amis = wire.output_resources.unwrap_or_default().amis.unwrap_or_default();
        for (index, ami) in wire_amis.into_iter().enumerate() {
            match ami.read(index, &build) {
                Ok(ami) if !amis.contains(&ami) => amis.push(ami),
                Err(error) if wire.state.status == AVAILABLE => return Err(error),
                _ => {}
            }
        }
        let executions = [
            ("Build execution", wire.build_execution_id),
            ("Test execution", wire.test_execution_id),
            ("Distribution job", wire.distribution_job_id),
        ];
        let one_line = |text: Option<String>| text.map(|text| line(&text, 256)).filter(|text| !text.is_empty());
        let recipe = wire.image_recipe.or(wire.container_recipe).map(|recipe| match (recipe.name, recipe.version) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            (name, version) => name.or(version).unwrap_or_default(),
        });
        Ok(Self {
            name: one_line(wire.name).unwrap_or_else(|| build.name().to_owned()),
            status: line(&wire.state.status, 64),
            reason: wire.state.reason.map(|reason| line(&reason, 2_000)).filter(|reason| !reason.is_empty()),
            recipe: one_line(recipe),
            pipeline: one_line(wire.source_pipeline_arn),
            os: one_line(wire.os_version.or(wire.platform)),
            date: one_line(wire.date_created),
            executions: executions.into_iter().filter_map(|(name, id)| Some((name, one_line(id)?))).collect(),
            build,
            amis,
        })
    }

    /// The name of the pipeline: the last part of its ARN.
    #[must_use]
    pub fn pipeline_name(&self) -> Option<&str> {
        self.pipeline.as_deref()?.rsplit('/').next()
    }
}

/// The status of a build that made its image.
const AVAILABLE: &str = "AVAILABLE";

/// What follows from a notice.
#[derive(Debug, Clone, PartialEq)]
pub enum NoticeDecision {
    /// The approval is requested.
    Request {
        /// The AMIs of this account.
        images: Vec<ImageRef>,
        /// Those of other accounts.
        elsewhere: Vec<Ami>,
    },
    /// The build ended without an image: the approvers get to know, and nothing is done.
    NotAvailable,
    /// The build made no AMI, such as that of a container image: the approvers get to know, and nothing is done.
    NoAmi,
    /// All AMIs are in other accounts already: the approvers get to know, and nothing is done.
    AllElsewhere,
    /// There are more AMIs than one execution takes: the approvers get to know which ones are over, and nothing is done.
    TooMany {
        /// Those beyond the limit.
        over: Vec<ImageRef>,
    },
}

/// Decides what follows. `account` is that of this function: AMIs of other accounts cannot be shared from here.
#[must_use]
pub fn decide(notice: &Notice, account: &AccountId) -> NoticeDecision {
    if notice.status != AVAILABLE {
        return NoticeDecision::NotAvailable;
    }
    if notice.amis.is_empty() {
        return NoticeDecision::NoAmi;
    }
    let (own, elsewhere): (Vec<&Ami>, Vec<&Ami>) = notice.amis.iter().partition(|ami| ami.account == *account);
    if own.is_empty() {
        return NoticeDecision::AllElsewhere;
    }
    let images: Vec<ImageRef> = own.into_iter().map(|ami| ami.image.clone()).collect();
    if images.len() > MAX_IMAGES {
        return NoticeDecision::TooMany { over: images[MAX_IMAGES..].to_vec() };
    }
    NoticeDecision::Request { images, elsewhere: elsewhere.into_iter().cloned().collect() }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    arn: String,
    name: Option<String>,
    state: WireState,
    platform: Option<String>,
    os_version: Option<String>,
    image_recipe: Option<WireRecipe>,
    container_recipe: Option<WireRecipe>,
    source_pipeline_arn: Option<String>,
    date_created: Option<String>,
    output_resources: Option<WireOutput>,
    build_execution_id: Option<String>,
    test_execution_id: Option<String>,
    distribution_job_id: Option<String>,
}

#[derive(Deserialize)]
struct WireState {
    status: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireRecipe {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireOutput {
    amis: Option<Vec<WireAmi>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAmi {
    region: Option<String>,
    image: Option<String>,
    account_id: Option<String>,
}

impl WireAmi {
    fn read(self, index: usize, build: &BuildArn) -> Result<Ami, NoticeError> {
        let (region, image) = (self.region.unwrap_or_default(), self.image.unwrap_or_default());
        let path = |name: &str| format!("outputResources.amis[{index}].{name}");
        let region = field::parse(&path("region"), &region)?;
        let ami_id = field::parse(&path("image"), &image)?;
        let account = match self.account_id {
            None => build.account().clone(),
            Some(text) => field::parse(&path("accountId"), &text)?,
        };
        Ok(Ami { image: ImageRef { region, ami_id }, account })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatehouse_testkit::real;
    use serde_json::{Value, json};

    use super::*;

    fn account(id: &str) -> AccountId {
        id.parse().unwrap()
    }

    fn request(notice: &Notice, id: &str) -> (Vec<ImageRef>, Vec<Ami>) {
        match decide(notice, &account(id)) {
            NoticeDecision::Request { images, elsewhere } => (images, elsewhere),
            other => panic!("{other:?}"),
        }
    }

    fn images(images: &[ImageRef]) -> Vec<String> {
        images.iter().map(ToString::to_string).collect()
    }

    /// A notice with as little as Image Builder ever sent.
    pub(crate) fn least() -> Value {
        json!({
            "arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3",
            "semver": 1_u8,
            "state": { "status": "AVAILABLE" },
            "outputResources": { "amis": [{ "region": "eu-west-1", "image": "ami-0123456789abcdef0" }] },
        })
    }

    fn parsed(notice: &Value) -> Notice {
        Notice::parse(&notice.to_string()).unwrap()
    }

    #[test]
    fn the_documented_notice_of_an_available_image_is_understood() {
        let Some(file) = real("imagebuilder/available.json") else { return };
        let notice = Notice::parse(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(notice.name, "example-linux-image");
        assert_eq!(notice.recipe.as_deref(), Some("amjule-barebones-linux 1.0.0"));
        assert_eq!(notice.pipeline_name(), Some("example-linux-pipeline"));
        assert_eq!(notice.os.as_deref(), Some("Amazon Linux 2"));
        assert_eq!(notice.date.as_deref(), Some("Jul 28, 2022 1:13:45 AM"));
        let (own, elsewhere) = request(&notice, "123456789012");
        assert_eq!(images(&own), ["us-west-1:ami-01a23bc4def5a6789"]);
        assert_eq!(elsewhere, []);
    }

    #[test]
    fn the_documented_notice_of_a_failed_build_is_understood() {
        let Some(file) = real("imagebuilder/failed.json") else { return };
        let notice = Notice::parse(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((notice.status.as_str(), notice.reason.as_deref()), ("FAILED", Some("Image Failure reason.")));
        assert_eq!(decide(&notice, &account("123456789012")), NoticeDecision::NotAvailable);
    }

    #[test]
    fn amis_of_other_accounts_are_not_shared_from_here() {
        let Some(file) = real("lambda-events/sns-imagebuilder-available-accounts.json") else { return };
        let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let notice = Notice::parse(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap();
        let (own, elsewhere) = request(&notice, "123456789012");
        assert_eq!(images(&own), ["us-east-1:ami-0260900d063de06d6"]);
        assert_eq!(elsewhere.len(), 4);
        assert_eq!(decide(&notice, &account("999999999999")), NoticeDecision::AllElsewhere);
    }

    #[test]
    fn a_notice_of_2022_is_understood() {
        let Some(file) = real("lambda-events/sns-imagebuilder-available-linux.json") else { return };
        let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let notice = Notice::parse(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap();
        assert_eq!(images(&request(&notice, "123456789012").0), ["ap-southeast-2:ami-066e5a16212730635"]);
    }

    #[test]
    fn what_old_notices_lack_is_not_needed() {
        let notice = parsed(&least());
        assert_eq!(notice.name, "web");
        assert_eq!((notice.recipe.as_deref(), notice.pipeline_name(), notice.os.as_deref()), (None, None, None));
        assert_eq!(images(&request(&notice, "111122223333").0), ["eu-west-1:ami-0123456789abcdef0"]);
    }

    #[test]
    fn numbers_beyond_64_bits_and_nulls_are_no_obstacle() {
        let text = least().to_string().replace("\"semver\":1", "\"semver\":1237940046202909303613947905123456789");
        assert!(Notice::parse(&text).is_ok(), "{text}");
        let mut notice = least();
        for name in ["name", "imageRecipe", "sourcePipelineArn", "accountId", "type", "dateCreated"] {
            notice[name] = Value::Null;
        }
        notice["outputResources"]["amis"][0]["accountId"] = Value::Null;
        assert_eq!(parsed(&notice), parsed(&least()));
    }

    #[test]
    fn every_state_but_available_is_reported() {
        for status in ["FAILED", "CANCELLED", "DEPRECATED", "available", "NEW ONE"] {
            let mut notice = least();
            notice["state"] = json!({ "status": status });
            assert_eq!(decide(&parsed(&notice), &account("111122223333")), NoticeDecision::NotAvailable, "{status}");
        }
    }

    #[test]
    fn a_container_image_has_no_ami() {
        for resources in [json!(null), json!({}), json!({ "amis": [] }), json!({ "amis": null, "containers": [{}] })] {
            let mut notice = least();
            notice["outputResources"] = resources;
            assert_eq!(decide(&parsed(&notice), &account("111122223333")), NoticeDecision::NoAmi);
        }
    }

    #[test]
    fn fifty_images_are_requested_and_the_rest_is_named() {
        let with = |count: usize| {
            let mut notice = least();
            notice["outputResources"]["amis"] = (0..count)
                .map(|number| json!({ "region": "eu-west-1", "image": format!("ami-{number:08x}") }))
                .collect::<Vec<_>>()
                .into();
            decide(&parsed(&notice), &account("111122223333"))
        };
        assert!(matches!(with(50), NoticeDecision::Request { .. }));
        let NoticeDecision::TooMany { over } = with(52) else { panic!() };
        assert_eq!(images(&over), ["eu-west-1:ami-00000032", "eu-west-1:ami-00000033"]);
    }

    #[test]
    fn an_ami_named_twice_counts_once() {
        let mut notice = least();
        let ami = notice["outputResources"]["amis"][0].clone();
        notice["outputResources"]["amis"] = json!([ami, ami]);
        assert_eq!(parsed(&notice).amis.len(), 1);
    }

    #[test]
    fn a_wrong_field_is_named() {
        const AMI: &str = "expected the id of an AMI, such as ami-0123456789abcdef0";
        let cases = [
            (
                "/arn",
                json!("arn:aws:s3:::x"),
                "the field arn is \"arn:aws:s3:::x\": expected arn:<partition>:imagebuilder:<region>:<12 digits>:image/<name>/\
                 <version>/<build number>"
                    .to_owned(),
            ),
            (
                "/outputResources/amis/0/image",
                json!("i-12345678"),
                format!("the field outputResources.amis[0].image is \"i-12345678\": {AMI}"),
            ),
            (
                "/outputResources/amis/0/image",
                json!(null),
                format!("the field outputResources.amis[0].image is \"\": {AMI}"),
            ),
            (
                "/outputResources/amis/0/region",
                json!("moon"),
                "the field outputResources.amis[0].region is \"moon\": expected the name of a Region such as eu-west-1"
                    .to_owned(),
            ),
            (
                "/outputResources/amis/0/accountId",
                json!("me"),
                "the field outputResources.amis[0].accountId is \"me\": expected the 12 digits of an account id".to_owned(),
            ),
            (
                "/state",
                json!({}),
                "expected a notice of EC2 Image Builder; does the topic carry other messages?".to_owned(),
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut notice = least();
            notice["outputResources"]["amis"][0]["accountId"] = "111122223333".into();
            *notice.pointer_mut(pointer).unwrap() = value;
            assert_eq!(Notice::parse(&notice.to_string()).unwrap_err().to_string(), expected);
        }
        for text in ["", "hello", "[]", "{}", "{\"default\":\"x\"}"] {
            assert!(matches!(Notice::parse(text), Err(NoticeError::Form(_))), "{text}");
        }
    }

    #[test]
    fn a_failed_build_says_why_whatever_its_amis_look_like() {
        for amis in [
            json!([{ "region": "eu-west-1", "image": null }]),
            json!([{ "region": null, "image": "ami-0123456789abcdef0" }]),
            json!([{}]),
            json!([{ "region": "eu-west-1", "image": "ami-0123456789abcdef0", "accountId": "me" }]),
            json!(null),
        ] {
            for status in ["FAILED", "CANCELLED", "DEPRECATED", "TESTING"] {
                let mut notice = least();
                notice["state"] = json!({ "status": status, "reason": "no disk" });
                notice["outputResources"]["amis"] = amis.clone();
                let notice = parsed(&notice);
                assert_eq!((notice.reason.as_deref(), notice.status.as_str()), (Some("no disk"), status));
                assert_eq!(decide(&notice, &account("111122223333")), NoticeDecision::NotAvailable);
            }
        }
    }

    #[test]
    fn what_image_builder_answers_is_what_its_notice_says() {
        use aws_sdk_imagebuilder::types::{
            Ami, Image, ImageRecipe, ImageState, ImageStatus, OutputResources, Platform,
        };
        let image = Image::builder()
            .name("Web")
            .platform(Platform::Linux)
            .os_version("Amazon Linux 2023")
            .state(ImageState::builder().status(ImageStatus::Available).build())
            .image_recipe(ImageRecipe::builder().name("web").version("1.0.0").build())
            .source_pipeline_arn("arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly")
            .output_resources(
                OutputResources::builder()
                    .amis(
                        Ami::builder()
                            .region("eu-west-1")
                            .image("ami-0123456789abcdef0")
                            .account_id("111122223333")
                            .build(),
                    )
                    .build(),
            )
            .build();
        let mut same = least();
        same["name"] = "Web".into();
        same["platform"] = "Linux".into();
        same["osVersion"] = "Amazon Linux 2023".into();
        same["imageRecipe"] = json!({ "name": "web", "version": "1.0.0" });
        same["sourcePipelineArn"] = "arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly".into();
        let same = parsed(&same);
        assert_eq!(Notice::of_image(&same.build, &image).unwrap(), same);
    }

    #[test]
    fn names_come_out_on_one_line() {
        let mut notice = least();
        notice["name"] = "web\r\nBcc: all\u{202e}".into();
        notice["state"]["reason"] = "one\ntwo".into();
        let notice = parsed(&notice);
        assert_eq!((notice.name.as_str(), notice.reason.as_deref()), ("web  Bcc: all", Some("one two")));
    }
}
