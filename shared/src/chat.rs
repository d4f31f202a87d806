//! What chat shows of a notification: the custom notification of Amazon Q Developer in chat applications.
//!
//! The service drops the text of a mail in silence, as it does whatever has no form that it knows. So the twin of a mail in
//! chat has this one:
//!
//! ```json
//! {"version": "1.0", "source": "custom", "id": "8bdcdf4b/5a1f…",
//!  "content": {"textType": "client-markdown", "title": "…", "description": "…", "nextSteps": ["<https://…|Open …>"],
//!              "keywords": ["Gatehouse", "pipelines"]},
//!  "metadata": {"threadId": "8bdcdf4b", "summary": "…", "eventType": "gatehouse-pipelines", "relatedResources": ["arn:…"],
//!               "additionalContext": {"pipeline": "web"}}}
//! ```
//!
//! Source: Amazon Q Developer in chat applications Administrator Guide, "Custom notifications". The lengths are those of
//! Slack's blocks, which are the shortest: 3,000 characters of text, 150 of a header (Slack API, "Block Kit reference").

use serde_json::{Map, Value, json};

use crate::env::Reader;
use crate::harmless::harmless;
use crate::notify::Notification;
use crate::sns::TopicArn;
use crate::text::{one_line, shorten, visible};

/// Characters of a title and a summary.
pub const MAX_TITLE: usize = 150;
/// Characters of a description, with what is written for `<`, `>` and `&`.
pub const MAX_DESCRIPTION: usize = 2_900;
/// Next steps; links beyond are left out.
pub const MAX_STEPS: usize = 5;
/// Characters of a next step.
pub const MAX_STEP: usize = 500;
/// Characters of a thread's id. Of a longer one the end counts, where ids differ.
pub const MAX_THREAD_ID: usize = 200;
/// Related resources, and entries of the additional context.
pub const MAX_RELATED: usize = 10;

/// What is at the end of a description that was cut.
const CUT: &str = "\n(cut; the mail or the log has the rest)";

/// The topic that chat listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTopic {
    pub(crate) arn: TopicArn,
    /// Whose failures are counted.
    pub(crate) function_name: String,
}

impl ChatTopic {
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications, of any Region and account; `None` where it
    /// is unset.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let arn: TopicArn = env.parsed("CHAT_TOPIC_ARN")?;
        if arn.is_fifo() {
            env.fault("CHAT_TOPIC_ARN", arn.as_str(), "expected a standard topic: chat reads no other");
        }
        Some(Self { arn, function_name: env.text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default() })
    }
}

/// What a notification has for chat, besides the subject and the text of the mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ForChat {
    pub(crate) text: Option<String>,
    pub(crate) thread_id: Option<String>,
    pub(crate) steps: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) context: Vec<(&'static str, String)>,
}

/// `<https://…|Label>`; `None` for what is no address of a page, or would end the link early.
pub(crate) fn link(label: &str, url: &str) -> Option<String> {
    let is_of_url = |c: char| c.is_ascii_graphic() && !r#"<>|"`\^{}"#.contains(c);
    let link = format!("<{url}|{label}>");
    let fits = url.starts_with("https://") && url.chars().all(is_of_url) && link.chars().count() <= MAX_STEP;
    fits.then_some(link)
}

