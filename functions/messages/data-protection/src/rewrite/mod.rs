//! What is delivered: message, subject, attributes. And what the rules make of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use serde::de::IgnoredAny;

use crate::decode::{escaped, integer_of};
use crate::engine::{Change, Context, Engine, Match};
use crate::path::Path;
use crate::words::{Mask, tail};

/// Different findings that are listed of each operation; the rest is counted.
const MAX_FINDINGS: usize = 50;
/// The byte order mark that some writers put before their JSON.
const MARK: char = '\u{FEFF}';
/// How many JSON documents may be inside one another as text.
const DEEPEST_DOCUMENT: usize = 4;

/// What a subscriber receives.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The message: JSON or any other text.
    pub message: String,
    /// The subject, where there is one.
    pub subject: Option<String>,
    /// The message attributes.
    pub attributes: Vec<Attribute>,
}

impl Content {
    /// A message without subject and attributes.
    #[must_use]
    pub fn message(text: impl Into<String>) -> Self {
        Self { message: text.into(), subject: None, attributes: Vec::new() }
    }
}

/// A message attribute.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// `String`, `String.Array`, `Number` or `Binary`.
    pub data_type: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of a message attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of every type but `Binary`.
    Text(String),
    /// Of the type `Binary`.
    Binary(Vec<u8>),
}

/// Hides the content.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {} attributes)", self.message.len(), self.attributes.len())
    }
}

/// Hides the content.
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({})", self.data_type)
    }
}

/// Hides the content.
impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttributeValue(…)")
    }
}

/// What was found somewhere: never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: `$.card` in a JSON message, `message` in any other, `subject`, `attributes.<name>`.
    pub path: String,
    /// The name of the data identifier.
    pub identifier: String,
    /// What is done.
    pub operation: Done,
    /// How many.
    pub count: usize,
    /// Where the first of them is in the text at that path, in bytes of what the text says.
    #[serde(skip)]
    pub range: Range<usize>,
}

/// What is done with a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Done {
    /// It is counted.
    Audit,
    /// For it, nothing is delivered.
    Deny,
    /// It is masked.
    Mask,
    /// It is removed.
    Redact,
}

/// What the statements of a policy make of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What is done.
    pub decision: Decision,
    /// What was found; of a denied message, what denied it and what was counted.
    pub findings: Vec<Finding>,
    /// How many more were found and are not listed.
    pub more_findings: usize,
    /// How many of each identifier were counted for Audit.
    pub audited: Vec<(String, usize)>,
    /// How many attributes were dropped because nothing is left of them.
    pub attributes_dropped: usize,
}

/// What is done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is delivered, with this content.
    Deliver(Content),
    /// It is not delivered, because of a statement with Deny.
    Denied,
    /// It is not delivered, because nothing is left of it.
    NothingLeft,
}

/// Applies the statements.
pub(crate) fn apply(engine: &Engine, content: &Content) -> Outcome {
    let mut rewriter = Rewriter::new(engine);
    let message = rewriter.document(&content.message, Context::default(), Path::root_of_message(), 0);
    let subject = content.subject.as_ref().map(|subject| {
        let changed = rewriter.text(subject, Context::default(), &Path::named("subject"));
        changed.map_or_else(|| subject.clone(), |changed| changed.trim().to_owned())
    });
    let attributes: Vec<_> = content.attributes.iter().filter_map(|attribute| rewriter.attribute(attribute)).collect();
    let attributes_dropped = content.attributes.len() - attributes.len();
    let message = message.unwrap_or_else(|| content.message.clone());
    let subject = subject.filter(|subject| !subject.is_empty());
    let audited = rewriter.audited();
    let Rewriter { mut findings, unlisted, denied, changed, .. } = rewriter;
    let mut more_findings = unlisted.values().sum();
    let decision = if denied {
        // What would have been masked says nothing of a message that is not delivered.
        let is_listed = |operation: &Done| matches!(operation, Done::Deny | Done::Audit);
        findings.retain(|finding| is_listed(&finding.operation));
        more_findings = unlisted.iter().filter(|(operation, _)| is_listed(operation)).map(|(_, count)| count).sum();
        Decision::Denied
    } else if changed && matches!(message.trim_start_matches(MARK).trim(), "" | "\"\"") {
        Decision::NothingLeft
    } else {
        Decision::Deliver(Content { message, subject, attributes })
    };
    let attributes_dropped = if matches!(decision, Decision::Deliver(_)) { attributes_dropped } else { 0 };
    Outcome { decision, findings, more_findings, audited, attributes_dropped }
}

