//! Notifications for people: by mail, and the same in chat.
//!
//! A mail and its twin in Amazon Q Developer in chat applications are one [`Notification`]. The mail goes first. A failure
//! of chat is logged and counted (`ChatFailed`), and is no failure of the run: the mail has arrived. Where the mail could not
//! be published the run fails and is repeated, so chat gets nothing before.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::publish::PublishError;
use tokio::time::{Instant, timeout_at};

use crate::chat::{self, ChatTopic, ForChat};
use crate::clock;
use crate::failure::chain;
use crate::metrics::Metrics;
use crate::sns::TopicArn;

/// The longest message in bytes: SNS accepts 256 KiB, attributes included.
pub const MAX_MESSAGE_LENGTH: usize = 250 * 1024;
/// The longest subject. SNS: "Subjects must be ASCII text … must be less than 100 characters long".
pub const MAX_SUBJECT_LENGTH: usize = 99;
/// How long the topic of chat may take, attempts of the SDK included.
const CHAT_TIME: Duration = Duration::from_secs(3);

/// What people are notified of: one thing.
///
/// ```
/// use gatehouse_shared::notify::Notification;
///
/// let notification = Notification::new("Gatehouse pipelines: a stage waits", "It goes on by itself.")
///     .in_thread("8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969")
///     .with_link("Open the pipeline", Some("https://eu-west-1.console.aws.amazon.com/codesuite".to_owned()));
/// assert_eq!(notification.subject, "Gatehouse pipelines: a stage waits");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// One line: `Gatehouse <capability>: <what>`.
    pub subject: String,
    /// Plain text.
    pub text: String,
    pub(crate) chat: ForChat,
    is_mailed: bool,
}

impl Notification {
    /// A notification with the subject and the text of its mail. Chat shows both, without links and mentions.
    #[must_use]
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { subject: subject.into(), text: text.into(), chat: ForChat::default(), is_mailed: true }
    }

    /// The thread in chat: the id of what several notifications are about, such as a pipeline execution.
    #[must_use]
    pub fn in_thread(mut self, id: &str) -> Self {
        self.chat.thread_id = Some(id.to_owned()).filter(|id| !id.is_empty());
        self
    }

    /// A page where a person acts, with what it is for, such as `Open the execution`; none where there is no URL.
    #[must_use]
    pub fn with_link(mut self, label: &'static str, url: Option<String>) -> Self {
        self.chat.steps.extend(url.and_then(|url| chat::link(label, &url)));
        self
    }

    /// The ARN or id of a resource that it is about.
    #[must_use]
    pub fn about(mut self, resource: &str) -> Self {
        self.chat.resources.extend(Some(resource.to_owned()).filter(|resource| !resource.is_empty()));
        self
    }

    /// A value for the buttons ("custom actions") that a channel may have.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: &str) -> Self {
        self.chat.context.extend(Some((name, value.to_owned())).filter(|(_, value)| !value.is_empty()));
        self
    }

    /// The text that chat shows instead of that of the mail, which has something that a channel must not see.
    #[must_use]
    pub fn with_text_in_chat(mut self, text: String) -> Self {
        self.chat.text = Some(text);
        self
    }

    /// The message for the topic of chat.
    #[must_use]
    pub fn chat_message(&self) -> String {
        chat::message(self)
    }

    /// For chat alone: the mail is sent by an AWS service.
    #[must_use]
    pub fn in_chat_alone(self) -> Self {
        Self { is_mailed: false, ..self }
    }
}

/// Publishes notifications to a topic for mails, and to that of chat.
#[derive(Debug, Clone)]
pub struct Notifier {
    mail: Option<Topic>,
    chat: Option<(Topic, String)>,
}

/// A topic, with a client for its Region.
#[derive(Debug, Clone)]
struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// `config` is the SDK's; its Region is replaced by that of the topic.
    fn new(config: impl Into<Builder>, arn: &TopicArn) -> Self {
        let region = Region::new(arn.region().to_string());
        Self { client: Client::from_conf(config.into().region(region).build()), arn: arn.to_string() }
    }

    async fn publish(&self, subject: Option<String>, message: &str) -> Result<(), SdkError<PublishError>> {
        let request = self.client.publish().topic_arn(&self.arn).set_subject(subject).message(message);
        // On the heap: nested futures of this depth are more than the compiler lays out.
        Box::pin(request.send()).await.map(drop)
    }
}