/// The message for the topic of chat.
pub(crate) fn message(notification: &Notification) -> String {
    let Notification { subject, text, chat, .. } = notification;
    let title = shorten(&inert(&one_line(subject)), MAX_TITLE);
    let description = described(chat.text.as_ref().unwrap_or(text));
    let thread_id = chat.thread_id.as_deref().map(|id| last(&one_line(id), MAX_THREAD_ID));
    // "Gatehouse pipelines: a stage waits": the suite and the capability.
    let capability = title.strip_prefix("Gatehouse ").and_then(|rest| rest.split_once(": ")).map(|(name, _)| name);
    let keywords: Vec<&str> = capability.iter().flat_map(|name| ["Gatehouse", name]).collect();
    let steps = chat.steps.iter().take(MAX_STEPS);
    let related = chat.resources.iter().take(MAX_RELATED).map(|it| shorten(&inert(&one_line(it)), MAX_STEP));
    let context: Map<String, Value> = chat
        .context
        .iter()
        .take(MAX_RELATED)
        .map(|(name, value)| ((*name).to_owned(), shorten(&one_line(value), MAX_STEP).into()))
        .collect();
    let id = format!("{}/{:016x}", thread_id.as_deref().unwrap_or("gatehouse"), digest(&[&title, &description]));
    let mut message = json!({
        "version": "1.0",
        "source": "custom",
        "id": id,
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": description,
            "nextSteps": steps.collect::<Vec<_>>(),
            "keywords": keywords,
        },
        "metadata": {
            "threadId": thread_id,
            "summary": title,
            "eventType": keywords.join("-").to_ascii_lowercase(),
            "relatedResources": related.collect::<Vec<_>>(),
            "additionalContext": context,
        },
    });
    for part in ["content", "metadata"] {
        if let Some(fields) = message[part].as_object_mut() {
            fields.retain(|_, value| {
                !matches!(value, Value::Null) && *value != json!([]) && *value != json!({}) && *value != ""
            });
        }
    }
    message.to_string()
}

/// The text as a block that chat shows as it is, cut where it is too long. A block has no formatting, emoji or mention, and
/// keeps commands and columns as the mail has them.
fn described(text: &str) -> String {
    const FENCE: &str = "```";
    let room = MAX_DESCRIPTION - 2 * (FENCE.len() + 1);
    let lines: Vec<String> = text.trim().lines().map(|line| inert(&visible(line))).collect();
    let mut shown = lines.join("\n");
    if shown.chars().count() > room {
        shown = shown.chars().take(room - CUT.len()).collect();
        // Not within `&lt;`.
        if let Some(at) = shown.rfind('&').filter(|at| !shown[*at..].contains(';')) {
            shown.truncate(at);
        }
        shown.push_str(CUT);
    }
    format!("{FENCE}\n{shown}\n{FENCE}")
}

/// The text without links, mentions and the marks of both: `<!channel>`, `@here`, `https://…`, `[label](…)`, backticks.
///
/// Source: Slack API, "Formatting text for app surfaces": `&`, `<` and `>` are written as entities. The service makes
/// mentions of `@name`.
fn inert(text: &str) -> String {
    let text = harmless(text);
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '`' => written.push('\''),
            '(' if written.ends_with(']') => written.push_str(" ("),
            '@' if !written.ends_with(|before: char| before.is_ascii_alphanumeric() || "._+-".contains(before)) => {
                written.push_str("[@]");
            }
            c => written.push(c),
        }
    }
    written
}

fn last(text: &str, most: usize) -> String {
    text.chars().skip(text.chars().count().saturating_sub(most)).collect()
}

