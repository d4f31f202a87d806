//! Documents inside a text: `INFO {"ssn": {"value": …}}`, a document that is cut off, one in a decoded link.
//!
//! They are read without asking whether they are right: the keys that lead to a value are words near it, however far away
//! they are written. One pass, in linear time.

use std::ops::Range;

/// Containers inside one another that are followed. Deeper ones have the keys of these.
const MAX_DEPTH: usize = 64;
/// What writers in Python and JavaScript put where JSON has a number or a small word.
const LITERALS: [&[u8]; 5] = [b"NaN", b"Infinity", b"True", b"False", b"None"];

/// A value in a document, and the keys that lead to it.
pub(crate) struct Value<M> {
    /// Of a text, without its quotation marks.
    pub(crate) range: Range<usize>,
    /// What the keys are worth.
    pub(crate) path: M,
    /// The last key.
    pub(crate) name: Range<usize>,
}

struct Container<M> {
    path: M,
    key: M,
    /// The key that leads here.
    outer: Range<usize>,
    name: Range<usize>,
}

/// The values of the documents in a text that keys of some worth lead to. A key is worth what it is together with the
/// key above it, which comes first, and is empty where there is none.
pub(crate) fn values<M>(text: &str, worth: impl Fn(&str, &str) -> M) -> Vec<Value<M>>
where
    M: Copy + Default + PartialEq + std::ops::BitOr<Output = M>,
{
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let Some(mut index) = memchr::memchr(b'{', bytes) else { return found };
    let mut open: Vec<Container<M>> = Vec::new();
    let mut too_deep = 0_usize;
    while index < bytes.len() {
        let start = index;
        index += 1;
        match bytes[start] {
            b'{' | b'[' if open.len() >= MAX_DEPTH => too_deep += 1,
            b'{' | b'[' => {
                let (path, name) =
                    open.last().map_or((M::default(), 0..0), |outer| (outer.path | outer.key, outer.name.clone()));
                // In an array, values have the key of the array.
                open.push(Container { path, key: M::default(), outer: name.clone(), name });
            }
            b'}' | b']' if too_deep > 0 => too_deep -= 1,
            b'}' | b']' => {
                open.pop();
            }
            b'"' if !open.is_empty() => {
                let closed = quotation_mark(bytes, index);
                // A document in a text of another one, without the backslashes that it had there.
                if let Some(mark) = closed.filter(|mark| is_document_in_a_text(bytes, index, *mark)) {
                    index = mark - 1;
                    continue;
                }
                let inside = index..closed.unwrap_or(bytes.len());
                let end = closed.map_or(bytes.len(), |mark| mark + 1);
                index = end;
                let gap = bytes[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let Some(container) = open.last_mut() else { continue };
                if bytes.get(end + gap) == Some(&b':') {
                    container.key = worth(&text[container.outer.clone()], &text[inside.clone()]);
                    container.name = inside;
                } else if container.path | container.key != M::default() {
                    found.push(Value {
                        range: inside,
                        path: container.path | container.key,
                        name: container.name.clone(),
                    });
                }
            }
            b'-' | b'0'..=b'9' if !open.is_empty() => {
                let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                index = start + bytes[start..].iter().take_while(|byte| number(byte)).count();
                let Some(container) = open.last() else { continue };
                if container.path | container.key != M::default() {
                    let path = container.path | container.key;
                    found.push(Value { range: start..index, path, name: container.name.clone() });
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' | b'a'..=b'z' => {}
            _ => match LITERALS.iter().find(|literal| bytes[start..].starts_with(literal)) {
                Some(literal) => index = start + literal.len(),
                // This is no document.
                None => {
                    open.clear();
                    too_deep = 0;
                }
            },
        }
        if open.is_empty() {
            match memchr::memchr(b'{', &bytes[index..]) {
                Some(next) => index += next,
                None => break,
            }
        }
    }
    found
}

/// Whether the text that begins at `start` ends with `{"name`, which no text of a right document does.
fn is_document_in_a_text(bytes: &[u8], start: usize, mark: usize) -> bool {
    mark > start && bytes[mark - 1] == b'{' && bytes.get(mark + 1).is_some_and(u8::is_ascii_alphanumeric)
}

/// Where the quotation mark is that ends the string which begins here.
fn quotation_mark(bytes: &[u8], start: usize) -> Option<usize> {
    let mut index = start;
    loop {
        index += memchr::memchr2(b'"', b'\\', bytes.get(index..)?)?;
        if bytes[index] == b'"' {
            return Some(index);
        }
        index += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_that_lead_to_a_value_count() {
        let worth = |outer: &str, key: &str| {
            u8::from(key == "a") | u8::from(key == "b") << 1 | u8::from(outer == "d" && key == "e") << 2
        };
        for (text, expected) in [
            (r#"x {"a": "1"} "2""#, vec![("1", 1)]),
            (r#"{"a": {"c": {"b": [1, {"d": "2"}]}}, "c": "3"}"#, vec![("1", 3), ("2", 3)]),
            (r#"{"a": {"c": "1", "#, vec![("1", 1)]),
            (r#"{"a": "1\"2", "c": 3} {"b": -4.5e3}"#, vec![("1\\\"2", 1), ("-4.5e3", 2)]),
            (r#"{"a": "cut"#, vec![("cut", 1)]),
            (r#"{"a": !"1"}"#, vec![]),
            (r#"{"d": {"e": "1", "x": [{"e": "2"}]}, "e": "3"}"#, vec![("1", 4)]),
            (r#"{"d": [[{"e": "1"}]]}"#, vec![("1", 4)]),
            (r#"{"x": NaN, "y": -Infinity, "z": [true, False, None], "a": "1"}"#, vec![("1", 1)]),
            (r#"{"é": {"a": "é"#, vec![("é", 1)]),
            (r#"{"m": "x {"a": {"c": "1"}} done"}"#, vec![("1", 1)]),
            ("no document", vec![]),
            ("{", vec![]),
            ("{\"", vec![]),
            ("{\"a\":\"\\", vec![("\\", 1)]),
        ] {
            let found = values(text, worth);
            let seen: Vec<_> = found.iter().map(|value| (&text[value.range.clone()], value.path)).collect();
            assert_eq!(seen, expected, "{text}");
        }
    }
}