impl Notifier {
    /// A notifier for a topic of mails. `config` is the SDK's; its Region is replaced by that of the topic.
    #[must_use]
    pub fn new(config: impl Into<Builder>, topic_arn: &TopicArn) -> Self {
        Self { mail: Some(Topic::new(config, topic_arn)), chat: None }
    }

    /// A notifier for the topics that are set; `None` where there is none.
    #[must_use]
    pub fn for_topics<C>(config: C, mail: Option<&TopicArn>, chat: Option<&ChatTopic>) -> Option<Self>
    where
        C: Into<Builder> + Clone,
    {
        let mail = mail.map(|arn| Topic::new(config.clone(), arn));
        let notifier = Self { mail, chat: None }.with_chat(config, chat);
        (notifier.mail.is_some() || notifier.has_chat()).then_some(notifier)
    }

    /// The same notifier, which also publishes to the topic of chat, where there is one.
    #[must_use]
    pub fn with_chat(self, config: impl Into<Builder>, chat: Option<&ChatTopic>) -> Self {
        let chat = chat.map(|topic| (Topic::new(config, &topic.arn), topic.function_name.clone()));
        Self { chat, ..self }
    }

    /// Whether there is a topic of chat.
    #[must_use]
    pub fn has_chat(&self) -> bool {
        self.chat.is_some()
    }

    /// Publishes a notification: the mail, then its twin in chat, which ends at `until` whatever becomes of it. Subject and
    /// message are cut to the lengths that SNS and chat accept; what was cut says so.
    ///
    /// # Errors
    ///
    /// What SNS answered about the mail; the caller reports it beside what it did. Chat gets nothing then.
    pub async fn publish(&self, notification: &Notification, until: Instant) -> Result<(), SdkError<PublishError>> {
        let Notification { subject, text, is_mailed, .. } = notification;
        if let Some(mail) = self.mail.as_ref().filter(|_| *is_mailed) {
            mail.publish(Some(subject_line(subject)), &fitting(text, MAX_MESSAGE_LENGTH)).await?;
        }
        if let Some((topic, function_name)) = &self.chat {
            let until = until.min(Instant::now() + CHAT_TIME);
            let reason = match timeout_at(until, topic.publish(None, &notification.chat_message())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => chain(&error),
                Err(_) => "no reply in time".to_owned(),
            };
            tracing::error!(
                errorType = "ChatFailed",
                error = format!(
                    "publishing to CHAT_TOPIC_ARN: {reason}; check the policy and the key of the topic, and the role of \
                     the function"
                ),
                subject,
                "not shown in chat"
            );
            Metrics::of(function_name, clock::now()).count("ChatFailed", 1).emit();
        }
        Ok(())
    }
}

/// A subject that SNS accepts: printable ASCII that begins with a letter, digit or punctuation mark, below 100
/// characters.
fn subject_line(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim().chars().map(printable).take(MAX_SUBJECT_LENGTH).collect()
}

/// What stands at the end of a message that was cut.
const CUT: &str = "\n\n(cut; the whole report is in the log)\n";

/// The text, or as much of it as fits into `limit` bytes with [`CUT`] behind it.
fn fitting(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(limit.saturating_sub(CUT.len()))];
    Cow::Owned(format!("{start}{CUT}"))
}

#[cfg(test)]
mod tests {
    use gatehouse_testkit::{Aws, Call, Reply, chat_message};
    use serde_json::json;

    use super::*;
    use crate::env::Env;

    const MAIL: &str = "arn:aws:sns:eu-west-1:111122223333:people";
    const CHAT: &str = "arn:aws:sns:us-east-1:444455556666:chat";

    fn chat() -> Option<ChatTopic> {
        let table = [("CHAT_TOPIC_ARN", CHAT), ("AWS_LAMBDA_FUNCTION_NAME", "gate")];
        Env::of_table(&table).read(|env| Some(ChatTopic::from_env(env))).unwrap()
    }

    /// A notifier for both topics of this SNS.
    fn notifier(aws: &Aws) -> Notifier {
        Notifier::for_topics(&aws.sdk(), Some(&MAIL.parse().unwrap()), chat().as_ref()).unwrap()
    }