struct Rewriter<'r> {
    engine: &'r Engine,
    findings: Vec<Finding>,
    /// How many findings are listed, and how many are not: by operation, so that none crowds out another.
    listed: HashMap<Done, usize>,
    unlisted: HashMap<Done, usize>,
    counts: Vec<usize>,
    denied: bool,
    changed: bool,
}

impl<'r> Rewriter<'r> {
    fn new(engine: &'r Engine) -> Self {
        let counts = vec![0; engine.detectors().len()];
        let (listed, unlisted) = (HashMap::new(), HashMap::new());
        Self { engine, findings: Vec::new(), listed, unlisted, counts, denied: false, changed: false }
    }

    fn audited(&self) -> Vec<(String, usize)> {
        let detectors = self.engine.detectors().iter().zip(&self.counts);
        detectors
            .filter(|(detector, _)| detector.audit)
            .map(|(detector, count)| (detector.name().to_owned(), *count))
            .collect()
    }

    /// The matches in a text, noted with where they are.
    fn matches(&mut self, text: &str, context: Context<'_>, path: &Path) -> Vec<Match> {
        let matches = self.engine.find(text, context);
        if !matches.is_empty() {
            self.note(&matches, path);
        }
        matches
    }

    fn note(&mut self, matches: &[Match], path: &Path) {
        let path = path.to_string();
        let first = self.findings.len();
        for Match { detector: index, range } in matches {
            let detector = &self.engine.detectors()[*index];
            self.counts[*index] += 1;
            self.denied |= detector.deny;
            let change = detector.change.map(|change| match change {
                Change::Redact => Done::Redact,
                Change::Mask(..) => Done::Mask,
            });
            let done = [detector.audit.then_some(Done::Audit), detector.deny.then_some(Done::Deny), change];
            for operation in done.into_iter().flatten() {
                let mut here = self.findings[first..].iter_mut();
                let same = here.find(|it| it.operation == operation && it.identifier == detector.name());
                if let Some(finding) = same {
                    finding.count += 1;
                    continue;
                }
                let listed = self.listed.entry(operation).or_default();
                if *listed < MAX_FINDINGS {
                    *listed += 1;
                    let (path, identifier) = (path.clone(), detector.name().to_owned());
                    self.findings.push(Finding { path, identifier, operation, count: 1, range: range.clone() });
                } else {
                    *self.unlisted.entry(operation).or_default() += 1;
                }
            }
        }
    }

    /// The changed document; `None` where nothing changed. JSON stays JSON, also several documents one after the other;
    /// anything else is one text.
    ///
    /// A number alone is a text: whoever reads `4111…` reads no JSON, and AWS's own feature masks it without quotes.
    fn document(&mut self, text: &str, context: Context<'_>, root: Path, depth: usize) -> Option<String> {
        let (mark, text) = without_mark(text);
        let changed = if is_document(text, true) {
            self.json(text, context, root.into_json(), depth)
        } else if is_number(text) {
            self.number(text, context, &root)
        } else if let Some(documents) = documents(text) {
            self.documents(text, &documents, context, &root, depth)
        } else {
            self.text(text, context, &root)
        };
        changed.map(|changed| format!("{mark}{changed}"))
    }

    /// Documents one after the other, as in JSON lines.
    fn documents(
        &mut self,
        text: &str,
        documents: &[Range<usize>],
        context: Context<'_>,
        root: &Path,
        depth: usize,
    ) -> Option<String> {
        let mut output = String::new();
        let mut copied = 0;
        for (index, range) in documents.iter().enumerate() {
            if let Some(changed) = self.json(&text[range.clone()], context, root.document(index), depth) {
                output.push_str(&text[copied..range.start]);
                output.push_str(&changed);
                copied = range.end;
            }
        }
        if copied == 0 {
            return None;
        }
        output.push_str(&text[copied..]);
        Some(output)
    }

