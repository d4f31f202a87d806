//! What the mails are in Amazon Q Developer in chat applications.

use std::fmt::Write as _;

use gatehouse_shared::console;
use gatehouse_shared::notify::Notification;

use crate::mail::Mail;
use crate::report::{ApprovalOutcome, ApprovalReport};

/// The notifications about one report. All of one build are one thread; `region` is that of the function.
///
/// An approval that waits is shown in chat by what the report has of it. Its mail is not shown: it may have the link, and
/// whoever reads the channel could decide by it. Without the link there is no mail of ours, since Systems Manager sends one,
/// which chat would drop.
pub(crate) fn notifications(
    report: &ApprovalReport,
    mail: Option<Mail>,
    kept: Option<Mail>,
    region: &str,
) -> Vec<Notification> {
    let of_mail = |Mail { subject, text }: Mail| Notification::new(subject, text);
    let waits = report.outcome == ApprovalOutcome::Requested && report.execution_id.is_some();
    let first = match mail {
        Some(mail) if waits => Some(of_mail(mail).with_text_in_chat(waiting(report, true))),
        Some(mail) => Some(of_mail(mail)),
        // A reason says why nothing waits.
        None if waits && report.reason.is_none() => {
            let subject = format!("Gatehouse amis: approve {}", report.image_name);
            Some(Notification::new(subject, waiting(report, false)).in_chat_alone())
        }
        None => None,
    };
    let execution_id = report.execution_id.as_ref().or(report.after_execution_id.as_ref());
    let thread = Some(&report.build_arn).filter(|build| !build.is_empty()).or(execution_id);
    let region = region.parse().ok();
    let page = region.as_ref().zip(execution_id).and_then(|(region, id)| console::automation_execution(region, id));
    let images =
        region.as_ref().and_then(|region| console::url(region, &format!("/imagebuilder/home?region={region}#/images")));
    let in_chat = |notification: Notification| {
        let label = if waits { "Approve or reject" } else { "Open the Automation execution" };
        report.images.iter().filter_map(|image| image.rsplit(':').next()).fold(
            notification
                .in_thread(thread.map_or("", String::as_str))
                .with_link(label, page.clone())
                .with_link("Open the images of Image Builder", images.clone())
                .about(&report.build_arn)
                .with_context("executionId", execution_id.map_or("", String::as_str)),
            |notification, ami_id| notification.about(ami_id),
        )
    };
    first.into_iter().chain(kept.map(of_mail)).map(in_chat).collect()
}

fn waiting(report: &ApprovalReport, is_mailed: bool) -> String {
    let mut text = format!(
        "The image {} is ready and waits for approval. It is shared when it is approved, and not before.\n\n\
         These AMIs will be shared:\n",
        report.image_name
    );
    for image in &report.images {
        let _ = writeln!(text, "  {image}");
    }
    let _ = writeln!(text, "\nBuild: {}", report.build_arn);
    let execution_id = report.execution_id.as_deref().unwrap_or_default();
    let _ = writeln!(text, "Automation execution: {execution_id}");
    text.push_str(if is_mailed {
        "\nApprovers decide in the console, or on the page whose link is in their mail."
    } else {
        "\nApprovers decide in the console of Systems Manager."
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &str = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";

    fn report(outcome: ApprovalOutcome) -> ApprovalReport {
        ApprovalReport {
            build_arn: BUILD.to_owned(),
            image_name: "Web".to_owned(),
            images: vec!["eu-west-1:ami-11111111".to_owned()],
            execution_id: Some("e-1".to_owned()),
            after_execution_id: None,
            outcome,
            ..ApprovalReport::of_execution("e-0", "AVAILABLE")
        }
    }

    fn mail() -> Mail {
        Mail {
            subject: "Gatehouse amis: approve Web".to_owned(),
            text: "https://page.example/approval?token=v2.x".to_owned(),
        }
    }

    #[test]
    fn chat_never_has_the_link_by_which_anybody_decides() {
        let [told] =
            notifications(&report(ApprovalOutcome::Requested), Some(mail()), None, "eu-west-1").try_into().unwrap();
        assert_eq!(told.text, mail().text);
        let message = told.chat_message();
        assert!(!message.contains("token") && !message.contains("page.example"), "{message}");
        assert!(
            message.contains("ami-11111111") && message.contains("the page whose link is in their mail"),
            "{message}"
        );
        let page = "https://eu-west-1.console.aws.amazon.com/systems-manager/automation/execution/e-1?region=eu-west-1";
        assert!(message.contains(&format!("<{page}|Approve or reject>")), "{message}");
    }

    #[test]
    fn what_systems_manager_mails_is_told_in_chat_unless_nothing_waits() {
        let [told] = notifications(&report(ApprovalOutcome::Requested), None, None, "eu-west-1").try_into().unwrap();
        assert!(told.chat_message().contains("waits for approval"));
        let shared = ApprovalReport {
            reason: Some("it was approved before, and shared".to_owned()),
            ..report(ApprovalOutcome::Requested)
        };
        for nothing in [shared, report(ApprovalOutcome::Planned), report(ApprovalOutcome::Ended)] {
            assert_eq!(notifications(&nothing, None, None, "eu-west-1"), []);
        }
    }

    #[test]
    fn all_of_one_build_is_one_thread() {
        for outcome in [
            ApprovalOutcome::Requested,
            ApprovalOutcome::NotRequested,
            ApprovalOutcome::Ended,
            ApprovalOutcome::NothingToApprove,
        ] {
            for told in notifications(&report(outcome), Some(mail()), Some(mail()), "eu-west-1") {
                assert!(told.chat_message().contains(&format!("\"threadId\":\"{BUILD}\"")), "{outcome:?}");
            }
        }
        let unknown = ApprovalReport {
            build_arn: String::new(),
            outcome: ApprovalOutcome::Ended,
            ..ApprovalReport::of_execution("e-0", "x")
        };
        let [told] = notifications(&unknown, Some(mail()), None, "eu-west-1").try_into().unwrap();
        assert!(told.chat_message().contains("\"threadId\":\"e-0\""));
    }
}
