//! `authd init`: what production needs before the first start. Makes what is missing, keeps what is there, says which.

use std::{io::ErrorKind, os::unix::fs::chown, path::Path};

use nix::unistd::geteuid;

use crate::{
    cli,
    config::{Config, Flags, PublicUrl, Setting, places},
    crypto::{
        entropy::SystemEntropy,
        master::{self, MasterKeyError},
        seal::Sealer,
    },
    exit::{Exit, Failure},
    files::create_whole,
    nss,
};

/// Makes configuration and master key, with what the flags say in the configuration; answers what was done, a line each.
///
/// # Errors
/// Something cannot be made, or what is there is not what it should be.
pub fn init(wanted: &cli::Init, flags: &Flags) -> Result<Vec<String>, Failure> {
    let url: PublicUrl =
        wanted.public_url.parse().map_err(|e| Failure::new(Exit::Configuration, format!("--public-url: {e}")))?;
    let mut given = flags.given().map_err(|e| Failure::new(Exit::Configuration, e))?;
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

    given.extend(url.to_toml().map(|url| ("http.public_url".into(), url)));
    // Elsewhere than in /etc the file must say where its neighbour is.
    if key != Path::new(places::SYSTEM_MASTER_KEY) {
        given.extend(key.to_toml().map(|key| ("keys.master_key_file".into(), key)));
    }
    let text = Config::template(&given);
    match create_whole(&config, 0o640, text.as_bytes(), &SystemEntropy::default()) {
        Ok(()) => {
            // The service may read it where it has a group of its own.
            if geteuid().is_root()
                && let Some(group) = nss::group("authd")
            {
                chown(&config, None, Some(group.as_raw())).map_err(|e| cannot(&config, e))?;
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

/// Makes a master key for a change of it; answers what was done.
///
/// # Errors
/// The file exists, or cannot be made.
pub fn new_master_key(file: &Path) -> Result<String, Failure> {
    let key = master::create(file, &SystemEntropy::default())
        .map_err(|e| Failure::new(Exit::CannotCreate, e.to_string()).fix("name a file that does not exist yet"))?;
    let fingerprint = Sealer::new(key.expose()).fingerprint().to_owned();
    Ok(format!(
        "made  {}  (mode 0600, fingerprint {fingerprint}; back it up apart from the data)\n\n\
         next: authctl keys rewrap --new-master-key {}\n",
        file.display(),
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Mode, load};

    #[test]
    fn what_init_makes_is_enough_to_start_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let wanted = cli::Init {
            dir: dir.path().join("etc"),
            public_url: "https://login.example.org".into(),
            config: None,
            development: false,
        };
        let socket = dir.path().join("a.sock");
        let given = Flags {
            data_dir: Some(data.clone()),
            listen: Some("127.0.0.1:9000".into()),
            admin_socket: Some(socket.clone()),
            ..Flags::default()
        };
        let done = init(&wanted, &given).unwrap();
        assert!(done.iter().all(|line| line.starts_with("made")), "{done:?}");
        let key = wanted.dir.join("master.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let flags = Flags { config: Some(wanted.dir.join("authd.toml")), ..Flags::default() };
        let config = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(config.mode, Mode::Production);
        assert_eq!((config.places.master_key, config.places.data_dir), (key.clone(), data.clone()));
        assert_eq!((config.places.admin_socket, config.settings.http.listen.port()), (socket, 9000));
        assert_eq!(config.settings.http.public_url.unwrap().origin(), "https://login.example.org");

        let before = std::fs::read(&key).unwrap();
        let done = init(&wanted, &given).unwrap();
        assert!(done.iter().all(|line| line.starts_with("kept")), "{done:?}");
        assert_eq!(std::fs::read(&key).unwrap(), before);
    }
}
