//! What a policy means for one subscriber: what is looked for, and what is done with it.
//!
//! AWS does not document everything. Where it does not, this is the rule:
//!
//! 1. Deny first: one finding of a statement with `Deny` anywhere, and nothing is delivered.
//! 2. Then all statements with `Deidentify`, on the original text. Findings that overlap are one finding. It is removed
//!    where one of them is to be redacted; else it is masked with the character of the statement that comes first.
//! 3. `Audit` counts what was found in the original text.

use std::ops::Range;

use regex::Regex;

use crate::decode::{Reading, may_be_encoded, readings};
use crate::embedded;
use crate::identifiers::{Find, FindFn, Forms, Managed, Text, VERSION, digit_runs, find_forms, marked_runs};
use crate::normalize::Folded;
use crate::policy::{Direction, Identifier, Operation, Policy};
use crate::principal::Principal;
use crate::rewrite::{Content, Outcome};
use crate::words::{Mask, Words, tail};

/// Words in the keys of a document that say a number is a version.
const VERSION_WORDS: [&str; 2] = ["version", "versions"];

/// How values are looked for, where the policy has no setting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether an identifier whose form says too little is found only with one of its keywords near it, as by AWS. Without,
    /// every value of its form is found.
    pub require_keywords: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { require_keywords: true }
    }
}

/// The statements of a policy that apply to one principal, ready to be applied to messages.
#[derive(Debug, Clone)]
pub struct Engine {
    detectors: Vec<Detector>,
    sample_rate: Option<u8>,
    options: Options,
    words: Words,
    forms: Forms,
    /// Those that are found by a function, with their place among the detectors.
    coded: Vec<(usize, Managed, FindFn)>,
    /// Those of the policy itself.
    custom: Vec<(usize, Regex)>,
    /// Of those with a function, those that are looked for only where one of their keywords is.
    with_keyword: Mask,
    /// Of those with a function, those whose values all have a digit.
    with_digits: Mask,
    /// Those that count as named by a keyword everywhere.
    everywhere: Mask,
    /// Shorter texts have nothing.
    min: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Detector {
    identifier: Identifier,
    pub(crate) audit: bool,
    pub(crate) deny: bool,
    pub(crate) change: Option<Change>,
}

impl Detector {
    pub(crate) fn name(&self) -> &str {
        self.identifier.name()
    }
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Redact,
    /// The statement's place in the policy, and the character.
    Mask(usize, char),
}

/// A finding in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) range: Range<usize>,
    /// Which of the detectors.
    pub(crate) detector: usize,
}

/// What leads to a text: the keys of the document, or the name of the attribute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    /// The identifiers with a keyword in the path.
    pub(crate) path: Mask,
    /// The last key.
    pub(crate) name: &'a str,
}

impl Engine {
    /// The statements of this direction that name the principal.
    #[must_use]
    pub fn new(policy: &Policy, direction: Direction, principal: &Principal) -> Self {
        let statements = policy.statements.iter().enumerate();
        let applied = statements.filter(|(_, statement)| statement.applies_to(direction, principal));
        Self::from_operations(
            applied.map(|(place, statement)| (place, &statement.identifiers[..], statement.operation)),
        )
    }

    /// All statements of a policy of CloudWatch Logs, which names no principals.
    #[must_use]
    pub fn for_logs(policy: &crate::policy::LogsPolicy) -> Self {
        let identifiers = &policy.identifiers[..];
        let operations = [Operation::Audit { sample_rate: 99 }, Operation::Mask('*')];
        Self::from_operations(
            operations.into_iter().enumerate().map(|(place, operation)| (place, identifiers, operation)),
        )
    }

