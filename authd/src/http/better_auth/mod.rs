//! Better Auth's wire, by its recorded contract (PROTOCOL).

pub mod account;
pub mod session;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;

use common::api::SessionBody;

use crate::domain::Session;

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
