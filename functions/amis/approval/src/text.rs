//! Names that others chose, fit for a mail or a page.

/// One line of at most `most` characters: line breaks and other control characters become spaces, characters that
/// change the direction of writing or cannot be seen are left out, and `{{` is broken up, which Systems Manager would
/// read as a reference to a parameter.
///
/// ```
/// use ami_approval::text::line;
///
/// assert_eq!(line("web\r\nBcc: all", 99), "web  Bcc: all");
/// assert_eq!(line("image\u{202e}gpj", 99), "imagegpj");
/// assert_eq!(line("{{ssm:key}}", 99), "{ {ssm:key}}");
/// assert_eq!(line("abcdef", 4), "abc…");
/// ```
#[must_use]
pub fn line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.trim().chars().filter(|c| !is_unseen(*c)) {
        if c == '{' && line.ends_with('{') {
            line.push(' ');
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    if line.chars().count() > most {
        line = line.chars().take(most.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

/// The text with control characters, and characters that change the direction of writing or cannot be seen, written out
/// as `\u{202e}`, so that a person sees them.
///
/// ```
/// use ami_approval::text::visible;
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
    fn a_line_is_cut_by_characters() {
        assert_eq!(line(&"ä".repeat(600), 512).chars().count(), 512);
        assert_eq!(line("abcd", 4), "abcd");
        assert_eq!(line("{{{", 9), "{ { {");
    }
}
