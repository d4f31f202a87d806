//! What a policy means for one subscriber: what is looked for, and what is done with it.
//!
//! AWS does not document everything. Where it does not, this is the rule:
//!
//! 1. Deny first: one finding of a statement with `Deny` anywhere, and nothing is delivered.
//! 2. Then all statements with `Deidentify`, on the original text. Findings that overlap are one finding. It is removed
//!    where one of them is to be redacted; else it is masked with the character of the statement that comes first.
//! 3. `Audit` counts what was found in the original text.

use std::ops::Range;

use crate::identifiers::Text;
use crate::normalize::Folded;
use crate::policy::{Direction, Identifier, Operation, Policy};
use crate::principal::Principal;

/// The statements of a policy that apply to one principal.
#[derive(Debug, Clone)]
pub struct Rules {
    detectors: Vec<Detector>,
    sample_rate: Option<u8>,
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

impl Rules {
    /// The statements of this direction that name the principal.
    #[must_use]
    pub fn of(policy: &Policy, direction: Direction, principal: &Principal) -> Self {
        let mut rules = Self { detectors: Vec::new(), sample_rate: None };
        for (place, statement) in policy.statements.iter().enumerate() {
            if statement.direction != direction
                || !statement.principals.iter().any(|pattern| pattern.matches(principal))
            {
                continue;
            }
            for identifier in &statement.identifiers {
                let detector = rules.detector(identifier);
                match statement.operation {
                    Operation::Audit { .. } => detector.audit = true,
                    Operation::Deny => detector.deny = true,
                    Operation::Redact => detector.change = Some(Change::Redact),
                    Operation::Mask(character) => {
                        let mask = Change::Mask(place, character);
                        detector.change = Some(detector.change.map_or(mask, |change| change.min(mask)));
                    }
                }
            }
            if let Operation::Audit { sample_rate } = statement.operation {
                rules.sample_rate = Some(sample_rate);
            }
        }
        rules
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

    /// Whether no statement applies: messages pass unchanged.
    #[must_use]
    pub fn are_empty(&self) -> bool {
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

    /// What is found in a text, in order of its start. `name` is that of what the text is the value of.
    pub(crate) fn find(&self, text: &str, name: &str) -> Vec<Match> {
        let folded = Folded::of(text);
        let mut matches = Vec::new();
        let view = Text { bytes: folded.bytes(), name };
        let mut ranges = Vec::new();
        for (index, detector) in self.detectors.iter().enumerate() {
            match &detector.identifier {
                Identifier::Managed(managed) => {
                    managed.find(&view, &mut ranges);
                    matches.extend(
                        ranges.drain(..).map(|range| Match { range: folded.range_in_text(range), detector: index }),
                    );
                }
                Identifier::Custom { regex, .. } => {
                    let found = regex.find_iter(text).filter(|found| !found.is_empty());
                    matches.extend(found.map(|found| Match { range: found.range(), detector: index }));
                }
            }
        }
        matches.sort_by_key(|found| (found.range.start, found.detector));
        matches
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
