//! What the approvers read.

use std::fmt::Write as _;

use ami_approval::effects::Effects;
use ami_approval::execution::{Execution, State};
use ami_approval::image::ImageRef;
use ami_approval::target::Targets;
use ami_approval::text::line;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::notice::{Ami, Notice};
use crate::report::ApprovalReport;
use crate::request::{MAX_IMAGES, StartRequest};

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// An approval that waits.
#[derive(Debug)]
pub struct Approval<'a> {
    /// What is approved.
    pub request: &'a StartRequest,
    /// The execution that waits.
    pub execution: &'a Execution,
    /// Recipe, pipeline, build.
    pub details: &'a str,
    /// The link to the page, and until when it may be used.
    pub link: Option<(String, OffsetDateTime)>,
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

/// There are more AMIs than one execution accepts.
#[must_use]
pub fn too_many(notice: &Notice, over: &[ImageRef]) -> Mail {
    let mut text = format!(
        "EC2 Image Builder built the image {} with {} AMIs in this account. Systems Manager accepts at most {MAX_IMAGES} \
         images for one approval, so none was requested and nothing is shared.\n\n\
         Distribute the image to fewer Regions, or share it by hand. These AMIs are over the limit:\n",
        notice.name,
        over.len() + MAX_IMAGES
    );
    text.push_str(&listed(over));
    let _ = write!(text, "\n{}", details(notice));
    Mail { subject: format!("Gatehouse amis: {} has too many AMIs to approve", notice.name), text }
}

/// An approval was requested for this build before, with other parameters.
#[must_use]
pub fn mismatch(request: &StartRequest, details: &str) -> Mail {
    let text = format!(
        "An approval of the image {} was requested before, with other parameters: other AMIs, another name, other \
         receivers, or other settings of what is done besides. So none was requested now, and the first one counts.\n\n\
         See it in the console of Systems Manager (Automation executions, tag gatehouse:build). If it has ended, ask again: \
         invoke this function with {{\"again\": \"<id of that execution>\"}}.\n\n\
         These AMIs are not requested:\n{}\n{details}",
        request.image_name,
        listed(&request.images)
    );
    Mail { subject: format!("Gatehouse amis: {} was not requested", request.image_name), text }
}

/// The approval waits.
#[must_use]
pub fn approve(approval: &Approval<'_>) -> Mail {
    let Approval { request, execution, details, link } = approval;
    let mut text = format!(
        "The image {} is ready and waits for your approval. It is shared when it is approved, and not before.\n\n\
         These AMIs will be shared:\n{}\n{}{}{}{details}\n",
        request.image_name,
        listed(&request.images),
        receivers(&request.receivers),
        effects(&request.effects),
        elsewhere(&request.elsewhere),
    );
    if execution.needed > 1 {
        let _ = write!(
            text,
            "{} approvals by different approvers are needed. The page counts as one approver, whoever uses it.\n\n",
            execution.needed
        );
    }
    match link {
        Some((link, expires_at)) => {
            let _ = write!(
                text,
                "Launch an instance of the image and look at it, then approve or reject it on this page:\n\n\
                 {link}\n\n\
                 The link can be used until {}. Opening it changes nothing. Whoever has it can decide: do not pass it on.\n\n\
                 With access to this account, you can decide in the console of Systems Manager (Automation) instead.",
                minute(*expires_at)
            );
        }
        None => text.push_str(
            "The time of the link is over. Decide in the console of Systems Manager (Automation), with the approver role.",
        ),
    }
    if let Some(until) = execution.decide_until {
        let _ = write!(text, " The approval ends on {}.", minute(until));
    }
    let _ = writeln!(text, " Automation execution: {}", execution.id);
    Mail { subject: format!("Gatehouse amis: approve {}", request.image_name), text }
}

