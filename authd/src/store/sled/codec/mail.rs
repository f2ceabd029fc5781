//! Mails that wait, and the links in them, on disk.

use common::UnixTime;
use serde::{Deserialize, Serialize};

use super::{CredentialV1, Stored};
use crate::domain::{
    Link, Mail, Purpose, TokenDigest,
    mail::{Claim, MailedLink, Template},
};

#[derive(Serialize, Deserialize)]
pub(in super::super) struct LinkV1 {
    digest: [u8; 32],
    purpose: String,
    user: String,
    email: String,
    epoch: u64,
    new_email: Option<String>,
    claim: Option<(CredentialV1, String)>,
    created_at: i64,
    expires_at: i64,
    is_used: bool,
}

/// What is there must be readable.
fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Result<Option<U>, ()> {
    value.map(|value| read(value).ok_or(())).transpose()
}

impl Stored for Link {
    type Record = LinkV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> LinkV1 {
        LinkV1 {
            digest: self.digest.0,
            purpose: self.purpose.as_str().to_owned(),
            user: self.user.to_string(),
            email: self.email.to_string(),
            epoch: self.epoch,
            new_email: self.new_email.as_ref().map(ToString::to_string),
            claim: self.claim.as_ref().map(|claim| (claim.credential.to_record(), claim.name.clone())),
            created_at: self.created_at.as_millis(),
            expires_at: self.expires_at.as_millis(),
            is_used: self.is_used,
        }
    }

    fn from_record(r: LinkV1) -> Option<Self> {
        let claim = |(credential, name)| Stored::from_record(credential).map(|credential| Claim { credential, name });
        Some(Self {
            digest: TokenDigest(r.digest),
            purpose: Purpose::from_name(&r.purpose)?,
            user: r.user.parse().ok()?,
            email: r.email.parse().ok()?,
            epoch: r.epoch,
            new_email: optional(r.new_email, |text| text.parse().ok()).ok()?,
            claim: optional(r.claim, claim).ok()?,
            created_at: UnixTime::from_millis(r.created_at),
            expires_at: UnixTime::from_millis(r.expires_at),
            is_used: r.is_used,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in super::super) struct MailV1 {
    id: String,
    template: String,
    to: String,
    user: Option<String>,
    name: String,
    new_email: Option<String>,
    link: Option<([u8; 16], [u8; 32], String, String)>,
    created_at: i64,
    send_by: i64,
    next_try: i64,
    attempts: u32,
    error: Option<String>,
    is_dead: bool,
}

impl Stored for Mail {
    type Record = MailV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> MailV1 {
        let link = |l: &MailedLink| (l.nonce, l.digest.0, l.purpose.as_str().to_owned(), l.target.clone());
        MailV1 {
            id: self.id.to_string(),
            template: self.template.as_str().to_owned(),
            to: self.to.to_string(),
            user: self.user.as_ref().map(ToString::to_string),
            name: self.name.clone(),
            new_email: self.new_email.as_ref().map(ToString::to_string),
            link: self.link.as_ref().map(link),
            created_at: self.created_at.as_millis(),
            send_by: self.send_by.as_millis(),
            next_try: self.next_try.as_millis(),
            attempts: self.attempts,
            error: self.error.clone(),
            is_dead: self.is_dead,
        }
    }

    fn from_record(r: MailV1) -> Option<Self> {
        let link = |(nonce, digest, purpose, target): ([u8; 16], [u8; 32], String, String)| {
            let purpose = Purpose::from_name(&purpose)?;
            Some(MailedLink { nonce, digest: TokenDigest(digest), purpose, target })
        };
        Some(Self {
            id: r.id.parse().ok()?,
            template: Template::from_name(&r.template)?,
            to: r.to.parse().ok()?,
            user: optional(r.user, |text| text.parse().ok()).ok()?,
            name: r.name,
            new_email: optional(r.new_email, |text| text.parse().ok()).ok()?,
            link: optional(r.link, link).ok()?,
            created_at: UnixTime::from_millis(r.created_at),
            send_by: UnixTime::from_millis(r.send_by),
            next_try: UnixTime::from_millis(r.next_try),
            attempts: r.attempts,
            error: r.error,
            is_dead: r.is_dead,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, encode, tests::hex},
        *,
    };
    use crate::domain::mail::tests::{link, mail};

    #[test]
    fn golden_bytes_of_version_1() {
        let link = Link { new_email: Some("new@example.com".parse().unwrap()), ..link(Purpose::VerifyChange) };
        let bytes = encode(b"k", &link).unwrap();
        assert_eq!(decode::<Link>(b"k", &bytes).unwrap(), link);
        assert_eq!(
            hex(&bytes),
            "0109090909090909090909090909090909090909090909090909090909090909090d7665726966792d6368616e67650275310f616461406578616d706c652e636f6d00010f6e6577406578616d706c652e636f6d0080c0e285e36880fa9989e368009dc3560a"
        );
        let mailed = MailedLink {
            nonce: [3; 16],
            digest: TokenDigest([9; 32]),
            purpose: Purpose::ResetPassword,
            target: "/reset".into(),
        };
        let mail = Mail { link: Some(mailed), error: Some("421".into()), ..mail() };
        let bytes = encode(b"k", &mail).unwrap();
        assert_eq!(decode::<Mail>(b"k", &bytes).unwrap(), mail);
        assert_eq!(
            hex(&bytes),
            "01026d310e72657365742d70617373776f72640f616461406578616d706c652e636f6d010275310341646100010303030303030303030303030303030309090909090909090909090909090909090909090909090909090909090909090e72657365742d70617373776f7264062f726573657480c0e285e36880fa9989e36880c0e285e368000103343231004726e178"
        );
    }
}
