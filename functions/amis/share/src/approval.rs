//! Whether the images were approved: the Automation execution that the input names is read, and nothing that the caller
//! says is believed.

use ami_approval::effects::Effects;
use ami_approval::execution::{Execution, NoApproval};
use ami_approval::image::{BuildArn, ImageRef};
use ami_approval::target::{AccountId, Targets};
use ami_approval::text::line;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ssm::operation::get_automation_execution::GetAutomationExecutionError;
use gatehouse_shared::region::Region;

use crate::input::Input;

/// Where this function runs, and which document it believes.
pub(crate) struct Trusted<'a> {
    pub(crate) account: &'a AccountId,
    pub(crate) region: &'a Region,
    /// `AUTOMATION_DOCUMENT`.
    pub(crate) document: &'a str,
    /// The receivers in the settings.
    pub(crate) receivers: &'a Targets,
    /// What the settings want done besides.
    pub(crate) effects: &'a Effects,
}

/// What was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approved {
    /// The images of the input, or all of the execution where the input names none.
    pub(crate) images: Vec<ImageRef>,
    /// The name of the image.
    pub(crate) image_name: String,
    /// The build that each of the images must come from.
    pub(crate) build: BuildArn,
}

/// Reads the execution. `Ok(Err(reason))` where it is known that there is no approval.
///
/// # Errors
///
/// Where Systems Manager does not say whether there is one.
pub(crate) async fn read(
    ssm: &Client,
    execution_id: &str,
) -> Result<Result<Execution, String>, Box<SdkError<GetAutomationExecutionError>>> {
    match ssm.get_automation_execution().automation_execution_id(execution_id).send().await {
        Ok(answer) => Ok(answer
            .automation_execution()
            .ok_or_else(|| "Systems Manager answered without it".to_owned())
            .and_then(|execution| Execution::read(execution).map_err(|error: NoApproval| error.to_string()))),
        Err(error) => match error.code() {
            Some("AutomationExecutionNotFoundException") => Ok(Err("there is no such execution".to_owned())),
            Some("AccessDeniedException") => Ok(Err(
                "the function's role may not read it: it has no tag gatehouse:capability=amis, so this stack did not start it"
                    .to_owned(),
            )),
            _ => Err(Box::new(error)),
        },
    }
}

/// Compares the execution with what is to be done.
///
/// The execution may be in progress (the step Share runs), or have ended with or without success (the step Share is
/// repeated by hand). One that was cancelled or rejected shares nothing.
///
/// # Errors
///
/// Every reason why this is no approval of it.
pub(crate) fn verify(execution: &Execution, input: &Input, trusted: &Trusted<'_>) -> Result<Approved, Vec<String>> {
    let mut reasons = Vec::new();
    let own = own_name(trusted.document, trusted);
    if own_name(&execution.document, trusted) != own {
        reasons.push(format!(
            "it is an execution of the document {:?}: expected {own} (AUTOMATION_DOCUMENT)",
            line(&execution.document, 200)
        ));
    }
    if !execution.is_approved {
        reasons.push(format!(
            "not every step with the action aws:approve has the status Success: the approval is {:?}",
            execution.state
        ));
    }
    const STATUSES: [&str; 6] = ["InProgress", "Waiting", "Success", "Failed", "TimedOut", "CompletedWithFailure"];
    if !STATUSES.contains(&execution.status.as_str()) {
        reasons.push(format!("it has the status {}: expected one of {}", execution.status, STATUSES.join(", ")));
    }
    for image in input.images.iter().filter(|image| !execution.images.contains(image)) {
        reasons.push(format!("the approval is not about the image {image}"));
    }
    match &execution.receivers {
        None => reasons.push("it does not record the receivers: ask for the approval again".to_owned()),
        Some(receivers) if receivers.to_values() != trusted.receivers.to_values() => reasons.push(
            "the receivers that it records are not those of the settings (TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS, \
             TARGET_OU_ARNS), which have changed since: ask for the approval again"
                .to_owned(),
        ),
        Some(_) => {}
    }
    match &execution.effects {
        None => reasons.push("it does not record what is done besides sharing: ask for the approval again".to_owned()),
        Some(effects) if effects != trusted.effects => reasons.push(
            "what it records besides sharing is not what the settings say (SHARE_SNAPSHOTS, APPROVED_WATERMARK, \
             LATEST_PARAMETER, DEPRECATE_PREVIOUS_AFTER_DAYS), which have changed since: ask for the approval again"
                .to_owned(),
        ),
        Some(_) => {}
    }
    let build = execution.build_arn.as_deref().and_then(|arn| arn.parse::<BuildArn>().ok());
    match (&build, &input.build) {
        (None, _) => reasons.push("its parameter buildArn is not the ARN of a build".to_owned()),
        (Some(approved), Some(given)) if approved != given => {
            reasons.push(format!("the approval is about the build {approved}, not about {given}"));
        }
        _ => {}
    }
    match build {
        Some(build) if reasons.is_empty() => Ok(Approved {
            images: if input.images.is_empty() { execution.images.clone() } else { input.images.clone() },
            image_name: execution.image_name.clone(),
            build,
        }),
        _ => Err(reasons),
    }
}

/// The name of a document of this account and Region; a document of another account keeps its ARN, so that one with the same
/// name there is another one.
fn own_name<'a>(document: &'a str, trusted: &Trusted<'_>) -> &'a str {
    let here = format!(":ssm:{}:{}:document/", trusted.region, trusted.account);
    match document.split_once(&here) {
        Some((partition, name)) if partition.starts_with("arn:") => name,
        _ => document,
    }
}

#[cfg(test)]
mod tests {
    use ami_approval::execution::{Sharing, State};
    use gatehouse_shared::env::Env;

