//! The card that development mode shows at its start: where everything is, and what to type next.

use std::{fmt::Write, path::Path};

use crate::{app::Running, config::Config};

/// How this shell would call authctl: by name if it is installed, by path if it was built beside us, by cargo otherwise.
fn authctl(env: &[(String, String)]) -> String {
    let var = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let in_path = var("PATH").unwrap_or_default().split(':').any(|dir| Path::new(dir).join("authctl").is_file());
    if in_path {
        return "authctl".into();
    }
    let sibling = std::env::current_exe().ok().map(|exe| exe.with_file_name("authctl")).filter(|path| path.is_file());
    match sibling {
        Some(path) => {
            let here = std::env::current_dir().unwrap_or_default();
            path.strip_prefix(&here).unwrap_or(&path).display().to_string()
        }
        None if var("CARGO").is_some() => "cargo run -q --release -p authctl --".into(),
        None => "authctl".into(),
    }
}

fn shortened(path: &Path, env: &[(String, String)]) -> String {
    let home = env.iter().find(|(name, value)| name == "HOME" && value.len() > 1).map(|(_, value)| value.as_str());
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// The card as text.
pub fn card(config: &Config, running: &Running, env: &[(String, String)]) -> String {
    let url = &running.public_url;
    let places = &config.places;
    let socket =
        if places.is_default_socket { String::new() } else { format!(" --socket {}", running.admin_socket.display()) };
    let authctl = authctl(env);
    let made = if running.made_master_key { "  (just made)" } else { "" };
    let mut out = String::new();
    let _ = write!(
        out,
        "\n  authd {version}, development mode: for this machine only\n\
         \n\
         \x20 public       {url}   every page of localhost is trusted\n\
         \x20 keys         {url}/.well-known/jwks.json\n\
         \x20 admin        {admin}\n\
         \x20 data         {data}\n\
         \x20 master key   {key}{made}\n\
         \n\
         \x20 In a frontend:\n\
         \n\
         \x20   createAuthClient({{ baseURL: \"{url}/api\" }})\n\
         \n\
         \x20 On the command line:\n\
         \n\
         \x20   curl -s {url}/api/auth/signup -H 'content-type: application/json' \\\n\
         \x20     -d '{{\"email\":\"you@example.com\",\"password\":\"correct horse battery\"}}'\n\
         \x20   {authctl}{socket} user list\n\
         \x20   {authctl}{socket} status\n\
         \n\
         \x20 Passwords have {min} characters or more; NIST asks for 15 where they are the only factor.\n\
         \x20 For a real host: authd init. To stop: Ctrl-C.\n\n",
        version = env!("CARGO_PKG_VERSION"),
        admin = running.admin_socket.display(),
        data = shortened(&places.data_dir, env),
        key = shortened(&places.master_key, env),
        min = config.settings.password.min_length,
    );
    out
}
