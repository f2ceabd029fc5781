//! Users and sessions on disk. Their second version adds the application's fields, and the name of a user to sign in with.

use common::{Moment, UnixTime};
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::domain::{Ban, FieldValue, FieldValues, Impersonation, Session, TokenDigest, User, field::Number};

#[derive(Serialize, Deserialize)]
struct UserV1 {
    id: String,
    email: String,
    email_verified: bool,
    name: String,
    image: Option<String>,
    role: String,
    ban: Option<(Option<String>, Option<i64>)>,
    password_change_required: bool,
    epoch: u64,
    created_at: i64,
    updated_at: i64,
}

/// The first version, and what was added to it.
#[derive(Serialize, Deserialize)]
pub(in crate::store::sled) struct UserV2 {
    first: UserV1,
    username: Option<String>,
    display_username: Option<String>,
    fields: Fields,
}

/// In the order of their names.
type Fields = Vec<(String, FieldV1)>;

/// What stands in a field. Their order is their number on disk: only ever add at the end.
#[derive(Serialize, Deserialize)]
enum FieldV1 {
    Text(String),
    Number(f64),
    Bool(bool),
    Date(i64),
    Texts(Vec<String>),
    Numbers(Vec<f64>),
}

impl FieldV1 {
    fn of(value: &FieldValue) -> Self {
        match value {
            FieldValue::Text(text) => Self::Text(text.clone()),
            FieldValue::Number(number) => Self::Number(number.get()),
            FieldValue::Bool(is) => Self::Bool(*is),
            FieldValue::Date(at) => Self::Date(at.as_millis()),
            FieldValue::Texts(texts) => Self::Texts(texts.clone()),
            FieldValue::Numbers(numbers) => Self::Numbers(numbers.iter().map(|number| number.get()).collect()),
        }
    }

    fn value(self) -> Option<FieldValue> {
        Some(match self {
            Self::Text(text) => FieldValue::Text(text),
            Self::Number(number) => FieldValue::Number(Number::new(number)?),
            Self::Bool(is) => FieldValue::Bool(is),
            Self::Date(millis) => FieldValue::Date(Moment::from_millis(millis)?),
            Self::Texts(texts) => FieldValue::Texts(texts),
            Self::Numbers(numbers) => FieldValue::Numbers(numbers.into_iter().map(Number::new).collect::<Option<_>>()?),
        })
    }
}

fn fields_of(values: &FieldValues) -> Fields {
    values.iter().map(|(name, value)| (name.to_owned(), FieldV1::of(value))).collect()
}

fn values_of(fields: Fields) -> Option<FieldValues> {
    let pairs = fields.into_iter().map(|(name, value)| Some((name, value.value()?)));
    pairs.collect::<Option<Vec<_>>>().map(FieldValues::from_pairs)
}

impl UserV1 {
    fn of(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            email_verified: user.email_verified,
            name: user.name.clone(),
            image: user.image.clone(),
            role: user.role.clone(),
            ban: user.ban.as_ref().map(|b| (b.reason.clone(), b.expires_at.map(UnixTime::as_millis))),
            password_change_required: user.password_change_required,
            epoch: user.epoch,
            created_at: user.created_at.as_millis(),
            updated_at: user.updated_at.as_millis(),
        }
    }

    fn user(self) -> Option<User> {
        Some(User {
            id: self.id.parse().ok()?,
            email: self.email.parse().ok()?,
            email_verified: self.email_verified,
            name: self.name,
            image: self.image,
            username: None,
            display_username: None,
            fields: FieldValues::default(),
            role: self.role,
            ban: self.ban.map(|(reason, end)| Ban { reason, expires_at: end.map(UnixTime::from_millis) }),
            password_change_required: self.password_change_required,
            epoch: self.epoch,
            created_at: UnixTime::from_millis(self.created_at),
            updated_at: UnixTime::from_millis(self.updated_at),
        })
    }
}

impl Stored for User {
    type Record = UserV2;
    const VERSION: u8 = 2;

    fn to_record(&self) -> UserV2 {
        UserV2 {
            first: UserV1::of(self),
            username: self.username.clone(),
            display_username: self.display_username.clone(),
            fields: fields_of(&self.fields),
        }
    }

    fn from_record(r: UserV2) -> Option<Self> {
        let (username, display_username) = (r.username, r.display_username);
        Some(Self { username, display_username, fields: values_of(r.fields)?, ..r.first.user()? })
    }

