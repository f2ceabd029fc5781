//! Better Auth's wire, by its recorded contract (PROTOCOL).

pub mod account;
pub mod admin;
pub mod email;
pub mod reset;
pub mod session;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;
pub mod username;

use common::{
    SecretString,
    api::{SessionBody, SessionCopyBody},
};
use http::{StatusCode, header};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::{
    App, Req,
    auth::{Caller, wire_token},
};
use crate::{
    domain::Session,
    door::{JSON, Reply},
    service::{self, fields, tokens},
    store::Live,
};

/// Leads the browser on, as recorded: without a body, and with a content type all the same.
fn redirect(target: &str) -> Reply {
    // RFC 9110 §10.2.2: a URI reference, and that is ASCII.
    let place = utf8_percent_encode(target, CONTROLS).to_string();
    Reply::empty(StatusCode::FOUND).header(header::CONTENT_TYPE, JSON).header(header::LOCATION, place)
}

/// Adds the cookies of the session's copy, where browsers carry one. authd never reads it: what it says may have ended.
pub(super) fn add_session_data(app: &App, req: &Req, live: &Live, own: &SecretString, reply: &mut Reply) {
    if !app.cookies.has_copies() {
        return;
    }
    let now = app.services.clock.now();
    let session = session_body(app, &live.session, Some(own));
    let user = tokens::user_body(&app.services, &live.user);
    let body = SessionCopyBody { session, user, updated_at: now.as_millis(), version: "1".into() };
    // What is shown to the client as JSON everywhere else is JSON here too.
    let Ok(content) = serde_json::to_string(&body) else { return };
    for cookie in app.cookies.session_data(&content, live.session.remember, now, &req.head) {
        reply.add(header::SET_COOKIE, cookie);
    }
}

/// Sets the session's cookie again, after a change of what it stands for, and the copy of how it is now.
pub(super) async fn set_again(app: &App, req: &Req, caller: &Caller, reply: &mut Reply) {
    let Some(shown) = &caller.shown else { return };
    for cookie in app.cookies.session(&shown.token, caller.live.session.remember) {
        reply.add(header::SET_COOKIE, cookie);
    }
    let changed = match app.cookies.has_copies() {
        true => service::sessions::show(&app.services, &caller.live.session.id).await.ok(),
        false => None,
    };
    match changed {
        Some(live) => add_session_data(app, req, &live, &shown.token, reply),
        // A copy of how it was goes; the next `/get-session` makes another.
        None => app.cookies.forget_session_data(&req.head).into_iter().for_each(|c| reply.add(header::SET_COOKIE, c)),
    }
}

/// The session in Better Auth's shape; with its token, if the caller showed it.
fn session_body(app: &App, session: &Session, own: Option<&SecretString>) -> SessionBody {
    SessionBody {
        id: session.id.clone(),
        token: wire_token(app, session, own),
        user_id: session.user.clone(),
        expires_at: session.expires_at,
        created_at: session.created_at,
        updated_at: session.updated_at,
        ip_address: session.ip_address.clone(),
        user_agent: session.user_agent.clone(),
        impersonated_by: app
            .settings
            .plugins
            .admin
            .then(|| session.impersonation.as_ref().map(|impersonation| impersonation.by.clone())),
        fields: fields::shown(&app.services.policy.session_fields, &session.fields),
    }
}
