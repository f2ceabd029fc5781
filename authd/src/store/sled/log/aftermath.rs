//! What a log says that another store left behind, as far as it can be read: what happened after a place in it.

use std::{path::Path, sync::Arc};

use super::{
    LogError, Position,
    merge::{Merged, Overlay},
    record::FORMAT,
    replay::walk,
    segment, snapshot,
    sorted::Reader,
};
use crate::ports::Mac;

/// Bytes of changes that are held in memory.
const MEMORY: usize = 48 << 20;

/// What happened after a place in the log.
pub(in super::super) struct Aftermath {
    /// The newest word on each key that there is one about, in their order.
    pub changes: Merged,
    /// Whether that is everything that the other store had: what is missing was gone.
    pub is_whole: bool,
    /// Whether nothing is missing between the place and what could be read.
    pub reaches_back: bool,
    /// The last sequence that could be read.
    pub end: u64,
    /// Why no more than that could be read.
    pub broken: Option<LogError>,
}

impl Aftermath {
    /// Reads the log in `directory`, in which nothing is changed: `scratch` takes what is too much for memory.
    pub(in super::super) fn read(
        directory: &Path,
        since: u64,
        key: &Arc<dyn Mac>,
        scratch: &Path,
    ) -> Result<Self, LogError> {
        let mut broken = None;
        let ground = whole_snapshot(directory, key).unwrap_or_else(|e| {
            broken = Some(e);
            None
        });
        let ground = ground.filter(|snapshot| snapshot.position.seq > since);
        let behind = ground.as_ref().map_or(0, |snapshot| snapshot.position.seq);
        let segments = segment::list(directory, behind)?;
        let begin = segments.first().map(|first| Position { seq: first.header.first - 1, mac: first.header.mac });
        let begin = begin.or(ground.as_ref().map(|snapshot| snapshot.position)).unwrap_or_default();
        let mut overlay = Overlay::new(scratch, key.clone(), MEMORY);
        let mut end = begin.seq;
        let walked = walk(&segments, begin, &**key, &mut |record, path, at| {
            if record.end().seq > since {
                overlay.add(record)?.ok_or_else(|| LogError::Damaged {
                    path: path.into(),
                    offset: at,
                    sequence: record.first - 1,
                    what: "a record that cannot be read".into(),
                })?;
            }
            end = record.end().seq;
            Ok(())
        });
        broken = walked.err().or(broken);
        let (is_whole, reaches_back) = (ground.is_some(), ground.is_some() || begin.seq <= since);
        let ground = ground.map(|snapshot| Reader::open(&snapshot.path, key.clone())).transpose()?;
        Ok(Self { changes: overlay.over(ground), is_whole, reaches_back, end, broken })
    }
}

/// The newest snapshot, if there is one and it is whole.
fn whole_snapshot(directory: &Path, key: &Arc<dyn Mac>) -> Result<Option<snapshot::Snapshot>, LogError> {
    let Some(newest) = snapshot::newest(directory)? else { return Ok(None) };
    newest.up_to(FORMAT)?;
    Reader::open(&newest.path, key.clone())?.try_for_each(|entry| entry.map(drop))?;
    Ok(Some(newest))
}
