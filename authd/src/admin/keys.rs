//! Signing keys. Private halves have no way out of here.

use common::{
    ErrorCode, UnixTime,
    admin::{CookieCacheSecret, KeyView, KeysChanged, KeysRewrapped, Page, RewrapKeys, RotateKeys},
};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{EventKind, KeyState, SigningKey},
    door::Reply,
    service::{
        audit,
        keys::{self, Changed, Step},
        master_key::{self, Rewrapped},
    },
};

pub(super) fn view(key: &SigningKey, now: UnixTime) -> KeyView {
    KeyView {
        kid: key.kid.clone(),
        algorithm: key.algorithm.as_str().into(),
        state: key.state(now).as_str().into(),
        created_at: key.created_at,
        published_at: key.published_at,
        signs_at: key.signs_at,
        retires_at: key.retires_at,
        gone_at: key.gone_at,
        revoked_at: key.revoked_at,
    }
}

/// What happens when, for people; what would happen, where nothing was done.
fn timeline(changed: &Changed, dry_run: bool) -> Vec<String> {
    let mut lines = vec![];
    let (key, at) = (&changed.key, changed.at);
    // The key of a dry run is thrown away, and its name with it.
    let kid = if dry_run && changed.is_new { "a new key" } else { key.kid.as_str() };
    match (key.state(at), dry_run) {
        (KeyState::Signing, false) => lines.push(format!("{kid} signs now")),
        (KeyState::Signing, true) => lines.push(format!("{kid} would sign at once")),
        (KeyState::Staged | KeyState::Published, false) => {
            lines.push(format!("{kid} is published now and signs from {} on", key.signs_at));
        }
        (KeyState::Staged | KeyState::Published, true) => {
            lines.push(format!("{kid} would be published at once and sign from {} on", key.signs_at));
        }
        (KeyState::Retiring | KeyState::Gone | KeyState::Revoked, _) => {}
    }
    if key.state(at) == KeyState::Signing && changed.is_new {
        let refuse = if dry_run { "would refuse" } else { "refuse" };
        lines.push(format!(
            "backends that cached the key set {refuse} its tokens until they fetch it again: those that refetch on an \
             unknown kid do so at once, all others within 6 minutes"
        ));
    }
    if let Some(previous) = &changed.previous {
        let kid = &previous.kid;
        lines.extend(match (previous.state(at), previous.gone_at, dry_run) {
            (KeyState::Revoked, _, false) => Some(format!("tokens signed by {kid} are refused from now on")),
            (KeyState::Revoked, _, true) => Some(format!("tokens signed by {kid} would be refused at once")),
            (KeyState::Gone, _, false) => Some(format!("{kid} has left the key set; it signed nothing")),
            (KeyState::Gone, _, true) => Some(format!("{kid} would leave the key set; it has signed nothing")),
            (_, Some(gone), false) => {
                Some(format!("tokens signed by {kid} stay good; it leaves the key set at {gone}"))
            }
            (_, Some(gone), true) => {
                Some(format!("tokens signed by {kid} would stay good; it would leave the key set at {gone}"))
            }
            (_, None, _) => None,
        });
    }
    lines
}

fn reply(changed: &Changed, dry_run: bool) -> Reply {
    let at = changed.at;
    Reply::json(&KeysChanged {
        key: view(&changed.key, at),
        previous: changed.previous.as_ref().map(|key| view(key, at)),
        timeline: timeline(changed, dry_run),
        dry_run,
    })
}

async fn perform(app: &AdminApp, req: &AdminReq, step: Step, dry_run: bool) -> Result<Reply, AdminError> {
    let event = step.event();
    let changed = keys::perform(&app.services, step, dry_run, req.act(app.services.clock.now())).await?;
    if !dry_run {
        req.log_done(event, changed.key.kid.as_str());
    }
    Ok(reply(&changed, dry_run))
}

