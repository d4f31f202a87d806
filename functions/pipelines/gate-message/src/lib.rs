//! The message of the health gate: the gate writes it into the job's result, CodePipeline keeps it, and the retry decides
//! by it. Both use this type, so the wording has one place.
//!
//! ```text
//! [health-gate] 3 AWS Health events in eu-west-1: the stage fails
//! - EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:42Z, arn:aws:health:…
//! - and 2 more
//! ```

use std::fmt;
use std::str::FromStr;

/// CodePipeline accepts this many characters in `FailureDetails.message`. Counted in bytes here, which is never fewer.
///
/// Source: CodePipeline API Reference, FailureDetails.
pub const MESSAGE_LIMIT: usize = 5_000;

/// CodePipeline accepts this many characters in `ExecutionDetails.summary`.
///
/// Source: CodePipeline API Reference, ExecutionDetails.
pub const SUMMARY_LIMIT: usize = 2_048;

/// The description of an event in a message that is cut: the ARN after it matters more.
const DESCRIPTION_LIMIT: usize = 200;

const TRANSIENT_MARK: &str = "[health-gate] ";
const SETUP_MARK: &str = "[health-gate:setup] ";
const WITHOUT_ARN: &str = "(unnamed)";

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Waiting may help: open events, or AWS Health did not answer. Such a stage may be retried.
    Transient,
    /// A person must act: settings, support plan, rights, a fault of the gate. Such a stage is never retried.
    Setup,
}

/// A message of the health gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateMessage {
    cause: Cause,
    reason: String,
    events: Vec<ListedEvent>,
    left_out: usize,
}

/// An event of AWS Health in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEvent {
    description: String,
    arn: Option<String>,
}

/// The text is not a message of the health gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOfTheGate;

impl ListedEvent {
    /// An event, described in one line. An ARN that is none, with blanks or a comma, is left out.
    #[must_use]
    pub fn new(description: &str, arn: Option<&str>) -> Self {
        let is_arn = |arn: &&str| !arn.is_empty() && !arn.contains(|c: char| c == ',' || c.is_whitespace());
        let arn = arn.filter(is_arn).filter(|arn| *arn != WITHOUT_ARN).map(str::to_owned);
        Self { description: one_line(description), arn }
    }
}

impl GateMessage {
    /// A message without events. Line breaks of the reason become blanks.
    #[must_use]
    pub fn new(cause: Cause, reason: &str) -> Self {
        Self { cause, reason: one_line(reason), events: Vec::new(), left_out: 0 }
    }

    /// The same message with these events.
    #[must_use]
    pub fn with_events(self, events: Vec<ListedEvent>) -> Self {
        Self { events, ..self }
    }

    /// The message somewhere in a text, such as in the error of an invocation. What another service puts around it may
    /// be escaped or cut, so it counts as one that leaves events out.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let start = [TRANSIENT_MARK, SETUP_MARK].into_iter().filter_map(|mark| text.find(mark)).min()?;
        let mut message: Self = text[start..].parse().ok()?;
        message.left_out += usize::from(start > 0);
        Some(message)
    }

    /// Who must act.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The message with at most `limit` bytes as text. The mark and the first ARNs stay: half of the room is theirs, and
    /// the events that have none are counted.
    #[must_use]
    pub fn cut(&self, limit: usize) -> Self {
        if self.to_string().len() <= limit {
            return self.clone();
        }
        let has_events = !self.events.is_empty() || self.left_out > 0;
        let of_reason = if has_events { limit / 2 } else { limit };
        let mut cut = Self {
            cause: self.cause,
            reason: shortened(&self.reason, of_reason.saturating_sub(self.mark().len())),
            events: Vec::new(),
            left_out: self.left_out + self.events.len(),
        };
        for event in &self.events {
            let description = shortened(&event.description, DESCRIPTION_LIMIT);
            cut.events.push(ListedEvent { description, arn: event.arn.clone() });
            cut.left_out -= 1;
            if cut.to_string().len() > limit {
                cut.events.pop();
                cut.left_out += 1;
                break;
            }
        }
        cut
    }

    /// Whether the message names this event, or was cut, so that it may.
    #[must_use]
    pub fn may_name(&self, arn: &str) -> bool {
        let is_cut = self.left_out > 0 || (self.events.is_empty() && self.reason.ends_with('…'));
        is_cut || self.names(arn)
    }

    /// Whether the message names this event.
    #[must_use]
    pub fn names(&self, arn: &str) -> bool {
        self.events.iter().any(|event| event.arn.as_deref() == Some(arn))
    }

    fn mark(&self) -> &'static str {
        match self.cause {
            Cause::Transient => TRANSIENT_MARK,
            Cause::Setup => SETUP_MARK,
        }
    }
}

impl fmt::Display for GateMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.mark(), self.reason)?;
        for ListedEvent { description, arn } in &self.events {
            write!(f, "\n- {description}, {}", arn.as_deref().unwrap_or(WITHOUT_ARN))?;
        }
        if self.left_out > 0 {
            write!(f, "\n- and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl FromStr for GateMessage {
    type Err = NotOfTheGate;

    /// A line that cannot be read, such as one that was cut on its way, counts as an event that was left out.
    fn from_str(text: &str) -> Result<Self, NotOfTheGate> {
        let (cause, text) = match (text.strip_prefix(TRANSIENT_MARK), text.strip_prefix(SETUP_MARK)) {
            (Some(text), _) => (Cause::Transient, text),
            (None, Some(text)) => (Cause::Setup, text),
            (None, None) => return Err(NotOfTheGate),
        };
        let mut lines = text.split('\n');
        let mut message = Self::new(cause, lines.next().unwrap_or_default());
        for line in lines {
            let item = line.strip_prefix("- ").unwrap_or(line);
            if let Some((description, arn)) = item.rsplit_once(", ") {
                message.events.push(ListedEvent::new(description, Some(arn)));
            } else {
                let count = item.strip_prefix("and ").and_then(|item| item.strip_suffix(" more"));
                message.left_out += count.and_then(|count| count.parse().ok()).unwrap_or(1);
            }
        }
        Ok(message)
    }
}

impl fmt::Display for NotOfTheGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a message of the health gate")
    }
}

