//! The tokens of services.

use common::{Scope, ServiceName, Span};

use super::{T0, act, event};
use crate::{
    domain::{EventKind, ServiceToken, TokenDigest},
    store::{Store, StoreError},
};

#[allow(clippy::unwrap_used)]
pub(super) fn token(name: &str, n: u8) -> ServiceToken {
    ServiceToken {
        name: name.parse().unwrap(),
        digest: TokenDigest([n; 32]),
        scopes: [Scope::UsersRead, Scope::SessionsRevoke].into(),
        created_at: T0,
        expires_at: Some(T0.plus(Span::from_days(90))),
        last_used_at: None,
    }
}

#[allow(clippy::unwrap_used)]
pub(super) async fn tokens(store: &dyn Store) {
    let create = async |token| store.create_service_token(token, act(), event(EventKind::ServiceTokenCreated)).await;
    let revoke = async |name: &str| {
        let name: ServiceName = name.parse().unwrap();
        store.revoke_service_token(name, act(), event(EventKind::ServiceTokenRevoked)).await
    };
    let audited = async || store.counts().await.unwrap().audit;
    let (backend, billing) = (token("backend", 201), token("a-billing", 202));
    let records = audited().await;
    for token in [&backend, &billing] {
        create(token.clone()).await.unwrap();
    }
    assert_eq!(audited().await, records + 2);
    assert_eq!(store.service_tokens().await.unwrap(), [billing.clone(), backend.clone()]);
    assert_eq!(store.service_token(&backend.digest).await.unwrap(), Some(backend.clone()));
    assert_eq!(store.service_token(&TokenDigest([203; 32])).await.unwrap(), None);

    // No second one of that name: whoever has the first keeps it.
    assert_eq!(create(token("backend", 203)).await, Err(StoreError::ServiceNameTaken));
    assert_eq!(store.service_token(&TokenDigest([203; 32])).await.unwrap(), None);
    assert_eq!(audited().await, records + 2);

    // Its use, forwards only, and no event of it.
    let (early, late) = (T0.plus(Span::from_secs(1)), T0.plus(Span::from_secs(9)));
    for at in [late, early] {
        store.note_service_use(backend.digest, at).await.unwrap();
    }
    let used = ServiceToken { last_used_at: Some(late), ..backend.clone() };
    assert_eq!(store.service_token(&backend.digest).await.unwrap(), Some(used.clone()));
    assert_eq!(audited().await, records + 2);

    assert_eq!(revoke("backend").await, Ok(Some(used)));
    assert_eq!(revoke("backend").await, Ok(None));
    assert_eq!(store.service_token(&backend.digest).await.unwrap(), None);
    store.note_service_use(backend.digest, late).await.unwrap();
    assert_eq!(store.service_tokens().await.unwrap(), std::slice::from_ref(&billing));
    assert_eq!(audited().await, records + 3);

    // The name may be used again, by another token.
    create(token("backend", 204)).await.unwrap();
    assert_eq!(store.service_token(&backend.digest).await.unwrap(), None);
    for name in ["backend", "a-billing"] {
        revoke(name).await.unwrap();
    }
    assert_eq!(store.service_tokens().await.unwrap(), []);
}
