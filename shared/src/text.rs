//! Names that others chose, fit for a mail or a page.

/// The text on one line: line breaks and other control characters become spaces; characters that change the direction
/// of writing or cannot be seen are left out.
///
/// ```
/// use gatehouse_shared::text::one_line;
///
/// assert_eq!(one_line("web\r\nBcc: all"), "web  Bcc: all");
/// assert_eq!(one_line(" image\u{202e}gpj"), "imagegpj");
/// ```
#[must_use]
pub fn one_line(text: &str) -> String {
    text.trim().chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text, cut to at most `most` characters; `…` marks the cut.
///
/// ```
/// use gatehouse_shared::text::shorten;
///
/// assert_eq!(shorten("abcdef", 4), "abc…");
/// assert_eq!(shorten("abcd", 4), "abcd");
/// ```
#[must_use]
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The start of a text in quotes, control characters escaped: what an untrusted caller sent, fit for an error or a log.
///
/// ```
/// use gatehouse_shared::text::quoted;
///
/// assert_eq!(quoted("a\nb"), r#""a\nb""#);
/// assert_eq!(quoted(&"a".repeat(121)), format!("\"{}\"…", "a".repeat(120)));
/// ```
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The text with control characters, and characters that change the direction of writing or cannot be seen, written out
/// as `\u{202e}`, so that a person sees them.
///
/// ```
/// use gatehouse_shared::text::visible;
///
/// assert_eq!(visible("image\u{202e}gpj\n"), "image\\u{202e}gpj\\n");
/// assert_eq!(visible("<b>é</b>"), "<b>é</b>");
/// ```
#[must_use]
pub fn visible(text: &str) -> String {
    let mut visible = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() => visible.extend(c.escape_default()),
            c if is_unseen(c) => visible.extend(c.escape_unicode()),
            c => visible.push(c),
        }
    }
    visible
}

/// Characters of the category Format that change the direction of writing or take no room, and separators of lines.
///
/// Source: Unicode Standard Annex 9, "Directional Formatting Characters"; Unicode Character Database, `Cf`.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_characters() {
        assert_eq!(shorten(&"ä".repeat(600), 512).chars().count(), 512);
        assert_eq!(shorten("ab", 0), "…");
    }
}
