//! What the function is asked to share.

use ami_approval::image::{BuildArn, ImageRef};
use gatehouse_shared::field::{self, FieldError};
use gatehouse_shared::region::Region;
use serde::Deserialize;
use serde_json::Value;

/// The most images of one invocation: what an Automation execution can name.
const MAX_IMAGES: usize = 50;

/// What the function is asked to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The images, each once; none where the execution names them.
    pub images: Vec<ImageRef>,
    pub image_name: Option<String>,
    /// The build they come from.
    pub build: Option<BuildArn>,
    /// The execution that was approved.
    pub execution_id: Option<String>,
}

/// Why the input is not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It has another form.
    #[error(
        "expected {{\"executionId\": \"…\"}}, with {{\"images\": [\"<region>:<ami id>\", …]}} or {{\"ami_id\": \"ami-…\"}} for some of \
         its images"
    )]
    Form(#[from] serde_json::Error),
    /// A field does not have its form.
    #[error(transparent)]
    Field(#[from] FieldError),
}

#[derive(Deserialize)]
struct Wire {
    images: Option<Value>,
    ami_id: Option<String>,
    #[serde(alias = "imageName")]
    image_name: Option<String>,
    #[serde(alias = "buildArn")]
    build_arn: Option<String>,
    #[serde(alias = "executionId")]
    execution_id: Option<String>,
}

impl Input {
    /// Reads the input. `region` is that of this function, in which an image of the short form is.
    ///
    /// # Errors
    ///
    /// [`InputError`] names the field and what was expected.
    pub fn parse(event: Value, region: &Region) -> Result<Self, InputError> {
        let wire: Wire = serde_json::from_value(event)?;
        let execution_id = given(wire.execution_id);
        let images = match (wire.images, given(wire.ami_id)) {
            (Some(images), None) => images_of(images)?,
            (None, Some(ami_id)) => vec![ImageRef { region: region.clone(), ami_id: field::parse("ami_id", &ami_id)? }],
            (Some(_), Some(_)) => {
                return Err(FieldError::new("ami_id", "there beside images", "expected one of the two").into());
            }
            (None, None) if execution_id.is_some() => Vec::new(),
            (None, None) => {
                return Err(FieldError::new(
                    "executionId",
                    "missing",
                    "expected the id of the execution that approved",
                )
                .into());
            }
        };
        let build = given(wire.build_arn).map(|text| field::parse::<BuildArn>("build_arn", &text)).transpose()?;
        Ok(Self { images, image_name: given(wire.image_name), build, execution_id })
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// An array, or the JSON of one as text, which is how Automation may put a `StringList` into a payload.
fn images_of(images: Value) -> Result<Vec<ImageRef>, InputError> {
    let texts: Vec<String> = match &images {
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(text)?,
        Value::Array(_) => serde_json::from_value(images)?,
        _ => return Err(FieldError::new("images", "something else", "expected an array of <region>:<ami id>").into()),
    };
    let mut images = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let image = field::parse(&format!("images[{index}]"), text)?;
        if !images.contains(&image) {
            images.push(image);
        }
    }
    if images.is_empty() || images.len() > MAX_IMAGES {
        let seen = format!("an array of {} images", images.len());
        return Err(FieldError::new("images", seen, format_args!("expected 1 to {MAX_IMAGES}")).into());
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> Result<Input, String> {
        Input::parse(event, &"eu-west-1".parse().unwrap()).map_err(|error| error.to_string())
    }

    fn images(event: Value) -> Vec<String> {
        parse(event).unwrap().images.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(images(json!({ "ami_id": "ami-11111111" })), ["eu-west-1:ami-11111111"]);
        let two = json!(["eu-west-1:ami-11111111", "us-east-1:ami-22222222", "eu-west-1:ami-11111111"]);
        let expected = ["eu-west-1:ami-11111111", "us-east-1:ami-22222222"];
        assert_eq!(images(json!({ "images": two })), expected);
        assert_eq!(images(json!({ "images": two.to_string() })), expected);
    }

    #[test]
    fn the_rest_is_optional_in_both_spellings() {
        let build = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";
        for (name, arn, id) in [("imageName", "buildArn", "executionId"), ("image_name", "build_arn", "execution_id")] {
            let input = parse(json!({ "ami_id": "ami-11111111", name: "Web", arn: build, id: "e-1" })).unwrap();
            assert_eq!(input.image_name.as_deref(), Some("Web"));
            assert_eq!(input.build.unwrap().as_str(), build);
            assert_eq!(input.execution_id.as_deref(), Some("e-1"));
        }
        let input = parse(json!({ "ami_id": "ami-11111111", "imageName": "", "buildArn": " " })).unwrap();
        assert_eq!((input.image_name, input.build), (None, None));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        const FORM: &str = "expected {\"executionId\": \"…\"}, with {\"images\": [\"<region>:<ami id>\", …]} or \
                            {\"ami_id\": \"ami-…\"} for some of its images";
        for (event, expected) in [
            (json!({}), "the field executionId is missing: expected the id of the execution that approved"),
            (json!({ "images": [] }), "the field images is an array of 0 images: expected 1 to 50"),
            (
                json!({ "images": "ami-11111111" }),
                "the field images is something else: expected an array of <region>:<ami id>",
            ),
            (
                json!({ "images": ["eu-west-1:ami-11111111"], "ami_id": "ami-11111111" }),
                "the field ami_id is there beside images: expected one of the two",
            ),
            (
                json!({ "images": ["eu-west-1:ami-11111111", "x"] }),
                "the field images[1] is \"x\": expected <region>:<ami id>, such as eu-west-1:ami-0123456789abcdef0",
            ),
            (
                json!({ "ami_id": "i-1" }),
                "the field ami_id is \"i-1\": expected the id of an AMI, such as ami-0123456789abcdef0",
            ),
            (json!([]), FORM),
            (json!({ "images": [7] }), FORM),
        ] {
            assert_eq!(parse(event).unwrap_err(), expected);
        }
        let many: Vec<String> = (0..51).map(|number| format!("eu-west-1:ami-{number:08x}")).collect();
        assert!(parse(json!({ "images": many })).unwrap_err().contains("51 images"));
    }
}