impl std::error::Error for NotOfTheGate {}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// At most `limit` bytes of a text; what was cut off is an ellipsis.
fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()))])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1";

    fn message(reason: &str, events: usize) -> GateMessage {
        let event = |number| {
            ListedEvent::new("EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open", Some(&format!("{ARN}{number}")))
        };
        GateMessage::new(Cause::Transient, reason).with_events((0..events).map(event).collect())
    }

    #[test]
    fn the_text_has_a_mark_a_reason_and_a_line_for_each_event() {
        assert_eq!(message("no open event", 0).to_string(), "[health-gate] no open event");
        assert_eq!(
            GateMessage::new(Cause::Setup, "invalid\nsettings").to_string(),
            "[health-gate:setup] invalid settings"
        );
        let event = ListedEvent::new("EC2 in eu-west-1", None);
        let message = GateMessage::new(Cause::Transient, "1 event").with_events(vec![event]);
        assert_eq!(message.to_string(), "[health-gate] 1 event\n- EC2 in eu-west-1, (unnamed)");
    }

    #[test]
    fn a_message_is_found_in_what_is_put_around_it() {
        let found = GateMessage::find(&message("open", 1).to_string());
        assert_eq!(found, Some(message("open", 1)));
        let wrapped = GateMessage::find(r#"{"errorMessage":"[health-gate:setup] no support plan"}"#).unwrap();
        assert_eq!(wrapped.cause(), Cause::Setup);
        assert!(wrapped.may_name("arn:any") && !wrapped.names("arn:any"));
        assert_eq!(GateMessage::find("it said [health-gate]x"), None);
    }

    #[test]
    fn other_texts_are_no_message() {
        for text in ["", "it said [health-gate] x", "[health-gate]x", "[health-gate:other] x", ARN] {
            assert_eq!(text.parse::<GateMessage>(), Err(NotOfTheGate), "{text}");
        }
    }

    #[test]
    fn what_a_message_names() {
        for (text, names, may_name) in [
            (format!("[health-gate] x\n- EC2 in eu-west-1, {ARN}"), true, true),
            (format!("[health-gate] x\n- EC2 in eu-west-1, {ARN}2"), false, false),
            // The reason may mention anything.
            (format!("[health-gate] {ARN}"), false, false),
            (format!("[health-gate] x\n- EC2, {ARN}2\n- and 3 more"), false, true),
            (format!("[health-gate] x\n- EC2, {ARN}2\n- EC2 in eu-w"), false, true),
            ("[health-gate] 200 events in eu-west-1, eu-we…".to_owned(), false, true),
            (format!("[health-gate] 200 events in eu-we…\n- EC2, {ARN}2"), false, false),
        ] {
            let message: GateMessage = text.parse().unwrap();
            assert_eq!((message.names(ARN), message.may_name(ARN)), (names, may_name), "{text}");
        }
    }

    #[test]
    fn a_message_that_is_cut_keeps_its_mark_and_the_first_arns() {
        for limit in [SUMMARY_LIMIT, MESSAGE_LIMIT] {
            let cut = message(&"long ".repeat(2_000), 200).cut(limit);
            assert!(cut.to_string().len() <= limit);
            assert!(cut.names(&format!("{ARN}0")) && cut.names(&format!("{ARN}1")) && cut.may_name("another"), "{cut}");
            assert_eq!(cut.events.len() + cut.left_out, 200);
        }
        let described = ListedEvent::new(&"long ".repeat(2_000), Some(ARN));
        let cut = GateMessage::new(Cause::Transient, "x").with_events(vec![described]).cut(SUMMARY_LIMIT);
        assert!(cut.names(ARN) && cut.left_out == 0, "{cut}");
        assert_eq!(message("short", 2).cut(SUMMARY_LIMIT), message("short", 2));
    }

    proptest! {
        // Long texts are slow to make up.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_written_is_read_and_what_is_cut_fits(
            is_setup in any::<bool>(),
            reason in ".{0,3000}",
            events in proptest::collection::vec((".{0,300}", proptest::option::of("\\PC{0,80}")), 0..40),
            limit in proptest::sample::select(vec![SUMMARY_LIMIT, MESSAGE_LIMIT]),
        ) {
            let cause = if is_setup { Cause::Setup } else { Cause::Transient };
            let events: Vec<_> =
                events.iter().map(|(description, arn)| ListedEvent::new(description, arn.as_deref())).collect();
            let count = events.len();
            let message = GateMessage::new(cause, &reason).with_events(events);
            prop_assert_eq!(message.to_string().parse(), Ok(message.clone()));
            let cut = message.cut(limit);
            prop_assert!(cut.to_string().len() <= limit);
            prop_assert_eq!(cut.events.len() + cut.left_out, count);
            prop_assert_eq!(cut.cause(), cause);
            prop_assert_eq!(cut.to_string().parse(), Ok(cut));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\[health-gate\\] )?(.|\n){0,200}") {
            let _ = text.parse::<GateMessage>();
        }
    }
}
