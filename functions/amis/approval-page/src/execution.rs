//! What Systems Manager knows of an approval.

use ami_approval::image::ImageRef;
use aws_sdk_ssm::types::{AutomationExecution, AutomationExecutionStatus, StepExecution};
use serde_json::Value;

use crate::config::Role;

/// The step of the document that waits for the approvers.
const STEP: &str = "Approve";
const ACTION: &str = "aws:approve";

/// An execution that approves images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// What will be shared.
    pub images: Vec<ImageRef>,
    /// The name of the image.
    pub image_name: String,
    /// The build of Image Builder.
    pub build_arn: Option<String>,
    /// Recipe, pipeline, date.
    pub summary: Option<String>,
    /// What became of it.
    pub state: State,
    /// How many approvals it needs.
    pub needed: usize,
    /// The decisions so far, as far as Systems Manager shows them.
    pub votes: Vec<Vote>,
}

/// What became of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The step has not begun to wait.
    NotYet,
    /// It waits for a decision.
    Waiting,
    /// It was approved.
    Approved,
    /// It was rejected.
    Rejected,
    /// Nobody decided in time.
    TimedOut,
    /// It ended in another way, such as cancelled.
    Ended,
}

/// The decision of one approver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who, as an ARN.
    pub approver: String,
    /// Whether it is an approval.
    pub approves: bool,
}

impl Execution {
    /// Reads an execution; `None` where it is not one that approves images.
    #[must_use]
    pub fn of(execution: &AutomationExecution) -> Option<Self> {
        let step = execution
            .step_executions()
            .iter()
            .find(|step| step.step_name() == Some(STEP) && step.action() == Some(ACTION))?;
        let values = |name: &str| execution.parameters().and_then(|parameters| parameters.get(name));
        let one = |name: &str| values(name)?.first().cloned().filter(|value| !value.is_empty());
        let images = images_of(values("images")?)?;
        let votes = votes(step);
        Some(Self {
            image_name: one("imageName").unwrap_or_else(|| images[0].to_string()),
            images,
            build_arn: one("buildArn"),
            summary: one("summary"),
            state: state(execution.automation_execution_status(), step, &votes),
            needed: needed(step),
            votes,
        })
    }

    /// How many approvals were given.
    #[must_use]
    pub fn given(&self) -> usize {
        self.votes.iter().filter(|vote| vote.approves).count()
    }

    /// Whether the page has voted already.
    #[must_use]
    pub fn has_vote_of(&self, role: Option<&Role>) -> bool {
        role.is_some_and(|role| self.votes.iter().any(|vote| role.is(&vote.approver)))
    }
}

/// The images; none of them may be left out because it cannot be read. Systems Manager gives a `StringList` as a list of
/// texts; a text with a JSON array in it is understood as well.
fn images_of(values: &[String]) -> Option<Vec<ImageRef>> {
    let values = match values {
        [one] if one.trim_start().starts_with('[') => serde_json::from_str(one).ok()?,
        values => values.to_vec(),
    };
    let images: Vec<ImageRef> = values.iter().map(|value| value.parse().ok()).collect::<Option<_>>()?;
    (!images.is_empty()).then_some(images)
}

/// AWS does not document which status a rejected step has, so the decisions are asked as well.
fn state(execution: Option<&AutomationExecutionStatus>, step: &StepExecution, votes: &[Vote]) -> State {
    use AutomationExecutionStatus as Status;
    let is_rejected = votes.iter().any(|vote| !vote.approves)
        || output(step, "approvalStatus").any(|status| status.eq_ignore_ascii_case("rejected"));
    let has_ended = |status: &Status| {
        matches!(
            status,
            Status::Cancelled
                | Status::Cancelling
                | Status::CompletedWithFailure
                | Status::CompletedWithSuccess
                | Status::Exited
                | Status::Failed
                | Status::Rejected
                | Status::Success
                | Status::Timedout
        )
    };
    match step.step_status() {
        Some(Status::Success | Status::Approved | Status::CompletedWithSuccess) => State::Approved,
        Some(Status::Rejected) => State::Rejected,
        Some(Status::Timedout) => State::TimedOut,
        Some(status) if has_ended(status) && is_rejected => State::Rejected,
        Some(status) if has_ended(status) => State::Ended,
        _ if execution.is_some_and(has_ended) => match execution {
            Some(Status::Rejected) => State::Rejected,
            Some(Status::Timedout) => State::TimedOut,
            _ => State::Ended,
        },
        Some(Status::Waiting | Status::PendingApproval | Status::Inprogress) => State::Waiting,
        _ => State::NotYet,
    }
}

/// `MinRequiredApprovals` of the step; 1 where it is missing.
///
/// Source: Systems Manager User Guide, "aws:approve".
fn needed(step: &StepExecution) -> usize {
    let input = step.inputs().and_then(|inputs| inputs.get("MinRequiredApprovals"));
    input.and_then(|text| text.trim_matches('"').parse().ok()).filter(|needed| *needed > 0).unwrap_or(1)
}

/// The outputs of that name, which the documentation spells in two ways.
fn output<'a>(step: &'a StepExecution, name: &'a str) -> impl Iterator<Item = &'a str> {
    let outputs = step.outputs().into_iter().flatten();
    outputs.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).flat_map(|(_, values)| values).map(String::as_str)
}