    fn text(&mut self, text: &str, context: Context<'_>, path: &Path) -> Option<String> {
        let matches = self.matches(text, context, path);
        self.changed(text, &matches)
    }

    /// The text with its matches masked and redacted; `None` where nothing changed.
    fn changed(&mut self, text: &str, matches: &[Match]) -> Option<String> {
        let changes = self.engine.changes(matches);
        if changes.is_empty() {
            return None;
        }
        self.changed = true;
        let mut output = String::with_capacity(text.len());
        let mut copied = 0;
        for (range, change) in changes {
            output.push_str(&text[copied..range.start]);
            copied = range.end;
            put(&mut output, &text[range], change);
        }
        output.push_str(&text[copied..]);
        Some(output)
    }

    /// Walks through JSON that is known to be valid, and copies whatever does not change byte for byte.
    fn json(&mut self, text: &str, context: Context<'_>, mut path: Path, depth: usize) -> Option<String> {
        let bytes = text.as_bytes();
        let mut output = String::new();
        let mut copied = 0;
        let mut index = 0;
        let mut open: Vec<Container> = Vec::new();
        // Read where a value may have one.
        let mut labels: Option<Labels> = None;
        while index < bytes.len() {
            let start = index;
            index += 1;
            let replaced = match bytes[start] {
                bracket @ (b'{' | b'[') => {
                    let (words, outer) = match open.last() {
                        Some(outer) => (outer.value_context().path, Rc::clone(&outer.key)),
                        None => (context.path, Rc::from(tail(context.name))),
                    };
                    open.push(Container::new(start, bracket == b'{', words, outer));
                    path.push();
                    if bracket == b'[' {
                        path.set_index(0);
                    }
                    None
                }
                b'}' | b']' => {
                    open.pop();
                    path.pop();
                    None
                }
                b',' => {
                    if let Some(container) = open.last_mut() {
                        container.next += 1;
                        container.expects_key = container.is_object;
                        if !container.is_object {
                            path.set_index(container.next);
                        }
                    }
                    None
                }
                b'"' => {
                    index = string_end(bytes, index);
                    let raw = &text[start + 1..index - 1];
                    match open.last_mut() {
                        Some(container) if container.expects_key => {
                            let key = unescaped(raw).0;
                            let replaced = self.key(&key, &mut path, container);
                            container.set_key(self.engine, &key);
                            if is_one_of(&LABELLED, &key) {
                                let labels = labels.get_or_insert_with(|| Labels::new(self.engine, text));
                                container.key_path |= labels.of(container.start);
                            }
                            replaced
                        }
                        Some(container) => self.string(raw, container.value_context(), &path, depth),
                        None => self.string(raw, context, &path, depth),
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                    index = start + bytes[start..].iter().take_while(|byte| number(byte)).count();
                    let context = open.last().map_or(context, Container::value_context);
                    self.number(&text[start..index], context, &path).map(|changed| quoted(&changed))
                }
                _ => None,
            };
            if let Some(replaced) = replaced {
                output.push_str(&text[copied..start]);
                output.push_str(&replaced);
                copied = index;
            }
        }
        if copied == 0 {
            return None;
        }
        output.push_str(&text[copied..]);
        Some(output)
    }

    /// A key of an object, which the path shows where it holds nothing that was looked for. Two keys that become the same
    /// are told apart by a number.
    fn key(&mut self, key: &str, path: &mut Path, container: &mut Container) -> Option<String> {
        let context = Context { path: container.path, name: "" };
        let matches = self.engine.find(key, context);
        if matches.is_empty() {
            path.set_key(key, container.next);
            return None;
        }
        path.set_place(container.next);
        self.note(&matches, path);
        let changed = self.changed(key, &matches)?;
        let count = container.changed_keys.entry(changed.clone()).and_modify(|count| *count += 1).or_insert(1);
        let changed = if *count == 1 { changed } else { format!("{changed} ({count})") };
        Some(quoted(&changed))
    }

    /// A text in JSON, without its quotation marks.
    fn string(&mut self, raw: &str, context: Context<'_>, path: &Path, depth: usize) -> Option<String> {
        let (content, positions) = unescaped(raw);
        let (mark, document) = without_mark(&content);
        if depth < DEEPEST_DOCUMENT && is_document(document, false) {
            let changed = self.json(document, context, path.nested(), depth + 1);
            return changed.map(|changed| quoted(&format!("{mark}{changed}")));
        }
        let matches = self.matches(&content, context, path);
        let changes = self.engine.changes(&matches);
        if changes.is_empty() {
            return None;
        }
        self.changed = true;
        let position = |index: usize| positions.as_ref().map_or(index, |positions| positions[index]);
        let mut output = String::with_capacity(raw.len() + 2);
        output.push('"');
        let mut copied = 0;
        for (range, change) in changes {
            output.push_str(&raw[copied..position(range.start)]);
            copied = position(range.end);
            let change = if matches!(change, Change::Mask(_, '\\')) { None } else { Some(change) };
            match change {
                Some(change) => put(&mut output, &content[range], change),
                None => content[range].chars().for_each(|_| output.push_str("\\\\")),
            }
        }
        output.push_str(&raw[copied..]);
        output.push('"');
        Some(output)
    }

    /// A number, which is no number any more where a part of it changes.
    fn number(&mut self, number: &str, context: Context<'_>, path: &Path) -> Option<String> {
        let mut matches = self.matches(number, context, path);
        if matches.is_empty() {
            // 4.539894458086459E15 is how Java writes a card number that went through a double.
            let integer = integer_of(number)?;
            matches = self.matches(&integer, context, path);
            for found in &mut matches {
                found.range = 0..number.len();
            }
        }
        self.changed(number, &matches)
    }

    /// The attribute; `None` where nothing is left of it, or its name holds what may not be delivered.
    fn attribute(&mut self, attribute: &Attribute) -> Option<Attribute> {
        let in_name = self.engine.find(&attribute.name, Context::default());
        // A name that holds what was looked for is not shown.
        let path = Path::attribute(if in_name.is_empty() { &attribute.name } else { "" });
        if !in_name.is_empty() {
            self.note(&in_name, &path);
        }
        if !self.engine.changes(&in_name).is_empty() {
            return None;
        }
        let context = Context { path: self.engine.words_of(&attribute.name), name: &attribute.name };
        let mut data_type = attribute.data_type.clone();
        let value = match &attribute.value {
            AttributeValue::Text(text) => {
                let changed = self.document(text, context, path, 0);
                // What is masked is no number any more.
                if changed.is_some() && data_type.starts_with("Number") {
                    "String".clone_into(&mut data_type);
                }
                AttributeValue::Text(changed.unwrap_or_else(|| text.clone()))
            }
            AttributeValue::Binary(bytes) => AttributeValue::Binary(self.binary(bytes, context, path)),
        };
        let is_empty = match &value {
            AttributeValue::Text(text) => text.is_empty(),
            AttributeValue::Binary(bytes) => bytes.is_empty(),
        };
        (!is_empty).then(|| Attribute { name: attribute.name.clone(), data_type, value })
    }

    /// As UTF-16, where it may be that, and then as bytes: what begins like UTF-16 may be none.
    fn binary(&mut self, bytes: &[u8], context: Context<'_>, path: Path) -> Vec<u8> {
        match utf16(bytes) {
            Some((decode, encode)) => {
                let read = self.utf16(bytes, decode, encode, context, &path);
                self.bytes(&read, context, path)
            }
            None => self.bytes(bytes, context, path),
        }
    }

    /// UTF-8 as any text; other bytes one character each.
    fn bytes(&mut self, bytes: &[u8], context: Context<'_>, path: Path) -> Vec<u8> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return self.document(text, context, path, 0).map_or_else(|| bytes.to_vec(), String::into_bytes);
        }
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let Some(changed) = self.text(&text, context, &path) else { return bytes.to_vec() };
        changed.chars().filter_map(|character| u8::try_from(character).ok()).collect()
    }
}

