//! The page: what it shows, and how it is sent.

use std::collections::BTreeMap;

use ami_approval::effects::Effects;
use ami_approval::execution::{Execution, Sharing, State};
use ami_approval::image::ImageRef;
use ami_approval::target::Targets;
use ami_approval::text::visible;
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::request::{ApproverDecision, MAX_COMMENT_LENGTH, MAX_NAME_LENGTH, Rejection};

/// The text of the only style element, as it is in the page.
const STYLE: &str = include_str!("../templates/style.css");

/// An answer to a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The whole page.
    pub html: String,
}

impl Page {
    /// The image, who will receive it, and two buttons.
    #[must_use]
    pub fn approval(view: &View<'_>) -> Self {
        let View { execution, targets, effects, scans, token, expires_at, has_voted } = view;
        let images = execution.images.iter().map(|image| ImageRow {
            region: image.region.to_string(),
            ami_id: image.ami_id.to_string(),
            scan: scans.get(image).cloned().unwrap_or_else(|| "not available".to_owned()),
        });
        let html = Approval {
            image_name: visible(&execution.image_name),
            summary: execution.summary.as_deref().map(visible),
            build_arn: execution.build_arn.as_deref().map(visible),
            images: images.collect(),
            receivers: targets.described(),
            effects: effects.described(),
            decide_until: execution.decide_until.map(minute),
            votes: execution.votes.iter().map(|vote| visible(&vote.role())).collect(),
            given: execution.given(),
            needed: execution.needed.max(execution.given()),
            expires_at: minute(*expires_at),
            has_voted: *has_voted,
            token,
            longest_name: MAX_NAME_LENGTH,
            longest_comment: MAX_COMMENT_LENGTH,
        };
        Self { status: 200, html: rendered(&html) }
    }

    /// The decision was sent. `execution` is what Systems Manager shows since, and `given` counts the decision.
    #[must_use]
    pub fn decided(decision: ApproverDecision, execution: &Execution, given: usize) -> Self {
        let needed = execution.needed;
        let (title, text) = match decision {
            ApproverDecision::Reject => ("Rejected", "The image is not shared.".to_owned()),
            ApproverDecision::Approve if given >= needed => ("Approved", sharing_text(execution.sharing).to_owned()),
            ApproverDecision::Approve => (
                "Your approval is recorded",
                format!(
                    "{given} of {needed} approvals are given. The image is shared when the {} missing are given by approvers \
                     with access to Systems Manager. This page counts as one approver, whoever uses it.",
                    needed - given
                ),
            ),
        };
        Self::message(200, title, &text, Some(&execution.image_name))
    }

    /// `DRY_RUN` is set.
    #[must_use]
    pub fn planned(execution: &Execution) -> Self {
        let text = "DRY_RUN is set: no decision was sent, and the image still waits.";
        Self::message(200, "Nothing was decided", text, Some(&execution.image_name))
    }

    /// The page itself has voted already, and has one vote.
    #[must_use]
    pub fn voted(execution: &Execution) -> Self {
        let text = format!(
            "{} of {} approvals are given. This page counts as one approver, whoever uses it, so your decision was not \
             counted. Other approvers decide in Systems Manager.",
            execution.given(),
            execution.needed
        );
        Self::message(409, "This page has given its vote", &text, Some(&execution.image_name))
    }

    /// There is nothing to decide any more, or not yet. `None` where the execution waits.
    #[must_use]
    pub fn of_state(execution: &Execution) -> Option<Self> {
        let (status, title, text) = match execution.state {
            State::Waiting => return None,
            State::NotYet => (503, "Not ready yet", "The approval begins in a moment. Open the link again."),
            State::Approved => (409, "Already approved", sharing_text(execution.sharing)),
            State::Rejected => (409, "Already rejected", "The image was rejected. It is not shared."),
            State::TimedOut => (
                410,
                "Too late",
                "Nobody decided in time, and the approval ended. The image is not shared. The message about it has the command \
                 that asks again.",
            ),
            State::Ended => (
                409,
                "The approval has ended",
                "The execution was cancelled or failed before a decision. The image is not shared. The message about it has the \
                 command that asks again.",
            ),
        };
        Some(Self::message(status, title, text, Some(&execution.image_name)))
    }

    /// Systems Manager takes no decision, though the execution waits.
    #[must_use]
    pub fn not_taken(execution: &Execution) -> Self {
        let text = "Systems Manager did not accept the decision. Perhaps this page has voted already, or somebody else decided \
                    at the same moment. Open the link again to see.";
        Self::message(409, "Not accepted", text, Some(&execution.image_name))
    }

