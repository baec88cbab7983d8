//! The packed columns: what schema.sql calls a BLOB of varints.
//!
//! LEB128 as in DWARF and protobuf; signed numbers are zigzagged. A blob that does not decode means a damaged database:
//! [`Damaged`], never a panic and never a guess.

mod changes;

pub use changes::{Change, PackedChanges, pack_edits, put_change_no, unpack_change_nos, unpack_changes, unpack_edits};

use crate::job::Outcome;
use crate::label::{Evidence, Label, Place, ProgramNo, Provenance, Revision};

/// A packed column that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

type Decoded<T> = Result<T, Damaged>;

pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a packed column from front to back.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Damaged)?;
            self.0 = rest;
            if shift == 63 && byte > 1 {
                return Err(Damaged);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub fn take_u32(&mut self) -> Decoded<u32> {
        u32::try_from(self.take()?).map_err(|_| Damaged)
    }

    pub fn take_signed(&mut self) -> Decoded<i64> {
        let value = self.take()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn take_bytes(&mut self) -> Decoded<&'a [u8]> {
        let len = usize::try_from(self.take()?).map_err(|_| Damaged)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }
}

/// Bits that open a packed label.
const HUMAN: u64 = 1;
/// Provenance is that of the label before, or of the row.
const SAME: u64 = 2;

fn put_label(out: &mut Vec<u8>, label: &Label, context: &mut Provenance) {
    let same = label.by == *context;
    put(out, (u64::from(label.is_human()) * HUMAN) | (u64::from(same) * SAME));
    put(out, label.place.transcript.into());
    put(out, label.place.block.into());
    put(out, label.place.topic.into());
    if let Some(evidence) = label.evidence {
        put(out, evidence.phrase.into());
        put(out, evidence.score.into());
        put(out, evidence.start.into());
        put(out, evidence.end.into());
    }
    if !same {
        put_signed(out, label.by.job);
        put_signed(out, label.by.revision);
        put_signed(out, label.by.at);
        *context = label.by;
    }
}

fn take_label(from: &mut Cursor<'_>, context: &mut Provenance) -> Decoded<Label> {
    let bits = from.take()?;
    let place = Place { transcript: from.take_u32()?, block: from.take_u32()?, topic: from.take_u32()? };
    let evidence = match bits & HUMAN {
        0 => Some(Evidence {
            phrase: from.take_u32()?,
            score: u8::try_from(from.take()?).map_err(|_| Damaged)?,
            start: from.take_u32()?,
            end: from.take_u32()?,
        }),
        _ => None,
    };
    if bits & SAME == 0 {
        *context = Provenance { job: from.take_signed()?, revision: from.take_signed()?, at: from.take_signed()? };
    }
    Ok(Label { place, evidence, by: *context })
}

/// `reading.labels`.
pub fn pack_labels(labels: &[Label]) -> Vec<u8> {
    let mut out = Vec::with_capacity(labels.len() * 12 + 8);
    let mut context = Provenance::default();
    for label in labels {
        put_label(&mut out, label, &mut context);
    }
    out
}

pub fn unpack_labels(blob: &[u8]) -> Decoded<Vec<Label>> {
    let mut from = Cursor(blob);
    let mut context = Provenance::default();
    let mut labels = Vec::new();
    while !from.at_end() {
        labels.push(take_label(&mut from, &mut context)?);
    }
    Ok(labels)
}

/// `reading.fresh`: (program, revision) pairs.
pub type Fresh = Vec<(ProgramNo, Revision)>;

pub fn put_fresh(out: &mut Vec<u8>, fresh: &[(ProgramNo, Revision)]) {
    for &(program, revision) in fresh {
        put(out, program.into());
        put_signed(out, revision);
    }
}

pub fn unpack_fresh(blob: &[u8]) -> Decoded<Fresh> {
    let mut from = Cursor(blob);
    let mut fresh = Fresh::new();
    while !from.at_end() {
        fresh.push((from.take_u32()?, from.take_signed()?));
    }
    Ok(fresh)
}

/// One item of a frozen list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub item: i64,
    /// The version asked for; in a job that takes another back, the item's position there.
    pub asked: Option<i64>,
}

/// `chunk.keys`.
pub fn pack_keys(keys: &[Key]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keys.len() * 3);
    let mut before = 0;
    for key in keys {
        put_signed(&mut out, key.item - before);
        put(&mut out, key.asked.map_or(0, |asked| asked as u64 + 1));
        before = key.item;
    }
    out
}

pub fn unpack_keys(blob: &[u8]) -> Decoded<Vec<Key>> {
    let mut from = Cursor(blob);
    let mut keys = Vec::new();
    let mut before = 0i64;
    while !from.at_end() {
        let item = before.checked_add(from.take_signed()?).ok_or(Damaged)?;
        let asked = from.take()?.checked_sub(1).map(|asked| asked as i64);
        keys.push(Key { item, asked });
        before = item;
    }
    Ok(keys)
}

