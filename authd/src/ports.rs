//! What the services need from outside, as object-safe traits: time, randomness, hashing, signing. `crypto` implements
//! them; tests put their own in.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
};

use async_trait::async_trait;
use common::{Email, Kid, MailId, SecretString, Span, UnixTime, admin::BackupContents};
use zeroize::Zeroizing;

use crate::{
    domain::{Algorithm, KeySet, PasswordHash, SigningKey, token::Claims, token::TokenProblem},
    metrics::Distribution,
    store::{OpenSnapshot, SealedSecret},
};

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now. Never earlier than what it said before.
    fn now(&self) -> UnixTime;
    /// Says that it has been at least so late already.
    fn not_before(&self, _: UnixTime) {}
    /// How far the host's clock is behind [`Clock::now`]: it was set back.
    fn wall_is_behind(&self) -> Span {
        Span::ZERO
    }
}

/// Randomness from the operating system.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// A keyed one-way function: HMAC-SHA-256.
pub trait Mac: Send + Sync {
    /// The MAC of the parts, one after the other as if they were one text.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32];
}

/// Why no hash was made or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HasherError {
    /// All threads are at work and the queue is full.
    #[error("the hashing queue is full")]
    Busy,
    /// The hashing threads are gone.
    #[error("the hashing threads have stopped")]
    Stopped,
    /// The job failed inside; the log says how.
    #[error("the hashing failed")]
    Failed,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the password is the right one.
    pub matches: bool,
    /// Whether the stored hash should be replaced by one with the present parameters.
    pub outdated: bool,
}

/// Password hashing on threads of its own, behind a bounded queue in which clients take turns: no crowd from one network keeps
/// the others out (TH-06). `client` is whom the work is for; all whose address is not known, and operators, are one.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Makes a hash with the present parameters and a fresh salt.
    ///
    /// # Errors
    /// `Busy`, `Stopped`, `Failed`.
    async fn hash(&self, password: SecretString, client: Option<IpAddr>) -> Result<PasswordHash, HasherError>;

    /// Compares. Without a stored hash it does the same work and finds no match, so that an unknown user costs what a
    /// known one does (AU-07).
    ///
    /// # Errors
    /// `Busy`, `Stopped`, `Failed`.
    async fn verify(
        &self,
        password: SecretString,
        stored: Option<PasswordHash>,
        client: Option<IpAddr>,
    ) -> Result<Verdict, HasherError>;

    /// How many guesses an attacker would need, capped; on the same threads, because it is work.
    ///
    /// # Errors
    /// `Busy`, `Stopped`, `Failed`.
    async fn guesses(
        &self,
        password: SecretString,
        own_words: Vec<String>,
        client: Option<IpAddr>,
    ) -> Result<u64, HasherError>;

    /// How busy it is.
    fn load(&self) -> HasherLoad;

    /// What it has done since the start.
    fn work(&self) -> HasherWork {
        HasherWork::default()
    }
}

/// What the hasher has done since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HasherWork {
    /// How many threads are at work.
    pub busy: u64,
    /// How many jobs were refused, or pushed out by those of others.
    pub refused: u64,
    /// How long jobs took, in seconds.
    pub seconds: Distribution,
}

/// How busy the hasher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherLoad {
    /// How many jobs it can do at once.
    pub threads: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many may wait.
    pub capacity: usize,
}

/// Why a key could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The sealed private key cannot be opened with this master key, or is none.
    #[error("the private key {0} cannot be opened")]
    Sealed(String),
    /// The master key is being changed: nothing is sealed just now.
    #[error("the master key is being changed")]
    Changing,
    /// The cryptographic library refused.
    #[error("the cryptographic library refused to {0}")]
    Refused(&'static str),
}

/// A parsed and verified token: its claims, and the raw header and payload for those who show them.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    /// The `typ` of the header, in lower case and without `application/`; empty if absent.
    pub kind: String,
    /// The key that signed it.
    pub kid: Kid,
    /// Its claims.
    pub claims: Claims,
}

/// A token taken apart without any trust in it.
#[derive(Debug, Clone)]
pub struct DecodedToken {
    /// The header.
    pub header: serde_json::Map<String, serde_json::Value>,
    /// The claims.
    pub payload: serde_json::Map<String, serde_json::Value>,
}

/// Signing and verifying JWTs.
pub trait TokenSigner: Send + Sync {
    /// Makes a key pair; the private half comes back sealed. All times of the record are `now`.
    ///
    /// # Errors
    /// `Refused`.
    fn generate(&self, algorithm: Algorithm, token_life: Span, now: UnixTime) -> Result<SigningKey, SignerError>;

