//! Messages for chat.

use serde_json::Value;

/// A message for the topic of chat, checked: the documented form of Amazon Q Developer in chat applications, with lengths that
/// Slack shows.
///
/// # Errors
///
/// What is not as documented.
pub fn chat_message(text: &str) -> Result<Value, String> {
    let message: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let known = [
        ("", &["version", "source", "id", "content", "metadata"][..]),
        ("/content", &["textType", "title", "description", "nextSteps", "keywords"]),
        ("/metadata", &["threadId", "summary", "eventType", "relatedResources", "additionalContext"]),
    ];
    for (place, names) in known {
        let fields =
            message.pointer(place).and_then(Value::as_object).ok_or_else(|| format!("{place} is no object"))?;
        if let Some(name) = fields.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("{place}/{name} is not known"));
        }
    }
    for (place, value) in [("/version", "1.0"), ("/source", "custom"), ("/content/textType", "client-markdown")] {
        if message.pointer(place) != Some(&value.into()) {
            return Err(format!("{place} is not {value}"));
        }
    }
    let texts = [
        ("/id", 300, true),
        ("/content/title", 150, false),
        ("/content/description", 3_000, true),
        ("/metadata/threadId", 200, false),
        ("/metadata/summary", 150, false),
        ("/metadata/eventType", 150, false),
    ];
    for (place, most, is_required) in texts {
        match message.pointer(place) {
            None if !is_required => {}
            Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => {
                // Ids are not shown.
                if !place.to_ascii_lowercase().ends_with("id") {
                    check_marks(place, text)?;
                }
            }
            other => return Err(format!("{place} is {other:?}: expected 1 to {most} characters")),
        }
    }
    for (place, items) in [("/content/nextSteps", 5), ("/content/keywords", 5), ("/metadata/relatedResources", 10)] {
        let Some(list) = message.pointer(place) else { continue };
        let list = list.as_array().filter(|list| (1..=items).contains(&list.len())).ok_or(place)?;
        for item in list {
            let text = item.as_str().filter(|text| text.chars().count() <= 500).ok_or(place)?;
            let link = text.strip_prefix("<https://").and_then(|link| link.strip_suffix('>'));
            match link.filter(|_| place == "/content/nextSteps").map(|link| link.split('|').collect::<Vec<_>>()) {
                Some(parts) if parts.len() == 2 => check_marks(place, parts[1])?,
                Some(_) => return Err(format!("{place}: {text} is no link")),
                None => check_marks(place, text)?,
            }
        }
    }
    if let Some(context) = message.pointer("/metadata/additionalContext") {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| text.chars().count() <= 500);
        if !context.as_object().is_some_and(|context| context.len() <= 10 && context.values().all(is_text)) {
            return Err("/metadata/additionalContext is no object of texts".to_owned());
        }
    }
    Ok(message)
}

/// No link and no mention, and blocks that are closed.
fn check_marks(place: &str, text: &str) -> Result<(), String> {
    let is_mention = |(at, _): (usize, &str)| {
        !text[..at].ends_with('[')
            && !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || "._+-".contains(before))
    };
    let lower = text.to_ascii_lowercase();
    let block = text.strip_prefix("```\n").and_then(|text| text.strip_suffix("\n```")).unwrap_or(text);
    if text.contains(['<', '>']) || lower.contains("http://") || lower.contains("https://") || block.contains('`') {
        return Err(format!("{place} has a link, or a mark of one: {text}"));
    }
    if text.match_indices('@').any(is_mention) {
        return Err(format!("{place} mentions somebody: {text}"));
    }
    Ok(())
}
