//! Names that others chose, fit for a mail or a page.

use gatehouse_shared::text::{one_line, shorten};

pub use gatehouse_shared::text::visible;

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
    for c in one_line(text).chars() {
        if c == '{' && line.ends_with('{') {
            line.push(' ');
        }
        line.push(c);
    }
    shorten(&line, most)
}

/// The items, joined by commas, in at most `most` characters; how many are left out is at the end.
///
/// ```
/// use ami_approval::text::list;
///
/// assert_eq!(list(["one", "two"], 99), "one, two");
/// assert_eq!(list(["one", "two", "three", "four"], 16), "one, and 3 more");
/// ```
#[must_use]
pub fn list<'a>(items: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    let all = items.join(", ");
    if all.chars().count() <= most {
        return all;
    }
    let with = |shown: usize| {
        let start: String = items[..shown].iter().map(|item| format!("{item}, ")).collect();
        format!("{start}and {} more", items.len() - shown)
    };
    let fits = (0..items.len()).rev().map(with).find(|text| text.chars().count() <= most);
    fits.unwrap_or_else(|| shorten(&all, most))
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
