//! The plain endpoints: `signup`, `login`, `refresh`, `logout`, `me`, for frontends and scripts without Better Auth.
//!
//! Two modes, never mixed, so that a script in a page never holds a long-lived credential: `cookie` sets the session
//! cookie and returns an access token; `token` returns an access and a refresh token and sets no cookie.

use common::{
    ErrorCode, SecretString,
    api::{LogoutBody, MeBody, MeSession, TokenBody, TokenFields, UserOnlyBody},
};
use http::{HeaderName, StatusCode, header};

use super::{
    ApiError, App, Req,
    auth::{CookieSession, set_auth_jwt, use_cookie, wish},
    better_auth::{
        add_session_data,
        username::{given_username, of_username},
    },
    given::application,
};
use crate::{
    domain::{GivenFields, User},
    door::{JSON, Reply},
    service::{
        accounts::{self, Identifier, SignIn, SignUp},
        sessions::{self, Opened, Wish},
        tokens::{self, Added},
    },
    store::Live,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Cookie,
    Token,
}

const MODES: [(&str, Mode); 2] = [("cookie", Mode::Cookie), ("token", Mode::Token)];

fn mode_of(req: &Req, asked: Option<Mode>) -> Mode {
    asked.unwrap_or(if req.is_from_browser() { Mode::Cookie } else { Mode::Token })
}

/// The tokens of an answer (RFC 6749 §5.1). `refresh_expires_in` is the lesser of what is left without use and at all.
pub(super) async fn token_fields(
    app: &App,
    live: &Live,
    refresh_token: Option<&SecretString>,
    claims: Option<&Added>,
) -> Result<TokenFields, ApiError> {
    let services = &app.services;
    let access = tokens::access_token(services, live, claims).await?;
    let left = live.session.expires_at.min(live.session.absolute_expires_at).since(services.clock.now());
    Ok(TokenFields {
        access_token: access.token.into(),
        token_type: "Bearer".into(),
        expires_in: access.expires_in,
        refresh_token: refresh_token.cloned(),
        refresh_expires_in: refresh_token.map(|_| left.as_secs()),
    })
}

async fn token_reply(
    app: &App,
    live: &Live,
    refresh_token: Option<&SecretString>,
    claims: Option<&Added>,
) -> Result<Reply, ApiError> {
    let body = TokenBody {
        tokens: token_fields(app, live, refresh_token, claims).await?,
        user: tokens::user_body(&app.services, &live.user),
    };
    set_auth_jwt(app, live, Reply::json(&body)).await
}

async fn opened_reply(app: &App, req: &Req, opened: &Opened, mode: Mode) -> Result<Reply, ApiError> {
    let mut reply = token_reply(app, &opened.live, opened.refresh_token.as_ref(), opened.claims.as_ref()).await?;
    if mode == Mode::Cookie {
        set_session_cookies(app, req, opened, &mut reply);
    }
    Ok(reply)
}

/// Adds the cookies of a session that was just opened.
pub(super) fn set_session_cookies(app: &App, req: &Req, opened: &Opened, reply: &mut Reply) {
    let remember = opened.live.session.remember;
    for cookie in app.cookies.session(&opened.token, remember) {
        reply.add(header::SET_COOKIE, cookie);
    }
    let dont_remember = app.cookies.forget_dont_remember(&req.head).filter(|_| remember);
    let kept = app.cookies.forget_admin_session(&req.head);
    for cookie in dont_remember.into_iter().chain(app.cookies.forget_twin(&req.head)).chain(kept) {
        reply.add(header::SET_COOKIE, cookie);
    }
    add_session_data(app, req, &opened.live, &opened.token, reply);
    if remember {
        remember_device(app, req, &opened.live.user, reply);
    }
}

/// Marks the browser as one of the user's own. A sign-in that is not to be remembered leaves no mark.
pub(super) fn remember_device(app: &App, req: &Req, user: &User, reply: &mut Reply) {
    let value = req.requester(app).device.after_sign_in(&app.services, user);
    reply.add(header::SET_COOKIE, app.cookies.device(&value));
}

/// Deletes the cookies of a browser that signs out.
pub(super) fn sign_out_cookies(app: &App, req: &Req, reply: &mut Reply) {
    delete_session_cookies(app, reply);
    for cookie in app.cookies.forget_admin_session(&req.head).into_iter().chain(app.cookies.forget_chunks(&req.head)) {
        reply.add(header::SET_COOKIE, cookie);
    }
}

/// Deletes the cookies of a session.
pub(super) fn delete_session_cookies(app: &App, reply: &mut Reply) {
    for cookie in app.cookies.deletions() {
        reply.add(header::SET_COOKIE, cookie);
    }
}

/// `POST /signup`
///
/// # Errors
/// `ValidationError`, the rules of passwords, `UserAlreadyExists`, `Busy`.
pub async fn sign_up(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (email, password, name, remember, mode, fields) = req.fields(|f| {
        (
            f.any_email("email"),
            f.password("password"),
            f.optional_string("name").unwrap_or_default().to_owned(),
            f.optional_bool("rememberMe"),
            f.optional_choice("mode", &MODES),
            application(f, &app.services.policy.user_fields),
        )
    })?;
    let email = email.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    let mode = mode_of(&req, mode);
    let wish = Wish { access_token: true, ..wish(app, &req, remember, mode == Mode::Token).await? };
    let (username, locked) = (given_username(app, &req)?, GivenFields::default());
    let wanted = SignUp { email, username, locked, name, image: None, fields, password, wish, target: None };
    let made = accounts::sign_up(&app.services, wanted, req.requester(app)).await?;
    let reply = match &made.opened {
        Some(opened) => opened_reply(app, &req, opened, mode).await?,
        None => Reply::json(&UserOnlyBody { user: tokens::user_body(&app.services, &made.user) }),
    };
    Ok(reply.status(StatusCode::CREATED))
}

