//! Where things are: data directory, master key, admin socket. In production under /var/lib, /etc and /run; in
//! development where a desktop keeps such things, with names that tell two data directories apart.

use std::path::{Path, PathBuf};

use super::{Mode, Origin, Problem, Settings, origin_of};
use crate::digest::sha256;

/// The configuration of the service.
pub const SYSTEM_CONFIG: &str = "/etc/authd/authd.toml";
/// The data directory of the service.
pub const SYSTEM_DATA: &str = "/var/lib/authd";
/// The master key of the service, where systemd hands over none.
pub const SYSTEM_MASTER_KEY: &str = "/etc/authd/master.key";
/// The admin socket of the service.
pub const SYSTEM_SOCKET: &str = "/run/authd/admin.sock";
/// The name of systemd's credential.
pub const CREDENTIAL: &str = "authd.master-key";
/// The name of the credential with the secret of the server before.
pub const LEGACY_CREDENTIAL: &str = "authd.legacy-secret";
/// The name of the credential with the password for the SMTP server.
pub const MAIL_CREDENTIAL: &str = "authd.mail-password";
/// The name of the credential with the secret of hooks.
pub const HOOK_CREDENTIAL: &str = "authd.hook-secret";
/// The name of the credential with the secret of events.
pub const EVENT_CREDENTIAL: &str = "authd.event-secret";
/// The longest path of a Unix socket, in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The master key.
    pub master_key: PathBuf,
    /// Whether the master key is a credential of systemd, whose modes are systemd's.
    pub is_credential: bool,
    /// The secret of the server before, if there is one.
    pub legacy_secret: Option<SecretPlace>,
    /// The password for the SMTP server, if there is one.
    pub mail_password: Option<SecretPlace>,
    /// The secret that hooks are signed by, if there is one.
    pub hook_secret: Option<SecretPlace>,
    /// The secret that events are signed by, if there is one.
    pub event_secret: Option<SecretPlace>,
    /// The folder that mails are written to where they are not sent.
    pub outbox: PathBuf,
    /// The admin socket.
    pub admin_socket: PathBuf,
    /// Whether authctl finds the socket by itself.
    pub is_default_socket: bool,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// Its file.
    pub path: PathBuf,
    /// Whether it is a credential of systemd, whose modes are systemd's.
    pub is_credential: bool,
}

/// Whether systemd started this process.
pub fn is_under_systemd(env: &[(String, String)]) -> bool {
    env.iter().any(|(name, value)| name == "INVOCATION_ID" && !value.is_empty())
        && env.iter().any(|(name, _)| name == "NOTIFY_SOCKET")
}