    /// The token is not signed with the present key, or was changed.
    #[must_use]
    pub fn forged() -> Self {
        let text = "This link is not valid. Open the whole link from the mail: some mail programs cut long links. If that does \
                    not help, decide in Systems Manager.";
        Self::message(403, "This link is not valid", text, None)
    }

    /// The time of the link is over.
    #[must_use]
    pub fn expired() -> Self {
        let text =
            "The time of this link is over. As long as the approval waits, it can be decided in Systems Manager.";
        Self::message(410, "This link has expired", text, None)
    }

    /// There is no such execution, or it approves no image.
    #[must_use]
    pub fn unknown() -> Self {
        let text = "There is no such approval. Systems Manager keeps executions for a limited time.";
        Self::message(404, "No such approval", text, None)
    }

    /// Something that this page needs is out of order.
    #[must_use]
    pub fn unavailable() -> Self {
        let text = "The page cannot be shown at the moment. Nothing was changed, or it is not known whether your decision \
                    arrived. Wait a minute, then open the link again.";
        Self::message(503, "Not available at the moment", text, None)
    }

    /// The request was refused before anything was looked at.
    #[must_use]
    pub fn rejection(rejection: Rejection) -> Self {
        let (status, title, text) = match rejection {
            Rejection::NotFound => (404, "Page not found", "Open the whole link from the mail."),
            Rejection::MethodNotAllowed => (405, "Not allowed", "This page can be opened, and its form can be sent."),
            Rejection::TooLarge => (413, "Too long", "What was sent is longer than the form allows."),
            Rejection::NoToken => (
                400,
                "The link is not complete",
                "Open the whole link from the mail. Some mail programs cut long links.",
            ),
            Rejection::NoDecision => (400, "No decision", "Go back, then choose Approve or Reject."),
            Rejection::NoName => {
                (400, "Your name is missing", "Go back, enter your name, then choose Approve or Reject.")
            }
            Rejection::TooLong => (400, "Too long", "Go back and shorten your name or comment."),
            Rejection::NoForm => (400, "Not understood", "Go back and send the form again."),
        };
        Self::message(status, title, text, None)
    }

    fn message(status: u16, title: &str, text: &str, image_name: Option<&str>) -> Self {
        let html = Message { title, text, image_name: image_name.map(visible) };
        Self { status, html: rendered(&html) }
    }

    /// The answer in the form of an HTTP API, payload version 2.0. `head` leaves the body out.
    #[must_use]
    pub fn response(&self, head: bool) -> Value {
        let mut headers = json!({
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": content_security_policy(),
            // The token is in the address.
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "x-robots-tag": "noindex, nofollow",
            "strict-transport-security": "max-age=31536000",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        });
        match self.status {
            405 => headers["allow"] = "GET, HEAD, POST".into(),
            503 => headers["retry-after"] = "30".into(),
            _ => {}
        }
        let body = if head { "" } else { &self.html };
        json!({ "statusCode": self.status, "headers": headers, "body": body, "isBase64Encoded": false })
    }
}

/// Nothing is loaded or run, the one style is known by its hash, and the form goes to this page.
fn content_security_policy() -> String {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.trim_end_matches('\n').as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// What the page with the buttons shows.
#[derive(Debug, Clone)]
pub struct View<'a> {
    pub execution: &'a Execution,
    /// Who will receive the images.
    pub targets: &'a Targets,
    /// What is done with the images besides.
    pub effects: &'a Effects,
    /// What Amazon Inspector says of each image.
    pub scans: &'a BTreeMap<ImageRef, String>,
    /// The token, which the form sends back.
    pub token: &'a str,
    /// Until when the link may be used.
    pub expires_at: OffsetDateTime,
    /// Whether this page has given its one vote.
    pub has_voted: bool,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct Approval<'a> {
    image_name: String,
    summary: Option<String>,
    build_arn: Option<String>,
    images: Vec<ImageRow>,
    receivers: Vec<(&'static str, &'a str)>,
    effects: Vec<(&'static str, String)>,
    decide_until: Option<String>,
    votes: Vec<String>,
    given: usize,
    needed: usize,
    expires_at: String,
    has_voted: bool,
    token: &'a str,
    longest_name: usize,
    longest_comment: usize,
}

struct ImageRow {
    region: String,
    ami_id: String,
    scan: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    image_name: Option<String>,
}

#[expect(
    clippy::expect_used,
    reason = "writing text to a String fails only where a value refuses to be shown; none does"
)]
fn rendered(template: &impl Template) -> String {
    template.render().expect("a page of texts and numbers")
}

/// What happened after the approval. Only what Systems Manager shows is said to have happened.
fn sharing_text(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::NotBegun | Sharing::Running => {
            "The image will be shared now. Open the link again in a minute to see the result."
        }
        Sharing::Done => "The image is shared.",
        Sharing::Failed => {
            "Sharing it failed, or was stopped: perhaps only some of it is shared. Look for the message to the approvers: it says \
             what to do."
        }
    }
}

