//! Links and mails in lists.

use super::State;
use crate::{
    domain::{Act, Credential, Link, LinkState, Post, Purpose, mail::Spent},
    store::StoreError,
};

impl State {
    /// The link that the act is done by; it must be good.
    pub(super) fn good_link(&self, act: &Act) -> Result<Option<Link>, StoreError> {
        let Some(Spent { digest, purpose }) = act.link else { return Ok(None) };
        let link = self.links.iter().find(|link| link.digest == digest).ok_or(StoreError::BadLink)?;
        match link.state(self.users.get(&link.user), purpose, act.at) {
            LinkState::Good => Ok(Some(link.clone())),
            LinkState::Used | LinkState::Expired | LinkState::Void => Err(StoreError::BadLink),
        }
    }

    /// Once an act is done: its link is used up and its mail queued. Doing it twice is as good as once.
    pub(super) fn settle(&mut self, act: &Act) {
        if let Some(Spent { digest, purpose }) = act.link {
            match purpose {
                Purpose::VerifyEmail => {
                    for link in self.links.iter_mut().filter(|link| link.digest == digest) {
                        (link.is_used, link.claim) = (true, None);
                    }
                }
                _ => self.links.retain(|link| link.digest != digest),
            }
        }
        for Post { mail, link } in &act.post {
            self.mails.insert(mail.id.clone(), mail.clone());
            if let Some(link) = link {
                self.links.retain(|old| old.user != link.user || old.purpose != link.purpose);
                self.links.push(link.clone());
            }
        }
    }

    pub(super) fn put_credential(&mut self, credential: Credential) {
        let credential = match self.credentials.get(&credential.user) {
            Some(old) => Credential { id: old.id.clone(), created_at: old.created_at, ..credential },
            None => credential,
        };
        self.credentials.insert(credential.user.clone(), credential);
    }
}