impl Rewriter<'_> {
    /// Text in UTF-16. Half a character, or half a pair, parts it into several, and stays as it is.
    fn utf16(
        &mut self,
        bytes: &[u8],
        decode: DecodeUnit,
        encode: EncodeUnit,
        context: Context<'_>,
        path: &Path,
    ) -> Vec<u8> {
        let mut output = Vec::with_capacity(bytes.len());
        let mut text = String::new();
        let mut put = |text: &mut String, output: &mut Vec<u8>| {
            let changed = self.document(text, context, path.clone(), 0);
            output.extend(changed.as_deref().unwrap_or(text.as_str()).encode_utf16().flat_map(encode));
            text.clear();
        };
        let units = bytes.chunks_exact(2).map(|unit| decode([unit[0], unit[1]]));
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => text.push(character),
                Err(half) => {
                    put(&mut text, &mut output);
                    output.extend(encode(half.unpaired_surrogate()));
                }
            }
        }
        put(&mut text, &mut output);
        output.extend(bytes.chunks_exact(2).remainder());
        output
    }
}

/// How a unit of UTF-16 is read and written, in one order of its bytes.
type DecodeUnit = fn([u8; 2]) -> u16;
type EncodeUnit = fn(u16) -> [u8; 2];

/// How units are read and written, where the bytes are UTF-16: behind a byte order mark, or with zeros as every other byte
/// in half of it or more, as in all that a detector looks for.
fn utf16(bytes: &[u8]) -> Option<(DecodeUnit, EncodeUnit)> {
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (high, low) = (zeros(0), zeros(1));
    let most = bytes.len() / 4 + 1;
    let little = bytes.starts_with(b"\xff\xfe") || (low >= most && low > high);
    let big = bytes.starts_with(b"\xfe\xff") || (high >= most && high > low);
    match (little, big) {
        (true, false) => Some((u16::from_le_bytes, u16::to_le_bytes)),
        (false, true) => Some((u16::from_be_bytes, u16::to_be_bytes)),
        _ => None,
    }
}

