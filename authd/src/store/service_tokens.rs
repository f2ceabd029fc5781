//! The tokens of services.

use async_trait::async_trait;
use common::{ServiceName, UnixTime};

use super::StoreError;
use crate::domain::{Act, Event, ServiceToken, TokenDigest};

/// See the module's text.
#[async_trait]
pub trait ServiceTokens: Send + Sync {
    /// The token of this digest. The caller checks whether it has ended.
    async fn service_token(&self, digest: &TokenDigest) -> Result<Option<ServiceToken>, StoreError>;

    /// All tokens, in the order of the services' names.
    async fn service_tokens(&self) -> Result<Vec<ServiceToken>, StoreError>;

    /// Keeps a new token.
    ///
    /// # Errors
    /// `ServiceNameTaken`, also by a token that has ended: revoke that one first.
    async fn create_service_token(&self, token: ServiceToken, act: Act, event: Event) -> Result<(), StoreError>;

    /// Forgets the token of a service, which is none from then on. `None`, and no change, if there is no such service.
    async fn revoke_service_token(
        &self,
        name: ServiceName,
        act: Act,
        event: Event,
    ) -> Result<Option<ServiceToken>, StoreError>;

    /// Writes down that the token of this digest was used at `at`: forwards only, and nothing if it is gone.
    async fn note_service_use(&self, digest: TokenDigest, at: UnixTime) -> Result<(), StoreError>;
}
