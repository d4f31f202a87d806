//! The page behind the link in the approvers' mail.
//!
//! | request | answer |
//! |---|---|
//! | `GET /approval?token=…` | what will be shared, with whom, until when; two buttons. Changes nothing |
//! | `HEAD /approval?token=…` | the same without the page |
//! | `POST /approval` | sends the decision to the Automation execution |
//!
//! The token is read first, and AWS KMS checks it; it names the execution. All else that the page shows is read from there, so
//! that it is what will really be shared, and what really happened.
//!
//! The page's role is one of the document's approvers and has one vote, whoever clicks. Where more approvals are needed, it
//! says how many are given, and sends no second vote.
//!
//! # Limitations
//!
//! - Whoever has the link can decide, and the name is what that person typed. Systems Manager records the page's role as
//!   the approver, and the name in the comment.
//! - AWS does not document how a decision is shown in the outputs of the approve step. Where the page cannot read its own
//!   vote there, Systems Manager alone refuses the second one.
//! - Rights of the role are shared by all links: the tag of the execution is what they are bound to.

pub mod config;
pub mod error;
mod link;
pub mod page;
pub mod request;
mod scan;

use std::collections::BTreeMap;
use std::time::Duration;

use ami_approval::effects::Effects;
use ami_approval::execution::{Execution, State};
use ami_approval::link::Token;
use ami_approval::target::Targets;
use ami_approval::text::line;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use aws_sdk_ssm::types::SignalType;
use gatehouse_shared::clock;
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::metrics::Metrics;
use lambda_runtime::LambdaEvent;
use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Unavailable, next_of};
use crate::page::{Page, View};
use crate::request::{Action, ApproverDecision, PageRequest};

/// Kept back from Lambda's deadline, to answer.
const RESERVE: Duration = Duration::from_secs(1);
/// How long the scan results are waited for.
const SCANS: Duration = Duration::from_secs(3);

pub struct ApprovalPage {
    config: Config,
    ssm: Client,
    kms: aws_sdk_kms::Client,
    ec2: aws_sdk_ec2::Client,
}

/// An answer, and what the log says of it.
struct PageResponse {
    page: Page,
    execution_id: Option<String>,
    /// The decision that was sent, and who sent it.
    decided: Option<(ApproverDecision, String)>,
    /// Whether the page failed. "Not ready yet" is no failure, though its status is 503 as well.
    failed: bool,
}

impl From<Page> for PageResponse {
    fn from(page: Page) -> Self {
        Self { page, execution_id: None, decided: None, failed: false }
    }
}

impl ApprovalPage {
    /// The function with its clients. Those of other Regions are made from `ec2`.
    #[must_use]
    pub fn new(config: Config, ssm: Client, kms: aws_sdk_kms::Client, ec2: aws_sdk_ec2::Client) -> Self {
        Self { config, ssm, kms, ec2 }
    }