/// An object or array that is open.
struct Container {
    start: usize,
    is_object: bool,
    expects_key: bool,
    next: usize,
    /// The identifiers with a keyword in the keys that lead here.
    path: Mask,
    /// The end of the key of the value that comes next; for an array, that of the array.
    key: Rc<str>,
    /// The identifiers with a keyword in it, or in a text that says what its value is.
    key_path: Mask,
    /// The end of the key that leads here.
    outer: Rc<str>,
    changed_keys: HashMap<String, usize>,
}

/// Keys whose value says what the value beside it is.
const LABELS: [&str; 6] = ["name", "key", "field", "label", "attribute", "type"];
/// Keys of such a value.
const LABELLED: [&str; 5] = ["value", "values", "val", "content", "text"];
/// The longest text that is a label.
const MAX_LABEL: usize = 64;

impl Container {
    fn new(start: usize, is_object: bool, path: Mask, outer: Rc<str>) -> Self {
        Self {
            start,
            is_object,
            expects_key: is_object,
            next: 0,
            path,
            key: Rc::clone(&outer),
            key_path: 0,
            outer,
            changed_keys: HashMap::new(),
        }
    }

    /// What leads to the value that comes next.
    fn value_context(&self) -> Context<'_> {
        Context { path: self.path | self.key_path, name: &self.key }
    }

    fn set_key(&mut self, engine: &Engine, key: &str) {
        self.expects_key = false;
        self.key = Rc::from(tail(key));
        self.key_path = engine.words_of_key(&self.outer, key);
    }
}

/// What texts say of the values beside them, as in `{"name": "SSN", "value": …}`, in whatever order: where an object
/// begins, and the identifiers with a keyword in its labels.
struct Labels(Vec<(usize, Mask)>);

