//! Where the doors listen: sockets that systemd hands over, or our own.

use std::{
    fs::{DirBuilder, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use nix::{
    fcntl::OFlag,
    unistd::{chown, geteuid},
};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tracing::warn;

use crate::{
    config::Config,
    domain::access::ADMIN_GROUP,
    exit::{Exit, Failure},
    files::open_to_everybody,
    nss,
};

/// What systemd handed over, by the names in its socket units.
#[derive(Default)]
pub struct Inherited {
    /// `FileDescriptorName=http`
    pub http: Option<std::net::TcpListener>,
    /// `FileDescriptorName=admin`
    pub admin: Option<std::os::unix::net::UnixListener>,
    /// `FileDescriptorName=metrics`
    pub metrics: Option<std::net::TcpListener>,
}

impl Inherited {
    /// Takes the sockets of this process over.
    ///
    /// # Errors
    /// A socket of a wrong kind or an unknown name.
    pub fn take(names: Option<&str>) -> Result<Self, Failure> {
        let mut all = ListenFd::from_env();
        let mut taken = Self::default();
        let names: Vec<&str> = names.unwrap_or_default().split(':').collect();
        for index in 0..all.len() {
            let name = names.get(index).copied().unwrap_or_default();
            let wrong = |e: io::Error| {
                Failure::new(Exit::Configuration, format!("the inherited socket '{name}' is of the wrong kind: {e}"))
            };
            match name {
                "http" => taken.http = all.take_tcp_listener(index).map_err(wrong)?,
                "admin" => taken.admin = all.take_unix_listener(index).map_err(wrong)?,
                "metrics" => taken.metrics = all.take_tcp_listener(index).map_err(wrong)?,
                other => {
                    let message = format!(
                        "an inherited socket is called '{other}', and authd knows 'http', 'admin' and 'metrics'"
                    );
                    return Err(
                        Failure::new(Exit::Configuration, message).fix("set FileDescriptorName= in the socket unit")
                    );
                }
            }
        }
        Ok(taken)
    }
}

fn usable(inherited: std::net::TcpListener) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |e: io::Error| Failure::new(Exit::System, format!("the inherited socket cannot be used: {e}"));
    inherited.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(inherited).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Where metrics are served over TCP, if they are: by a socket of systemd's, or where `metrics.listen` says.
///
/// # Errors
/// The port is in use, or not permitted; or others than this machine could reach it, and that is not allowed.
pub async fn metrics(
    inherited: Option<std::net::TcpListener>,
    config: &Config,
) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
    let settings = &config.settings.metrics;
    let (listener, address) = match (inherited, settings.listen) {
        (Some(inherited), _) => usable(inherited)?,
        (None, Some(address)) => {
            let refuse = |e| Failure::new(Exit::System, format!("metrics cannot be served on {address}: {e}"));
            let listener =
                TcpListener::bind(address).await.map_err(|e| refuse(e).fix("choose another metrics.listen"))?;
            let address = listener.local_addr().map_err(refuse)?;
            (listener, address)
        }
        (None, None) => return Ok(None),
    };
    if !address.ip().is_loopback() && !settings.allow_remote {
        let message = format!("metrics would be served on {address}, which others than this machine can reach");
        return Err(Failure::new(Exit::Configuration, message)
            .fix("listen on 127.0.0.1, or set metrics.allow_remote = true if only those can who may"));
    }
    Ok(Some((listener, address)))
}

/// The public door's listeners and the port it has.
///
/// `also_ipv6` adds `[::1]` beside `127.0.0.1`, because some systems take `localhost` for the one and some for the other.
///
/// # Errors
/// The port is in use, or not permitted.
pub async fn public(
    inherited: Option<std::net::TcpListener>,
    address: SocketAddr,
    also_ipv6: bool,
) -> Result<(Vec<TcpListener>, SocketAddr), Failure> {
    if let Some(listener) = inherited {
        let (listener, address) = usable(listener)?;
        return Ok((vec![listener], address));
    }
    let refuse = |e: io::Error| match e.kind() {
        ErrorKind::AddrInUse => Failure::new(Exit::System, format!("{address} is in use by another program"))
            .fix("stop that program, or choose another port with --listen 127.0.0.1:PORT"),
        ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, format!("authd may not listen on {address}: {e}"))
                .fix("choose a port from 1024 on, with a reverse proxy in front")
        }
        _ => Failure::new(Exit::System, format!("authd cannot listen on {address}: {e}")),
    };
    let first = TcpListener::bind(address).await.map_err(refuse)?;
    let bound = first.local_addr().map_err(refuse)?;
    let mut listeners = vec![first];
    if also_ipv6 && bound.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port())).await {
            Ok(second) => listeners.push(second),
            // A machine without IPv6 needs none.
            Err(e) if e.kind() == ErrorKind::AddrInUse => {
                warn!("[::1]:{} is in use by another program: use 127.0.0.1, not localhost", bound.port());
            }
            Err(_) => {}
        }
    }
    Ok((listeners, bound))
}

