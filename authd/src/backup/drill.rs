//! A drill: a backup is restored into a place of its own, a daemon started on it, and an account signed in there by its public
//! door. What is at work meanwhile is not touched.

use std::{net::SocketAddr, path::Path, time::Duration};

use common::{SecretString, UnixTime, admin::BackupDrilled};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Told, Wanted, restore};
use crate::{
    app::{self, Parts, Running},
    config::{self, Config, Flags},
    crypto::entropy::SystemEntropy,
    domain::{Act, GivenFields},
    exit::{Exit, Failure},
    service::{
        random::base62,
        usernames::GivenUsername,
        users::{self, NewAccount},
    },
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Restores the backup below `scratch`, which must not be there and is removed, and signs an account in.
///
/// # Errors
/// Any of it does not work.
pub fn drill(config: &Config, wanted: &Wanted, scratch: &Path, now: UnixTime) -> Result<Told, Failure> {
    let cannot =
        |e: std::io::Error| Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", scratch.display()));
    let place = Scratch::make(scratch).map_err(cannot)?;
    let throwaway = throwaway(config, wanted, place.0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::System, format!("no threads: {e}")))?;
    runtime.block_on(async {
        let restored = restore::make(&throwaway, wanted, now).await?;
        let running = app::start(&throwaway, Parts::default()).await?;
        let signed_in = sign_in(&running).await;
        running.stop().await;
        signed_in?;
        let by_identity = wanted.identity.is_some();
        let drilled = BackupDrilled {
            name: wanted.file.display().to_string(),
            passed: true,
            opened_by: if by_identity { "identity" } else { "masterKey" }.into(),
            sequence: restored.copied.sequence,
            made_at: restored.content.made_at,
            users: restored.copied.users,
        };
        let text = format!(
            "the drill passed: restored by {}, {} users, sequence {}, made {}; a throw-away daemon signed a new account in, \
             and its token was good\n",
            if by_identity { "the identity alone" } else { "the master key" },
            drilled.users,
            drilled.sequence,
            drilled.made_at
        );
        Ok(Told::new(text, &drilled))
    })
}

/// A directory that goes when the drill is over.
struct Scratch<'a>(&'a Path);

impl<'a> Scratch<'a> {
    fn make(path: &'a Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0);
    }
}

/// The configuration of a daemon that has nothing in common with the one at work: on a free port of this machine, with its own
/// socket and master key, and no mail leaves it.
fn throwaway(config: &Config, wanted: &Wanted, place: &Path) -> Result<Config, Failure> {
    let flags = Flags {
        development: true,
        data_dir: Some(place.join("data")),
        listen: Some("127.0.0.1:0".into()),
        admin_socket: Some(place.join("admin.sock")),
        ..Flags::default()
    };
    let mut made = config::load(&flags, &[]).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Configuration, problems.join("; "))
    })?;
    // By an identity the key comes out of the backup; otherwise it is the one that opens it.
    made.places.master_key = match wanted.identity {
        Some(_) => place.join("master.key"),
        None => config.places.master_key.clone(),
    };
    made.places.is_credential = wanted.identity.is_none() && config.places.is_credential;
    Ok(made)
}

async fn sign_in(running: &Running) -> Result<(), Failure> {
    let failed = |what: &str| Failure::new(Exit::Software, format!("the drill failed: {what}"));
    let services = running.services();
    let canary = base62(&SystemEntropy::default(), 20);
    let email = format!("canary-{}@drill.invalid", canary.to_lowercase());
    let parsed = email.parse().map_err(|_| failed("no address for the canary"))?;
    let account = NewAccount {
        email: parsed,
        name: "Canary".into(),
        password: Some(SecretString::from(canary.as_str())),
        temporary: false,
        email_verified: true,
        role: None,
        fields: GivenFields::default(),
        username: GivenUsername::default(),
        image: None,
        ban: None,
    };
    let made = users::create(&services, account, Act::by_daemon(services.clock.now())).await;
    made.map_err(|e| failed(&format!("no account can be made: {e}")))?;
    let body = serde_json::json!({"email": email, "password": canary.as_str(), "mode": "token"}).to_string();
    let (status, answer) = ask(running.address, "POST", "/api/login", "", &body).await?;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let token = answer.get("access_token").and_then(serde_json::Value::as_str);
    let token =
        token.filter(|_| status == 200).ok_or_else(|| failed(&format!("the canary's sign-in answered {status}")))?;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    match ask(running.address, "GET", "/api/me", &bearer, "").await? {
        (200, answer) if answer.contains(&email) => Ok(()),
        (status, _) => Err(failed(&format!("the canary's token answered {status}"))),
    }
}

/// One request. Answers status and body.
async fn ask(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<(u16, String), Failure> {
    if !to.ip().is_loopback() {
        return Err(Failure::new(Exit::Software, format!("the throw-away daemon is not on this machine: {to}")));
    }
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let failed =
        |e: std::io::Error| Failure::new(Exit::Software, format!("the throw-away daemon does not answer: {e}"));
    let answer = timeout(ANSWER, exchange).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(failed)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}
