//! The audit chain: how a record is tied to the one before it, how what it says is erased under its MAC, where the chain
//! begins once its oldest records were removed, and what is wrong with it. The same for every store.

use common::{UnixTime, UserId};

use super::{
    AuditQuery, ChainReport,
    payload::{is_wanted, open, personal},
};
use crate::{
    digest::{is_same_secret, sha256},
    domain::{
        Act, AuditRecord, ChainHead, Checkpoint, Event, EventKind, Personal,
        audit::{chain_input, checkpoint_input, erasure_input, marker_input, personal_input},
    },
    ports::Mac,
};

fn mac_of(record: &AuditRecord, before: &ChainHead, mac: &dyn Mac) -> [u8; 32] {
    let open = sha256(record.open.as_bytes());
    mac.mac(&[&chain_input(&before.mac, record.seq, record.at, &open, &record.digest)])
}

fn digest(seq: u64, personal: &str, mac: &dyn Mac) -> [u8; 32] {
    mac.mac(&[&personal_input(seq), personal.as_bytes()])
}

/// The record of an event, behind the end of the chain.
pub(super) fn append(head: &ChainHead, act: &Act, event: &Event, mac: &dyn Mac) -> AuditRecord {
    let (seq, text) = (head.seq + 1, personal(act, event));
    let digest = digest(seq, &text, mac);
    let (open, personal) = (open(act, event), Personal::Kept(text));
    let record = AuditRecord { seq, at: act.at, open, personal, digest, mac: [0; 32] };
    AuditRecord { mac: mac_of(&record, head, mac), ..record }
}

/// What is wrong with a record behind this one, if something is.
pub(super) fn misfit(record: &AuditRecord, before: &ChainHead, mac: &dyn Mac) -> Option<&'static str> {
    if record.seq != before.seq + 1 {
        return Some("another record stands in its place");
    }
    match &record.personal {
        Personal::Kept(text) if digest(record.seq, text, mac) != record.digest => {
            return Some("what it says was altered");
        }
        Personal::Erased { by, proof }
            if !is_same_secret(&mac.mac(&[&erasure_input(record.seq, &record.digest, *by)]), proof) =>
        {
            return Some("what it said was taken away, and not by authd");
        }
        _ => {}
    }
    (!is_same_secret(&mac_of(record, before, mac), &record.mac)).then_some("its MAC does not fit the record before it")
}

/// The record without its personal part.
pub(super) fn erased(record: AuditRecord, by: u64, mac: &dyn Mac) -> AuditRecord {
    let proof = mac.mac(&[&erasure_input(record.seq, &record.digest, by)]);
    AuditRecord { personal: Personal::Erased { by, proof }, ..record }
}

/// The event of an erasure.
pub(super) fn erasure(user: &UserId, before: Option<UnixTime>, records: u64, mac: &dyn Mac) -> Event {
    let marker: String = mac.mac(&[&marker_input(user)])[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let event = Event::new(EventKind::AuditErased).with("records", &records).with("of", &marker);
    before.iter().fold(event, |event, before| event.with("before", before))
}

/// Whether the checkpoint is as authd wrote it.
pub(super) fn is_genuine(checkpoint: &Checkpoint, mac: &dyn Mac) -> bool {
    is_same_secret(&mac.mac(&[&checkpoint_input(checkpoint)]), &checkpoint.proof)
}

/// A step of a removal: takes records from the beginning of the chain, and says what is to be stored in their place.
pub(super) struct Removal {
    found: Option<Checkpoint>,
    now: Checkpoint,
    /// How many records it took.
    pub removed: u64,
}

impl Removal {
    pub(super) fn new(found: Option<Checkpoint>, at: UnixTime) -> Self {
        let (last, until) = (ChainHead::default(), UnixTime::EPOCH);
        let none = Checkpoint { last, until, at, told: 0, owes: false, finished: true, proof: [0; 32] };
        let now = Checkpoint { at, ..found.clone().unwrap_or(none) };
        Self { found, now, removed: 0 }
    }

    /// The number of the record that is to be taken next.
    pub(super) fn next(&self) -> u64 {
        self.now.last.seq + 1
    }

    /// Takes that record. What does not fit is not removed: it is the trace of whoever altered it.
    pub(super) fn take(&mut self, record: &AuditRecord, mac: &dyn Mac) -> Result<(), &'static str> {
        if let Some(problem) = misfit(record, &self.now.last, mac) {
            return Err(problem);
        }
        let own = AuditQuery { kind: Some(EventKind::AuditRemoved), ..AuditQuery::default() };
        self.now.owes |= !is_wanted(record, &own);
        (self.now.last, self.now.until) = (ChainHead { seq: record.seq, mac: record.mac }, record.at);
        self.removed += 1;
        Ok(())
    }

    /// Ends the step; `finished` if nothing more is due. The checkpoint that is to be stored, if it is another one, and the
    /// event of the whole round, if it is over.
    pub(super) fn end(self, finished: bool, mac: &dyn Mac) -> Option<(Checkpoint, Option<Event>)> {
        let Self { found, mut now, removed } = self;
        now.finished = finished;
        let is_news = removed > 0 || found.is_some_and(|found| found.finished != finished);
        let event = (finished && now.owes).then(|| {
            let event = Event::new(EventKind::AuditRemoved).with("records", &(now.last.seq - now.told));
            event.with("through", &now.last.seq).with("until", &now.until)
        });
        if event.is_some() {
            (now.told, now.owes) = (now.last.seq, false);
        }
        now.proof = mac.mac(&[&checkpoint_input(&now)]);
        (is_news || event.is_some()).then_some((now, event))
    }
}

