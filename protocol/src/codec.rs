//! Strict JSON: measured before parsed, nothing after the value, no unknown or repeated field
//! (docs/protocol.md §1).
//!
//! Unknown and repeated fields are refused by the types themselves (`deny_unknown_fields`, and serde's
//! derive for structs); numbers are integers because no document type has a float.

use serde::{Deserialize, Serialize};

/// Why bytes did not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the bound for its kind.
    #[error("{actual} bytes where at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not the JSON that this kind asks for. Holds the position and the class of fault, never content.
    #[error("not valid here: {class} at line {line}, column {column}")]
    Malformed {
        /// The class of fault.
        class: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A value that cannot be written as JSON.
    #[error("this value has no JSON form")]
    Unwritable,
}

/// Decodes exactly one JSON value of type `T` from at most `limit` bytes.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { actual: bytes.len(), limit });
    }
    // from_slice refuses anything but white space after the value, and nesting over 128 levels.
    serde_json::from_slice(bytes).map_err(|e| CodecError::Malformed {
        class: match e.classify() {
            serde_json::error::Category::Io => "unreadable",
            serde_json::error::Category::Syntax => "broken JSON",
            serde_json::error::Category::Data => "a field is missing, unknown, repeated or of the wrong form",
            serde_json::error::Category::Eof => "the text ends too early",
        },
        line: e.line(),
        column: e.column(),
    })
}

/// Encodes `value` as compact JSON, refusing what the other side would refuse as too long.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = serde_json::to_vec(value).map_err(|_| CodecError::Unwritable)?;
    if bytes.len() > limit {
        return Err(CodecError::TooLong { actual: bytes.len(), limit });
    }
    Ok(bytes)
}

/// Bytes written as standard base64 with padding (RFC 4648 §4), for use with `#[serde(with)]`.
pub mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes base64 text.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64 text; other alphabets, missing padding and stray bits are refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(|_| de::Error::custom("not standard base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_bytes_and_excess_length_are_errors() {
        assert_eq!(decode::<u32>(b"7", 1), Ok(7));
        assert!(matches!(decode::<u32>(b"7 8", 9), Err(CodecError::Malformed { .. })));
        assert!(matches!(decode::<u32>(b"77", 1), Err(CodecError::TooLong { actual: 2, limit: 1 })));
    }

    #[test]
    fn a_fault_names_its_place_but_not_the_content() {
        let error = decode::<u32>(b"\"secret name\"", 99).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
    }
}
