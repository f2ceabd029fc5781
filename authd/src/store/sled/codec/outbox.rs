//! Events for the application, on disk.

use std::collections::BTreeMap;

use common::UnixTime;
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::domain::{Delivery, Outgoing, Topic};

#[derive(Serialize, Deserialize)]
pub(in super::super) struct OutgoingV1 {
    seq: u64,
    mark: [u8; 8],
    topic: String,
    at: i64,
    user: Option<String>,
    session: Option<String>,
    facts: BTreeMap<String, String>,
}

impl Stored for Outgoing {
    type Record = OutgoingV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> OutgoingV1 {
        OutgoingV1 {
            seq: self.seq,
            mark: self.mark,
            topic: self.topic.as_str().to_owned(),
            at: self.at.as_millis(),
            user: self.user.as_ref().map(ToString::to_string),
            session: self.session.as_ref().map(ToString::to_string),
            facts: self.facts.clone(),
        }
    }

    fn from_record(r: OutgoingV1) -> Option<Self> {
        Some(Self {
            seq: r.seq,
            mark: r.mark,
            topic: Topic::from_name(&r.topic)?,
            at: UnixTime::from_millis(r.at),
            user: r.user.map(|id| id.parse()).transpose().ok()?,
            session: r.session.map(|id| id.parse()).transpose().ok()?,
            facts: r.facts,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in super::super) struct DeliveryV1 {
    since: i64,
    next_try: i64,
    attempts: u32,
    error: Option<String>,
    is_dead: bool,
}

impl Stored for Delivery {
    type Record = DeliveryV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> DeliveryV1 {
        DeliveryV1 {
            since: self.since.as_millis(),
            next_try: self.next_try.as_millis(),
            attempts: self.attempts,
            error: self.error.clone(),
            is_dead: self.is_dead,
        }
    }

    fn from_record(r: DeliveryV1) -> Option<Self> {
        Some(Self {
            since: UnixTime::from_millis(r.since),
            next_try: UnixTime::from_millis(r.next_try),
            attempts: r.attempts,
            error: r.error,
            is_dead: r.is_dead,
        })
    }
}

#[cfg(test)]
mod tests {
    use common::Span;

    use super::{
        super::{decode, encode, tests::hex},
        *,
    };
    use crate::domain::outbox::tests::outgoing;

    #[test]
    fn golden_bytes_of_version_1() {
        let event = outgoing();
        let bytes = encode(b"k", &event).unwrap();
        assert_eq!(decode::<Outgoing>(b"k", &bytes).unwrap(), event);
        assert_eq!(
            hex(&bytes),
            "0107abababababababab0c757365722e64656c6574656480c0e285e3680102753101027331010d656e64656453657373696f6e7301320269332b"
        );
        let delivery = Delivery::begun(event.at).failed("503".into(), Span::from_days(3), event.at);
        let bytes = encode(b"k", &delivery).unwrap();
        assert_eq!(decode::<Delivery>(b"k", &bytes).unwrap(), delivery);
        assert_eq!(hex(&bytes), "0180c0e285e368908ee385e36801010335303300104b353f");
    }
}