    fn from_operations<'p>(operations: impl Iterator<Item = (usize, &'p [Identifier], Operation)>) -> Self {
        let mut engine = Self {
            detectors: Vec::new(),
            sample_rate: None,
            options: Options::default(),
            words: Words::new(),
            forms: Forms::new(),
            coded: Vec::new(),
            custom: Vec::new(),
            with_keyword: 0,
            with_digits: 0,
            everywhere: 0,
            min: 0,
        };
        for (place, identifiers, operation) in operations {
            for identifier in identifiers {
                let detector = engine.detector(identifier);
                match operation {
                    Operation::Audit { .. } => detector.audit = true,
                    Operation::Deny => detector.deny = true,
                    Operation::Redact => detector.change = Some(Change::Redact),
                    Operation::Mask(character) => {
                        let mask = Change::Mask(place, character);
                        detector.change = Some(detector.change.map_or(mask, |change| change.min(mask)));
                    }
                }
            }
            if let Operation::Audit { sample_rate } = operation {
                engine.sample_rate = Some(sample_rate);
            }
        }
        engine.compile();
        engine
    }

    /// The same statements, with other options.
    #[must_use]
    pub fn with(mut self, options: Options) -> Self {
        self.options = options;
        self.compile();
        self
    }

    /// Prepares what is looked for.
    fn compile(&mut self) {
        self.words = Words::new();
        self.forms = Forms::new();
        self.coded.clear();
        self.custom.clear();
        self.with_keyword = 0;
        self.with_digits = 0;
        self.everywhere = 0;
        self.min = usize::MAX;
        for (index, detector) in self.detectors.iter().enumerate() {
            let managed = match &detector.identifier {
                Identifier::Managed(managed) => *managed,
                Identifier::Custom { regex, .. } => {
                    self.custom.push((index, regex.clone()));
                    self.min = 0;
                    continue;
                }
            };
            self.min = self.min.min(managed.min());
            for keyword in managed.keywords() {
                self.words.insert(keyword, managed.bit());
            }
            if managed.name() == "IpAddress" {
                VERSION_WORDS.iter().for_each(|word| self.words.insert(word, VERSION));
            } else if !self.options.require_keywords {
                self.everywhere |= managed.bit();
            }
            if let Find::Code(find) = managed.find() {
                self.coded.push((index, managed, find));
                if managed.needs_keyword() {
                    self.with_keyword |= managed.bit();
                }
                if !managed.may_have_no_digit() {
                    self.with_digits |= managed.bit();
                }
            }
            self.forms.add(managed, index, self.options.require_keywords);
        }
    }

    fn detector(&mut self, identifier: &Identifier) -> &mut Detector {
        let known = self.detectors.iter().position(|detector| detector.name() == identifier.name());
        let index = known.unwrap_or_else(|| {
            let identifier = identifier.clone();
            self.detectors.push(Detector { identifier, audit: false, deny: false, change: None });
            self.detectors.len() - 1
        });
        &mut self.detectors[index]
    }

    /// Applies the statements to what a subscriber would receive.
    #[must_use]
    pub fn apply(&self, content: &Content) -> Outcome {
        crate::rewrite::apply(self, content)
    }

    /// Whether no statement applies: messages pass unchanged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.detectors.is_empty()
    }

    pub(crate) fn detectors(&self) -> &[Detector] {
        &self.detectors
    }

    /// Whether this message is one that the Audit statement counts. The same message always is, or never.
    #[must_use]
    pub fn audits(&self, message_id: &str) -> bool {
        // FNV-1a: message ids are random, the remainder spreads evenly.
        let hash = message_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.sample_rate.is_some_and(|rate| (hash >> 32) % 100 < u64::from(rate))
    }

    /// The identifiers whose keywords are in a text.
    pub(crate) fn words_of(&self, text: &str) -> Mask {
        self.words.mask(text)
    }

    /// The identifiers whose keywords are in a key, or spread over it and the key above it.
    pub(crate) fn words_of_key(&self, outer: &str, key: &str) -> Mask {
        if outer.is_empty() {
            return self.words.mask(key);
        }
        let outer = tail(outer);
        let mut both = String::with_capacity(outer.len() + 1 + key.len());
        both.extend([outer, ".", key]);
        self.words.mask(&both)
    }

    /// What is found in a text, in order of its start: as it is written, and as it is read.
    pub(crate) fn find(&self, text: &str, context: Context<'_>) -> Vec<Match> {
        let mut matches = Vec::new();
        if text.len() < self.min {
            return matches;
        }
        if !may_be_encoded(text.as_bytes()) {
            let reading = Reading::as_written(text);
            self.find_in(&reading, context, &mut matches);
            if self.find_embedded(&reading, context, &mut matches) {
                merge(&mut matches);
            }
        } else {
            for reading in readings(text) {
                self.find_in(&reading, context, &mut matches);
                self.find_embedded(&reading, context, &mut matches);
            }
            merge(&mut matches);
        }
        matches.sort_by_key(|found| (found.range.start, found.detector));
        matches
    }

    /// Finds values in documents inside the text, whose keys are too far from them to be words near them. Whether there
    /// were any.
    fn find_embedded(&self, reading: &Reading<'_>, context: Context<'_>, matches: &mut Vec<Match>) -> bool {
        let values = embedded::values(&reading.text, |outer, key| {
            let outer = if outer.is_empty() { context.name } else { outer };
            self.words_of_key(outer, key) & !context.path
        });
        for value in &values {
            if value.range.len() >= self.min {
                let context = Context { path: context.path | value.path, name: &reading.text[value.name.clone()] };
                let first = matches.len();
                self.find_in(&reading.part(value.range.clone()), context, matches);
                // Others were looked for in the whole text.
                let is_named = |found: &Match| match &self.detectors[found.detector].identifier {
                    Identifier::Managed(managed) => managed.bit() & value.path != 0,
                    Identifier::Custom { .. } => false,
                };
                let named: Vec<Match> = matches.drain(first..).filter(is_named).collect();
                matches.extend(named);
            }
        }
        !values.is_empty()
    }

    fn find_in(&self, reading: &Reading<'_>, context: Context<'_>, matches: &mut Vec<Match>) {
        let folded = Folded::new(&reading.text);
        let hits = self.words.hits(folded.letters());
        let cued = hits.iter().fold(0, |mask, hit| mask | hit.mask);
        let path = context.path | self.everywhere;
        let runs = digit_runs(folded.bytes());
        let marked = marked_runs(folded.bytes(), &runs);
        let text = Text {
            bytes: folded.bytes(),
            name: context.name,
            runs: &runs,
            marked: &marked,
            hits: &hits,
            cued,
            path,
            bit: 0,
        };
        let written = |range: Range<usize>| reading.written(folded.range_in_text(range));
        let mut found = Vec::new();
        find_forms(&text, &self.forms, &mut found);
        matches.extend(found.drain(..).map(|(detector, range)| Match { range: written(range), detector }));
        let mut ranges = Vec::new();
        let mut possible = !self.with_keyword | path | cued;
        if runs.is_empty() {
            possible &= !self.with_digits;
        }
        for (detector, managed, find) in &self.coded {
            if possible & managed.bit() == 0 || text.bytes.len() < managed.min() {
                continue;
            }
            let text = Text { bit: managed.bit(), ..text };
            find(&text, &mut ranges);
            if reading.plus && managed.may_have_plus() {
                ranges.retain(|range| text.has_keyword(range));
            }
            matches.extend(ranges.drain(..).map(|range| Match { range: written(range), detector: *detector }));
        }
        for (detector, regex) in &self.custom {
            let found = regex.find_iter(&reading.text).filter(|found| !found.is_empty());
            matches.extend(found.map(|found| Match { range: reading.written(found.range()), detector: *detector }));
        }
    }

    /// The parts of a text that change, none overlapping another, in order.
    pub(crate) fn changes(&self, matches: &[Match]) -> Vec<(Range<usize>, Change)> {
        let mut changes: Vec<(Range<usize>, Change)> = Vec::new();
        for Match { range, detector } in matches {
            let Some(change) = self.detectors[*detector].change else { continue };
            match changes.last_mut() {
                Some((last, merged)) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    *merged = change.min(*merged);
                }
                _ => changes.push((range.clone(), change)),
            }
        }
        changes
    }
}

/// What several readings found of one identifier at one place is one finding.
fn merge(matches: &mut Vec<Match>) {
    matches.sort_by_key(|found| (found.detector, found.range.start, found.range.end));
    matches.dedup_by(|next, kept| {
        let same = next.detector == kept.detector && next.range.start < kept.range.end;
        if same {
            kept.range.end = kept.range.end.max(next.range.end);
        }
        same
    });
}