/// FNV-1a, so that a message that is published twice has one id.
fn digest(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::env::Env;
    use gatehouse_testkit::chat_message;

    const TOPIC: &str = "arn:aws:sns:us-east-1:444455556666:chat";

    #[test]
    fn the_topic_may_be_of_any_region_and_account_and_is_no_fifo_topic() {
        let table = [("CHAT_TOPIC_ARN", TOPIC), ("AWS_LAMBDA_FUNCTION_NAME", "gate")];
        let topic = Env::of_table(&table).read(|env| Some(ChatTopic::from_env(env))).unwrap().unwrap();
        assert_eq!((topic.arn.as_str(), topic.function_name.as_str()), (TOPIC, "gate"));
        assert_eq!(Env::of_table(&[]).read(|env| Some(ChatTopic::from_env(env))), Ok(None));
        for wrong in ["chat", "arn:aws:sns:us-east-1:444455556666:chat.fifo"] {
            let error =
                Env::of_table(&[("CHAT_TOPIC_ARN", wrong)]).read(|env| Some(ChatTopic::from_env(env))).unwrap_err();
            assert!(error.to_string().contains("CHAT_TOPIC_ARN"), "{error}");
        }
    }

    #[test]
    fn a_notification_is_the_documented_form() {
        let notification = Notification::new("Gatehouse pipelines: a stage waits", "It waits.\n")
            .in_thread("8bdcdf4b")
            .with_link(
                "Open the execution",
                Some("https://eu-west-1.console.aws.amazon.com/x?region=eu-west-1".to_owned()),
            )
            .with_link("Not known here", None)
            .about("arn:aws:codepipeline:eu-west-1:111122223333:web")
            .with_context("pipeline", "web");
        let message: Value = serde_json::from_str(&message(&notification)).unwrap();
        let id = message["id"].as_str().unwrap();
        assert_eq!(
            message,
            json!({
                "version": "1.0",
                "source": "custom",
                "id": id,
                "content": {
                    "textType": "client-markdown",
                    "title": "Gatehouse pipelines: a stage waits",
                    "description": "```\nIt waits.\n```",
                    "nextSteps": ["<https://eu-west-1.console.aws.amazon.com/x?region=eu-west-1|Open the execution>"],
                    "keywords": ["Gatehouse", "pipelines"],
                },
                "metadata": {
                    "threadId": "8bdcdf4b",
                    "summary": "Gatehouse pipelines: a stage waits",
                    "eventType": "gatehouse-pipelines",
                    "relatedResources": ["arn:aws:codepipeline:eu-west-1:111122223333:web"],
                    "additionalContext": { "pipeline": "web" },
                },
            })
        );
        assert!(id.starts_with("8bdcdf4b/"), "{id}");
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let message: Value = serde_json::from_str(&message(&Notification::new("hello", "there"))).unwrap();
        let content = json!({ "textType": "client-markdown", "title": "hello", "description": "```\nthere\n```" });
        assert_eq!(message["content"], content);
        assert_eq!(message["metadata"], json!({ "summary": "hello" }));
    }

    #[test]
    fn links_and_mentions_that_others_wrote_are_none() {
        let cases = [
            (
                "<!channel> <@U012> <https://evil.com|all is well>",
                "&lt;!channel&gt; &lt;[@]U012&gt; &lt;hxxps://evil[.]com|all is well&gt;",
            ),
            ("@here (@oncall) ana@corp.com", "[@]here ([@]oncall) ana@corp.com"),
            ("[ok](//evil.test/x) ```code```", "[ok] (//evil.test/x) '''code'''"),
            ("R&D", "R&amp;D"),
        ];
        for (given, expected) in cases {
            assert_eq!(inert(given), expected);
        }
        assert_eq!(described("a\u{202e}b\n\tc\n"), "```\na\\u{202e}b\n\\tc\n```");
    }

    #[test]
    fn a_link_is_of_a_page_and_is_not_ended_by_its_address() {
        assert_eq!(link("Open", "https://a.example/x?y#z").as_deref(), Some("<https://a.example/x?y#z|Open>"));
        for url in
            ["http://a.example", "https://a.example/x|y", "https://a.example/>", "https://a.example/ x", "javascript:x"]
        {
            assert_eq!(link("Open", url), None, "{url}");
        }
        assert_eq!(link("Open", &format!("https://a.example/{}", "x".repeat(MAX_STEP))), None);
    }

    #[test]
    fn a_long_text_is_cut_says_so_and_is_still_a_block() {
        let description = described(&"<".repeat(5_000));
        assert!(description.chars().count() <= MAX_DESCRIPTION);
        assert!(
            description.starts_with("```\n&lt;")
                && description.ends_with("&lt;\n(cut; the mail or the log has the rest)\n```")
        );
        let thread = format!("arn/{}/7", "x".repeat(300));
        let message = message(&Notification::new("s", "t").in_thread(&thread));
        assert!(
            serde_json::from_str::<Value>(&message).unwrap()["metadata"]["threadId"].as_str().unwrap().ends_with("x/7")
        );
    }

    proptest! {
        #[test]
        fn whatever_the_texts_are_the_form_is_kept(
            subject in "\\PC{0,300}",
            // A long text is slow to make up.
            text in "(.|\n){0,60}",
            times in 0..80_usize,
            thread in "\\PC{0,300}",
            url in proptest::option::of("https://[!-~]{0,60}"),
            resource in ".{0,60}",
        ) {
            let notification = Notification::new(&subject, text.repeat(times))
                .in_thread(&thread)
                .with_link("Open", url)
                .about(&resource)
                .with_context("name", &resource);
            let message = chat_message(&message(&notification));
            prop_assert!(message.is_ok(), "{:?}", message);
        }
    }
}