/// After so many older records in a row a list from some time on is over. Times may go back from one record to the next: by moments,
/// where acts overtook each other on their way to the store, and by years, where the host's clock had been wrong and was declared
/// right. So one older record is not the end, and neither is a run of them.
pub(super) const OLDER_IN_A_ROW: usize = 10_000;

/// The number of a later record, at or before which all are older than `through`, although `record` says otherwise. Its time has not
/// come yet at `now`: the clock had been wrong that wrote it, and what stands behind it is not to wait for that time. Looks at
/// records in growing steps, so a run of such is over once as many again that are old enough stand behind it.
///
/// # Errors
/// Of `time`.
pub(super) fn overtaken<E>(
    record: &AuditRecord,
    head: u64,
    (through, now): (UnixTime, UnixTime),
    time: impl Fn(u64) -> Result<Option<UnixTime>, E>,
) -> Result<Option<u64>, E> {
    if record.at <= now {
        return Ok(None);
    }
    let steps = (0..u64::BITS).map_while(|n| record.seq.checked_add(1 << n)).take_while(|seq| *seq <= head);
    for seq in steps {
        if time(seq)?.is_some_and(|at| at <= through) {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// Where a walk begins.
pub(super) enum Begin<'a> {
    /// At the first record there ever was.
    First,
    /// Behind the records that were removed.
    Checkpoint(&'a Checkpoint),
    /// Nobody knows: there is a checkpoint, and it cannot be read.
    Unreadable,
}

/// A walk along the whole chain.
pub(super) struct Walk<'a> {
    mac: &'a dyn Mac,
    /// The last record that fits.
    pub before: ChainHead,
    begin: Option<ChainHead>,
    forged: bool,
    report: ChainReport,
}

impl<'a> Walk<'a> {
    pub(super) fn new(begin: &Begin<'_>, mac: &'a dyn Mac) -> Self {
        let genuine = match begin {
            Begin::Checkpoint(checkpoint) if is_genuine(checkpoint, mac) => Some(checkpoint),
            _ => None,
        };
        let forged = genuine.is_none() && !matches!(begin, Begin::First);
        let begin = genuine.map(|checkpoint| checkpoint.last);
        let removed = genuine.map(|checkpoint| (checkpoint.last.seq, checkpoint.until));
        let report = ChainReport { records: 0, range: None, removed, erased: 0, broken: None };
        Self { mac, before: begin.unwrap_or_default(), begin, forged, report }
    }

    /// Nothing after this fits.
    pub(super) fn fail(mut self, seq: u64, problem: impl Into<String>) -> ChainReport {
        self.report.broken = Some((seq, problem.into()));
        self.report
    }

    /// Looks at the record that stands in this place.
    pub(super) fn take(mut self, place: u64, record: &AuditRecord) -> Result<Self, ChainReport> {
        let expected = self.before.seq + 1;
        if self.forged {
            return Err(self.fail(place, "the checkpoint before it was altered"));
        }
        if place < expected {
            return Err(self.fail(place, "it stands before the beginning of the chain"));
        }
        if place > expected {
            let why =
                if expected == 1 && self.begin.is_none() { ", and no checkpoint says that it was removed" } else { "" };
            return Err(self.fail(expected, format!("record {expected} is missing; {place} follows{why}")));
        }
        if let Some(problem) = misfit(record, &self.before, self.mac) {
            return Err(self.fail(expected, problem));
        }
        self.before = ChainHead { seq: record.seq, mac: record.mac };
        self.report.records += 1;
        self.report.erased += u64::from(record.personal.text().is_none());
        self.report.range = Some((self.report.range.map_or(record.seq, |(first, _)| first), record.seq));
        Ok(self)
    }

    /// Compares with what is recorded of the chain's end.
    pub(super) fn end(self, head: &ChainHead) -> ChainReport {
        let last = self.before;
        if self.forged {
            return self.fail(head.seq, "the checkpoint was altered");
        }
        if last.seq < head.seq {
            let next = last.seq + 1;
            return self.fail(
                next,
                format!("record {next} is missing; the chain ends before its recorded head, {}", head.seq),
            );
        }
        if last.seq > head.seq {
            return self.fail(head.seq + 1, format!("it stands behind the recorded head of the chain, {}", head.seq));
        }
        if last != *head {
            return self.fail(head.seq, "its MAC is not the recorded head's");
        }
        self.report
    }
}