    /// Signs the claims (JSON text) as a compact JWS with this key. `typ` is left out if empty.
    ///
    /// # Errors
    /// `Sealed` if the private half does not open; `Refused`.
    fn sign(&self, key: &SigningKey, typ: &str, claims: &str) -> Result<String, SignerError>;

    /// Checks form, key, algorithm and signature, and reads the claims. Times, issuer and audience are the caller's.
    ///
    /// # Errors
    /// The first of these that does not hold.
    fn verify(&self, token: &str, keys: &KeySet, now: UnixTime) -> Result<VerifiedToken, TokenProblem>;

    /// Only takes the token apart.
    ///
    /// # Errors
    /// `Malformed`.
    fn decode(&self, token: &str) -> Result<DecodedToken, TokenProblem>;
}

/// Why the master key was not changed, or something sealed was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The text is not what a file with a master key has, or it was not drawn at random.
    #[error("that is not an authd master key")]
    NotAKey,
    /// It is the key in force.
    #[error("that is the master key in force")]
    SameKey,
    /// It is being changed already.
    #[error("the master key is being changed")]
    Changing,
    /// Something in the store does not open.
    #[error("{0} does not open with the master key")]
    Sealed(String),
}

/// The master key at work, and its change. Whatever is sealed is sealed by it.
pub trait Vault: Send + Sync {
    /// Begins a change to the key of this line. Until that is done or dropped nothing new is sealed, and what is sealed by
    /// either key opens.
    ///
    /// # Errors
    /// `NotAKey`, `SameKey`, `Changing`.
    fn change(self: Arc<Self>, line: &SecretString) -> Result<Box<dyn MasterKeyChange>, VaultError>;
}

/// A change of the master key. Dropped before it is done, it has not happened.
pub trait MasterKeyChange: Send + Sync {
    /// The fingerprint of the key in force.
    fn from(&self) -> &str;
    /// The fingerprint of the new key.
    fn to(&self) -> &str;
    /// A signing key with its private half sealed anew.
    ///
    /// # Errors
    /// `Sealed`.
    fn signing_key(&self, key: &SigningKey) -> Result<SigningKey, VaultError>;
    /// Any other secret, sealed anew.
    ///
    /// # Errors
    /// `Sealed`.
    fn secret(&self, purpose: &str, id: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError>;
    /// It is on disk: from now on the new key is the one.
    fn done(self: Box<Self>);
}

/// A mail as it is handed over.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Becomes the `Message-ID`: whoever gets the same mail twice can tell.
    pub id: MailId,
    /// To whom; nobody else gets it.
    pub to: Email,
    /// One line.
    pub subject: String,
    /// For programs that show plain text.
    pub text: SecretString,
    /// For all others.
    pub html: SecretString,
    /// The link in it, for who has no mail program at hand.
    pub link: Option<SecretString>,
    /// When it was written.
    pub at: UnixTime,
}

/// Why a mail was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailerError {
    /// It may go another time.
    #[error("{0}")]
    Later(String),
    /// It never will.
    #[error("{0}")]
    Never(String),
}

/// Hands mails over to whoever delivers them.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands over one mail. When it returns, somebody else is answerable for it.
    ///
    /// # Errors
    /// Whether it is worth another try. A failure does not mean that the mail has not gone: the answer may have been lost.
    async fn send(&self, letter: &Letter) -> Result<(), MailerError>;
    /// What operators call it: where mails go.
    fn describe(&self) -> String;
}

/// The secret of a Better Auth server that authd takes over from: it verifies cookies, and never signs.
#[derive(Clone)]
pub struct Takeover {
    /// Verifies its cookies.
    pub mac: Arc<dyn Mac>,
    /// From this millisecond on it is as if there were no such secret.
    pub until: UnixTime,
}

/// The keys that are not for signing tokens, each for one purpose (CR-07).
#[derive(Clone)]
pub struct Secrets {
    /// Signs cookies.
    pub cookie: Arc<dyn Mac>,
    /// Makes refresh tokens.
    pub refresh: Arc<dyn Mac>,
    /// Marks the devices of those who signed in.
    pub device: Arc<dyn Mac>,
    /// Makes the links in mails.
    pub link: Arc<dyn Mac>,
    /// Makes the secret of the copies of sessions in browsers.
    pub copies: Arc<dyn Mac>,
}