/// What came of one item: an entry of `result.entries`, or `task.entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Index into [`crate::job::Outcome::ALL`] plus 2; [`Entry::NO_TOPICS`]; or [`Entry::ELSEWHERE`].
    pub code: u64,
    pub attempts: u32,
    /// 0 where the item was not read.
    pub edition: i64,
    pub version: Option<i64>,
    /// 0 where no label changed.
    pub change: i64,
    /// The programs for which it changed who read the item last.
    pub refreshed: Vec<Refreshed>,
}

/// Who read an item last for a program, before and after a task; revision 0 is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    pub program: ProgramNo,
    pub before: Revision,
    pub after: Revision,
}

impl Entry {
    /// The item has a row in `task`.
    pub const ELSEWHERE: u64 = 0;
    /// Failed, with the reason `no_topics_detected`.
    pub const NO_TOPICS: u64 = 1;

    pub fn elsewhere() -> Entry {
        Entry { code: Entry::ELSEWHERE, attempts: 0, edition: 0, version: None, change: 0, refreshed: Vec::new() }
    }

    pub fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.code);
        if self.code == Entry::ELSEWHERE {
            return;
        }
        put(out, self.attempts.into());
        put_signed(out, self.edition);
        put(out, self.version.map_or(0, |version| version as u64 + 1));
        put_signed(out, self.change);
        put(out, self.refreshed.len() as u64);
        for Refreshed { program, before, after } in &self.refreshed {
            put(out, u64::from(*program));
            put_signed(out, *before);
            put_signed(out, *after);
        }
    }

    fn unpack(from: &mut Cursor<'_>) -> Decoded<Entry> {
        let code = from.take()?;
        if code == Entry::ELSEWHERE {
            return Ok(Entry::elsewhere());
        }
        let attempts = from.take_u32()?;
        let edition = from.take_signed()?;
        let version = from.take()?.checked_sub(1).map(|version| version as i64);
        let change = from.take_signed()?;
        let mut refreshed = Vec::new();
        for _ in 0..from.take()? {
            let (program, before) = (from.take_u32()?, from.take_signed()?);
            refreshed.push(Refreshed { program, before, after: from.take_signed()? });
        }
        Ok(Entry { code, attempts, edition, version, change, refreshed })
    }
}

pub fn unpack_entries(blob: &[u8]) -> Decoded<Vec<Entry>> {
    let mut from = Cursor(blob);
    let mut entries = Vec::new();
    while !from.at_end() {
        entries.push(Entry::unpack(&mut from)?);
    }
    Ok(entries)
}

impl Entry {
    /// How a task that is done came out; None for `no_topics_detected`.
    pub fn outcome(&self) -> Decoded<Option<Outcome>> {
        match self.code {
            Entry::NO_TOPICS => Ok(None),
            code => {
                let at = code.checked_sub(2).and_then(|at| usize::try_from(at).ok()).ok_or(Damaged)?;
                Outcome::ALL.get(at).copied().map(Some).ok_or(Damaged)
            }
        }
    }

