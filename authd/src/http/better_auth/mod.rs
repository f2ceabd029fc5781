//! Better Auth's wire, by its recorded contract (PROTOCOL).

pub mod account;
pub mod admin;
pub mod session;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;
pub mod username;

use common::{SecretString, api::SessionBody};

use super::{App, auth::wire_token};
use crate::{domain::Session, service::fields};

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
