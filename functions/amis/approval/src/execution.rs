//! What Systems Manager knows of an approval.

use aws_sdk_ssm::types::{AutomationExecution, AutomationExecutionStatus as Status, StepExecution};
use gatehouse_shared::arn::Arn;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::effects::Effects;
use crate::image::ImageRef;
use crate::role::Role;
use crate::target::Targets;

/// The action of a step that waits for the approvers.
const APPROVE: &str = "aws:approve";

/// An execution that approves images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub id: String,
    /// The name of its document: the ARN where it is that of another account.
    pub document: String,
    /// What will be shared: the parameter `images`.
    pub images: Vec<ImageRef>,
    /// The name of the image: the parameter `imageName`.
    pub image_name: String,
    /// The build of Image Builder: the parameter `buildArn`.
    pub build_arn: Option<String>,
    /// Recipe, pipeline, date: the parameter `summary`.
    pub summary: Option<String>,
    /// Who will receive it: the parameter `receivers`. `None` where the execution does not record it.
    pub receivers: Option<Targets>,
    /// What is done besides: the parameter `effects`. `None` where the execution does not record it.
    pub effects: Option<Effects>,
    /// The result for the approval.
    pub state: State,
    /// Whether each step that waits for approvers has the status Success, and there is one.
    pub is_approved: bool,
    /// The result of the steps after the approval.
    pub sharing: Sharing,
    /// Its status, as Systems Manager writes it.
    pub status: String,
    /// How many approvals it needs.
    pub needed: usize,
    /// The decisions so far, as far as Systems Manager shows them.
    pub votes: Vec<Vote>,
    /// When it began.
    pub started_at: Option<OffsetDateTime>,
    /// When the step that waits for approvers times out; `None` where it has not begun.
    pub decide_until: Option<OffsetDateTime>,
}

/// The result for an approval.
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

/// What happened after the approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// It is not approved.
    NotBegun,
    /// The execution goes on.
    Running,
    /// The execution ended with success.
    Done,
    /// The execution ended in another way.
    Failed,
}

/// The decision of one approver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who, as an ARN.
    pub approver: String,
    /// Whether it is an approval.
    pub approves: bool,
    /// The comment; empty where there is none.
    pub comment: String,
}

impl Vote {
    /// The name of the role of the approver; the ARN itself where it is no role.
    ///
    /// ```
    /// use ami_approval::execution::Vote;
    ///
    /// let approver = "arn:aws:sts::111122223333:assumed-role/approver/alice".to_owned();
    /// let vote = Vote { approver, approves: true, comment: String::new() };
    /// assert_eq!(vote.role(), "approver (session alice)");
    /// ```
    #[must_use]
    pub fn role(&self) -> String {
        let resource = Arn::parse(&self.approver).map_or("", |arn| arn.resource);
        match resource.split_once('/') {
            Some(("assumed-role", rest)) => match rest.split_once('/') {
                Some((role, session)) => format!("{role} (session {session})"),
                None => rest.to_owned(),
            },
            Some(("role", path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => self.approver.clone(),
        }
    }
}

/// Why an execution approves no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoApproval {
    /// Its document is not one of approvals.
    #[error("it has no step with the action aws:approve")]
    NoStep,
    /// Its parameters name none, or something else.
    #[error("its parameter images does not hold images, each as <region>:<ami id>")]
    NoImages,
}

impl Execution {
    /// Reads an execution.
    ///
    /// # Errors
    ///
    /// [`NoApproval`] where it is not one that approves images.
    pub fn read(execution: &AutomationExecution) -> Result<Self, NoApproval> {
        let steps: Vec<&StepExecution> =
            execution.step_executions().iter().filter(|step| step.action() == Some(APPROVE)).collect();
        let is_approved = |step: &StepExecution| step.step_status() == Some(&Status::Success);
        let current = steps.iter().find(|step| !is_approved(step)).or(steps.last()).ok_or(NoApproval::NoStep)?;
        let values = |name: &str| execution.parameters().and_then(|parameters| parameters.get(name));
        let one = |name: &str| values(name)?.first().cloned().filter(|value| !value.is_empty());
        let images = values("images").and_then(|values| images(values)).ok_or(NoApproval::NoImages)?;
        let votes = votes(current);
        let status = execution.automation_execution_status();
        let is_approved = steps.iter().all(|step| is_approved(step));
        let timeout = Duration::seconds(current.timeout_seconds().unwrap_or(DEFAULT_TIMEOUT));
        Ok(Self {
            id: execution.automation_execution_id().unwrap_or_default().to_owned(),
            document: execution.document_name().unwrap_or_default().to_owned(),
            image_name: one("imageName").unwrap_or_else(|| images[0].to_string()),
            images,
            build_arn: one("buildArn"),
            summary: one("summary"),
            receivers: values("receivers").and_then(|values| Targets::from_values(values)),
            effects: values("effects").and_then(|values| Effects::from_values(values)),
            state: state(status, current, &votes),
            is_approved,
            sharing: sharing(status, is_approved),
            status: status.map_or("unknown", |status| status.as_str()).to_owned(),
            needed: needed(current),
            votes,
            started_at: execution.execution_start_time().and_then(time),
            decide_until: current.execution_start_time().and_then(time).map(|began| began + timeout),
        })
    }