    use super::*;

    const BUILD: &str = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";

    fn targets(accounts: &str) -> Targets {
        Env::of_table(&[("TARGET_ACCOUNT_IDS", accounts)]).read(Targets::from_env).unwrap()
    }

    fn effects(days: &str) -> Effects {
        let table = [("LATEST_PARAMETER", "/golden"), ("DEPRECATE_PREVIOUS_AFTER_DAYS", days)];
        Env::of_table(&table).read(|env| Some(Effects::from_env(env))).unwrap()
    }

    fn execution() -> Execution {
        Execution {
            id: "e-1".to_owned(),
            document: "approval".to_owned(),
            images: vec!["eu-west-1:ami-11111111".parse().unwrap(), "us-east-1:ami-22222222".parse().unwrap()],
            image_name: "Web".to_owned(),
            build_arn: Some(BUILD.to_owned()),
            summary: None,
            receivers: Some(targets("444455556666,777788889999")),
            effects: Some(effects("30")),
            state: State::Approved,
            is_approved: true,
            sharing: Sharing::Running,
            status: "InProgress".to_owned(),
            needed: 1,
            votes: vec![],
            started_at: None,
            decide_until: None,
        }
    }

    fn verified(execution: &Execution, images: &[&str], build: Option<&str>) -> Result<Approved, String> {
        verified_in(execution, images, build, "approval")
    }

    fn verified_in(
        execution: &Execution,
        images: &[&str],
        build: Option<&str>,
        document: &str,
    ) -> Result<Approved, String> {
        let receivers = targets("777788889999,444455556666");
        let input = Input {
            images: images.iter().map(|image| image.parse().unwrap()).collect(),
            image_name: Some("Another name".to_owned()),
            build: build.map(|build| build.parse().unwrap()),
            execution_id: Some("e-1".to_owned()),
        };
        let (account, region) = ("111122223333".parse().unwrap(), "eu-west-1".parse().unwrap());
        let effects = &effects("30");
        let trusted = Trusted { account: &account, region: &region, document, receivers: &receivers, effects };
        verify(execution, &input, &trusted).map_err(|reasons| reasons.join("; "))
    }

    #[test]
    fn an_approved_execution_lets_its_images_pass_and_names_them() {
        let approved = verified(&execution(), &["us-east-1:ami-22222222"], Some(BUILD)).unwrap();
        assert_eq!(approved.images.len(), 1);
        assert_eq!((approved.image_name.as_str(), approved.build.as_str()), ("Web", BUILD));
        assert_eq!(verified(&execution(), &[], None).unwrap().images, execution().images);
        for status in ["InProgress", "Success", "Failed", "TimedOut"] {
            let execution = Execution { status: status.to_owned(), ..execution() };
            assert!(verified(&execution, &[], None).is_ok(), "{status}");
        }
    }

    #[test]
    fn anything_else_is_no_approval() {
        let changed = |change: fn(&mut Execution)| {
            let mut execution = execution();
            change(&mut execution);
            execution
        };
        for (case, execution, images, build, reason) in [
            ("another document", changed(|it| it.document = "other".to_owned()), vec![], None, "document \"other\""),
            ("waits", changed(|it| (it.is_approved, it.state) = (false, State::Waiting)), vec![], None, "is Waiting"),
            (
                "rejected",
                changed(|it| (it.is_approved, it.state) = (false, State::Rejected)),
                vec![],
                None,
                "is Rejected",
            ),
            ("cancelled", changed(|it| it.status = "Cancelled".to_owned()), vec![], None, "the status Cancelled"),
            ("unknown status", changed(|it| it.status = "unknown".to_owned()), vec![], None, "the status unknown"),
            ("another image", execution(), vec!["eu-west-1:ami-99999999"], None, "not about the image eu-west-1:ami-9"),
            ("another Region", execution(), vec!["us-west-2:ami-11111111"], None, "not about the image us-west-2"),
            (
                "another build",
                execution(),
                vec![],
                Some("arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/4"),
                "not about arn:aws:imagebuilder",
            ),
            ("no build", changed(|it| it.build_arn = None), vec![], None, "its parameter buildArn"),
            ("no receivers", changed(|it| it.receivers = None), vec![], None, "does not record the receivers"),
            (
                "other receivers",
                changed(|it| it.receivers = Some(targets("444455556666"))),
                vec![],
                None,
                "have changed since",
            ),
            ("no effects", changed(|it| it.effects = None), vec![], None, "does not record what is done besides"),
            ("other effects", changed(|it| it.effects = Some(effects("0"))), vec![], None, "DEPRECATE_PREVIOUS_AFTER"),
            ("less effects", changed(|it| it.effects = Some(Effects::default())), vec![], None, "SHARE_SNAPSHOTS"),
        ] {
            let reasons = verified(&execution, &images, build).unwrap_err();
            assert!(reasons.contains(reason) && !reasons.contains("; "), "{case}: {reasons}");
        }
    }

    #[test]
    fn a_document_of_another_account_is_not_ours_though_it_has_our_name() {
        let of = |document: &str| Execution { document: document.to_owned(), ..execution() };
        let (own, foreign) = (
            "arn:aws:ssm:eu-west-1:111122223333:document/approval",
            "arn:aws:ssm:eu-west-1:999999999999:document/approval",
        );
        for (setting, document, is_ours) in [
            ("approval", "approval", true),
            ("approval", own, true),
            (own, "approval", true),
            ("approval", foreign, false),
            (own, foreign, false),
            (foreign, "approval", false),
            (foreign, foreign, true),
            ("approval", "", false),
        ] {
            assert_eq!(verified_in(&of(document), &[], None, setting).is_ok(), is_ours, "{setting} {document}");
        }
    }
}
