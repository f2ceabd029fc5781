//! The tokens of services in the reference model.

use async_trait::async_trait;
use common::{ServiceName, UnixTime};

use super::MemoryStore;
use crate::{
    domain::{Act, Event, ServiceToken, TokenDigest},
    store::{ServiceTokens, StoreError},
};

#[async_trait]
impl ServiceTokens for MemoryStore {
    async fn service_token(&self, digest: &TokenDigest) -> Result<Option<ServiceToken>, StoreError> {
        Ok(self.state().services.values().find(|token| token.digest == *digest).cloned())
    }

    async fn service_tokens(&self) -> Result<Vec<ServiceToken>, StoreError> {
        Ok(self.state().services.values().cloned().collect())
    }

    async fn create_service_token(&self, token: ServiceToken, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        if state.services.contains_key(&token.name) {
            return Err(StoreError::ServiceNameTaken);
        }
        self.record(&mut state, &act, &event.with("service", &token.name));
        state.services.insert(token.name.clone(), token);
        Ok(())
    }

    async fn revoke_service_token(
        &self,
        name: ServiceName,
        act: Act,
        event: Event,
    ) -> Result<Option<ServiceToken>, StoreError> {
        let mut state = self.state_for(&act)?;
        let Some(token) = state.services.remove(&name) else { return Ok(None) };
        self.record(&mut state, &act, &event.with("service", &name));
        Ok(Some(token))
    }

    async fn note_service_use(&self, digest: TokenDigest, at: UnixTime) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(token) = state.services.values_mut().find(|token| token.digest == digest) {
            token.last_used_at = token.last_used_at.max(Some(at));
        }
        Ok(())
    }
}
