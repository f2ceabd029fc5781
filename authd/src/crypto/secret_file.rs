//! Reading a secret from a file that nobody else could have read or put there (CR-02).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use common::SecretString;
use nix::{fcntl::OFlag, unistd::geteuid};
use zeroize::Zeroizing;

/// The longest secret that is read, in bytes.
pub const MAX_BYTES: usize = 1024;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// There is no such file.
    #[error("{0} is not there")]
    Missing(PathBuf),
    /// It exists and cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// Others may read it, it is somebody else's, or it is no plain file.
    #[error("{path} is not safe: {problem}")]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads the whole file; `None` if it is no text, or longer than [`MAX_BYTES`].
///
/// It must be a plain file of the daemon's own user or root's, reached by no symbolic link, with no permission for group or
/// others. A credential of systemd is root's, and the daemon reads it by its ACL, which shows as the group's mode.
///
/// # Errors
/// [`FileProblem`].
pub fn read(path: &Path, is_credential: bool) -> Result<Option<SecretString>, FileProblem> {
    let unreadable = |e: io::Error| match e.raw_os_error() {
        Some(nix::libc::ENOENT) => FileProblem::Missing(path.into()),
        Some(nix::libc::ELOOP) => {
            FileProblem::Unsafe { path: path.into(), problem: "it is a symbolic link: name the file itself".into() }
        }
        _ => FileProblem::Unreadable(path.into(), e),
    };
    // Without waiting: a FIFO in its place would hold up the start for good.
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    if !is_credential {
        flags |= OFlag::O_NOFOLLOW;
    }
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(unreadable)?;
    check(path, &file, is_credential)?;
    // One allocation, so that no half of it is left behind unwiped.
    let mut bytes = Zeroizing::new(vec![0; MAX_BYTES + 1]);
    let mut read = 0;
    while read < bytes.len() {
        match file.read(&mut bytes[read..]).map_err(unreadable)? {
            0 => break,
            n => read += n,
        }
    }
    if read > MAX_BYTES {
        return Ok(None);
    }
    Ok(std::str::from_utf8(&bytes[..read]).ok().map(SecretString::from))
}

fn check(path: &Path, file: &File, is_credential: bool) -> Result<(), FileProblem> {
    let unsafe_because = |problem: String| Err(FileProblem::Unsafe { path: path.into(), problem });
    let meta = file.metadata().map_err(|e| FileProblem::Unreadable(path.into(), e))?;
    if !meta.is_file() {
        return unsafe_because("it is not a plain file".into());
    }
    let refused = if is_credential { 0o037 } else { 0o077 };
    if meta.mode() & refused != 0 {
        let mode = meta.mode() & 0o777;
        return unsafe_because(format!(
            "its mode is {mode:04o}, so others can read or change it: chmod 600 {}",
            path.display()
        ));
    }
    let own = geteuid();
    if meta.uid() != own.as_raw() && meta.uid() != 0 {
        return unsafe_because(format!(
            "it belongs to uid {}, and neither to root nor to the daemon's {own}",
            meta.uid()
        ));
    }
    Ok(())
}

/// What anybody can see to be wrong with a file that holds a secret: that it is a link, or that others may read or change it.
/// Whose it has to be is for the daemon to say, which reads it.
pub fn loose(path: &Path) -> Option<String> {
    let meta = path.symlink_metadata().ok()?;
    if meta.file_type().is_symlink() {
        return Some("it is a symbolic link: name the file itself".into());
    }
    let mode = meta.mode() & 0o777;
    (mode & 0o077 != 0)
        .then(|| format!("its mode is {mode:04o}, so others can read or change it: chmod 600 {}", path.display()))
}

/// Whether `path` lies in `dir`, by whatever names the two are called.
pub fn lies_in(path: &Path, dir: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let (Some(dir), Some(holder)) = (real(dir), path.parent().and_then(real)) else { return false };
    holder.starts_with(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn problem(path: &Path) -> String {
        read(path, false).unwrap_err().to_string()
    }

    #[test]
    fn cr_02_only_a_plain_file_for_its_owner_alone_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read(&path, false), Err(FileProblem::Missing(_))));
        std::fs::write(&path, "a secret\n").unwrap();
        for mode in [0o601, 0o604, 0o610, 0o620, 0o640, 0o660, 0o777] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(problem(&path).contains(&format!("{mode:04o}")), "{mode:o}");
        }
        for mode in [0o600, 0o400, 0o700] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(read(&path, false).unwrap().unwrap().expose(), "a secret\n", "{mode:o}");
        }
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(problem(&link).contains("symbolic link"), "{}", problem(&link));
        assert!(problem(dir.path()).contains("not a plain file"), "{}", problem(dir.path()));
    }

    #[test]
    fn cr_02_a_fifo_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(problem(&path).contains("not a plain file"), "{}", problem(&path));
    }

    #[test]
    fn cr_02_a_file_of_another_user_is_refused() {
        if !geteuid().is_root() {
            return; // only root can give a file away
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "a secret").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        assert!(problem(&path).contains("uid 4242"), "{}", problem(&path));
        assert!(read(&path, true).is_err(), "nor as a credential: those are root's");
    }

    #[test]
    fn what_is_too_long_or_no_text_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (content, is_read) in
            [(vec![b'a'; MAX_BYTES], true), (vec![b'a'; MAX_BYTES + 1], false), (vec![0xff], false)]
        {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(read(&path, false).unwrap().is_some(), is_read);
        }
    }

    #[test]
    fn cr_01_a_place_in_the_data_directory_is_found_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("deep")).unwrap();
        symlink(&data, dir.path().join("alias")).unwrap();
        for inside in ["data/key", "alias/key", "data/deep/key", "data/../data/key", "alias/deep/key"] {
            assert!(lies_in(&dir.path().join(inside), &data), "{inside}");
            assert!(lies_in(&dir.path().join(inside), &dir.path().join("alias")), "{inside}");
        }
        for outside in ["key", "data/../key", "data2/key"] {
            assert!(!lies_in(&dir.path().join(outside), &data), "{outside}");
        }
    }
}
