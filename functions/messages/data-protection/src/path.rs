//! Where a finding is, without anything that may itself be worth protecting.

use std::fmt;

/// Steps that are shown.
const MAX_STEPS: usize = 16;

/// A path such as `$.orders[2].card`. A key that is no plain name is shown by its place: `$.{3}`, the fourth key.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    root: String,
    /// Of a message, whose root is `$` where it is JSON.
    is_message: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Open,
    Key(String),
    Place(usize),
    Index(usize),
}

impl Path {
    pub(crate) fn root_of_message() -> Self {
        Self { root: "message".to_owned(), is_message: true, steps: Vec::new() }
    }

    pub(crate) fn named(root: &str) -> Self {
        Self { root: root.to_owned(), is_message: false, steps: Vec::new() }
    }

    pub(crate) fn attribute(name: &str) -> Self {
        let name = if is_plain(name) { name } else { "{…}" };
        Self::named(&format!("attributes.{name}"))
    }

    /// The root of what was found to be JSON.
    pub(crate) fn into_json(self) -> Self {
        let root = if self.is_message { "$".to_owned() } else { format!("{}:$", self.root) };
        Self { root, is_message: false, steps: Vec::new() }
    }

    /// The root of a document that is text in another one.
    pub(crate) fn nested(&self) -> Self {
        Self::named(&format!("{self}:$"))
    }

    /// The root of one of several documents.
    pub(crate) fn document(&self, index: usize) -> Self {
        Self::named(&format!("{}[{index}]:$", self.root))
    }

    pub(crate) fn push(&mut self) {
        self.steps.push(Step::Open);
    }

    pub(crate) fn pop(&mut self) {
        self.steps.pop();
    }

    pub(crate) fn set_index(&mut self, index: usize) {
        self.set(Step::Index(index));
    }

    pub(crate) fn set_key(&mut self, key: &str, place: usize) {
        self.set(if is_plain(key) { Step::Key(key.to_owned()) } else { Step::Place(place) });
    }

    /// A key that is not shown, by its place in the object.
    pub(crate) fn set_place(&mut self, place: usize) {
        self.set(Step::Place(place));
    }

    fn set(&mut self, step: Step) {
        if let Some(last) = self.steps.last_mut() {
            *last = step;
        }
    }
}

/// Whether a key is a name, and not itself a value: no address, no number.
fn is_plain(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    (1..=64).contains(&key.len())
        && key.bytes().all(allowed)
        && key.as_bytes()[0].is_ascii_alphabetic() | key.starts_with('_')
        && digits < 6
        && !(key.len() >= 32 && digits > 0)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for step in self.steps.iter().take(MAX_STEPS) {
            match step {
                Step::Open => {}
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Place(place) => write!(f, ".{{{place}}}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        if self.steps.len() > MAX_STEPS { f.write_str("…") } else { Ok(()) }
    }
}