/// The admin socket, and its file, which is removed at the end if it is ours.
pub struct AdminSocket {
    /// To accept from.
    pub listener: UnixListener,
    /// The file that we made.
    pub file: Option<SocketFile>,
}

/// Which file it is that we made: by its path anybody may have put another one in its place since.
#[derive(Debug, Clone)]
pub struct SocketId {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketId {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = path.symlink_metadata()?;
        Ok(Self { path: path.into(), device: meta.dev(), inode: meta.ino() })
    }

    fn is(&self, meta: &Metadata) -> bool {
        meta.file_type().is_socket() && (meta.dev(), meta.ino()) == (self.device, self.inode)
    }

    /// Gives the file to its owner, to the group `authd-admin` where there is one, and to everybody where roles say who may
    /// come in. No link is followed, and no other file is touched that stands there now.
    ///
    /// # Errors
    /// It is not there any more, or the mode cannot be set.
    pub fn set_mode(&self, for_everybody: bool) -> io::Result<()> {
        // A handle on the file itself, whatever its path leads to from now on.
        let flags = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits();
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if !self.is(&handle.metadata()?) {
            return Err(io::Error::other(format!("{} is not the socket that authd made", self.path.display())));
        }
        let file = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
        let has_group = nss::group(ADMIN_GROUP).is_some_and(|group| chown(&file, None, Some(group)).is_ok());
        let mode = match (for_everybody, has_group) {
            (true, _) => 0o666,
            (false, true) => 0o660,
            (false, false) => 0o600,
        };
        std::fs::set_permissions(&file, Permissions::from_mode(mode))
    }
}

/// The socket file that we made; removed on drop, if it is still the one that stands there.
pub struct SocketFile(SocketId);

impl SocketFile {
    /// Which file it is.
    pub fn id(&self) -> SocketId {
        self.0.clone()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let SocketId { path, .. } = &self.0;
        match path.symlink_metadata() {
            // Nothing to be done if it cannot be removed.
            Ok(meta) if self.0.is(&meta) => drop(std::fs::remove_file(path)),
            Ok(_) => warn!("{} is not the socket that authd made: it is left alone", path.display()),
            Err(_) => {}
        }
    }
}

/// Whether a role is given to anybody but the members of the admin group: then the file of the socket is for everybody, and the
/// peer's role decides.
pub fn is_for_everybody(config: &Config) -> bool {
    config.settings.roles().any(|(_, principal)| !principal.is_admin_group())
}

/// Whether everybody may open the socket.
pub fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.mode() & 0o006 == 0o006)
}

/// Refuses a directory in which anybody may put a socket of their own in the place of ours, and whose passwords would go there.
fn check_directory(path: &Path) -> Result<(), Failure> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let Ok(meta) = parent.metadata() else { return Ok(()) };
    let (shown, mode, own) = (parent.display(), meta.mode(), geteuid().as_raw());
    if let Ok(Some((dir, mode))) = open_to_everybody(path) {
        let dir = dir.display();
        let message =
            format!("{dir} has mode {mode:04o}: anybody may put another socket in the place of the admin socket there");
        return Err(Failure::new(Exit::Configuration, message)
            .fix(format!("chmod o-w {dir}, or choose another path with --admin-socket")));
    }
    let is_sticky = mode & 0o1000 != 0;
    if mode & 0o020 != 0 && !is_sticky {
        warn!(
            "{shown} has mode {:04o}: its group may put another socket in the place of the admin socket",
            mode & 0o7777
        );
    }
    if ![0, own].contains(&meta.uid()) {
        warn!("{shown} belongs to uid {}, who may put another socket in the place of the admin socket", meta.uid());
    }
    Ok(())
}

