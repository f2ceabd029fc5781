//! What the store is at a place in the log, worked out from a snapshot and the records behind it, without sled: key by key in
//! their order. Memory stays bounded: what is too much for it goes to files without a name.

use std::{
    collections::BTreeMap,
    iter::Peekable,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    LogError, Position, plain,
    record::{FORMAT, Record},
    segment::io_at,
    sorted::{Entry, Reader, Writer},
};
use crate::ports::Mac;

type Source = Box<dyn Iterator<Item = Result<Entry, LogError>> + Send>;

/// What records changed: the last word on each key.
pub(super) struct Overlay {
    directory: PathBuf,
    key: Arc<dyn Mac>,
    /// So many bytes of changes are held in memory.
    limit: usize,
    size: usize,
    newest: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Older changes, the oldest first.
    runs: Vec<Source>,
}

/// What a change costs in memory besides its bytes, about.
const ENTRY_BYTES: usize = 96;

impl Overlay {
    pub(super) fn new(directory: &Path, key: Arc<dyn Mac>, limit: usize) -> Self {
        Self { directory: directory.into(), key, limit, size: 0, newest: BTreeMap::new(), runs: vec![] }
    }

    /// Adds a record, which must be one that was checked. `None`: it cannot be read.
    pub(super) fn add(&mut self, record: &Record<'_>) -> Result<Option<()>, LogError> {
        let Some(intents) = record.intents() else { return Ok(None) };
        for (key, value) in intents.into_iter().flatten() {
            self.size += key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
            self.newest.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        }
        if self.size > self.limit {
            self.put_aside()?;
        }
        Ok(Some(()))
    }

    /// Writes what is in memory to a file that loses its name at once.
    fn put_aside(&mut self) -> Result<(), LogError> {
        let path = self.directory.join("unborn-run");
        let put = || {
            let file = plain::create(&path)?;
            std::fs::remove_file(&path)?;
            let mut writer = Writer::begin(file, FORMAT, &Position::default(), &*self.key)?;
            for (key, value) in &self.newest {
                writer.push(key, value.as_deref())?;
            }
            writer.finish()
        };
        let written = put().map_err(io_at(&path))?;
        self.runs.push(Box::new(Reader::of(written.file, &path, self.key.clone())?));
        self.newest.clear();
        self.size = 0;
        Ok(())
    }

    /// What there is after all these changes to `ground`.
    pub(super) fn over(self, ground: Option<Reader>) -> Merged {
        let ground = ground.map(|reader| Box::new(reader) as Source);
        let newest: Source = Box::new(self.newest.into_iter().map(Ok));
        let sources = ground.into_iter().chain(self.runs).chain([newest]);
        Merged { sources: sources.map(Iterator::peekable).collect() }
    }
}

/// All keys that have a value, in their order.
pub(in super::super) struct Merged {
    /// The oldest first; each in the order of its keys.
    sources: Vec<Peekable<Source>>,
}

impl Merged {
    /// The next key with the newest word on it, which may be that it is gone.
    pub(in super::super) fn next_key(&mut self) -> Result<Option<Entry>, LogError> {
        let mut next: Option<Vec<u8>> = None;
        for source in &mut self.sources {
            match source.peek() {
                Some(Ok((key, _))) if next.as_ref().is_none_or(|next| key < next) => next = Some(key.clone()),
                Some(Err(_)) => return source.next().unwrap_or(Ok((vec![], None))).map(Some),
                _ => {}
            }
        }
        let Some(next) = next else { return Ok(None) };
        let mut newest = None;
        for source in &mut self.sources {
            if let Some(Ok((_, value))) = source.next_if(|entry| entry.as_ref().is_ok_and(|(key, _)| *key == next)) {
                newest = value;
            }
        }
        Ok(Some((next, newest)))
    }
}

impl Iterator for Merged {
    type Item = Result<(Vec<u8>, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_key() {
                Ok(None) => return None,
                Ok(Some((key, Some(value)))) => return Some(Ok((key, value))),
                Ok(Some((_, None))) => {}
                Err(e) => {
                    self.sources.clear();
                    return Some(Err(e));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Draft, Position, record::Record},
        *,
    };
    use crate::{crypto::mac::HmacKey, store::sled::txn::Changes};

    /// What is too much for memory goes to files and comes back as if it had stayed.
    #[test]
    fn what_is_put_aside_is_not_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let key: Arc<dyn Mac> = Arc::new(HmacKey::new(b"log"));
        for limit in [200, 5_000, usize::MAX] {
            let mut overlay = Overlay::new(temp.path(), key.clone(), limit);
            let mut model = BTreeMap::new();
            let mut end = Position::default();
            for n in 0..600_u32 {
                // Keys come again, with another value or none.
                let name = format!("key-{:03}", n * 7919 % 251).into_bytes();
                let value = (!n.is_multiple_of(3)).then(|| n.to_be_bytes().to_vec());
                let mut draft = Draft::default();
                draft.push(&Changes::from([(name.clone(), value.clone())]));
                let (bytes, next) = draft.encode(&end, &*key).unwrap();
                overlay.add(&Record::parse(&bytes).unwrap()).unwrap().unwrap();
                end = next;
                match value {
                    Some(value) => drop(model.insert(name, value)),
                    None => drop(model.remove(&name)),
                }
            }
            assert_eq!(overlay.runs.is_empty(), limit == usize::MAX);
            let merged: Vec<_> = overlay.over(None).map(Result::unwrap).collect();
            assert_eq!(merged, model.into_iter().collect::<Vec<_>>(), "{limit}");
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "and nothing is left of the files");
    }
}
