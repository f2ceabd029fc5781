//! Better Auth's wire, by its recorded contract (PROTOCOL).

pub mod session;
pub mod sign_in;
pub mod sign_up;

use common::{SessionId, api::SessionBody};

use super::{ApiError, App, Req, auth::CookieSession};
use crate::{domain::Session, service::sessions::Wish};

/// What a browser asks of its new session: it takes the place of the one that it shows (SE-04).
async fn wish(app: &App, req: &Req, remember: Option<bool>) -> Result<Wish, ApiError> {
    let replaces: Option<SessionId> = match req.cookie_session(app).await? {
        CookieSession::Alive(live, _) => Some(live.session.id.clone()),
        CookieSession::None | CookieSession::Dead => None,
    };
    Ok(Wish { remember: remember.unwrap_or(true), refreshable: false, replaces })
}

/// The session in Better Auth's shape. `token` is the handle: what clients compare and hand to the revoke routes, and worth
/// nothing as a credential (SE-03, SE-12).
fn session_body(session: &Session) -> SessionBody {
    SessionBody {
        id: session.id.clone(),
        token: session.id.to_string(),
        user_id: session.user.clone(),
        expires_at: session.expires_at,
        created_at: session.created_at,
        updated_at: session.updated_at,
        ip_address: session.ip_address.clone(),
        user_agent: session.user_agent.clone(),
    }
}
