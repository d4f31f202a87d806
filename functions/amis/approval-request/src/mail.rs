//! What the approvers read.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::macros::format_description;

use ami_approval::image::ImageRef;

use crate::notice::{Ami, Notice};
use crate::request::{MOST_IMAGES, Request};

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The build ended without an image.
#[must_use]
pub fn not_available(notice: &Notice) -> Mail {
    let reason = notice.reason.as_deref().unwrap_or("none given");
    let text = format!(
        "EC2 Image Builder reports the status {} for the image {}. There is nothing to approve.\n\n\
         Reason: {reason}\n\n{}",
        notice.status,
        notice.name,
        details(notice)
    );
    Mail { subject: format!("Gatehouse amis: {} {}", notice.name, notice.status), text }
}

/// The build made no AMI.
#[must_use]
pub fn no_ami(notice: &Notice) -> Mail {
    let text = format!(
        "EC2 Image Builder built the image {}, which has no AMI. It may be a container image. There is nothing to approve \
         or to share.\n\n{}",
        notice.name,
        details(notice)
    );
    Mail { subject: format!("Gatehouse amis: {} has no AMI", notice.name), text }
}

/// All AMIs are in other accounts already.
#[must_use]
pub fn all_elsewhere(notice: &Notice) -> Mail {
    let text = format!(
        "EC2 Image Builder built the image {} and put all its AMIs into other accounts. This account has none of them, so \
         there is nothing to approve or to share.\n\n{}{}",
        notice.name,
        elsewhere(&notice.amis),
        details(notice)
    );
    Mail { subject: format!("Gatehouse amis: {} is already distributed", notice.name), text }
}

/// There are more AMIs than one execution takes.
#[must_use]
pub fn too_many(notice: &Notice, over: &[ImageRef]) -> Mail {
    let mut text = format!(
        "EC2 Image Builder built the image {} with {} AMIs in this account. Systems Manager takes at most {MOST_IMAGES} \
         images for one approval, so none was requested and nothing is shared.\n\n\
         Distribute the image to fewer Regions, or share it by hand. These AMIs are over the limit:\n",
        notice.name,
        over.len() + MOST_IMAGES
    );
    for image in over {
        let _ = writeln!(text, "  {}  {}", image.region, image.ami_id);
    }
    let _ = write!(text, "\n{}", details(notice));
    Mail { subject: format!("Gatehouse amis: {} has too many AMIs to approve", notice.name), text }
}

/// The approval waits, and here is the link.
#[must_use]
pub fn approve(notice: &Notice, request: &Request, execution_id: &str, link: &str, expires_at: OffsetDateTime) -> Mail {
    let mut text = format!(
        "The image {} is ready and waits for your approval. It is shared when it is approved, and not before.\n\n\
         These AMIs will be shared:\n",
        request.image_name
    );
    for image in &request.images {
        let _ = writeln!(text, "  {}  {}", image.region, image.ami_id);
    }
    let _ = write!(
        text,
        "\n{}{}\n\
         Look at the image, then approve or reject it on this page:\n\n\
         {link}\n\n\
         The link can be used until {}. Opening it changes nothing. Whoever has it can decide: do not pass it on.\n\n\
         With access to this account, you can decide in the console of Systems Manager (Automation) instead. Automation \
         execution: {execution_id}\n",
        elsewhere(&request.elsewhere),
        details(notice),
        minute(expires_at),
    );
    Mail { subject: format!("Gatehouse amis: approve {}", request.image_name), text }
}

