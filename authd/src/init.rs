//! `authd init`: what production needs before the first start. Makes what is missing, keeps what is there, says which.

use std::{io::ErrorKind, os::unix::fs::chown, path::Path};

use nix::unistd::{Group, geteuid};

use crate::{
    cli,
    config::{Config, PublicUrl, places},
    crypto::{
        entropy::SystemEntropy,
        master::{self, MasterKeyError},
    },
    exit::{Exit, Failure},
    files::create_whole,
};

/// Makes configuration and master key; answers what was done, a line each.
///
/// # Errors
/// Something cannot be made, or what is there is not what it should be.
pub fn init(wanted: &cli::Init, data_dir: Option<&Path>) -> Result<Vec<String>, Failure> {
    let url: PublicUrl =
        wanted.public_url.parse().map_err(|e| Failure::new(Exit::Configuration, format!("--public-url: {e}")))?;
    let cannot = |path: &Path, e: std::io::Error| {
        let failure = Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", path.display()));
        if e.kind() == ErrorKind::PermissionDenied {
            failure.fix("sudo authd init, or another place with --dir DIR")
        } else {
            failure
        }
    };
    let dir = std::path::absolute(&wanted.dir).map_err(|e| cannot(&wanted.dir, e))?;
    std::fs::create_dir_all(&dir).map_err(|e| cannot(&dir, e))?;
    let config = dir.join("authd.toml");
    let key = dir.join("master.key");
    let mut done = vec![];

    let text = configuration(&url, &dir, &key, data_dir);
    match create_whole(&config, 0o640, text.as_bytes(), &SystemEntropy::default()) {
        Ok(()) => {
            // The service may read it where it has a group of its own.
            if geteuid().is_root()
                && let Ok(Some(group)) = Group::from_name("authd")
            {
                chown(&config, None, Some(group.gid.as_raw())).map_err(|e| cannot(&config, e))?;
            }
            done.push(format!("made  {}  (mode 0640)", config.display()));
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => done.push(format!("kept  {}", config.display())),
        Err(e) => return Err(cannot(&config, e)),
    }
    match master::load(&key, false) {
        Ok(_) => done.push(format!("kept  {}", key.display())),
        Err(MasterKeyError::Missing(_)) => {
            master::create(&key, &SystemEntropy::default())
                .map_err(|e| Failure::new(Exit::CannotCreate, e.to_string()))?;
            done.push(format!("made  {}  (mode 0600; back it up apart from the data)", key.display()));
        }
        Err(e) => return Err(Failure::new(Exit::Configuration, e.to_string())),
    }
    Ok(done)
}

fn configuration(url: &PublicUrl, dir: &Path, key: &Path, data_dir: Option<&Path>) -> String {
    let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let mut text = Config::template().replace("https://auth.example.com\"\n", &format!("{}\"\n", url.origin()));
    // Elsewhere than in /etc the file must say where its neighbours are.
    if dir != Path::new(places::SYSTEM_CONFIG).parent().unwrap_or(dir) {
        text = text.replace("#master_key_file = \"\"", &format!("master_key_file = {}", quoted(key)));
    }
    if let Some(data_dir) = data_dir {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.into());
        text = text.replace("#path = \"\"", &format!("path = {}", quoted(&data_dir)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Flags, Mode, load};

    #[test]
    fn what_init_makes_is_enough_to_start_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let wanted = cli::Init { dir: dir.path().join("etc"), public_url: "https://login.example.org".into() };
        let done = init(&wanted, Some(&data)).unwrap();
        assert!(done.iter().all(|line| line.starts_with("made")), "{done:?}");
        let key = wanted.dir.join("master.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let flags = Flags { config: Some(wanted.dir.join("authd.toml")), ..Flags::default() };
        let config = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(config.mode, Mode::Production);
        assert_eq!((config.places.master_key, config.places.data_dir), (key.clone(), data.clone()));
        assert_eq!(config.settings.http.public_url.unwrap().origin(), "https://login.example.org");

        let before = std::fs::read(&key).unwrap();
        let done = init(&wanted, Some(&data)).unwrap();
        assert!(done.iter().all(|line| line.starts_with("kept")), "{done:?}");
        assert_eq!(std::fs::read(&key).unwrap(), before);
    }
}