    fn from_older(version: u8, record: &[u8]) -> Option<Self> {
        if version == 1 { postcard::from_bytes::<UserV1>(record).ok()?.user() } else { None }
    }
}

#[derive(Serialize, Deserialize)]
struct SessionV1 {
    id: String,
    user: String,
    digest: [u8; 32],
    created_at: i64,
    updated_at: i64,
    expires_at: i64,
    absolute_expires_at: i64,
    remember: bool,
    ip_address: String,
    user_agent: String,
    methods: Vec<String>,
    family: Option<String>,
}

/// The first version, and what was added to it.
#[derive(Serialize, Deserialize)]
pub(in crate::store::sled) struct SessionV2 {
    first: SessionV1,
    fields: Fields,
    /// Who acts as the user, and from which session.
    impersonation: Option<(String, String)>,
}

impl SessionV1 {
    fn of(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            user: session.user.to_string(),
            digest: session.digest.0,
            created_at: session.created_at.as_millis(),
            updated_at: session.updated_at.as_millis(),
            expires_at: session.expires_at.as_millis(),
            absolute_expires_at: session.absolute_expires_at.as_millis(),
            remember: session.remember,
            ip_address: session.ip_address.clone(),
            user_agent: session.user_agent.clone(),
            methods: session.methods.clone(),
            family: session.family.as_ref().map(ToString::to_string),
        }
    }

    fn session(self) -> Option<Session> {
        Some(Session {
            id: self.id.parse().ok()?,
            user: self.user.parse().ok()?,
            digest: TokenDigest(self.digest),
            created_at: UnixTime::from_millis(self.created_at),
            updated_at: UnixTime::from_millis(self.updated_at),
            expires_at: UnixTime::from_millis(self.expires_at),
            absolute_expires_at: UnixTime::from_millis(self.absolute_expires_at),
            remember: self.remember,
            ip_address: self.ip_address,
            user_agent: self.user_agent,
            methods: self.methods,
            family: match self.family {
                Some(id) => Some(id.parse().ok()?),
                None => None,
            },
            fields: FieldValues::default(),
            impersonation: None,
        })
    }
}

impl Stored for Session {
    type Record = SessionV2;
    const VERSION: u8 = 2;

    fn to_record(&self) -> SessionV2 {
        let impersonation = self.impersonation.as_ref().map(|i| (i.by.to_string(), i.from.to_string()));
        SessionV2 { first: SessionV1::of(self), fields: fields_of(&self.fields), impersonation }
    }

    fn from_record(r: SessionV2) -> Option<Self> {
        let impersonation = match r.impersonation {
            Some((by, from)) => Some(Impersonation { by: by.parse().ok()?, from: from.parse().ok()? }),
            None => None,
        };
        Some(Self { fields: values_of(r.fields)?, impersonation, ..r.first.session()? })
    }

    fn from_older(version: u8, record: &[u8]) -> Option<Self> {
        if version == 1 { postcard::from_bytes::<SessionV1>(record).ok()?.session() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            FieldChanges,
            session::tests::{session, user},
        },
        store::sled::codec::{MAX_VALUE_BYTES, checksum, decode, encode, tests::hex},
    };

    const AT: UnixTime = UnixTime::from_millis(1_795_348_800_123);

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    /// A value of every type.
    fn fields() -> FieldValues {
        let number = |n| Number::new(n).unwrap();
        let values = [
            ("admin", FieldValue::Bool(true)),
            ("born", FieldValue::Date("1815-12-10".parse().unwrap())),
            ("level", FieldValue::Number(number(1.5))),
            ("plan", FieldValue::Text("pro".into())),
            ("scores", FieldValue::Numbers(vec![number(1.0), number(-2.0)])),
            ("tags", FieldValue::Texts(vec!["a".into(), String::new()])),
        ];
        FieldValues::from_pairs(values.map(|(name, value)| (name.to_owned(), value)))
    }

    fn banned() -> User {
        User { ban: Some(Ban { reason: Some("spam".into()), expires_at: None }), epoch: 3, ..user() }
    }

    const USER_V1: &str =
        "010275310f616461406578616d706c652e636f6d00034164610004757365720101047370616d0000030000ff09b02b";
    const SESSION_V1: &str = "010273310275310707070707070707070707070707070707070707070707070707070707070707f68985b2c068f68985b2c068f699e9f2c468f6a9fbd9d368010000010370776400605fb0de";