impl Places {
    pub(super) fn find(
        mode: Mode,
        s: &Settings,
        origins: &[Origin],
        env: &[(String, String)],
    ) -> Result<Self, Vec<Problem>> {
        let problem =
            |key: &str, message: String| Problem { key: key.into(), origin: origin_of(origins, key), message };
        let mut problems = vec![];
        let var = |name: &str| {
            let value = env.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v));
            value.filter(|path| path.is_absolute())
        };
        let home = var("HOME");
        let under_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let state = var("XDG_STATE_HOME").or_else(|| under_home(".local/state"));
        let config = var("XDG_CONFIG_HOME").or_else(|| under_home(".config"));

        let default_data = match mode {
            Mode::Production => Some(PathBuf::from(SYSTEM_DATA)),
            Mode::Development => state.map(|state| state.join("authd")),
        };
        let data_dir = s.store.path.clone().map(|path| std::path::absolute(&path).unwrap_or(path));
        let own_data = data_dir.is_some() && data_dir != default_data;
        let Some(data_dir) = data_dir.or(default_data) else {
            return Err(vec![problem(
                "store.path",
                "neither HOME nor XDG_STATE_HOME is set: say where with --data-dir".into(),
            )]);
        };

        let credentials = var("CREDENTIALS_DIRECTORY");
        let credential_by = |name: &str| credentials.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists());
        let legacy_secret = match &s.session.legacy_secret_file {
            Some(path) => Some(SecretPlace { path: path.clone(), is_credential: false }),
            None => credential_by(LEGACY_CREDENTIAL).map(|path| SecretPlace { path, is_credential: true }),
        };
        let mail_password = match &s.mail.password_file {
            Some(path) => Some(SecretPlace { path: path.clone(), is_credential: false }),
            None => credential_by(MAIL_CREDENTIAL).map(|path| SecretPlace { path, is_credential: true }),
        };
        let hook_secret = match &s.hooks.secret_file {
            Some(path) => Some(SecretPlace { path: path.clone(), is_credential: false }),
            None => credential_by(HOOK_CREDENTIAL).map(|path| SecretPlace { path, is_credential: true }),
        };
        let event_secret = match &s.events.secret_file {
            Some(path) => Some(SecretPlace { path: path.clone(), is_credential: false }),
            None => credential_by(EVENT_CREDENTIAL).map(|path| SecretPlace { path, is_credential: true }),
        };
        let outbox = s.mail.outbox.clone().unwrap_or_else(|| data_dir.join("outbox"));
        let credential = credential_by(CREDENTIAL);
        let is_credential = s.keys.master_key_file.is_none() && credential.is_some();
        let master_key = match (&s.keys.master_key_file, credential, mode) {
            (Some(path), ..) => path.clone(),
            (None, Some(path), _) => path,
            (None, None, Mode::Production) => SYSTEM_MASTER_KEY.into(),
            (None, None, Mode::Development) => match config {
                Some(config) if own_data => config.join("authd").join(format!("{}.master.key", named_after(&data_dir))),
                Some(config) => config.join("authd").join("master.key"),
                // No home to keep it in: beside the data directory, not inside.
                None => data_dir.with_file_name(format!("{}.master.key", file_name(&data_dir))),
            },
        };
        if master_key.starts_with(&data_dir) {
            let message = format!(
                "{} lies in the data directory, where a copy of one would be a copy of both",
                master_key.display()
            );
            problems.push(problem("keys.master_key_file", message));
        }
        if let Some(place) = &legacy_secret
            && (place.path.starts_with(&data_dir) || !place.path.is_absolute())
        {
            let message = format!("{} is not an absolute path outside the data directory", place.path.display());
            problems.push(problem("session.legacy_secret_file", message));
        }
        if legacy_secret.is_some() && s.session.legacy_secret_until.is_none() {
            let message = "it must be set where there is a secret of the server before: say until when that counts";
            problems.push(problem("session.legacy_secret_until", message.into()));
        }

        let runtime = var("XDG_RUNTIME_DIR");
        let (admin_socket, is_default_socket) = match (&s.admin.socket, mode) {
            (Some(path), _) => (std::path::absolute(path).unwrap_or_else(|_| path.clone()), false),
            (None, Mode::Production) => (SYSTEM_SOCKET.into(), true),
            (None, Mode::Development) => match runtime {
                Some(runtime) if own_data => {
                    (runtime.join("authd").join(format!("{}.sock", named_after(&data_dir))), false)
                }
                Some(runtime) => (runtime.join("authd").join("admin.sock"), true),
                None => (data_dir.join("admin.sock"), !own_data),
            },
        };
        let length = admin_socket.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            let message = format!(
                "{} has {length} bytes, and a socket's path can have {MAX_SOCKET_PATH}: choose a shorter one with --admin-socket",
                admin_socket.display()
            );
            problems.push(problem("admin.socket", message));
        }
        for (key, path) in [("store.path", &data_dir), ("keys.master_key_file", &master_key)] {
            if !path.is_absolute() {
                problems.push(problem(key, format!("{} is not an absolute path", path.display())));
            }
        }
        if problems.is_empty() {
            Ok(Self {
                data_dir,
                master_key,
                is_credential,
                legacy_secret,
                mail_password,
                hook_secret,
                event_secret,
                outbox,
                admin_socket,
                is_default_socket,
            })
        } else {
            Err(problems)
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// A short name for a data directory, different for different ones.
fn named_after(path: &Path) -> String {
    let digest = sha256(path.as_os_str().as_encoded_bytes());
    let plain: String = file_name(path).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
    format!("{plain}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    fn development() -> Flags {
        Flags { development: true, ..Flags::default() }
    }

    fn places(flags: &Flags, pairs: &[(&str, &str)]) -> Places {
        load(flags, &env(pairs)).unwrap_or_else(|p| panic!("{p:?}")).places
    }

    #[test]
    fn development_uses_the_users_own_directories() {
        let p = places(&development(), &[("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(p.data_dir, Path::new("/home/ada/.local/state/authd"));
        assert_eq!(p.master_key, Path::new("/home/ada/.config/authd/master.key"));
        assert_eq!(p.admin_socket, Path::new("/run/user/1000/authd/admin.sock"));
        assert!(p.is_default_socket);
        let p = places(&development(), &[("HOME", "/home/ada")]);
        assert_eq!(
            (p.admin_socket.as_path(), p.is_default_socket),
            (Path::new("/home/ada/.local/state/authd/admin.sock"), true)
        );
    }

    #[test]
    fn another_data_directory_has_a_socket_and_a_master_key_of_its_own() {
        let at = |dir: &str| {
            let flags = Flags { data_dir: Some(dir.into()), ..development() };
            places(&flags, &[("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/1000")])
        };
        let (a, b) = (at("/tmp/one"), at("/srv/one"));
        assert_ne!(a.admin_socket, b.admin_socket);
        assert_ne!(a.master_key, b.master_key);
        assert!(!a.is_default_socket && !a.master_key.starts_with("/tmp/one"));
    }

    #[test]
    fn without_a_home_a_data_directory_must_be_named() {
        let problems = load(&development(), &[]).unwrap_err();
        assert!(problems[0].message.contains("--data-dir"), "{problems:?}");
        let p = places(&Flags { data_dir: Some("/tmp/x".into()), ..development() }, &[]);
        assert_eq!(p.master_key, Path::new("/tmp/x.master.key"));
        assert_eq!(p.admin_socket, Path::new("/tmp/x/admin.sock"));
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_a_clear_error() {
        let flags = Flags { admin_socket: Some(format!("/tmp/{}", "x".repeat(120)).into()), ..development() };
        let problems = load(&flags, &env(&[("HOME", "/home/ada")])).unwrap_err();
        assert!(problems[0].message.contains("107"), "{problems:?}");
    }

    #[test]
    fn a_master_key_inside_the_data_directory_is_refused() {
        let vars = env(&[("HOME", "/home/ada"), ("AUTHD_KEYS__MASTER_KEY_FILE", "/tmp/x/key")]);
        let flags = Flags { data_dir: Some("/tmp/x".into()), ..development() };
        assert_eq!(load(&flags, &vars).unwrap_err()[0].key, "keys.master_key_file");
    }
}