/// The forms of a session's copy in the browser: Better Auth's strategies of its cookie cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyForm {
    /// JSON with an HMAC.
    Compact,
    /// A signed JWT.
    Jwt,
    /// An encrypted one.
    Jwe,
}

/// Makes the copies of sessions that browsers carry. Nothing here ever reads one.
pub trait SessionCopies: Send + Sync {
    /// A copy of this JSON object, good until then. `None`: it is no object, or the cipher refuses.
    fn copy(&self, content: &str, now: UnixTime, until: UnixTime) -> Option<String>;
}

/// A backup in the daemon's own directory of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name there.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was made.
    pub made_at: UnixTime,
}

/// What a backup has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContent {
    /// Everything up to this sequence of the commit log.
    pub sequence: u64,
    /// When it was made.
    pub made_at: UnixTime,
    /// How many accounts.
    pub users: u64,
    /// How many sessions: a restore ends them.
    pub sessions: u64,
    /// How many entries.
    pub entries: u64,
    /// The fingerprint of the store's master key.
    pub fingerprint: String,
    /// Whether the master key is inside, for who opens it with an identity.
    pub is_recoverable: bool,
}

impl BackupContent {
    /// As operators see it, of a backup of this name and size.
    pub fn view(self, name: String, bytes: u64) -> BackupContents {
        let Self { sequence, made_at, users, sessions, entries, fingerprint, is_recoverable } = self;
        BackupContents {
            name,
            bytes,
            sequence,
            made_at,
            users,
            sessions,
            entries,
            fingerprint,
            recoverable: is_recoverable,
        }
    }
}

/// Why there is no backup, or none that is right.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is none by that name.
    #[error("there is no such backup")]
    Missing,
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no room.
    #[error("there is no room for a backup")]
    Full,
    /// The master key is being changed, or was while the backup was made.
    #[error("the master key is being changed")]
    Changing,
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// How far something has come that takes its time.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes done.
    pub done: AtomicU64,
    /// Bytes there are to do, as far as that is known.
    pub total: AtomicU64,
}

/// Backups: the whole store in one file, sealed for the master key and for those who can recover it.
pub trait Backups: Send + Sync {
    /// Makes one from a snapshot of the store, on disk and read back. `log_key` is the store's sealed key of the commit log.
    ///
    /// # Errors
    /// Any of [`BackupError`] but `Missing`.
    fn make(
        &self,
        snapshot: OpenSnapshot,
        log_key: &SealedSecret,
        now: UnixTime,
        progress: &Arc<Progress>,
    ) -> Result<(BackupFile, BackupContent), BackupError>;
    /// Those that are there, the oldest first.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self) -> Result<Vec<BackupFile>, BackupError>;
    /// Reads one to its end.
    ///
    /// # Errors
    /// `Missing`, `Damaged`, `Io`.
    fn verify(&self, name: &str, progress: &Arc<Progress>) -> Result<BackupContent, BackupError>;
    /// A piece of one, from this offset on; empty behind its end.
    ///
    /// # Errors
    /// `Missing`, `Io`.
    fn piece(&self, name: &str, from: u64) -> Result<Vec<u8>, BackupError>;
    /// Removes one.
    ///
    /// # Errors
    /// `Missing`, `Io`.
    fn remove(&self, name: &str) -> Result<(), BackupError>;
    /// Where they are.
    fn directory(&self) -> String;
    /// The public keys of those who can open them without the master key.
    fn recipients(&self) -> Vec<String>;
}

/// A signed call to the application. Its body may have a password.
#[derive(Clone)]
pub struct Call {
    /// Names it: whoever gets it twice knows by that.
    pub id: String,
    /// When it is made; the receiver refuses old ones.
    pub at: UnixTime,
    /// JSON, wiped on drop.
    pub body: Zeroizing<Vec<u8>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// All of the body.
    pub body: Vec<u8>,
}

/// Why nothing came back that could be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It took longer than it may.
    #[error("it did not answer in time")]
    TooSlow,
    /// The answer is longer than it may be.
    #[error("its answer is too long")]
    TooLarge,
    /// It leads elsewhere, where nobody goes (OP-05).
    #[error("it answered with a redirect, which is not followed")]
    Redirected,
    /// No connection, no TLS, no HTTP.
    #[error("{0}")]
    Failed(String),
}

/// An address of the application.
#[async_trait]
pub trait Target: Send + Sync {
    /// Makes the call.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn call(&self, call: &Call) -> Result<Answered, CallError>;

    /// Where it is, for operators.
    fn describe(&self) -> String;
}