/// What people look for in the consoles of Image Builder.
fn details(notice: &Notice) -> String {
    let mut text = String::new();
    let parts = [
        ("Recipe", notice.recipe.as_deref()),
        ("Pipeline", notice.pipeline.as_deref()),
        ("Operating system", notice.os.as_deref()),
        ("Built", notice.date.as_deref()),
        ("Build", Some(notice.build.as_str())),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    for (name, id) in &notice.executions {
        let _ = writeln!(text, "{name}: {id}");
    }
    text
}

fn elsewhere(amis: &[Ami]) -> String {
    if amis.is_empty() {
        return String::new();
    }
    let mut text = "Image Builder has put these AMIs into other accounts already:\n".to_owned();
    for Ami { image, account } in amis {
        let _ = writeln!(text, "  {}  {}  account {account}", image.region, image.ami_id);
    }
    text.push('\n');
    text
}

/// A time to the minute, in UTC.
fn minute(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC")).unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::notice::{Decision, decide};

    fn notice(status: &str, amis: &str) -> Notice {
        Notice::parse(&format!(
            r#"{{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "name": "Web",
                "state": {{"status": "{status}", "reason": "The component update failed."}},
                "imageRecipe": {{"name": "web", "version": "1.0.0"}}, "dateCreated": "Jul 28, 2026 1:13:45 AM",
                "sourcePipelineArn": "arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly",
                "buildExecutionId": "ab0cd12e-34fa-5678-b901-2c3456d789e0", "outputResources": {{"amis": [{amis}]}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn the_mail_with_the_link() {
        let notice = notice(
            "AVAILABLE",
            r#"{"region": "eu-west-1", "image": "ami-11111111", "accountId": "111122223333"},
               {"region": "us-east-1", "image": "ami-22222222", "accountId": "111122223333"},
               {"region": "eu-west-1", "image": "ami-33333333", "accountId": "444455556666"}"#,
        );
        let Decision::Request(request) = decide(&notice, &"111122223333".parse().unwrap()) else { panic!() };
        let link = "https://example.com/approval?token=v1.x";
        let mail = approve(&notice, &request, "333ba70b-2333", link, datetime!(2026-11-28 12:34:56 UTC));
        assert_eq!(mail.subject, "Gatehouse amis: approve Web");
        assert_eq!(
            mail.text,
            "The image Web is ready and waits for your approval. It is shared when it is approved, and not before.\n\
             \n\
             These AMIs will be shared:\n\
             \x20 eu-west-1  ami-11111111\n\
             \x20 us-east-1  ami-22222222\n\
             \n\
             Image Builder has put these AMIs into other accounts already:\n\
             \x20 eu-west-1  ami-33333333  account 444455556666\n\
             \n\
             Recipe: web 1.0.0\n\
             Pipeline: arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly\n\
             Built: Jul 28, 2026 1:13:45 AM\n\
             Build: arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3\n\
             Build execution: ab0cd12e-34fa-5678-b901-2c3456d789e0\n\
             \n\
             Look at the image, then approve or reject it on this page:\n\
             \n\
             https://example.com/approval?token=v1.x\n\
             \n\
             The link can be used until 2026-11-28 12:34 UTC. Opening it changes nothing. Whoever has it can decide: do \
             not pass it on.\n\
             \n\
             With access to this account, you can decide in the console of Systems Manager (Automation) instead. \
             Automation execution: 333ba70b-2333\n"
        );
    }

    #[test]
    fn a_failed_build_is_explained() {
        let mail = not_available(&notice("FAILED", ""));
        assert_eq!(mail.subject, "Gatehouse amis: Web FAILED");
        for part in
            ["status FAILED", "Reason: The component update failed.", "web-weekly", "ab0cd12e", "image/web/1.0.0/3"]
        {
            assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
        }
    }

    #[test]
    fn images_over_the_limit_are_named() {
        let mail = too_many(&notice("AVAILABLE", ""), &["eu-west-1:ami-00000033".parse().unwrap()]);
        assert!(
            mail.text.contains("with 51 AMIs") && mail.text.contains("  eu-west-1  ami-00000033\n"),
            "{}",
            mail.text
        );
    }

    #[test]
    fn images_that_are_elsewhere_are_listed_with_their_accounts() {
        let notice =
            notice("AVAILABLE", r#"{"region": "eu-west-1", "image": "ami-33333333", "accountId": "444455556666"}"#);
        assert!(all_elsewhere(&notice).text.contains("  eu-west-1  ami-33333333  account 444455556666\n"));
        assert!(no_ami(&notice).text.contains("has no AMI"));
    }
}