    #[test]
    fn f_15_what_version_1_wrote_reads_back() {
        assert_eq!(decode::<User>(b"k", &bytes(USER_V1)).unwrap(), banned());
        assert_eq!(decode::<Session>(b"k", &bytes(SESSION_V1)).unwrap(), session(AT, true));
        // Written again it is of the second version, and the same.
        let again = encode(b"k", &decode::<User>(b"k", &bytes(USER_V1)).unwrap()).unwrap();
        assert_eq!((again[0], decode::<User>(b"k", &again).unwrap()), (2, banned()));
    }

    #[test]
    fn f_15_there_is_no_version_0() {
        for of in [USER_V1, SESSION_V1] {
            let mut bytes = bytes(of);
            bytes[0] = 0;
            let end = bytes.len() - 4;
            let sum = checksum(b"k", &bytes[..end]);
            bytes[end..].copy_from_slice(&sum);
            assert!(decode::<User>(b"k", &bytes).is_err() && decode::<Session>(b"k", &bytes).is_err());
        }
    }

    #[test]
    fn golden_bytes_of_version_2() {
        let named =
            User { username: Some("ada".into()), display_username: Some("Ada".into()), fields: fields(), ..banned() };
        assert_eq!(
            hex(&encode(b"k", &named).unwrap()),
            "020275310f616461406578616d706c652e636f6d00034164610004757365720101047370616d000003000001036164610103416461060561646d696e020104626f726e03ff9f90d9fe9a02056c6576656c01000000000000f83f04706c616e000370726f0673636f7265730502000000000000f03f00000000000000c00474616773040201610038a2db2a"
        );
        assert_eq!(decode::<User>(b"k", &encode(b"k", &named).unwrap()).unwrap(), named);
        let impersonation = Some(Impersonation { by: "u2".parse().unwrap(), from: "s2".parse().unwrap() });
        let session = Session { fields: fields(), impersonation, ..session(AT, true) };
        assert_eq!(
            hex(&encode(b"k", &session).unwrap()),
            "020273310275310707070707070707070707070707070707070707070707070707070707070707f68985b2c068f68985b2c068f699e9f2c468f6a9fbd9d368010000010370776400060561646d696e020104626f726e03ff9f90d9fe9a02056c6576656c01000000000000f83f04706c616e000370726f0673636f7265730502000000000000f03f00000000000000c004746167730402016100010275320273323afdb54b"
        );
        assert_eq!(decode::<Session>(b"k", &encode(b"k", &session).unwrap()).unwrap(), session);
    }

    /// Fields as large as they may be.
    fn largest(most: usize) -> FieldValues {
        let with = |len: usize| {
            FieldValues::default().changed(&FieldChanges::from([("f".into(), Some(FieldValue::Text("x".repeat(len))))]))
        };
        let len = (0..=most).rev().find(|len| with(*len).check_size(most).is_ok()).unwrap();
        with(len)
    }

    #[test]
    fn the_largest_user_fits_a_record() {
        let wide = |chars: usize| "\u{1f600}".repeat(chars);
        let largest = User {
            id: "u".repeat(32).parse().unwrap(),
            email: format!("{}@{}.{}.{}.example", "a".repeat(64), "b".repeat(60), "c".repeat(60), "d".repeat(59))
                .parse()
                .unwrap(),
            name: wide(256),
            image: Some("i".repeat(2048)),
            role: "r".repeat(128),
            ban: Some(Ban { reason: Some(wide(500)), expires_at: Some(AT) }),
            username: Some("n".repeat(64)),
            display_username: Some(wide(64)),
            fields: largest(User::MAX_FIELD_BYTES),
            epoch: u64::MAX,
            ..user()
        };
        assert!(largest.email.to_string().len() >= 250);
        let bytes = encode(b"k", &largest).unwrap();
        assert!(
            bytes.len() > MAX_VALUE_BYTES - 768,
            "the limits together are about what a record takes: {}",
            bytes.len()
        );
    }

    #[test]
    fn the_largest_session_fits_a_record() {
        let agent = common::text::printable(&"\u{e0001}".repeat(512));
        let impersonation =
            Some(Impersonation { by: "u".repeat(128).parse().unwrap(), from: "s".repeat(128).parse().unwrap() });
        let fields = largest(Session::MAX_FIELD_BYTES);
        let largest = Session { user_agent: agent, fields, impersonation, ..session(AT, true) };
        encode(b"k", &largest).unwrap();
    }
}
