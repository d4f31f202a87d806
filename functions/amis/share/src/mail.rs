//! What people read: the targets what was shared, the approvers what failed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ami_approval::text::line;
use gatehouse_shared::console;
use gatehouse_shared::notify::Notification;
use gatehouse_shared::region::Region;

use crate::report::{ImageReport, Latest, LatestOutcome, ShareOutcome, ShareReport};

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// What was shared now; `None` where nothing was.
#[must_use]
pub fn shared(report: &ShareReport) -> Option<Mail> {
    let images: Vec<&ImageReport> = report.images.iter().filter(|image| image.is_newly_shared()).collect();
    if images.is_empty() {
        return None;
    }
    let name = name(report, &images);
    let approved = if report.approved { "was approved and " } else { "" };
    let mut text = format!("The image {name} {approved}is shared with you.\n\n");
    for image in &images {
        let _ =
            writeln!(text, "  {}  {}  {}", image.region, image.ami_id, line(image.name.as_deref().unwrap_or(""), 128));
    }
    text.push_str("\nLaunch it by its id, or copy it to your account first where its snapshots are shared as well.\n");
    if images.iter().any(|image| !image.keys.is_empty()) {
        text.push_str(
            "\nIt is encrypted. To launch it, your account must be admitted in the policy of the key, which the owner of the \
             image was asked to do.\n",
        );
    }
    append_notes(&mut text, &images);
    Some(Mail { subject: format!("Gatehouse amis: {name} is shared with you"), text })
}

/// What the owner of the key must do; `None` where nothing was shared that a key encrypts.
#[must_use]
pub fn key_policy(report: &ShareReport) -> Option<Mail> {
    let images: Vec<&ImageReport> =
        report.images.iter().filter(|image| image.is_newly_shared() && !image.keys.is_empty()).collect();
    let statement = report.key_policy_statement.as_ref().filter(|_| !images.is_empty())?;
    let name = name(report, &images);
    let keys: BTreeSet<&String> = images.iter().flat_map(|image| &image.keys).collect();
    let mut text = format!(
        "The image {name} is shared, and encrypted. Its receivers can launch it only if the policy of the key admits them. \
         See that each of these keys has the statement below:\n\n"
    );
    for key in keys {
        let _ = writeln!(text, "  {key}");
    }
    let _ = write!(text, "\n{statement}\n");
    Some(Mail { subject: format!("Gatehouse amis: the key of {name} must admit its receivers"), text })
}

/// Nothing was shared: there is no approval of it.
#[must_use]
pub fn not_approved(report: &ShareReport, reasons: &[String]) -> Mail {
    let execution = report.execution_id.as_deref().map_or_else(|| "no execution".to_owned(), |id| line(id, 64));
    let mut text = format!(
        "The share function was asked to share images and refused: it found no approval of them in the Automation execution \
         that it was given ({execution}). Nothing was changed.\n\n"
    );
    for image in &report.images {
        let _ = writeln!(text, "  {}  {}", image.region, image.ami_id);
    }
    text.push('\n');
    for reason in reasons {
        let _ = writeln!(text, "  - {}", line(reason, 1_000));
    }
    text.push_str(
        "\nIf the receivers have changed since the approval, ask for it again (README, \"Ask again\"). If you do not know who \
         invoked the function, look in CloudTrail.\n",
    );
    Mail { subject: "Gatehouse amis: refused to share what is not approved".to_owned(), text }
}

/// The mail with what chat shows of it: all about one build is one thread. That something is refused is a thread of its own,
/// since nobody but the caller says which build it is about, and a reply is easily overlooked.
#[must_use]
pub fn notification(mail: Mail, report: &ShareReport, region: &Region) -> Notification {
    let thread = report.build_arn.as_ref().or(report.execution_id.as_ref()).filter(|_| !is_refusal(report));
    let page = report.execution_id.as_ref().and_then(|id| console::automation_execution(region, id));
    let notification = Notification::new(mail.subject, mail.text)
        .in_thread(thread.map_or("", String::as_str))
        .with_link("Open the Automation execution", page)
        .with_context("executionId", report.execution_id.as_deref().unwrap_or_default());
    report.images.iter().fold(notification, |notification, image| notification.about(&image.ami_id))
}

