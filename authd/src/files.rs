//! Files that are there whole or not at all.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, hard_link, remove_file},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::ports::Entropy;

/// Makes a file that must not exist. It gets its name when all of it is on disk, so that a kill half way leaves nothing
/// by that name; and a file by that name that somebody else makes meanwhile stays as it is.
///
/// # Errors
/// `AlreadyExists`, or what stands in the way.
pub fn create_whole(path: &Path, mode: u32, content: &[u8], entropy: &dyn Entropy) -> io::Result<()> {
    let mut random = [0; 4];
    entropy.fill(&mut random);
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut unborn = OsString::from(".");
    unborn.push(name);
    unborn.push(format!(".{:08x}", u32::from_be_bytes(random)));
    let unborn = path.with_file_name(unborn);

    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unborn)?;
    let made = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| hard_link(&unborn, path));
    let tidied = remove_file(&unborn);
    made.and(tidied)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// A directory on the way to a path, as it is and as links lead, in which anybody may put something else in the place of what
/// is there; and its mode.
///
/// # Errors
/// The path or a directory above it cannot be looked at.
pub fn open_to_everybody(path: &Path) -> io::Result<Option<(PathBuf, u32)>> {
    let above = |path: &Path| path.parent().filter(|dir| !dir.as_os_str().is_empty()).map_or(".".into(), PathBuf::from);
    // What the path itself is comes last, if it is there: a link leads to another directory.
    let ends = [Some(above(path).canonicalize()?), path.canonicalize().ok().map(|found| above(&found))];
    for dir in ends.iter().flatten().flat_map(|end| end.ancestors()) {
        let mode = dir.metadata()?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Ok(Some((dir.into(), mode & 0o7777)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    #[test]
    fn a_file_is_made_once_with_its_mode_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let make = |content: &[u8]| create_whole(&path, 0o600, content, &SystemEntropy::default());
        make(b"first").unwrap();
        assert_eq!(make(b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("none/key");
        assert_eq!(
            create_whole(&nowhere, 0o600, b"", &SystemEntropy::default()).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn an_open_directory_anywhere_on_the_way_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (inner, other) = (root.path().join("a/b"), root.path().join("other"));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::create_dir(&other).unwrap();
        let (file, link) = (inner.join("file"), other.join("link"));
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let chmod = |dir: &Path, mode| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = |path: &Path| open_to_everybody(path).unwrap();
        for dir in [&inner, &root.path().join("a")] {
            assert_eq!((found(&file), found(&link)), (None, None));
            chmod(dir, 0o777);
            let expected = Some((dir.canonicalize().unwrap(), 0o777));
            assert_eq!((found(&file), found(&link)), (expected.clone(), expected));
            chmod(dir, 0o1777);
            assert_eq!((found(&file), found(&link)), (None, None), "nobody may replace what is another's there");
            chmod(dir, 0o755);
        }
        chmod(&other, 0o757);
        assert_eq!(found(&file), None);
        assert_eq!(found(&link), Some((other.canonicalize().unwrap(), 0o757)));
        assert_eq!(found(&inner.join("not there yet")), None);
    }
}