/// Binds the admin socket: a directory of its own with 0755, the socket for its owner, and for the group `authd-admin`
/// where there is one (AZ-03), or for everybody where roles are configured. A dead socket of our own is replaced, because the data directory is locked by us; everything
/// else that stands in the way is refused, and so is a directory in which anybody may put another in its place.
///
/// # Errors
/// `Locked` if somebody listens there, `Configuration` if something else is in the way.
pub async fn admin(
    inherited: Option<std::os::unix::net::UnixListener>,
    path: &Path,
    for_everybody: bool,
) -> Result<AdminSocket, Failure> {
    let shown = path.display();
    let failed = |e: io::Error| Failure::new(Exit::System, format!("the admin socket {shown} cannot be used: {e}"));
    if let Some(listener) = inherited {
        listener.set_nonblocking(true).map_err(failed)?;
        return Ok(AdminSocket { listener: UnixListener::from_std(listener).map_err(failed)?, file: None });
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        let refuse =
            |e| Failure::new(Exit::CannotCreate, format!("the directory {} cannot be made: {e}", parent.display()));
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(refuse)?;
        std::fs::set_permissions(parent, Permissions::from_mode(0o755)).map_err(refuse)?;
    }
    check_directory(path)?;
    clear_the_way(path).await?;
    // The umask of the process is 077: from its first moment the file is for its owner only.
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile(SocketId::of(path).map_err(failed)?);
    file.0.set_mode(for_everybody).map_err(failed)?;
    Ok(AdminSocket { listener, file: Some(file) })
}

async fn clear_the_way(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    let in_the_way = |what: &str| {
        Failure::new(Exit::Configuration, format!("{shown} is in the way: {what}"))
            .fix("remove it, or choose another path with --admin-socket")
    };
    if !meta.file_type().is_socket() {
        return Err(in_the_way("it is not a socket"));
    }
    if meta.uid() != geteuid().as_raw() {
        return Err(in_the_way(&format!("it is a socket of uid {}", meta.uid())));
    }
    match UnixStream::connect(path).await {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|e| Failure::new(Exit::System, format!("the dead socket {shown} cannot be removed: {e}"))),
        _ => Err(Failure::new(Exit::Locked, format!("another program listens on {shown}"))
            .fix("stop it first, or choose another path with --admin-socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn az_03_a_dead_socket_of_ours_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/admin.sock");
        let first = admin(None, &path, false).await.unwrap();
        assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o755);
        assert_eq!(path.metadata().unwrap().mode() & 0o007, 0);
        let AdminSocket { listener, file } = first;
        assert_eq!(admin(None, &path, false).await.err().unwrap().exit, Exit::Locked, "somebody listens");
        drop(listener);
        std::mem::forget(file);
        drop(admin(None, &path, false).await.unwrap());
        assert!(!path.exists(), "removed at the end");

        std::fs::write(&path, "precious").unwrap();
        assert_eq!(admin(None, &path, false).await.err().unwrap().exit, Exit::Configuration);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(admin(None, &path, false).await.err().unwrap().exit, Exit::Configuration);
    }

    #[tokio::test]
    async fn az_03_only_the_socket_that_was_made_is_removed_or_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/admin.sock");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        let AdminSocket { listener, file } = admin(None, &path, false).await.unwrap();
        let file = file.unwrap();
        file.id().set_mode(true).unwrap();
        assert_eq!(mode(&path), 0o666);

        // A link to a file of ours in the place of the socket, as who may write to the directory can put it.
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(file.id().set_mode(true).is_err());
        assert_eq!(mode(&victim), 0o600);
        drop(file);
        assert!(path.is_symlink(), "what others put there stays");
        drop(listener);
        std::fs::remove_file(&path).unwrap();

        // The socket of another daemon, which took the place of ours.
        let first = admin(None, &path, false).await.unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        let second = admin(None, &path, false).await.unwrap();
        assert!(first.file.as_ref().unwrap().id().set_mode(true).is_err());
        drop(first);
        assert!(UnixStream::connect(&path).await.is_ok(), "it is still there");
        assert_ne!(mode(&path), 0o666);
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn az_03_a_directory_in_which_anybody_may_put_another_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        for (mode, is_taken) in [(0o777, false), (0o1777, true), (0o755, true), (0o700, true)] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            match admin(None, &path, false).await {
                Ok(_) => assert!(is_taken, "{mode:o}"),
                Err(refused) => {
                    assert!(!is_taken && refused.exit == Exit::Configuration, "{mode:o}: {refused}");
                    assert!(refused.to_string().contains("chmod o-w"), "{refused}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_a_clear_error() {
        let (listeners, address) = public(None, "127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let refused = public(None, address, false).await.err().unwrap();
        assert_eq!(refused.exit, Exit::System);
        assert!(refused.to_string().contains("--listen"), "{refused}");
        drop(listeners);
    }
}