/// Whether nothing of the input is approved.
fn is_refusal(report: &ShareReport) -> bool {
    !report.approved && report.images.iter().all(|image| image.outcome == ShareOutcome::Refused)
}

/// What failed; `None` where nothing did.
#[must_use]
pub fn failed(report: &ShareReport) -> Option<Mail> {
    let images: Vec<&ImageReport> = report.images.iter().filter(|image| image.has_failed()).collect();
    if images.is_empty() {
        return None;
    }
    let name = name(report, &images);
    let mut text = format!(
        "The image {name} {}: {} of its {} AMIs could not be shared as they should.\n",
        if report.approved { "was approved" } else { "was to be shared" },
        images.len(),
        report.images.len()
    );
    for image in &images {
        let refused = if image.outcome == ShareOutcome::Refused { "refused, not shared" } else { "failed" };
        let _ = writeln!(text, "\n{} {}: {refused}", image.region, image.ami_id);
        for reason in &image.reasons {
            let _ = writeln!(text, "  - {}", line(reason, 1_000));
        }
        for receiver in &image.refused_receivers {
            let _ = writeln!(text, "  - not shared with {}", line(receiver, 200));
        }
        if image.is_newly_shared() {
            let _ = writeln!(text, "  Shared with {} more targets.", image.added.len());
        }
    }
    if let Some(execution_id) = &report.execution_id {
        let _ = writeln!(text, "\nAutomation execution: {}", line(execution_id, 64));
    }
    text.push_str(
        "\nRemove the cause, then run the function again with the same input: what is done stays, and the rest is added.\n",
    );
    append_notes(&mut text, &images);
    Some(Mail { subject: format!("Gatehouse amis: {name} is not shared as it should be"), text })
}

fn name(report: &ShareReport, images: &[&ImageReport]) -> String {
    let name = report.image_name.as_deref().or_else(|| images.iter().find_map(|image| image.name.as_deref()));
    line(name.unwrap_or(&images[0].ami_id), 128)
}

/// Each note once, whatever the number of images it concerns.
fn append_notes(text: &mut String, images: &[&ImageReport]) {
    let latest: BTreeSet<String> =
        images.iter().filter_map(|image| image.latest.as_ref()).filter_map(latest_note).collect();
    let notes: BTreeSet<&String> = images.iter().flat_map(|image| &image.notes).collect();
    for note in latest.iter().chain(notes) {
        let _ = write!(text, "\n{note}\n");
    }
}

