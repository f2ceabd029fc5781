//! The tokens of services on sled: by the name of the service, and from the digest to the name.

use async_trait::async_trait;
use common::{ServiceName, UnixTime};

use super::{
    SledStore,
    codec::{self, Link as Index},
    keys::{self, Kind},
    txn::{Txn, unreadable},
};
use crate::{
    domain::{Act, Event, ServiceToken, TokenDigest},
    store::{ServiceTokens, StoreError},
};

fn name_in(Index(name): Index) -> Result<ServiceName, StoreError> {
    name.parse().map_err(|_| StoreError::Damaged("an index entry".into()))
}

fn create(tx: &mut Txn<'_>, token: &ServiceToken, act: &Act, event: Event) -> Result<(), StoreError> {
    let key = keys::service_token(&token.name);
    if tx.exists(&key)? {
        return Err(StoreError::ServiceNameTaken);
    }
    tx.put(key, token)?;
    tx.put(keys::service_token_by(&token.digest), &Index(token.name.to_string()))?;
    tx.audit(act, &event.with("service", &token.name))
}

fn revoke(tx: &mut Txn<'_>, name: &ServiceName, act: &Act, event: Event) -> Result<Option<ServiceToken>, StoreError> {
    let key = keys::service_token(name);
    let Some(token) = tx.get::<ServiceToken>(&key)? else { return Ok(None) };
    tx.delete(key);
    tx.delete(keys::service_token_by(&token.digest));
    tx.audit(act, &event.with("service", name))?;
    Ok(Some(token))
}

fn note_use(tx: &mut Txn<'_>, digest: &TokenDigest, at: UnixTime) -> Result<(), StoreError> {
    let Some(index) = tx.get::<Index>(&keys::service_token_by(digest))? else { return Ok(()) };
    let key = keys::service_token(&name_in(index)?);
    let Some(token) = tx.get::<ServiceToken>(&key)? else { return Ok(()) };
    let last_used_at = token.last_used_at.max(Some(at));
    tx.put(key, &ServiceToken { last_used_at, ..token })
}

#[async_trait]
impl ServiceTokens for SledStore {
    async fn service_token(&self, digest: &TokenDigest) -> Result<Option<ServiceToken>, StoreError> {
        let Some(index) = self.read::<Index>(&keys::service_token_by(digest))? else { return Ok(None) };
        let found = self.read::<ServiceToken>(&keys::service_token(&name_in(index)?))?;
        Ok(found.filter(|token| token.digest == *digest))
    }

    async fn service_tokens(&self) -> Result<Vec<ServiceToken>, StoreError> {
        self.scan(|db| {
            let entries = db.scan_prefix(keys::prefix(Kind::ServiceToken));
            entries.map(|e| e.map_err(|e| unreadable(&e)).and_then(|(k, v)| codec::decode(&k, &v))).collect()
        })
        .await
    }

    async fn create_service_token(&self, token: ServiceToken, act: Act, event: Event) -> Result<(), StoreError> {
        self.act(act, move |tx, act| create(tx, &token, act, event)).await
    }

    async fn revoke_service_token(
        &self,
        name: ServiceName,
        act: Act,
        event: Event,
    ) -> Result<Option<ServiceToken>, StoreError> {
        self.act(act, move |tx, act| revoke(tx, &name, act, event)).await
    }

    async fn note_service_use(&self, digest: TokenDigest, at: UnixTime) -> Result<(), StoreError> {
        self.writer.write(move |tx| note_use(tx, &digest, at)).await
    }
}