/// `POST /login`
///
/// # Errors
/// `ValidationError`, `InvalidEmailOrPassword`, `BannedUser`, `PasswordChangeRequired`, `Busy`.
pub async fn sign_in(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (by, password, new_password, remember, mode) = req.fields(|f| {
        let is_named = app.settings.plugins.username && f.has("username") && !f.has("email");
        let by = match is_named {
            true => Some(Identifier::Username(f.non_empty("username").to_owned())),
            false => f.any_email("email").map(Identifier::Email),
        };
        (
            by,
            f.password("password"),
            f.optional_string("newPassword").map(Into::into),
            f.optional_bool("rememberMe"),
            f.optional_choice("mode", &MODES),
        )
    })?;
    let by = by.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    let is_named = matches!(by, Identifier::Username(_));
    let mode = mode_of(&req, mode);
    let wish = Wish { access_token: true, ..wish(app, &req, remember, mode == Mode::Token).await? };
    let wanted = SignIn { by, password, new_password, wish, target: None };
    let opened = accounts::sign_in(&app.services, wanted, req.requester(app)).await;
    let opened = opened.map_err(|error| if is_named { of_username(error) } else { error.into() })?;
    opened_reply(app, &req, &opened, mode).await
}

/// `POST /refresh`: a new access token, in the mode of the credential that is shown. A refresh token in the body gets its
/// successor too; a session cookie gets no token that outlives the access token.
///
/// # Errors
/// 401 with a code that says why, `REFRESH_TOKEN_REUSED` among them; `AmbiguousCredentials` for two at once.
pub async fn refresh(app: &App, req: Req) -> Result<Reply, ApiError> {
    let shown = req.optional_fields(|f| f.optional_string("refresh_token"))?;
    let cookie = req.cookie_session(app).await?;
    if let Some(token) = shown {
        if !matches!(cookie, CookieSession::None) || req.head.has(header::AUTHORIZATION) {
            return Err(ApiError::new(ErrorCode::AmbiguousCredentials));
        }
        let refreshed = tokens::refresh(&app.services, token, req.requester(app)).await?;
        let (live, token) = refreshed.map_err(|refusal| ApiError::new(refusal.code()))?;
        return token_reply(app, &live, Some(&token), None).await;
    }
    match cookie {
        // An access token refreshes nothing, and it alone counts where it stands.
        _ if req.head.has(header::AUTHORIZATION) => Err(ApiError::new(ErrorCode::InvalidToken)),
        CookieSession::Alive(live, token) => {
            let (live, cookies) = use_cookie(app, live, &token).await;
            let mut reply = token_reply(app, &live, None, None).await?;
            for cookie in cookies {
                reply.add(header::SET_COOKIE, cookie);
            }
            Ok(reply)
        }
        CookieSession::Dead(refusal) => {
            Ok(app.cookies.deletions().into_iter().fold(ApiError::new(refusal.code()).into_reply(), |reply, cookie| {
                reply.header(header::SET_COOKIE, cookie)
            }))
        }
        CookieSession::None => Err(ApiError::new(ErrorCode::Unauthorized)),
    }
}

/// `POST /logout`: every session validly shown is dead, on disk, when this answers.
///
/// # Errors
/// A token that is not one of ours; `StoreUnavailable` if it could not be made durable.
pub async fn sign_out(app: &App, req: Req) -> Result<Reply, ApiError> {
    let refresh_token = req.optional_fields(|f| f.optional_string("refresh_token"))?;
    let shown = req.shown_sessions(app, refresh_token).await?;
    let ended = sessions::sign_out(&app.services, shown, req.requester(app)).await?;
    let mut reply = Reply::json(&LogoutBody { success: true, ended: ended.sessions });
    sign_out_cookies(app, &req, &mut reply);
    Ok(reply)
}

/// Whom `/me` is about, for a reverse proxy that asks it before it lets a request through: proxies read no bodies.
const AUTHD_USER: HeaderName = HeaderName::from_static("x-authd-user");

/// `GET /me`. By cookie it is a use of the session and may prolong it, as `get-session` does; a JWT prolongs nothing.
///
/// # Errors
/// 401, with a code that says why.
pub async fn me(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (live, cookies) = match req.session(app).await? {
        (live, Some(token)) => use_cookie(app, live, &token).await,
        (live, None) => (live, vec![]),
    };
    let body = app.prepared.me.get(&live, None);
    let body = body.unwrap_or_else(|| app.prepared.me.keep(app.prepared.cut(&live, None, &me_body(app, &live))));
    let mut reply = Reply::bytes(JSON, body.whole());
    reply.add(AUTHD_USER, live.user.id.as_str());
    for cookie in cookies {
        reply.add(header::SET_COOKIE, cookie);
    }
    Ok(reply)
}

fn me_body(app: &App, live: &Live) -> MeBody {
    let session = &live.session;
    MeBody {
        user: tokens::user_body(&app.services, &live.user),
        session: MeSession {
            id: session.id.clone(),
            created_at: session.created_at,
            expires_at: session.expires_at,
            ip_address: session.ip_address.clone(),
            user_agent: session.user_agent.clone(),
        },
    }
}