fn latest_note(latest: &Latest) -> Option<String> {
    let deprecated = latest.previous.as_ref().zip(latest.previous_deprecated_at.as_ref());
    let deprecated = deprecated.map(|(ami_id, at)| format!(" The image before, {ami_id}, is deprecated from {at}."));
    match latest.outcome {
        LatestOutcome::Written => Some(format!(
            "The parameter {} in the owner's account names it now.{}",
            latest.parameter,
            deprecated.unwrap_or_default()
        )),
        LatestOutcome::Newer => {
            Some(format!("The parameter {} names a newer image and was left as it is.", latest.parameter))
        }
        LatestOutcome::Unchanged | LatestOutcome::Planned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Permissions;

    fn image(outcome: ShareOutcome) -> ImageReport {
        ImageReport {
            name: Some("Web 2026".to_owned()),
            ..ImageReport::new(&"eu-west-1:ami-11111111".parse().unwrap(), outcome)
        }
    }

    fn report(images: Vec<ImageReport>) -> ShareReport {
        ShareReport {
            execution_id: Some("e-1".to_owned()),
            build_arn: None,
            approved: true,
            image_name: Some("Web".to_owned()),
            receivers: Permissions::default(),
            key_policy_statement: Some("{ \"Sid\": \"Shared\" }".to_owned()),
            images,
            failed: 0,
        }
    }

    #[test]
    fn targets_hear_only_of_what_is_new() {
        assert_eq!(shared(&report(vec![image(ShareOutcome::Unchanged), image(ShareOutcome::Refused)])), None);
        let mut new = image(ShareOutcome::Shared);
        new.added.accounts.insert("444455556666".to_owned());
        new.notes = vec!["A note.".to_owned()];
        new.latest = Some(Latest {
            parameter: "/golden-ami/web/latest".to_owned(),
            outcome: LatestOutcome::Written,
            previous: Some("ami-00000000".to_owned()),
            previous_deprecated_at: Some("2026-12-25T12:00:00Z".to_owned()),
        });
        let mail = shared(&report(vec![image(ShareOutcome::Unchanged), new.clone(), new.clone()])).unwrap();
        assert_eq!(mail.subject, "Gatehouse amis: Web is shared with you");
        assert_eq!(
            mail.text,
            "The image Web was approved and is shared with you.\n\n\
             \x20 eu-west-1  ami-11111111  Web 2026\n\
             \x20 eu-west-1  ami-11111111  Web 2026\n\n\
             Launch it by its id, or copy it to your account first where its snapshots are shared as well.\n\n\
             The parameter /golden-ami/web/latest in the owner's account names it now. The image before, ami-00000000, is \
             deprecated from 2026-12-25T12:00:00Z.\n\n\
             A note.\n"
        );
        new.outcome = ShareOutcome::Planned;
        assert_eq!(shared(&report(vec![new])), None);
    }

    #[test]
    fn approvers_hear_what_failed_and_why() {
        let mut refused = image(ShareOutcome::Refused);
        refused.reasons = vec!["its state is pending: expected available".to_owned()];
        let mut half = image(ShareOutcome::Shared);
        half.added.accounts.insert("444455556666".to_owned());
        half.fail("PutParameter: x\ny".to_owned());
        assert_eq!(failed(&report(vec![image(ShareOutcome::Shared)])), None);
        let mail = failed(&report(vec![refused, half, image(ShareOutcome::Shared)])).unwrap();
        assert_eq!(mail.subject, "Gatehouse amis: Web is not shared as it should be");
        for part in [
            "2 of its 3 AMIs",
            "eu-west-1 ami-11111111: refused, not shared\n  - its state is pending: expected available\n",
            "eu-west-1 ami-11111111: failed\n  - PutParameter: x y\n  Shared with 1 more targets.\n",
            "Automation execution: e-1",
        ] {
            assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
        }
    }

    #[test]
    fn the_statement_goes_to_those_who_can_change_the_key() {
        let mut encrypted = image(ShareOutcome::Shared);
        encrypted.added.accounts.insert("444455556666".to_owned());
        encrypted.keys.insert("arn:aws:kms:eu-west-1:111122223333:key/k-1".to_owned());
        let report = report(vec![encrypted.clone(), encrypted]);
        let targets = shared(&report).unwrap().text;
        assert!(targets.contains("It is encrypted.") && !targets.contains("Sid") && !targets.contains("key/k-1"));
        let owner = key_policy(&report).unwrap().text;
        assert_eq!((owner.matches("key/k-1").count(), owner.matches("\"Sid\"").count()), (1, 1));
        assert_eq!(key_policy(&self::report(vec![image(ShareOutcome::Shared)])), None);
    }

    #[test]
    fn what_was_not_approved_is_not_called_approved() {
        let mut new = image(ShareOutcome::Shared);
        new.added.accounts.insert("444455556666".to_owned());
        let report = ShareReport { approved: false, ..report(vec![new]) };
        assert!(!shared(&report).unwrap().text.contains("approved"));
        let text = not_approved(&report, &["there is no such execution".to_owned()]).text;
        assert!(text.contains("(e-1)") && text.contains("  - there is no such execution\n"), "{text}");
    }
}
