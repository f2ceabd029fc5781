//! Plain files only. A FIFO in the place of one would hold up the start for good, and a link would lead elsewhere.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::fcntl::OFlag;

/// Without waiting, and not through a link.
const FLAGS: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOFOLLOW).union(OFlag::O_NOCTTY);

fn only_plain(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a plain file")),
    }
}

/// Opens one that is there, to be read.
pub(in super::super) fn open(path: &Path) -> io::Result<File> {
    only_plain(OpenOptions::new().read(true).custom_flags(FLAGS.bits()).open(path)?)
}

/// Opens one that is there, to be changed.
pub(super) fn change(path: &Path) -> io::Result<File> {
    only_plain(OpenOptions::new().read(true).write(true).custom_flags(FLAGS.bits()).open(path)?)
}

/// What stands in one.
pub(in super::super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes an empty one, for its owner only, in the place of whatever has its name.
pub(in super::super) fn create(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn links_and_fifos_are_neither_read_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link, fifo) = (dir.path().join("victim"), dir.path().join("link"), dir.path().join("fifo"));
        std::fs::write(&victim, "precious").unwrap();
        symlink(&victim, &link).unwrap();
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [&link, &fifo] {
            assert!(open(path).is_err() && change(path).is_err() && read(path).is_err(), "{path:?}");
            create(path).unwrap();
            assert!(path.symlink_metadata().unwrap().is_file(), "{path:?}");
        }
        assert_eq!(read(&victim).unwrap(), b"precious");
        assert_eq!(open(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
