//! An image in a Region.

use std::fmt;
use std::str::FromStr;

use gatehouse_shared::arn::Arn;
use gatehouse_shared::region::Region;

use crate::target::AccountId;

/// A Region and the id of an AMI there: `eu-west-1:ami-0123456789abcdef0`.
///
/// ```
/// use ami_approval::image::ImageRef;
///
/// let image: ImageRef = "eu-west-1:ami-0123456789abcdef0".parse().unwrap();
/// assert_eq!((image.region.as_str(), image.ami_id.as_str()), ("eu-west-1", "ami-0123456789abcdef0"));
/// assert_eq!(image.to_string(), "eu-west-1:ami-0123456789abcdef0");
/// assert!("ami-0123456789abcdef0".parse::<ImageRef>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// Where the image is.
    pub region: Region,
    pub ami_id: AmiId,
}

/// The text is not an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected <region>:<ami id>, such as eu-west-1:ami-0123456789abcdef0")]
pub struct ImageRefError;

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let (region, ami_id) = text.split_once(':').ok_or(ImageRefError)?;
        Ok(Self {
            region: region.parse().map_err(|_| ImageRefError)?,
            ami_id: ami_id.parse().map_err(|_| ImageRefError)?,
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.region, self.ami_id)
    }
}

/// The id of an AMI.
///
/// ```
/// use ami_approval::image::AmiId;
///
/// assert!("ami-0123456789abcdef0".parse::<AmiId>().is_ok());
/// assert!("ami-12345678".parse::<AmiId>().is_ok());
/// assert_eq!("i-12345678".parse::<AmiId>().unwrap_err().to_string(), "expected the id of an AMI, such as ami-0123456789abcdef0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmiId(String);

/// The text is not the id of an AMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of an AMI, such as ami-0123456789abcdef0")]
pub struct AmiIdError;

impl AmiId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AmiId {
    type Err = AmiIdError;

    /// `ami-` and 8 or 17 hexadecimal digits in lower case.
    ///
    /// Source: EC2 User Guide, "Resource IDs": ids have 17 digits since 2016, older ones 8.
    fn from_str(text: &str) -> Result<Self, AmiIdError> {
        let digits = text.strip_prefix("ami-").ok_or(AmiIdError)?;
        let is_hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hexadecimal && matches!(digits.len(), 8 | 17) { Ok(Self(text.to_owned())) } else { Err(AmiIdError) }
    }
}

impl fmt::Display for AmiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of one build of an image in EC2 Image Builder.
///
/// ```
/// use ami_approval::image::BuildArn;
///
/// let arn: BuildArn = "arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0.0/3".parse().unwrap();
/// assert_eq!((arn.region().as_str(), arn.account().as_str(), arn.name()), ("us-west-1", "111122223333", "web"));
/// assert!("arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0.0".parse::<BuildArn>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArn {
    text: String,
    region: Region,
    account: AccountId,
    name: String,
}

/// The text is not the ARN of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected arn:<partition>:imagebuilder:<region>:<12 digits>:image/<name>/<version>/<build number>")]
pub struct BuildArnError;

impl BuildArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it was built.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The name of the image as Image Builder spells it in ARNs: lower case, digits, hyphens, underscores. It is the same
    /// for each version and build.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for BuildArn {
    type Err = BuildArnError;

    /// Source: Image Builder API Reference, `GetImage`.
    fn from_str(text: &str) -> Result<Self, BuildArnError> {
        let arn = Arn::parse(text).filter(|arn| arn.service == "imagebuilder").ok_or(BuildArnError)?;
        let Arn { partition, region, account, resource, .. } = arn;
        let region: Region = region.parse().map_err(|_| BuildArnError)?;
        let account = account.parse().map_err(|_| BuildArnError)?;
        let parts: Vec<&str> = resource.split('/').collect();
        let ["image", name, version, build] = parts[..] else { return Err(BuildArnError) };
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = version.split('.').count() == 3 && version.split('.').all(is_number);
        if partition == region.partition() && is_name && is_version && is_number(build) && text.len() <= 512 {
            Ok(Self { text: text.to_owned(), region, account, name: name.to_owned() })
        } else {
            Err(BuildArnError)
        }
    }
}

impl fmt::Display for BuildArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_no_images() {
        for text in [
            "",
            ":",
            "eu-west-1:",
            ":ami-12345678",
            "eu-west-1",
            "eu-west-1:ami-1234567",
            "eu-west-1:ami-123456789",
            "eu-west-1:ami-0123456789abcdef",
            "eu-west-1:ami-0123456789abcdef01",
            "eu-west-1:ami-0123456789ABCDEF0",
            "eu-west-1:ami-0123456789abcdeg0",
            "eu-west-1:ami-12345678 ",
            "eu-west-1:ami-12345678:x",
            "europe:ami-12345678",
            "eu-west-1: ami-12345678",
        ] {
            assert_eq!(text.parse::<ImageRef>(), Err(ImageRefError), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_no_builds() {
        for text in [
            "",
            "arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0.0",
            "arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0.0/x",
            "arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0/3",
            "arn:aws:imagebuilder:us-west-1:111122223333:image/web/1.0.0/3/4",
            "arn:aws:imagebuilder:us-west-1:111122223333:image/We b/1.0.0/3",
            "arn:aws:imagebuilder:us-west-1:111122223333:image-recipe/web/1.0.0/3",
            "arn:aws:imagebuilder:us-west-1:1111:image/web/1.0.0/3",
            "arn:aws-cn:imagebuilder:us-west-1:111122223333:image/web/1.0.0/3",
            "arn:aws:ec2:us-west-1:111122223333:image/web/1.0.0/3",
            "arn:aws:imagebuilder:west:111122223333:image/web/1.0.0/3",
        ] {
            assert_eq!(text.parse::<BuildArn>(), Err(BuildArnError), "{text:?}");
        }
    }
}