impl Labels {
    /// Those of a document that is known to be valid, in order. One pass: objects may be as deep as the document is long.
    fn new(engine: &Engine, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        // Where each open object begins, `None` for an array, and whether its last key is that of a label.
        let mut open: Vec<(Option<usize>, bool)> = Vec::new();
        let mut index = 0;
        while index < bytes.len() {
            let start = index;
            index += 1;
            match bytes[start] {
                b'{' => open.push((Some(start), false)),
                b'[' => open.push((None, false)),
                b'}' | b']' => {
                    open.pop();
                }
                b'"' => {
                    index = string_end(bytes, index);
                    let Some((Some(object), is_label)) = open.last_mut() else { continue };
                    let raw = &text[start + 1..index - 1];
                    if bytes[index..].trim_ascii_start().starts_with(b":") {
                        *is_label = is_one_of(&LABELS, &unescaped(raw).0);
                    } else if *is_label && raw.len() <= MAX_LABEL {
                        let words = engine.words_of(&unescaped(raw).0);
                        if words != 0 {
                            found.push((*object, words));
                        }
                    }
                }
                _ => {}
            }
        }
        found.sort_unstable_by_key(|(object, _)| *object);
        found.dedup_by(|next, kept| {
            kept.1 |= if next.0 == kept.0 { next.1 } else { 0 };
            next.0 == kept.0
        });
        Self(found)
    }

    /// What the labels of the object that begins here say.
    fn of(&self, object: usize) -> Mask {
        self.0.binary_search_by_key(&object, |(start, _)| *start).map_or(0, |index| self.0[index].1)
    }
}

fn is_one_of(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| key.eq_ignore_ascii_case(name))
}

fn put(output: &mut String, value: &str, change: Change) {
    if let Change::Mask(_, character) = change {
        output.extend(value.chars().map(|_| character));
    }
}

/// A byte order mark at the start, which is no part of the JSON behind it, and the rest.
fn without_mark(text: &str) -> (&str, &str) {
    text.split_at(if text.starts_with(MARK) { MARK.len_utf8() } else { 0 })
}

/// Whether the text is a JSON number and nothing else.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether the text is a JSON object or array, or a JSON string where those count.
fn is_document(text: &str, or_string: bool) -> bool {
    let begins = match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'{' | b'[') => true,
        Some(b'"') => or_string,
        _ => false,
    };
    begins && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Where several JSON documents are that stand one after the other, as in JSON lines.
fn documents(text: &str) -> Option<Vec<Range<usize>>> {
    if !text.trim_start().starts_with(['{', '[']) || !text.trim_end().ends_with(['}', ']']) {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut ranges = Vec::new();
    let mut start = 0;
    while let Some(document) = stream.next() {
        document.ok()?;
        let end = stream.byte_offset();
        if !text[start..end].trim_start().starts_with(['{', '[']) {
            return None;
        }
        ranges.push(start..end);
        start = end;
    }
    Some(ranges)
}

/// Where a string ends, behind its quotation mark. `start` is behind the first one.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut index = start;
    while let Some(offset) = memchr::memchr2(b'"', b'\\', &bytes[index..]) {
        index += offset;
        if bytes[index] == b'"' {
            return index + 1;
        }
        index += 2;
    }
    bytes.len()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a string of JSON says, and where each byte of that is written. `None` where nothing is escaped.
fn unescaped(raw: &str) -> (Cow<'_, str>, Option<Vec<usize>>) {
    if !raw.contains('\\') {
        return (Cow::Borrowed(raw), None);
    }
    let mut content = String::with_capacity(raw.len());
    let mut positions = Vec::with_capacity(raw.len() + 1);
    let mut index = 0;
    while index < raw.len() {
        let (character, length) = if raw.as_bytes()[index] == b'\\' {
            escaped(&raw[index..])
        } else {
            let character = raw[index..].chars().next().unwrap_or('\u{FFFD}');
            (character, character.len_utf8())
        };
        content.push(character);
        positions.resize(content.len(), index);
        index += length;
    }
    positions.push(raw.len());
    (Cow::Owned(content), Some(positions))
}