/// The execution ended without a shared image. `again` is the command that asks again.
#[must_use]
pub fn ended(execution: &Execution, again: &str) -> Mail {
    let name = line(&execution.image_name, 128);
    let (subject, what) = match execution.state {
        _ if execution.is_approved => {
            return Mail {
                subject: format!("Gatehouse amis: {name} was approved, and sharing ended as {}", execution.status),
                text: format!(
                    "The image {name} was approved, and the step after the approval failed or was stopped: the execution has \
                     the status {}. AMIs may be shared in part. A message of its own, and the log of the share function, say \
                     what failed. Remove the cause, then run the share function again with \
                     {{\"executionId\": \"{}\"}}: see \"When something fails\" in the README.\n\n{}\n\
                     If the receivers have changed since, ask for a new approval:\n\n  {again}\n\n{}",
                    execution.status,
                    execution.id,
                    votes(execution),
                    details_again(execution)
                ),
            };
        }
        State::Rejected => ("was rejected", "It is not shared."),
        State::TimedOut => ("was not approved in time", "Nobody decided in time. It is not shared."),
        _ => ("is not approved", "The execution was stopped or failed before it was approved. It is not shared."),
    };
    let text = format!(
        "The image {name} {subject_text}. {what} The execution has the status {}.\n\n{}{}\
         To ask for the approval again:\n\n  {again}\n\n{}",
        execution.status,
        listed(&execution.images),
        votes(execution),
        details_again(execution),
        subject_text = subject,
    );
    Mail { subject: format!("Gatehouse amis: {name} {subject}"), text }
}

/// An execution of the runbook ended that this capability did not start.
#[must_use]
pub fn ended_elsewhere(execution_id: &str, status: &str) -> Mail {
    let text = format!(
        "The execution {execution_id} of the runbook ended with status {status}. Gatehouse cannot read it: it has no tag \
         gatehouse:capability, so it was started by hand, and no approver can answer it. Nothing is shared by it.\n\n\
         To ask for an approval again, invoke this function with {{\"again\": \"<id of the execution that Gatehouse \
         started>\"}} instead.\n"
    );
    Mail { subject: format!("Gatehouse amis: an approval ended with status {status}"), text }
}

/// Asking again was refused.
#[must_use]
pub fn not_again(report: &ApprovalReport, reason: &str) -> Mail {
    let execution = report.after_execution_id.as_deref().unwrap_or_default();
    let text = format!("A new approval after the execution {execution} was not started: {reason}.\n");
    Mail { subject: "Gatehouse amis: no new approval was started".to_owned(), text }
}

/// The watermark of approved images could not be taken away; `None` where there was none.
#[must_use]
pub fn watermark_kept(report: &ApprovalReport) -> Option<Mail> {
    if report.watermark_kept.is_empty() {
        return None;
    }
    let mut text = format!(
        "AMIs of the image {} have inherited the watermark of approved images from the image that they were built from, and \
         it could not be detached. Whoever demands the watermark may launch them, though they are not approved.\n\n",
        report.image_name
    );
    for failure in &report.watermark_kept {
        let _ = writeln!(text, "  - {}", line(failure, 1_000));
    }
    text.push_str(
        "\nIt is tried again. If this message comes again, detach it by hand: aws ec2 detach-image-watermark.\n",
    );
    Some(Mail { subject: format!("Gatehouse amis: {} has an inherited watermark", report.image_name), text })
}

/// What people look for in the consoles of Image Builder.
#[must_use]
pub fn details(notice: &Notice) -> String {
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

/// The same, as far as an earlier execution has it.
#[must_use]
pub fn details_again(execution: &Execution) -> String {
    let mut text = String::new();
    for (name, value) in [("Details", &execution.summary), ("Build", &execution.build_arn)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {}", line(value, 512));
        }
    }
    let _ = writeln!(text, "Earlier execution: {} ({})", execution.id, execution.status);
    text
}

fn listed(images: &[ImageRef]) -> String {
    images.iter().map(|image| format!("  {}  {}\n", image.region, image.ami_id)).collect()
}

fn receivers(targets: &Targets) -> String {
    let lines: String = targets.described().iter().map(|(what, id)| format!("  {what} {id}\n")).collect();
    format!("They will be shared with:\n{lines}\n")
}

/// What is done with an approved image besides; empty where nothing is.
fn effects(effects: &Effects) -> String {
    let lines: String = effects.described().iter().map(|(what, effect)| format!("  {what}: {effect}\n")).collect();
    if lines.is_empty() { lines } else { format!("Besides:\n{lines}\n") }
}