    pub fn code_of(outcome: Outcome) -> u64 {
        Outcome::ALL.iter().position(|&other| other == outcome).map_or(0, |at| at as u64 + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Edit;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn provenance() -> impl Strategy<Value = Provenance> {
        // Few values, so that neighbours often share theirs; and the extremes.
        let number = || prop_oneof![Just(0i64), Just(1), Just(i64::MAX), Just(i64::MIN), any::<i64>()];
        (number(), number(), number()).prop_map(|(job, revision, at)| Provenance { job, revision, at })
    }

    fn label() -> impl Strategy<Value = Label> {
        let evidence = (any::<u32>(), any::<u8>(), any::<u32>(), any::<u32>())
            .prop_map(|(phrase, score, start, end)| Evidence { phrase, score, start, end });
        (any::<u32>(), any::<u32>(), any::<u32>(), proptest::option::of(evidence), provenance()).prop_map(
            |(transcript, block, topic, evidence, by)| Label {
                place: Place { transcript, block, topic },
                evidence,
                by,
            },
        )
    }

    fn fresh() -> impl Strategy<Value = Fresh> {
        vec((any::<u32>(), any::<i64>()), 0..4)
    }

    fn version() -> impl Strategy<Value = Option<i64>> {
        proptest::option::of(prop_oneof![Just(0), Just(i64::MAX), 0..i64::MAX])
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_come_back(number in any::<u64>(), signed in any::<i64>(), small in 0u64..300) {
            let mut out = Vec::new();
            put(&mut out, number);
            put_signed(&mut out, signed);
            put(&mut out, small);
            let mut from = Cursor(&out);
            prop_assert_eq!((from.take(), from.take_signed(), from.take()), (Ok(number), Ok(signed), Ok(small)));
            prop_assert!(from.at_end());
        }

        #[test]
        fn labels_edits_and_freshness_come_back(
            labels in vec(label(), 0..6), row in provenance(), fresh in fresh(),
            edits in vec((proptest::option::of(label()), proptest::option::of(label())), 0..4),
        ) {
            prop_assert_eq!(unpack_labels(&pack_labels(&labels)), Ok(labels));
            let edits: Vec<Edit> = edits.into_iter().map(|(old, new)| Edit { old, new }).collect();
            prop_assert_eq!(unpack_edits(&pack_edits(&edits, row), row), Ok(edits));
            let mut out = Vec::new();
            put_fresh(&mut out, &fresh);
            prop_assert_eq!(unpack_fresh(&out), Ok(fresh));
        }

        #[test]
        fn changes_come_back(
            changes in vec(((0i64..=i64::MAX), (0i64..=i64::MAX), vec((proptest::option::of(label()), proptest::option::of(label())), 0..3)), 0..5),
            row in provenance(), numbers in vec(any::<i64>(), 0..5),
        ) {
            let changes: Vec<Change> = changes.into_iter().map(|(no, item, edits)| {
                Change { no, item, edits: edits.into_iter().map(|(old, new)| Edit { old, new }).collect() }
            }).collect();
            let mut packed = PackedChanges::default();
            changes.iter().for_each(|change| packed.push(change.no, change.item, &change.edits, row));
            prop_assert_eq!(packed.last(), changes.last().map_or(0, |change| change.no));
            prop_assert_eq!(unpack_changes(&packed.entries, row), Ok(changes));
            let mut out = Vec::new();
            numbers.iter().for_each(|&no| put_change_no(&mut out, no));
            prop_assert_eq!(unpack_change_nos(&out), Ok(numbers));
        }

        #[test]
        fn keys_and_entries_come_back(
            keys in vec((0i64..=i64::MAX, version()), 0..6),
            entries in vec((0u64..12, any::<u32>(), any::<i64>(), version(), any::<i64>(), fresh()), 0..5),
            after in any::<i64>(),
        ) {
            let keys: Vec<Key> = keys.into_iter().map(|(item, asked)| Key { item, asked }).collect();
            prop_assert_eq!(unpack_keys(&pack_keys(&keys)), Ok(keys));
            let entries: Vec<Entry> = entries.into_iter().map(|(code, attempts, edition, version, change, fresh)| {
                if code == Entry::ELSEWHERE { return Entry::elsewhere() }
                let refreshed = fresh.into_iter().map(|(program, before)| Refreshed { program, before, after }).collect();
                Entry { code, attempts, edition, version, change, refreshed }
            }).collect();
            let mut out = Vec::new();
            entries.iter().for_each(|entry| entry.pack(&mut out));
            prop_assert_eq!(unpack_entries(&out), Ok(entries));
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in vec(any::<u8>(), 0..40)) {
            let _ = unpack_labels(&bytes);
            let _ = unpack_edits(&bytes, Provenance::default());
            let _ = unpack_changes(&bytes, Provenance::default());
            let _ = unpack_change_nos(&bytes);
            let _ = unpack_fresh(&bytes);
            let _ = unpack_keys(&bytes);
            let _ = unpack_entries(&bytes).map(|entries| entries.iter().map(Entry::outcome).collect::<Vec<_>>());
            let _ = Cursor(&bytes).take_bytes();
        }

        #[test]
        fn what_is_cut_off_does_not_decode(labels in vec(label(), 1..3), cut in 1usize..5) {
            let packed = pack_labels(&labels);
            let whole = pack_labels(&labels[..labels.len() - 1]).len();
            let end = packed.len().saturating_sub(cut).max(whole + 1);
            prop_assert!(end == packed.len() || unpack_labels(&packed[..end]) == Err(Damaged));
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_damage() {
        assert_eq!(Cursor(&[0xff; 9]).take(), Err(Damaged));
        assert_eq!(Cursor(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).take(), Ok(u64::MAX));
        assert_eq!(Cursor(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).take(), Err(Damaged));
        assert_eq!(Cursor(&[0x80]).take(), Err(Damaged));
        assert_eq!(Cursor(&[5, b'a']).take_bytes(), Err(Damaged));
    }

    #[test]
    fn every_outcome_has_a_code_that_stays() {
        // Codes are stored: the order of Outcome::ALL may only grow.
        let words: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        let stored =
            ["changed", "unchanged", "program_has_no_topics", "skipped_current", "superseded", "stale_version"];
        assert_eq!(words[..6], stored);
        assert_eq!(words[6..], ["gone", "newer_change"]);
        for &outcome in Outcome::ALL {
            let entry = Entry { code: Entry::code_of(outcome), ..Entry::elsewhere() };
            assert_eq!(entry.outcome(), Ok(Some(outcome)));
        }
        assert_eq!(Entry { code: Entry::NO_TOPICS, ..Entry::elsewhere() }.outcome(), Ok(None));
        for code in [Entry::ELSEWHERE, Outcome::ALL.len() as u64 + 2, u64::MAX] {
            assert_eq!(Entry { code, ..Entry::elsewhere() }.outcome(), Err(Damaged));
        }
    }
}