    /// How many approvals were given.
    #[must_use]
    pub fn given(&self) -> usize {
        self.votes.iter().filter(|vote| vote.approves).count()
    }

    /// Whether this role has voted already.
    #[must_use]
    pub fn has_vote_of(&self, role: Option<&Role>) -> bool {
        role.is_some_and(|role| self.votes.iter().any(|vote| role.is(&vote.approver)))
    }

    /// Until when a link to it may be used: `ttl` after its start, and not after its step has timed out. `None` where
    /// Systems Manager does not say when it began.
    #[must_use]
    pub fn link_expiry(&self, ttl: Duration) -> Option<OffsetDateTime> {
        let expiry = self.started_at? + ttl;
        Some(self.decide_until.map_or(expiry, |until| expiry.min(until)))
    }
}

/// `timeoutSeconds` of `aws:approve` where the document has none: 7 days.
const DEFAULT_TIMEOUT: i64 = 604_800;

fn time(time: &aws_sdk_ssm::primitives::DateTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.secs()).ok()
}

/// The images; none of them may be left out because it cannot be read. Systems Manager gives a `StringList` as a list of
/// texts; a text with a JSON array in it is understood as well.
fn images(values: &[String]) -> Option<Vec<ImageRef>> {
    let values = match values {
        [one] if one.trim_start().starts_with('[') => serde_json::from_str(one).ok()?,
        values => values.to_vec(),
    };
    let images: Vec<ImageRef> = values.iter().map(|value| value.parse().ok()).collect::<Option<_>>()?;
    (!images.is_empty()).then_some(images)
}

/// Whether an execution or a step with this status goes on no more. A status that is not known is taken for one that does.
fn has_ended(status: &Status) -> bool {
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
}