/// Who decided, as far as Systems Manager shows it.
fn votes(execution: &Execution) -> String {
    let mut text = String::from("\n");
    for vote in &execution.votes {
        let decision = if vote.approves { "Approved" } else { "Rejected" };
        let _ = write!(text, "{decision} by {}", line(&vote.role(), 200));
        let _ = match vote.comment.as_str() {
            "" => writeln!(text),
            comment => writeln!(text, ": {}", line(comment, 512)),
        };
    }
    if !execution.votes.is_empty() {
        text.push('\n');
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
    use ami_approval::execution::{Sharing, Vote};
    use gatehouse_shared::env::Env;
    use time::macros::datetime;

    use super::*;
    use crate::config::Config;
    use crate::notice::{NoticeDecision, decide};

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

    fn config() -> Config {
        let env = Env::of_table(&[
            ("APPROVER_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:Automation-approvers"),
            ("AUTOMATION_DOCUMENT", "ApproveAndShare"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
            ("TARGET_ORGANIZATION_ARNS", "arn:aws:organizations::111122223333:organization/o-abcdefghij"),
        ]);
        env.read(Config::from_env).unwrap()
    }

    fn execution(state: State) -> Execution {
        Execution {
            id: "333ba70b-2333".to_owned(),
            document: "ApproveAndShare".to_owned(),
            images: vec!["eu-west-1:ami-11111111".parse().unwrap()],
            image_name: "Web".to_owned(),
            build_arn: Some("arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3".to_owned()),
            summary: Some("Recipe: web 1.0.0".to_owned()),
            receivers: None,
            effects: None,
            state,
            is_approved: state == State::Approved,
            sharing: Sharing::NotBegun,
            status: format!("{state:?}"),
            needed: 1,
            votes: vec![],
            started_at: None,
            decide_until: Some(datetime!(2026-11-29 12:34:56 UTC)),
        }
    }

    #[test]
    fn the_mail_with_the_link() {
        let notice = notice(
            "AVAILABLE",
            r#"{"region": "eu-west-1", "image": "ami-11111111", "accountId": "111122223333"},
               {"region": "us-east-1", "image": "ami-22222222", "accountId": "111122223333"},
               {"region": "eu-west-1", "image": "ami-33333333", "accountId": "444455556666"}"#,
        );
        let NoticeDecision::Request { images, elsewhere } = decide(&notice, &"111122223333".parse().unwrap()) else {
            panic!()
        };
        let request = StartRequest::new(&notice, images, elsewhere, &config());
        let link = Some(("https://example.com/approval?token=v2.x".to_owned(), datetime!(2026-11-28 12:34:56 UTC)));
        let execution = execution(State::Waiting);
        let approval = Approval { request: &request, execution: &execution, details: &details(&notice), link };
        let mail = approve(&approval);
        assert_eq!(mail.subject, "Gatehouse amis: approve Web");
        assert_eq!(
            mail.text,
            "The image Web is ready and waits for your approval. It is shared when it is approved, and not before.\n\
             \n\
             These AMIs will be shared:\n\
             \x20 eu-west-1  ami-11111111\n\
             \x20 us-east-1  ami-22222222\n\
             \n\
             They will be shared with:\n\
             \x20 Account 444455556666\n\
             \x20 All accounts of the organization arn:aws:organizations::111122223333:organization/o-abcdefghij\n\
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
             Launch an instance of the image and look at it, then approve or reject it on this page:\n\
             \n\
             https://example.com/approval?token=v2.x\n\
             \n\
             The link can be used until 2026-11-28 12:34 UTC. Opening it changes nothing. Whoever has it can decide: do \
             not pass it on.\n\
             \n\
             With access to this account, you can decide in the console of Systems Manager (Automation) instead. The \
             approval ends on 2026-11-29 12:34 UTC. Automation execution: 333ba70b-2333\n"
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

    #[test]
    fn every_end_has_its_words_and_the_command_that_asks_again() {
        for (state, subject) in [
            (State::Rejected, "Gatehouse amis: Web was rejected"),
            (State::TimedOut, "Gatehouse amis: Web was not approved in time"),
            (State::Ended, "Gatehouse amis: Web is not approved"),
            (State::Approved, "Gatehouse amis: Web was approved, and sharing ended as Approved"),
        ] {
            let mail = ended(&execution(state), "COMMAND");
            assert_eq!(mail.subject, subject);
            assert!(mail.text.contains("\n  COMMAND\n"), "{}", mail.text);
            assert_eq!(mail.text.contains("not shared."), state != State::Approved, "{}", mail.text);
        }
        let mut rejected = execution(State::Rejected);
        rejected.votes = vec![Vote {
            approver: "arn:aws:sts::111122223333:assumed-role/page/ami-approval-page".to_owned(),
            approves: false,
            comment: "Ana (approval page): old\nkernel".to_owned(),
        }];
        let text = ended(&rejected, "COMMAND").text;
        let expected = "\nRejected by page (session ami-approval-page): Ana (approval page): old kernel\n\n";
        assert!(text.contains(expected), "{text}");
    }
}