/// `GET /v1/keys`
///
/// # Errors
/// None.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let now = app.services.clock.now();
    let items: Vec<KeyView> = keys::current(&app.services).keys.iter().map(|key| view(key, now)).collect();
    Ok(Reply::json(&Page { items, next: None }))
}

/// `POST /v1/keys/rotate`
///
/// # Errors
/// `Conflict` if a rotation is under way.
pub async fn rotate(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: RotateKeys = req.json()?;
    let step = Step::Rotate { at_once: wanted.now };
    perform(app, &req, step, wanted.dry_run).await
}

/// `POST /v1/keys/rollback?dry_run=`
///
/// # Errors
/// `Conflict` if there is nothing to go back to.
pub async fn roll_back(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let dry_run = req.query::<bool>("dry_run")?.unwrap_or(false);
    perform(app, &req, Step::RollBack, dry_run).await
}

/// `POST /v1/keys/{kid}/revoke?dry_run=`
///
/// # Errors
/// `KeyNotFound`, `Conflict`.
pub async fn revoke(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let dry_run = req.query::<bool>("dry_run")?.unwrap_or(false);
    perform(app, &req, Step::Revoke(req.param("kid").to_owned()), dry_run).await
}

/// `POST /v1/keys/cookie-cache`: the secret of the copies of sessions in browsers, and that it was shown in the trail.
///
/// # Errors
/// `Conflict` if there are no such copies; `StoreUnavailable`.
pub async fn cookie_cache(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let copies = app.info.copies.as_ref().ok_or_else(|| {
        AdminError::new(ErrorCode::Conflict)
            .cause("browsers carry no copies of sessions")
            .fix("cookies.cache = \"compact\" in the configuration, and a restart")
    })?;
    let act = req.act(app.services.clock.now());
    audit::note(&app.services, act, EventKind::CookieCacheShown).await?;
    req.log_done(EventKind::CookieCacheShown, &copies.form);
    let (secret, strategy) = (copies.secret.expose().to_owned(), copies.form.clone());
    Ok(Reply::json(&CookieCacheSecret { secret, strategy, cookie_prefix: copies.prefix.clone() }))
}

/// `POST /v1/keys/rewrap`: seals everything under another master key. As good as root: only for root and the daemon's own
/// user (design, section 8).
///
/// # Errors
/// `Forbidden`; `ValidationError` if it is no master key; `Conflict` if it is the one in force.
pub async fn rewrap(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    if req.operator.uid != 0 && req.operator.uid != app.last_read.access.own_uid {
        return Err(AdminError::new(ErrorCode::Forbidden)
            .cause("the master key is changed by root, or by the daemon's own user")
            .fix("sudo authctl keys rewrap --new-master-key FILE"));
    }
    let RewrapKeys { new_master_key, dry_run } = req.json()?;
    let services = app.services.clone();
    let act = req.act(services.clock.now());
    let Rewrapped { from, to, keys, secrets } = master_key::rewrap(services, new_master_key, dry_run, act).await?;
    if !dry_run {
        req.log_done(EventKind::KeysRewrapped, &to);
    }
    let file = match &app.info.master_key {
        Some(path) => path.display().to_string(),
        None => "the file that LoadCredential=authd.master-key names, /etc/authd/master.key".into(),
    };
    let timeline = match dry_run {
        true => vec![format!(
            "{keys} signing keys and {secrets} secrets would be sealed under the master key {to}; {from} would open the \
             store no more"
        )],
        false => vec![
            format!(
                "{keys} signing keys and {secrets} secrets are sealed under the master key {to}; {from} opens the store no more"
            ),
            format!("authd starts again only with the new key: put it in place now, as {file}"),
        ],
    };
    let master_key_file = app.info.master_key.as_ref().map(|path| path.display().to_string());
    Ok(Reply::json(&KeysRewrapped { from, to, master_key_file, timeline, dry_run }))
}
