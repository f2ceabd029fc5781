//! The tokens of services.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Scope, SecretString, ServiceName, Span, UnixTime};

/// `POST /v1/service-tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateServiceToken {
    /// What the service is called: no two have the same name.
    pub name: ServiceName,
    /// What the token may be used for.
    pub scopes: Vec<Scope>,
    /// How long it is good, such as `90d`; absent: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Span>,
}

/// The token of a service, without the token itself: that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTokenView {
    /// What the service is called.
    pub name: ServiceName,
    /// `active` or `expired`.
    pub state: String,
    /// What the token may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends; `null`: not until it is revoked.
    pub expires_at: Option<UnixTime>,
    /// When it was used last, to the minute; `null`: never.
    pub last_used_at: Option<UnixTime>,
}

/// What making a token answers. The token is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTokenMade {
    /// What is kept of it.
    pub service: ServiceTokenView,
    /// The token.
    pub token: SecretString,
    /// What stands in the way of its use, for people.
    pub notes: Vec<String>,
}

/// What a revocation did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTokenRevoked {
    /// The token that is none any more.
    pub service: ServiceTokenView,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}