/// A time to the minute, in UTC.
pub(crate) fn minute(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC")).unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use ami_approval::execution::Vote;

    fn execution() -> Execution {
        Execution {
            id: "333ba70b-2333-48db-b17e-a5e69c6f4d1c".to_owned(),
            document: "approval".to_owned(),
            receivers: None,
            effects: None,
            is_approved: false,
            sharing: Sharing::NotBegun,
            status: "Waiting".to_owned(),
            started_at: None,
            decide_until: Some(datetime!(2026-11-30 06:00 UTC)),
            images: vec!["eu-west-1:ami-11111111".parse().unwrap(), "us-east-1:ami-22222222".parse().unwrap()],
            image_name: "Web".to_owned(),
            build_arn: Some("arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3".to_owned()),
            summary: Some("Recipe: web 1.0.0".to_owned()),
            state: State::Waiting,
            needed: 1,
            votes: vec![],
        }
    }

    fn targets() -> Targets {
        Targets {
            accounts: vec!["444455556666".parse().unwrap()],
            organizations: vec!["arn:aws:organizations::111122223333:organization/o-abcdefghij".parse().unwrap()],
            units: vec!["arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111".parse().unwrap()],
        }
    }

    fn page(execution: &Execution, has_voted: bool) -> String {
        let scans = BTreeMap::from([(execution.images[0].clone(), "highest severity: high".to_owned())]);
        let expires_at = datetime!(2026-11-28 12:34 UTC);
        let effects = Effects { watermark: "approved".parse().ok(), share_snapshots: true, ..Effects::default() };
        let (targets, token) = (targets(), "v2.t.1.m");
        let view =
            View { execution, targets: &targets, effects: &effects, scans: &scans, token, expires_at, has_voted };
        Page::approval(&view).html
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        text.split_once(start).unwrap().1.split_once(end).unwrap().0
    }

    #[test]
    fn the_page_says_what_is_shared_with_whom_and_until_when() {
        let html = page(&execution(), false);
        for part in [
            "<h1>Approve <bdi>Web</bdi>?</h1>",
            "<li>eu-west-1 <code>ami-11111111</code><br><span class=\"soft\">Amazon Inspector: highest severity: high</span></li>",
            "<li>us-east-1 <code>ami-22222222</code><br><span class=\"soft\">Amazon Inspector: not available</span></li>",
            "2 AMIs to share",
            "Account <code>444455556666</code>",
            "organization/o-abcdefghij",
            "ou-ab12-11111111",
            "2026-11-28 12:34 UTC",
            "<dt>Approval ends</dt><dd>2026-11-30 06:00 UTC</dd>",
            "<li>Snapshots: <bdi>shared with the accounts</bdi></li>\n<li>Watermark: <bdi>approved</bdi></li>",
            "0 of 1 given",
            "<input type=\"hidden\" name=\"token\" value=\"v2.t.1.m\">",
            "value=\"approve\"",
            "value=\"reject\"",
        ] {
            assert!(html.contains(part), "{part} is missing in: {html}");
        }
    }

    #[test]
    fn the_policy_admits_the_very_style_of_each_page_and_no_other() {
        let message = Page::forged().html;
        for html in [page(&execution(), false), page(&execution(), true), message] {
            let style = between(&html, "<style>", "</style>");
            let hash = BASE64_STANDARD.encode(digest(&SHA256, style.as_bytes()));
            let policy = content_security_policy();
            assert_eq!(
                policy,
                format!(
                    "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
                     frame-ancestors 'none'"
                )
            );
            assert_eq!(html.matches("<style").count(), 1);
            assert!(!html.contains("style=") && !html.contains("<script") && !html.contains("javascript:"));
        }
    }

    #[test]
    fn every_answer_has_the_headers_that_protect_it() {
        for page in [Page::forged(), Page::unavailable(), Page::rejection(Rejection::MethodNotAllowed)] {
            let response = page.response(false);
            let headers = response["headers"].as_object().unwrap();
            for (name, value) in [
                ("content-type", "text/html; charset=utf-8"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
            ] {
                assert_eq!(headers[name], value);
            }
            assert!(headers["content-security-policy"].as_str().unwrap().starts_with("default-src 'none';"));
            assert!(headers["strict-transport-security"].as_str().unwrap().starts_with("max-age="));
            assert_eq!(headers.contains_key("allow"), page.status == 405);
            assert_eq!(headers.contains_key("retry-after"), page.status == 503);
            assert_eq!(page.response(true)["body"], "");
            assert_eq!(page.response(true)["headers"], response["headers"]);
        }
    }

    #[test]
    fn a_hostile_name_stays_text_in_its_own_direction() {
        let mut hostile = execution();
        hostile.image_name = "<script>alert(1)</script>\"'&\u{202e}gpj\u{2066}\0".to_owned();
        hostile.summary = Some("</dd><form action=//evil>".to_owned());
        hostile.build_arn = Some("\" onmouseover=\"x".to_owned());
        let html = page(&hostile, false);
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<form action=//evil"), "{html}");
        assert_eq!(html.matches("<form").count(), 1);
        assert!(!html.contains("\" onmouseover=\""), "{html}");
        assert!(!html.contains('\u{202e}') && !html.contains('\u{2066}') && !html.contains('\0'));
        assert!(html.contains("\\u{202e}gpj\\u{2066}"), "{html}");
        // Hebrew letters stay, and their direction ends with the name.
        hostile.image_name = "שלום".to_owned();
        assert!(page(&hostile, false).contains("<h1>Approve <bdi>שלום</bdi>?</h1>"));
        hostile.image_name = "x".repeat(255);
        assert!(page(&hostile, false).contains(&hostile.image_name));
    }

    #[test]
    fn the_return_key_in_the_form_decides_nothing() {
        let html = page(&execution(), false);
        let form = between(&html, "<form", "</form>");
        let first = between(form, "<button", ">");
        assert!(first.contains("disabled") && first.contains("hidden"), "{first}");
        assert_eq!(form.matches("method=\"post\"").count(), 1);
        assert!(form.contains("action=\"?\""), "the token must not stay in the address");
    }

    #[test]
    fn the_page_has_one_vote_where_more_are_needed() {
        let mut execution = execution();
        execution.needed = 3;
        let html = page(&execution, false);
        assert!(html.contains("3 approvals are needed. This page counts as one approver"), "{html}");
        execution.votes = vec![Vote {
            approver: "arn:aws:sts::111122223333:assumed-role/page/ami-approval-page".to_owned(),
            approves: true,
            comment: String::new(),
        }];
        let html = page(&execution, true);
        assert!(
            html.contains("1 of 3 given, by <bdi>page (session ami-approval-page)</bdi>")
                && html.contains("The 2 missing"),
            "{html}"
        );
        assert!(!html.contains("<form") && !html.contains("<button"));
        assert!(Page::voted(&execution).html.contains("1 of 3 approvals are given"));
        assert!(Page::decided(ApproverDecision::Approve, &execution, 1).html.contains("1 of 3 approvals are given"));
        assert!(Page::decided(ApproverDecision::Approve, &execution, 3).html.contains("will be shared now"));
        assert!(Page::decided(ApproverDecision::Reject, &execution, 0).html.contains("not shared"));
    }

    #[test]
    fn every_state_but_waiting_has_its_own_page() {
        let mut titles = Vec::new();
        for (state, status) in [
            (State::NotYet, 503),
            (State::Approved, 409),
            (State::Rejected, 409),
            (State::TimedOut, 410),
            (State::Ended, 409),
        ] {
            let page = Page::of_state(&Execution { state, ..execution() }).unwrap();
            assert_eq!(page.status, status, "{state:?}");
            assert!(!page.html.contains("<form"), "{state:?}");
            titles.push(between(&page.html, "<h1>", "</h1>").to_owned());
        }
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), 5);
        assert_eq!(Page::of_state(&execution()), None);
    }

    #[test]
    fn an_approved_image_is_called_shared_only_where_systems_manager_says_so() {
        for (sharing, text) in [
            (Sharing::Running, "will be shared now"),
            (Sharing::Done, "<p>The image is shared.</p>"),
            (Sharing::Failed, "Sharing it failed"),
        ] {
            let approved = Execution { state: State::Approved, is_approved: true, sharing, ..execution() };
            for page in [Page::of_state(&approved).unwrap(), Page::decided(ApproverDecision::Approve, &approved, 1)] {
                assert!(page.html.contains(text), "{sharing:?}: {}", page.html);
                let is_called_shared = page.html.contains("The image is shared.");
                assert_eq!(is_called_shared, sharing == Sharing::Done, "{sharing:?}: {}", page.html);
            }
        }
    }

    proptest! {
        /// Whatever a name is: it opens no element, and the page ends as it should.
        #[test]
        fn no_name_changes_the_structure_of_the_page(name in "\\PC{0,255}", comment in ".{0,80}") {
            let plain = page(&execution(), false);
            let mut other = execution();
            other.image_name = name;
            other.summary = Some(comment);
            let html = page(&other, false);
            for mark in ["<", ">", "\""] {
                prop_assert_eq!(html.matches(mark).count(), plain.matches(mark).count());
            }
        }
    }
}
