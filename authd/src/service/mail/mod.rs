//! Mail: written as part of the act that calls for it, kept in the store, and sent from there until it has gone.

mod limits;
mod queue;
mod template;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use common::{Email, SecretString, Span, UnixTime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Notify;

pub use self::{
    queue::{Preview, Summary, preview, queue, retry, round, send_test, summary},
    template::{NAMES, Rendered, TemplateProblem, check as check_templates},
};
use super::{
    Requester, Services,
    random::{self, base62},
};
use crate::{
    digest::sha256,
    domain::{
        Link, Mail, Post, Purpose, TokenDigest, User, address,
        mail::{Claim, MailedLink, Template},
    },
    ports::{Entropy, Mac, Mailer},
};

/// The configured rules.
#[derive(Debug, Clone, Default)]
pub struct MailPolicy {
    /// Where links lead: the configured public URL with the first mount, and nothing that a request says (RC-03).
    pub base: String,
    /// What mails call the service.
    pub service: String,
    /// How many mails with a link an address gets in an hour.
    pub per_address: u32,
    /// How many a client can cause.
    pub per_client: u32,
    /// How long a mail is tried again.
    pub patience: Span,
    /// The operator's templates.
    pub templates: Option<PathBuf>,
}

/// What sends mail, and what is known of how that goes. Lasts longer than a configuration.
#[derive(Default)]
pub struct Room {
    mailer: Option<Arc<dyn Mailer>>,
    limits: limits::Limits,
    /// Told whenever a mail was queued.
    queued: Notify,
    /// One round at a time: two would send the same mail.
    turn: tokio::sync::Mutex<()>,
    last_failure: Mutex<Option<(UnixTime, String)>>,
}

impl Room {
    /// With what hands mails over; `None`: there is no mail here.
    pub fn new(mailer: Option<Arc<dyn Mailer>>) -> Self {
        Self { mailer, ..Self::default() }
    }

    /// Whether there is mail.
    pub fn is_on(&self) -> bool {
        self.mailer.is_some()
    }

    /// Waits until a mail is queued.
    pub async fn queued(&self) {
        self.queued.notified().await;
    }

    fn failed(&self, at: UnixTime, why: &str) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, why.to_owned()));
    }
}

/// Makes tokens of a nonce, always the same ones: what is stored needs the key to become a link.
struct Stream<'a> {
    mac: &'a dyn Mac,
    seed: Vec<u8>,
    blocks: std::sync::atomic::AtomicU64,
}

impl Entropy for Stream<'_> {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let bytes = self.mac.mac(&[b"mail link v1\0", &self.seed, &block.to_be_bytes()]);
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// The token of a link, made of its nonce: 24 characters for a password, as Better Auth's, 32 for all else; 142 bits at least
/// (RC-01).
fn token(app: &Services, purpose: Purpose, nonce: &[u8; 16]) -> SecretString {
    let seed = [purpose.as_str().as_bytes(), &[0], nonce].concat();
    let stream = Stream { mac: &*app.secrets.link, seed, blocks: 0.into() };
    SecretString::new(base62(&stream, if purpose == Purpose::ResetPassword { 24 } else { 32 }))
}

/// What is known of a token.
pub(super) fn digest(token: &str) -> TokenDigest {
    TokenDigest(sha256(format!("mail link\n{token}").as_bytes()))
}

/// All that `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The address in the mail.
fn url(base: &str, purpose: Purpose, token: &str, target: &str) -> SecretString {
    let target = utf8_percent_encode(target, COMPONENT);
    SecretString::new(match purpose {
        Purpose::VerifyEmail | Purpose::ConfirmChange | Purpose::VerifyChange => {
            format!("{base}/verify-email?token={token}&callbackURL={target}")
        }
        Purpose::ResetPassword => format!("{base}/reset-password/{token}?callbackURL={target}"),
        Purpose::DeleteUser => format!("{base}/delete-user/callback?token={token}&callbackURL={target}"),
    })
}

/// A link that is to be sent.
pub(super) struct Wanted<'a> {
    /// What for.
    pub(super) purpose: Purpose,
    /// To whom it belongs.
    pub(super) user: &'a User,
    /// The address that the account is to have.
    pub(super) new_email: Option<&'a Email>,
    /// What comes into force with it.
    pub(super) claim: Option<Claim>,
    /// Where it leads in the end.
    pub(super) target: &'a str,
}

/// A mail with a link. To the new address, where that is what has to be proved.
pub(super) fn letter(app: &Services, wanted: Wanted<'_>, now: UnixTime) -> Post {
    let Wanted { purpose, user, new_email, claim, target } = wanted;
    let mut nonce = [0; 16];
    app.entropy.fill(&mut nonce);
    let digest = digest(token(app, purpose, &nonce).expose());
    let life = match purpose {
        Purpose::ResetPassword => app.policy.reset_expires_in,
        Purpose::DeleteUser => app.policy.delete_expires_in,
        Purpose::VerifyEmail | Purpose::ConfirmChange | Purpose::VerifyChange => app.policy.email.expires_in,
    };
    let link = Link {
        digest,
        purpose,
        user: user.id.clone(),
        email: user.email.clone(),
        epoch: user.epoch,
        new_email: new_email.cloned(),
        claim,
        created_at: now,
        expires_at: now.plus(life),
        is_used: false,
    };
    let to = new_email.filter(|_| purpose == Purpose::VerifyChange).unwrap_or(&user.email);
    let mailed = MailedLink { nonce, digest, purpose, target: target.to_owned() };
    let mut post = notice(app, Template::of(purpose), Some(user), to, new_email, now);
    (post.mail.link, post.mail.send_by, post.link) = (Some(mailed), link.expires_at, Some(link));
    post
}

/// A mail without a link.
pub(super) fn notice(
    app: &Services,
    template: Template,
    user: Option<&User>,
    to: &Email,
    new_email: Option<&Email>,
    now: UnixTime,
) -> Post {
    let mail = Mail {
        id: random::mail_id(&*app.entropy),
        template,
        to: to.clone(),
        user: user.map(|user| user.id.clone()),
        name: user.map(|user| user.name.clone()).unwrap_or_default(),
        new_email: new_email.cloned(),
        link: None,
        created_at: now,
        send_by: UnixTime::MAX,
        next_try: now,
        attempts: 0,
        error: None,
        is_dead: false,
    };
    Post { mail, link: None }
}

/// Whether one more mail may go to this address because of this client. Asked for addresses without account too.
pub(super) fn may_send(app: &Services, to: &Email, requester: &Requester, now: UnixTime) -> bool {
    let client = requester.address.map(|address| address::bucket(address).to_string()).unwrap_or_default();
    let policy = &app.policy.mail;
    let (address, client) = (
        ("address", to.as_str(), policy.per_address as usize),
        ("client", client.as_str(), policy.per_client as usize),
    );
    app.mail.is_on() && app.mail.limits.take(&[address, client], now)
}

/// Mail was queued: whoever sends it need not wait for the next round.
pub(super) fn wake(app: &Services) {
    app.mail.queued.notify_one();
}
