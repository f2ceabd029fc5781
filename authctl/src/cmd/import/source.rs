//! Where accounts come from, and one reading of all of them: on a thread of its own, a few batches ahead of authd, so that
//! memory holds a few batches and no more.

use std::{
    collections::{HashSet, hash_map::RandomState},
    fmt::Write,
    hash::{BuildHasher, Hash},
    thread::JoinHandle,
};

use common::{
    Email,
    import::{Finding, Findings, ImportAccount},
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::Error;

/// As many accounts are sent at once, at most.
const BATCH: usize = 200;
/// As many bytes of JSON, at most; an account with all its sessions is smaller than what remains of authd's limit.
const BATCH_BYTES: usize = 512 * 1024;
/// As many batches wait for authd.
const AHEAD: usize = 4;

/// Takes one account after the other. False: nobody wants any more.
pub(super) type Take<'a> = dyn FnMut(ImportAccount) -> bool + 'a;

/// Reads all accounts of a source, once, always in the same order.
pub(super) type Reader = dyn FnOnce(&mut Take<'_>) -> Result<Seen, Error> + Send;

/// What is known of a source when it was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What never comes as far as authd.
    pub findings: Findings,
    /// What is left out as a whole: its name, and how often it has a value.
    pub left_out: Vec<(Finding, String, u64)>,
}

/// Accounts of another server.
pub(super) trait Source {
    /// How many there are, for the bar.
    fn accounts(&self) -> Result<u64, Error>;
    /// What reads them.
    fn reader(&self) -> Box<Reader>;
}

/// What a reading brought.
pub(super) struct Summary {
    pub findings: Findings,
    pub left_out: Vec<(Finding, String, u64)>,
    /// Of all accounts, in hexadecimal digits.
    pub digest: String,
    pub accounts: u64,
}

/// One reading.
pub(super) struct Pass {
    batches: Receiver<Vec<ImportAccount>>,
    thread: JoinHandle<Result<Summary, Error>>,
}

impl Pass {
    pub(super) fn start(source: &dyn Source) -> Result<Self, Error> {
        let (sender, batches) = channel(AHEAD);
        let reader = source.reader();
        let thread = std::thread::Builder::new().name("import-reader".into()).spawn(move || {
            let mut packer = Packer::new(sender);
            let seen = reader(&mut |account| packer.take(account))?;
            Ok(packer.finish(seen))
        })?;
        Ok(Self { batches, thread })
    }

    /// The next batch.
    pub(super) async fn next(&mut self) -> Option<Vec<ImportAccount>> {
        self.batches.recv().await
    }

    pub(super) fn finish(self) -> Result<Summary, Error> {
        drop(self.batches);
        self.thread.join().unwrap_or_else(|_| Err(Error::failed("reading the source failed")))
    }
}

/// Puts accounts together, and leaves out those that stand there twice.
struct Packer {
    sender: Sender<Vec<ImportAccount>>,
    batch: Vec<ImportAccount>,
    bytes: usize,
    digest: Sha256,
    findings: Findings,
    accounts: u64,
    /// Digests of the ids and addresses before, eight bytes each.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Packer {
    fn new(sender: Sender<Vec<ImportAccount>>) -> Self {
        Self {
            sender,
            batch: vec![],
            bytes: 0,
            digest: Sha256::new(),
            findings: Findings::default(),
            accounts: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Whether this is the first of its kind with this name.
    fn is_first(&mut self, named: impl Hash) -> bool {
        self.seen.insert(self.hasher.hash_one(named))
    }

    fn take(&mut self, account: ImportAccount) -> bool {
        self.accounts += 1;
        let json = serde_json::to_vec(&account).unwrap_or_default();
        self.digest.update(&json);
        self.digest.update(b"\n");
        // As authd would have it; what is no address is its to refuse.
        let email = account.email.parse::<Email>().ok();
        let new_id = account.id.as_ref().is_none_or(|id| self.is_first(("id", id)));
        let new_email = email.is_none_or(|email| self.is_first(("email", email.as_str())));
        if !new_id || !new_email {
            self.findings.add(Finding::Duplicate, &account.email);
            return !self.sender.is_closed();
        }
        if !self.batch.is_empty()
            && (self.batch.len() >= BATCH || self.bytes + json.len() > BATCH_BYTES)
            && !self.flush()
        {
            return false;
        }
        self.bytes += json.len();
        self.batch.push(account);
        true
    }

    fn flush(&mut self) -> bool {
        self.bytes = 0;
        self.sender.blocking_send(std::mem::take(&mut self.batch)).is_ok()
    }

    fn finish(mut self, seen: Seen) -> Summary {
        if !self.batch.is_empty() {
            // Who does not take it any more has seen an error, and tells of that.
            let _ = self.flush();
        }
        self.findings.merge(&seen.findings);
        let digest = self.digest.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Summary { findings: self.findings, left_out: seen.left_out, digest, accounts: self.accounts }
    }
}