/// AWS does not document which status a rejected step has, so the decisions are asked as well.
fn state(execution: Option<&Status>, step: &StepExecution, votes: &[Vote]) -> State {
    let is_rejected = votes.iter().any(|vote| !vote.approves)
        || output(step, "approvalStatus").any(|status| status.eq_ignore_ascii_case("rejected"));
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

fn sharing(execution: Option<&Status>, is_approved: bool) -> Sharing {
    match execution {
        _ if !is_approved => Sharing::NotBegun,
        Some(Status::Success | Status::CompletedWithSuccess) => Sharing::Done,
        Some(status) if has_ended(status) => Sharing::Failed,
        _ => Sharing::Running,
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
/// cannot be read is skipped: Systems Manager counts the votes, not this function.
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
    Some(Vote {
        approver: field("approver")?.to_owned(),
        approves: decision.starts_with("approve"),
        comment: field("comment").unwrap_or_default().to_owned(),
    })
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
        Execution::read(&execution.build()).ok()
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
        // The name of the step is that of whoever wrote the document.
        let other = StepExecution::builder().step_name("Review").action("aws:approve").step_status("Waiting".into());
        assert_eq!(read("Waiting", other.build()).unwrap().state, State::Waiting);
        let of = |images: &[&str]| {
            let images = images.iter().map(|image| (*image).to_owned()).collect();
            let execution = AutomationExecution::builder().step_executions(step("Waiting").build());
            Execution::read(&execution.parameters("images", images).build()).ok()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["eu-west-1:ami-11111111", "nonsense"]), None);
        assert_eq!(of(&["[\"eu-west-1:ami-11111111\"]"]).unwrap().images.len(), 1);
        assert_eq!(of(&["eu-west-1:ami-11111111"]).unwrap().image_name, "eu-west-1:ami-11111111");
        let without = AutomationExecution::builder().step_executions(step("Waiting").build()).build();
        assert_eq!(Execution::read(&without), Err(NoApproval::NoImages));
    }

    fn of_steps(status: &str, steps: &[(&str, &str)]) -> Execution {
        let steps = steps.iter().map(|(action, status)| {
            StepExecution::builder().step_name("x").action(*action).step_status((*status).into()).build()
        });
        let execution = AutomationExecution::builder()
            .automation_execution_status(status.into())
            .set_step_executions(Some(steps.collect()))
            .parameters("images", vec!["eu-west-1:ami-11111111".to_owned()]);
        Execution::read(&execution.build()).unwrap()
    }

    #[test]
    fn an_execution_is_approved_where_every_step_of_approvers_succeeded() {
        const INVOKE: &str = "aws:invokeLambdaFunction";
        for (status, steps, approved, state, sharing) in [
            ("Waiting", vec![(APPROVE, "Waiting"), (INVOKE, "Pending")], false, State::Waiting, Sharing::NotBegun),
            ("InProgress", vec![(APPROVE, "Success"), (INVOKE, "InProgress")], true, State::Approved, Sharing::Running),
            ("Success", vec![(APPROVE, "Success"), (INVOKE, "Success")], true, State::Approved, Sharing::Done),
            ("Failed", vec![(APPROVE, "Success"), (INVOKE, "Failed")], true, State::Approved, Sharing::Failed),
            ("TimedOut", vec![(APPROVE, "Success"), (INVOKE, "TimedOut")], true, State::Approved, Sharing::Failed),
            ("Waiting", vec![(APPROVE, "Success"), (APPROVE, "Waiting")], false, State::Waiting, Sharing::NotBegun),
            ("Rejected", vec![(APPROVE, "Success"), (APPROVE, "Rejected")], false, State::Rejected, Sharing::NotBegun),
            ("InProgress", vec![(APPROVE, "Failed"), (INVOKE, "InProgress")], false, State::Ended, Sharing::NotBegun),
            ("Success", vec![(APPROVE, "Rejected"), (INVOKE, "Success")], false, State::Rejected, Sharing::NotBegun),
        ] {
            let execution = of_steps(status, &steps);
            assert_eq!(
                (execution.is_approved, execution.state, execution.sharing),
                (approved, state, sharing),
                "{status} {steps:?}"
            );
        }
    }

    #[test]
    fn a_link_ends_with_the_approval_at_the_latest() {
        let began = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let started = aws_sdk_ssm::primitives::DateTime::from_secs(1_790_000_000);
        let step = step("Waiting").timeout_seconds(3_600).execution_start_time(started).build();
        let execution = AutomationExecution::builder()
            .step_executions(step)
            .execution_start_time(started)
            .parameters("images", vec!["eu-west-1:ami-11111111".to_owned()])
            .parameters("receivers", vec!["444455556666".to_owned()])
            .parameters("effects", vec!["snapshots=true".to_owned()]);
        let mut execution = Execution::read(&execution.build()).unwrap();
        assert_eq!(execution.receivers.as_ref().unwrap().accounts.len(), 1);
        assert!(execution.effects.as_ref().unwrap().share_snapshots);
        assert_eq!(execution.link_expiry(Duration::hours(72)), Some(began + Duration::hours(1)));
        assert_eq!(execution.link_expiry(Duration::minutes(5)), Some(began + Duration::minutes(5)));
        execution.decide_until = None;
        assert_eq!(execution.link_expiry(Duration::hours(72)), Some(began + Duration::hours(72)));
        execution.started_at = None;
        assert_eq!(execution.link_expiry(Duration::hours(72)), None);
    }
}
