//! Notifications for people: of each change and each failure, once.

use std::cell::RefCell;

use gatehouse_shared::console;
use gatehouse_shared::failure::chain;
use gatehouse_shared::notify::{Notification, Notifier};
use lambda_runtime::Context;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::failure::{Failure, FailureKind};
use crate::report::UpdateReport;

/// How many notifications wait for a topic that cannot be reached.
const MAX_WAITING: usize = 10;

/// Publishes to the topics of `NOTIFY_TOPIC_ARN` and `CHAT_TOPIC_ARN`, if there are any.
///
/// It remembers what this process published, and what it could not: Lambda gives an asynchronous event that failed to
/// the function twice more, under the same request id and as a rule in the same process. A failure that lasts is then
/// published once for the event, and a summary that could not be published is published by a later run.
pub(crate) struct Notifications {
    notifier: Option<Notifier>,
    memory: RefCell<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The last request, and the failures that were published for it.
    published: Option<(String, Vec<String>)>,
    /// What could not be published.
    waiting: Vec<Notification>,
}

impl Notifications {
    /// Nothing was published yet.
    #[must_use]
    pub(crate) fn new(notifier: Option<Notifier>) -> Self {
        Self { notifier, memory: RefCell::default() }
    }

    /// Publishes what a run changed, and what it could not do. That it could not be published is a failure too.
    pub(crate) async fn of_report(&self, report: &UpdateReport, context: &Context, stop: Instant) -> Option<Failure> {
        let request_id = &context.request_id;
        let failures = report.failure_texts();
        let is_news = report.has_changes() || !(failures.is_empty() || self.is_published(request_id, &failures));
        let message = (is_news && !report.dry_run).then(|| {
            let totals = report.totals();
            let mut subject = format!("{} added, {} removed", totals.added, totals.removed);
            if !failures.is_empty() {
                subject = format!("FAILED in part: {subject}, {} not done", failures.len());
            }
            // What one document led to is one thread.
            notification(&subject, report.to_string(), context).in_thread(&format!("ip-ranges/{}", report.sync_token))
        });
        self.publish(message, request_id, failures, stop).await
    }

    /// Publishes why a run could not begin.
    pub(crate) async fn of_error(&self, error: &str, context: &Context, stop: Instant) -> Option<Failure> {
        let request_id = &context.request_id;
        let failures = vec![error.to_owned()];
        let is_news = !self.is_published(request_id, &failures);
        let message = is_news
            .then(|| notification("FAILED, nothing was changed", error.to_owned(), context).in_thread(request_id));
        self.publish(message, request_id, failures, stop).await
    }

    fn is_published(&self, request_id: &str, failures: &[String]) -> bool {
        let memory = self.memory.borrow();
        memory.published.as_ref().is_some_and(|(request, texts)| request == request_id && texts == failures)
    }

    async fn publish(
        &self,
        message: Option<Notification>,
        request_id: &str,
        failures: Vec<String>,
        stop: Instant,
    ) -> Option<Failure> {
        let notifier = self.notifier.as_ref()?;
        let mut waiting = {
            let mut memory = self.memory.borrow_mut();
            if message.is_some() {
                memory.published = Some((request_id.to_owned(), failures));
            }
            std::mem::take(&mut memory.waiting)
        };
        waiting.extend(message);
        let mut failure = None;
        while let Some(notification) = waiting.first() {
            let reason = match timeout_at(stop, notifier.publish(notification, stop)).await {
                Ok(Ok(())) => {
                    debug!(subject = notification.subject, "published");
                    waiting.remove(0);
                    continue;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "Lambda's deadline is near".to_owned(),
            };
            let what =
                "publishing to NOTIFY_TOPIC_ARN; the report is in the log, and a later run tries again".to_owned();
            failure = Some(Failure { kind: FailureKind::Partial, what, reason });
            break;
        }
        waiting.truncate(MAX_WAITING);
        self.memory.borrow_mut().waiting = waiting;
        failure
    }
}

fn notification(what: &str, text: String, context: &Context) -> Notification {
    let log = console::own_log(context);
    Notification::new(format!("Gatehouse ip-ranges: {what}"), text).with_link("Open the log, which has the report", log)
}