    /// Answers a request of an HTTP API.
    ///
    /// # Errors
    ///
    /// When the event is none. Whatever a person can meet has a page.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = invocation;
        let request = PageRequest::parse(payload)?;
        let stop = Deadline::new(&context).stop_for_log(RESERVE);
        let answered = within(stop, self.answer(request.action)).await;
        let answer = answered.unwrap_or(Err(Unavailable::OutOfTime)).unwrap_or_else(|error| {
            tracing::error!(errorType = error.error_type(), error = chain(&error), "the page is not available");
            PageResponse { failed: true, ..Page::unavailable().into() }
        });
        log(&answer, request.source_ip.as_deref());
        metrics(&context.env_config.function_name, &answer).emit();
        Ok(answer.page.response(request.head))
    }

    async fn answer(&self, action: Result<Action, request::Rejection>) -> Result<PageResponse, Unavailable> {
        let action = match action {
            Ok(action) => action,
            Err(rejection) => return Ok(Page::rejection(rejection).into()),
        };
        let (Action::Show { token: text } | Action::Decide { token: text, .. }) = &action;
        let Some(token) = link::verify(&self.kms, &self.config.key_arn, text).await? else {
            return Ok(Page::forged().into());
        };
        if token.expires_at() <= clock::now() {
            return Ok(Page::expired().into());
        }
        let execution_id = Some(token.execution_id().to_owned());
        let Some((execution, receivers, effects)) = self.execution(&token).await? else {
            return Ok(PageResponse { execution_id, ..Page::unknown().into() });
        };
        // The MAC is right, and no link of ours lasts that long.
        if execution.link_expiry(self.config.ttl).is_none_or(|latest| token.expires_at() > latest) {
            return Ok(PageResponse { execution_id, ..Page::forged().into() });
        }
        if let Some(page) = Page::of_state(&execution) {
            return Ok(PageResponse { execution_id, ..page.into() });
        }
        let (page, decided) = match &action {
            Action::Show { token: text } => (self.show(&execution, &receivers, &effects, &token, text).await, None),
            Action::Decide { decision, name, comment, .. } => {
                self.decide(&execution, &token, *decision, name, comment).await?
            }
        };
        Ok(PageResponse { page, execution_id, decided, failed: false })
    }

    /// The page with the buttons.
    async fn show(
        &self,
        execution: &Execution,
        receivers: &Targets,
        effects: &Effects,
        token: &Token,
        text: &str,
    ) -> Page {
        let scans = tokio::time::timeout(SCANS, scan::scans(&self.ec2, &execution.images)).await;
        Page::approval(&View {
            execution,
            targets: receivers,
            effects,
            scans: &scans.unwrap_or_else(|_| BTreeMap::new()),
            token: text,
            expires_at: token.expires_at(),
            has_voted: execution.has_vote_of(self.config.role.as_ref()),
        })
    }

    /// Sends the decision; gives it back where it was taken.
    async fn decide(
        &self,
        execution: &Execution,
        token: &Token,
        decision: ApproverDecision,
        name: &str,
        comment: &str,
    ) -> Result<(Page, Option<(ApproverDecision, String)>), Unavailable> {
        if execution.has_vote_of(self.config.role.as_ref()) {
            return Ok((Page::voted(execution), None));
        }
        if self.config.dry_run {
            return Ok((Page::planned(execution), None));
        }
        let name = line(name, request::MAX_NAME_LENGTH);
        let signal = match decision {
            ApproverDecision::Approve => SignalType::Approve,
            ApproverDecision::Reject => SignalType::Reject,
        };
        let sent = self
            .ssm
            .send_automation_signal()
            .automation_execution_id(token.execution_id())
            .signal_type(signal)
            .payload("Comment", vec![signal_comment(&name, comment)])
            .send()
            .await;
        let Err(error) = sent else {
            let given = execution.given() + usize::from(decision == ApproverDecision::Approve);
            // The decision is made, whatever this answers: it only says more.
            let now = self.execution(token).await.ok().flatten().map(|(now, ..)| now);
            let page = Page::decided(decision, now.as_ref().unwrap_or(execution), given);
            return Ok((page, Some((decision, name))));
        };
        match error.code() {
            Some("AutomationExecutionNotFoundException") => return Ok((Page::unknown(), None)),
            Some("InvalidAutomationSignalException" | "AutomationStepNotFoundException") => {}
            code => {
                let next = next_of(code);
                return Err(Unavailable::Automation { operation: "SendAutomationSignal", next, source: error.into() });
            }
        }
        // Somebody was faster, or the reply to an earlier attempt was lost: the execution shows it.
        let Some((now, ..)) = self.execution(token).await? else { return Ok((Page::unknown(), None)) };
        let page = match (now.state, decision) {
            (State::Approved, ApproverDecision::Approve) => Page::decided(decision, &now, now.needed),
            (State::Rejected, ApproverDecision::Reject) => Page::decided(decision, &now, 0),
            (State::Waiting, _) if now.has_vote_of(self.config.role.as_ref()) => Page::voted(&now),
            _ => Page::of_state(&now).unwrap_or_else(|| Page::not_taken(&now)),
        };
        Ok((page, None))
    }

    /// The execution with its receivers and effects; `None` where there is none, or it approves no image.
    async fn execution(&self, token: &Token) -> Result<Option<(Execution, Targets, Effects)>, Unavailable> {
        let request = self.ssm.get_automation_execution().automation_execution_id(token.execution_id());
        match request.send().await {
            Ok(answer) => Ok(answer.automation_execution().and_then(|execution| {
                let execution = Execution::read(execution).ok()?;
                let (receivers, effects) = execution.receivers.clone().zip(execution.effects.clone())?;
                Some((execution, receivers, effects))
            })),
            Err(error) if error.code() == Some("AutomationExecutionNotFoundException") => Ok(None),
            Err(error) => {
                let next = next_of(error.code());
                Err(Unavailable::Automation { operation: "GetAutomationExecution", next, source: error.into() })
            }
        }
    }
}

/// Who decided and why, in the 512 characters that Systems Manager takes.
fn signal_comment(name: &str, comment: &str) -> String {
    let comment = line(comment, request::MAX_COMMENT_LENGTH);
    if comment.is_empty() { format!("{name} (approval page)") } else { format!("{name} (approval page): {comment}") }
}

/// One line for each answer. The token is in none.
fn log(answer: &PageResponse, source_ip: Option<&str>) {
    let PageResponse { page, execution_id, decided, failed: _ } = answer;
    let status = page.status;
    match decided {
        Some((decision, name)) => {
            tracing::info!(?decision, name, execution_id, source_ip, status, "decided");
        }
        None => tracing::info!(execution_id, source_ip, status, "answered"),
    }
}

/// The metrics of one request: all at each.
fn metrics(function_name: &str, answer: &PageResponse) -> Metrics {
    let decision = answer.decided.as_ref().map(|(decision, _)| *decision);
    Metrics::of(function_name, clock::now())
        .count("Approved", usize::from(decision == Some(ApproverDecision::Approve)))
        .count("Rejected", usize::from(decision == Some(ApproverDecision::Reject)))
        .count("Forged", usize::from(answer.page.status == 403))
        .count("Failed", usize::from(answer.failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_and_comment_fit_into_the_signal() {
        let text = signal_comment(&"ä".repeat(request::MAX_NAME_LENGTH), &"x".repeat(request::MAX_COMMENT_LENGTH));
        assert!(text.chars().count() <= 512, "{}", text.chars().count());
        assert_eq!(signal_comment("Alice", ""), "Alice (approval page)");
        assert_eq!(signal_comment("Alice", "one\r\ntwo"), "Alice (approval page): one  two");
    }
}