/// The output `approverDecisions`: objects with `Approver` and `Decision`, on their own or in an array, as JSON. What
/// cannot be read is passed over: Systems Manager counts the votes, not this function.
fn votes(step: &StepExecution) -> Vec<Vote> {
    let mut votes: Vec<Vote> = Vec::new();
    for text in output(step, "approverDecisions") {
        let found = match serde_json::from_str(text) {
            Ok(Value::Array(found)) => found,
            Ok(one) => vec![one],
            Err(_) => continue,
        };
        for vote in found.iter().filter_map(vote) {
            if !votes.iter().any(|known| known.approver == vote.approver) {
                votes.push(vote);
            }
        }
    }
    votes
}

fn vote(decision: &Value) -> Option<Vote> {
    let field = |name: &str| {
        let found = decision.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        found.1.as_str()
    };
    let decision = field("decision")?.to_ascii_lowercase();
    Some(Vote { approver: field("approver")?.to_owned(), approves: decision.starts_with("approve") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "arn:aws:sts::111122223333:assumed-role/page/ami-approval-page";

    fn step(status: &str) -> aws_sdk_ssm::types::builders::StepExecutionBuilder {
        StepExecution::builder().step_name("Approve").action("aws:approve").step_status(status.into())
    }

    fn read(status: &str, step: StepExecution) -> Option<Execution> {
        let execution = AutomationExecution::builder()
            .automation_execution_status(status.into())
            .step_executions(step)
            .parameters("images", vec!["eu-west-1:ami-11111111".to_owned(), "us-east-1:ami-22222222".to_owned()])
            .parameters("imageName", vec!["Web".to_owned()]);
        Execution::of(&execution.build())
    }

    #[test]
    fn every_status_has_its_meaning() {
        for (execution, status, expected) in [
            ("Waiting", "Waiting", State::Waiting),
            ("InProgress", "InProgress", State::Waiting),
            ("InProgress", "Pending", State::NotYet),
            ("Pending", "Pending", State::NotYet),
            ("InProgress", "Success", State::Approved),
            ("Success", "Success", State::Approved),
            ("Failed", "Success", State::Approved),
            ("Rejected", "Rejected", State::Rejected),
            ("Failed", "Rejected", State::Rejected),
            ("TimedOut", "TimedOut", State::TimedOut),
            ("TimedOut", "Waiting", State::TimedOut),
            ("Rejected", "Waiting", State::Rejected),
            ("Failed", "Failed", State::Ended),
            ("Cancelled", "Cancelled", State::Ended),
            ("Cancelled", "Waiting", State::Ended),
            ("New", "New", State::NotYet),
        ] {
            assert_eq!(read(execution, step(status).build()).unwrap().state, expected, "{execution} {status}");
        }
    }

    #[test]
    fn a_failed_step_with_a_rejection_was_rejected() {
        let decision = format!(r#"{{"Approver": "{PAGE}", "Decision": "Reject", "Comment": "no"}}"#);
        let failed = step("Failed").outputs("ApproverDecisions", vec![decision]).build();
        assert_eq!(read("Failed", failed).unwrap().state, State::Rejected);
        let failed = step("Failed").outputs("approvalStatus", vec!["Rejected".to_owned()]).build();
        assert_eq!(read("Failed", failed).unwrap().state, State::Rejected);
    }

    #[test]
    fn votes_are_read_in_each_form_and_counted_once() {
        let vote = |who: &str| format!(r#"{{"Approver": "{who}", "Decision": "Approve", "Comment": "x"}}"#);
        let role: Role = "arn:aws:iam::111122223333:role/page".parse().unwrap();
        for values in [
            vec![vote("alice"), vote(PAGE)],
            vec![format!("[{},{},{}]", vote("alice"), vote("alice"), vote(PAGE))],
            vec![vote("alice").to_lowercase(), vote(PAGE)],
        ] {
            let waiting =
                step("Waiting").inputs("MinRequiredApprovals", "3").outputs("approverDecisions", values).build();
            let execution = read("Waiting", waiting).unwrap();
            assert_eq!((execution.given(), execution.needed), (2, 3));
            assert!(execution.has_vote_of(Some(&role)) && !execution.has_vote_of(None));
        }
        let waiting = step("Waiting").outputs("approverDecisions", vec!["soon".to_owned(), "7".to_owned()]).build();
        assert_eq!(read("Waiting", waiting).unwrap().votes, []);
    }

    #[test]
    fn the_number_of_approvals_is_one_where_nothing_is_said() {
        for (input, expected) in [("2", 2), ("\"2\"", 2), ("0", 1), ("many", 1)] {
            let waiting = step("Waiting").inputs("MinRequiredApprovals", input).build();
            assert_eq!(read("Waiting", waiting).unwrap().needed, expected, "{input}");
        }
        assert_eq!(read("Waiting", step("Waiting").build()).unwrap().needed, 1);
    }

    #[test]
    fn another_execution_is_none_of_ours() {
        let other = StepExecution::builder().step_name("Approve").action("aws:runCommand").build();
        assert_eq!(read("Waiting", other), None);
        let other = StepExecution::builder().step_name("Review").action("aws:approve").build();
        assert_eq!(read("Waiting", other), None);
        let of = |images: &[&str]| {
            let images = images.iter().map(|image| (*image).to_owned()).collect();
            let execution = AutomationExecution::builder().step_executions(step("Waiting").build());
            Execution::of(&execution.parameters("images", images).build())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["eu-west-1:ami-11111111", "nonsense"]), None);
        assert_eq!(of(&["[\"eu-west-1:ami-11111111\"]"]).unwrap().images.len(), 1);
        assert_eq!(of(&["eu-west-1:ami-11111111"]).unwrap().image_name, "eu-west-1:ami-11111111");
        let without = AutomationExecution::builder().step_executions(step("Waiting").build()).build();
        assert_eq!(Execution::of(&without), None);
    }
}
