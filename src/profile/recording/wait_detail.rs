//! How the details of a wait are written: as JSON with a definition that belongs to the file format, so that the model
//! can change and older files stay readable.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::wait::WaitDetail;

/// Converts to text.
pub(super) fn encode(detail: &WaitDetail) -> String {
    serde_json::to_string(&Borrowed(detail)).unwrap_or_default()
}

/// Parses the text. Recordings of earlier versions have the details in words.
pub(super) fn decode(text: &str) -> WaitDetail {
    serde_json::from_str::<Owned>(text).map_or_else(|_| WaitDetail::Words(text.into()), |owned| owned.0)
}

#[derive(Serialize)]
struct Borrowed<'d>(#[serde(with = "InFile")] &'d WaitDetail);

#[derive(Deserialize)]
struct Owned(#[serde(with = "InFile")] WaitDetail);

/// Mirrors [`WaitDetail`]; the compiler keeps the two in step.
#[derive(Serialize, Deserialize)]
#[serde(remote = "WaitDetail", rename_all = "snake_case")]
enum InFile {
    Delay(u64),
    Done {
        done: usize,
        total: usize,
    },
    NotDone(usize),
    Unfinished(usize),
    Items {
        len: usize,
        max: Option<i64>,
    },
    Waiters(usize),
    Function(Box<str>),
    Job(Box<str>),
    Descriptor(i32),
    WriteBufferFull,
    Process(i64),
    QueueJoin,
    Barrier,
    ServeForever,
    Timeout {
        ns: Option<u64>,
        #[serde(serialize_with = "encode_nested", deserialize_with = "decode_nested")]
        wait: Option<Box<WaitDetail>>,
    },
    Words(Box<str>),
}

fn encode_nested<S: Serializer>(wait: &Option<Box<WaitDetail>>, serializer: S) -> Result<S::Ok, S::Error> {
    wait.as_deref().map(Borrowed).serialize(serializer)
}

fn decode_nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<WaitDetail>>, D::Error> {
    let wait = Option::<Owned>::deserialize(deserializer)?;
    Ok(wait.map(|owned| Box::new(owned.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_as_they_were_written() {
        let nested =
            WaitDetail::Timeout { ns: Some(5), wait: Some(Box::new(WaitDetail::Items { len: 3, max: Some(5) })) };
        for detail in [nested, WaitDetail::QueueJoin, WaitDetail::Function("work".into()), WaitDetail::Delay(7)] {
            assert_eq!(decode(&encode(&detail)), detail);
        }
        assert_eq!(encode(&WaitDetail::Done { done: 1, total: 2 }), r#"{"done":{"done":1,"total":2}}"#);
        assert_eq!(decode("timeout 5 s"), WaitDetail::Words("timeout 5 s".into()));
    }
}
