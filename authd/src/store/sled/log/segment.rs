//! Segments as files: their names, what there is of them, how one is made.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    super::disk::Syncs,
    LogError,
    record::{HEADER_BYTES, Header, NoHeader, VERSION},
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
    std::fs::read(path).map_err(io_at(path))
}

/// All segments in their order, none missing between the first and the last, by what their headers say.
pub(super) fn list(directory: &Path) -> Result<Vec<Segment>, LogError> {
    let mut found: Vec<Segment> = vec![];
    let mut names = vec![];
    for entry in std::fs::read_dir(directory).map_err(io_at(directory))? {
        let name = entry.map_err(io_at(directory))?.file_name();
        if Path::new(&name).extension().is_some_and(|e| e == "log") {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let path = directory.join(&name);
        let damaged = |what: &str| LogError::Damaged { path: path.clone(), offset: 0, sequence: 0, what: what.into() };
        let mut head = Vec::with_capacity(HEADER_BYTES);
        let file = File::open(&path).map_err(io_at(&path))?;
        file.take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(io_at(&path))?;
        let header = Header::decode(&head).map_err(|e| match e {
            NoHeader::Newer(found) => LogError::Newer { path: path.clone(), found, known: VERSION },
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
    let unborn = directory.join("unborn");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
    file.write_all(content)?;
    syncs.data(&file, &unborn)?;
    std::fs::rename(&unborn, path)?;
    syncs.names(directory)?;
    Ok(file)
}
