//! Segments as files: their names, what there is of them, how one is made.

use std::{
    fs::{DirBuilder, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    super::disk::Syncs,
    LogError, plain,
    record::{FORMAT, HEADER_BYTES, Header, NoHeader},
};

/// A segment that is there.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub header: Header,
}

/// The name of the segment that begins with this sequence: so that their names sort as they follow.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.log"))
}

pub(super) fn io_at(path: &Path) -> impl Fn(io::Error) -> LogError + '_ {
    move |source| LogError::Io { path: path.into(), source }
}

/// What stands in a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LogError> {
    plain::read(path).map_err(io_at(path))
}

/// What looks like a segment, by its name: the sequence it begins with, if that is a number.
pub(super) fn names(directory: &Path) -> Result<Vec<(Option<u64>, PathBuf)>, LogError> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).map_err(io_at(directory))? {
        let name = entry.map_err(io_at(directory))?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".log")) {
            found.push((stem.parse().ok(), directory.join(&name)));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(found)
}

/// All segments that begin behind this sequence in their order, none missing between the first and the last, by what their
/// headers say. Older ones are what a snapshot replaced: of those any may be left after a power cut.
pub(super) fn list(directory: &Path, behind: u64) -> Result<Vec<Segment>, LogError> {
    let mut found: Vec<Segment> = vec![];
    for (first, path) in names(directory)? {
        if first.is_some_and(|first| first <= behind) {
            continue;
        }
        let damaged = |what: &str| LogError::Damaged { path: path.clone(), offset: 0, sequence: 0, what: what.into() };
        let mut head = Vec::with_capacity(HEADER_BYTES);
        let file = plain::open(&path).map_err(io_at(&path))?;
        file.take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(io_at(&path))?;
        let header = Header::decode(&head).map_err(|e| match e {
            NoHeader::Newer(found) => LogError::Newer { path: path.clone(), found, known: FORMAT },
            NoHeader::Damaged => damaged("its header is damaged"),
        })?;
        if self::path(directory, header.first) != path {
            return Err(damaged(&format!("it is the segment of sequence {}", header.first)));
        }
        if let Some(before) = found.last()
            && before.header.first != header.prior
        {
            return Err(damaged(&format!("the segment before it, {:020}.log, is missing", header.prior)));
        }
        found.push(Segment { path, header });
    }
    Ok(found)
}

/// Makes the directory, for its owner only.
pub(super) fn make_directory(directory: &Path, syncs: &dyn Syncs) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    directory.parent().map_or(Ok(()), |parent| syncs.names(parent))
}

/// Makes a file whole: it gets its name when all of it is on disk. What was there by that name is replaced.
pub(super) fn make(directory: &Path, path: &Path, content: &[u8], syncs: &dyn Syncs) -> io::Result<File> {
    make_as("unborn", directory, path, content, syncs)
}

/// The same, by another name while it is in the making: for whoever is not alone.
pub(super) fn make_as(
    unborn: &str,
    directory: &Path,
    path: &Path,
    content: &[u8],
    syncs: &dyn Syncs,
) -> io::Result<File> {
    let unborn = directory.join(unborn);
    let mut file = plain::create(&unborn)?;
    file.write_all(content)?;
    syncs.data(&file, &unborn)?;
    std::fs::rename(&unborn, path)?;
    syncs.names(directory)?;
    Ok(file)
}
