//! The data directory: its owner's alone, and one daemon's at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    unistd::geteuid,
};

use crate::exit::{Exit, Failure};

/// A data directory that this process holds. The lock goes with the process, however it ends.
pub struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Makes a directory and those above it; the last one is for its owner only.
///
/// # Errors
/// `CannotCreate`.
pub fn make_private(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let refuse = |e| Failure::new(Exit::CannotCreate, format!("the directory {} cannot be made: {e}", path.display()));
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(refuse)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(refuse(e)),
        _ => Ok(()),
    }
}

impl DataDir {
    /// Makes the directory if it is not there, checks that nobody else can look inside, and locks it.
    ///
    /// # Errors
    /// `Configuration` for a loose mode or a foreign owner, `Locked` if another daemon has it.
    pub fn claim(path: &Path) -> Result<Self, Failure> {
        make_private(path)?;
        let shown = path.display();
        let meta =
            path.metadata().map_err(|e| Failure::new(Exit::Permission, format!("{shown} cannot be read: {e}")))?;
        if meta.uid() != geteuid().as_raw() {
            let message =
                format!("the data directory {shown} belongs to uid {}, and authd runs as {}", meta.uid(), geteuid());
            let fix = match geteuid().is_root() {
                true => format!(
                    "run it as that user: setpriv --reuid={0} --regid={1} --clear-groups",
                    meta.uid(),
                    meta.gid()
                ),
                false => format!("chown -R {} {shown}", geteuid()),
            };
            return Err(Failure::new(Exit::Configuration, message).fix(fix));
        }
        if meta.mode() & 0o077 != 0 {
            let message = format!("the data directory {shown} is open to others (mode {:04o})", meta.mode() & 0o777);
            return Err(Failure::new(Exit::Configuration, message).fix(format!("chmod 700 {shown}")));
        }
        let lock_path = path.join("lock");
        let io = |e| Failure::new(Exit::Permission, format!("{} cannot be opened: {e}", lock_path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(&lock_path)
            .map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(io(std::io::Error::other("it is not a plain file")));
        }
        let mut holder = String::new();
        // Only for the message: an unreadable pid is no reason not to start.
        let _ = file.read_to_string(&mut holder);
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let written =
                    lock.rewind().and_then(|()| lock.set_len(0)).and_then(|()| write!(lock, "{}", std::process::id()));
                written.map_err(io)?;
                Ok(Self { path: path.into(), _lock: lock })
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                let by = if holder.is_empty() { String::new() } else { format!(" (pid {holder})") };
                Err(Failure::new(Exit::Locked, format!("another authd{by} has the data directory {shown}"))
                    .fix("stop it first, or give this one a --data-dir of its own"))
            }
            Err((_, e)) => Err(Failure::new(Exit::System, format!("{} cannot be locked: {e}", lock_path.display()))),
        }
    }

    /// Where sled keeps its files.
    pub fn store(&self) -> PathBuf {
        self.path.join("sled")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn op_04_one_daemon_at_a_time_and_no_others_look_inside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/data");
        let held = DataDir::claim(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(path.join("lock").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let refused = DataDir::claim(&path).err().unwrap();
        assert_eq!(refused.exit, Exit::Locked);
        assert!(refused.message.contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        drop(DataDir::claim(&path).unwrap());

        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
        let refused = DataDir::claim(&path).err().unwrap();
        assert_eq!(refused.exit, Exit::Configuration);
        assert!(refused.to_string().contains("0750") && refused.to_string().contains("chmod 700"), "{refused}");
    }

    #[test]
    fn a_lock_that_leads_elsewhere_or_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("data"), dir.path().join("victim"));
        make_private(&path).unwrap();
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, path.join("lock")).unwrap();
        assert_eq!(DataDir::claim(&path).err().unwrap().exit, Exit::Permission);
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        std::fs::remove_file(path.join("lock")).unwrap();
        nix::unistd::mkfifo(&path.join("lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(DataDir::claim(&path).is_err());
    }
}