    /// The host of each request.
    fn hosts(aws: &Aws) -> Vec<String> {
        aws.calls().into_iter().map(|call| call.host).collect()
    }

    fn notification() -> Notification {
        Notification::new("Gatehouse pipelines: waits", "See https://a.example").in_thread("8bdcdf4b")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn the_mail_is_as_it_was_and_its_twin_goes_to_the_topic_of_chat_in_its_region() {
        let aws = Aws::new(|_| Reply::Empty);
        notifier(&aws).publish(&notification(), soon()).await.unwrap();
        assert_eq!(hosts(&aws), ["sns.eu-west-1.amazonaws.com", "sns.us-east-1.amazonaws.com"]);
        let [mail, chat] = <[Call; 2]>::try_from(aws.calls()).unwrap();
        assert_eq!(
            mail.parameters,
            json!({
                "TopicArn": MAIL, "Message": "See https://a.example", "Subject": "Gatehouse pipelines: waits",
            })
        );
        assert_eq!(chat.parameters, json!({ "TopicArn": CHAT, "Message": chat.text("Message") }));
        let message = chat_message(chat.text("Message")).unwrap();
        assert_eq!(message["metadata"]["threadId"], "8bdcdf4b");
        assert_eq!(message["content"]["description"], "```\nSee hxxps://a[.]example\n```");
    }

    #[tokio::test]
    async fn a_refusal_of_chat_is_no_failure_and_one_of_the_mail_is() {
        let refusing = |topic: &'static str| {
            Aws::new(move |call| match call.text("TopicArn") == topic {
                true => Reply::ErrorWith(403, "AuthorizationError", "not allowed".to_owned()),
                false => Reply::Empty,
            })
        };
        let aws = refusing(CHAT);
        notifier(&aws).publish(&notification(), soon()).await.unwrap();
        assert_eq!(hosts(&aws).len(), 2);

        let aws = refusing(MAIL);
        let error = notifier(&aws).publish(&notification(), soon()).await.unwrap_err();
        assert!(chain(&error).contains("AuthorizationError"), "{}", chain(&error));
        assert_eq!(hosts(&aws), ["sns.eu-west-1.amazonaws.com"], "chat gets it when the run is repeated");
    }

    #[tokio::test(start_paused = true)]
    async fn a_chat_that_does_not_answer_is_left_in_time() {
        let topic = chat();
        let notifier = Notifier::for_topics(&Aws::new(|_| Reply::Hang).sdk(), None, topic.as_ref()).unwrap();
        for (until, waited) in [(60_000, 3_000), (500, 500)] {
            let start = Instant::now();
            let until = start + Duration::from_millis(until);
            let published = timeout_at(until, notifier.publish(&notification(), until)).await;
            assert!(published.is_ok_and(|published| published.is_ok()));
            assert_eq!(start.elapsed().as_millis(), waited);
        }
    }

    #[tokio::test]
    async fn what_a_service_mails_by_itself_goes_to_chat_alone() {
        let aws = Aws::new(|_| Reply::Empty);
        notifier(&aws).publish(&notification().in_chat_alone(), soon()).await.unwrap();
        assert_eq!(hosts(&aws), ["sns.us-east-1.amazonaws.com"]);
        let sdk = Aws::unused().sdk();
        assert!(Notifier::for_topics(&sdk, None, None).is_none());
        assert!(!Notifier::new(&sdk, &MAIL.parse().unwrap()).with_chat(&sdk, None).has_chat());
    }

    #[test]
    fn a_subject_is_printable_ascii_and_short() {
        assert_eq!(subject_line(" güne\nx "), "g?ne?x");
        assert_eq!(subject_line(&"a".repeat(200)).len(), 99);
    }

    #[test]
    fn a_message_that_is_too_long_says_that_it_was_cut() {
        let limit = CUT.len() + 2;
        assert_eq!(fitting("aä", 3), "aä");
        let long = format!("aä{}", "x".repeat(limit));
        assert_eq!(fitting(&long, limit), format!("a{CUT}"), "not within a character");
        assert_eq!(fitting(&long, limit + 1), format!("aä{CUT}"));
        for limit in [limit, limit + 1, MAX_MESSAGE_LENGTH] {
            assert!(fitting(&"ä".repeat(MAX_MESSAGE_LENGTH), limit).len() <= limit);
        }
    }
}
