//! Attributes as headers and metadata, both ways.
//!
//! Names of metadata have to be identifiers, and headers do not keep capitals. What is no identifier
//! of small letters, digits and `_` is escaped character by character as `_xHHHH_`, in the way of
//! .NET's `XmlConvert.EncodeName`. Values that are not ASCII are encoded words (`store/metadata`).

use std::collections::BTreeMap;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Kind, Version};
use data_encoding::BASE64;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::tags;
use crate::store::metadata::{decode, encode, format_mtime, parse_mtime};
use crate::store::{Attributes, NewObject, StoreError};

/// Time of last modification of the source file: seconds and nine decimals since 1970.
const MTIME: &str = "airlift_mtime";
/// Permission bits, octal.
const MODE: &str = "airlift_mode";
/// Fingerprint of the source state.
const SOURCE: &str = "airlift_source";
/// What all of these begin with.
const OWN: &str = "airlift_";
/// Says that a blob without bytes is a directory marker.
pub(super) const IS_FOLDER: &str = "hdi_isfolder";
/// What Azure's own names begin with.
const AZURES: &str = "hdi_";

/// Whether the tier is the one that the account gives by itself.
pub(super) const INFERRED: &str = "x-ms-access-tier-inferred";
/// The tier of a blob.
pub(super) const TIER: &str = "x-ms-access-tier";

/// What stands before names of metadata in headers.
const METADATA: &str = "x-ms-meta-";

/// What an object carries, as headers of the request that makes it visible.
///
/// # Errors
/// When a value cannot stand in a header.
pub(super) fn headers_of(object: &NewObject) -> Result<Vec<(HeaderName, HeaderValue)>, StoreError> {
    let attributes = &object.attributes;
    let mut headers = Vec::new();
    let mut add = |name: &str, value: &str| {
        let refused = || {
            let text = format!("{}: Azure cannot keep {name} = '{value}'", object.entry.key);
            StoreError::new(ErrorCode::KindUnsupported, text)
        };
        let name = HeaderName::try_from(name).map_err(|_| refused())?;
        headers.push((name, HeaderValue::from_str(value).map_err(|_| refused())?));
        Ok::<(), StoreError>(())
    };
    let content = [
        ("x-ms-blob-content-type", &attributes.content_type),
        ("x-ms-blob-content-encoding", &attributes.content_encoding),
        ("x-ms-blob-content-disposition", &attributes.content_disposition),
        ("x-ms-blob-content-language", &attributes.content_language),
        ("x-ms-blob-cache-control", &attributes.cache_control),
    ];
    for (name, value) in content {
        if let Some(value) = value {
            add(name, value)?;
        }
    }
    if let Some(tags) = tags::tagging(&attributes.tags) {
        add("x-ms-tags", &tags)?;
    }
    if let Some(tier) = &attributes.storage_class {
        add(TIER, tier)?;
    }
    for (name, value) in metadata_of(object) {
        add(&format!("{METADATA}{name}"), &value)?;
    }
    Ok(headers)
}

fn metadata_of(object: &NewObject) -> BTreeMap<String, String> {
    let attributes = &object.attributes;
    let mut metadata: BTreeMap<String, String> = attributes
        .metadata
        .iter()
        .map(|(name, value)| (encode_name(name), encode_value(value)))
        .collect();
    let is_file = attributes.mode.is_some() || matches!(object.entry.version, Version::File { .. });
    if let Some(mtime_ns) = attributes.mtime_ns.or(object.entry.mtime_ns).filter(|_| is_file) {
        metadata.insert(MTIME.to_owned(), format_mtime(mtime_ns));
    }
    if let Some(mode) = attributes.mode {
        metadata.insert(MODE.to_owned(), format!("{:o}", mode & 0o777));
    }
    if let Some(fingerprint) = &attributes.source_fingerprint {
        metadata.insert(SOURCE.to_owned(), fingerprint.clone());
    }
    if object.entry.kind == Kind::Directory {
        metadata.insert(IS_FOLDER.to_owned(), "true".to_owned());
    }
    metadata
}

/// The attributes that the headers of an answer describe. Airlift's own metadata is taken out; where
/// the modification time is not among it, `last_modified_ns` counts. Tags are no headers.
pub(super) fn attributes_of(headers: &HeaderMap, last_modified_ns: Option<i64>) -> Attributes {
    let value = |name: &str| headers.get(name).map(text_of).filter(|value| !value.is_empty());
    let mut metadata: BTreeMap<String, String> = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix(METADATA)?.to_owned(), text_of(value)))
        })
        .collect();
    let mtime_ns = metadata.remove(MTIME).and_then(|text| parse_mtime(&text));
    let mode = metadata.remove(MODE).and_then(|text| u32::from_str_radix(&text, 8).ok());
    let source_fingerprint = metadata.remove(SOURCE);
    if is_marker(headers) {
        metadata.remove(IS_FOLDER);
    }
    let metadata = metadata
        .into_iter()
        .map(|(name, value)| (decode_name(&name), decode(&value).unwrap_or(value)))
        .collect();
    Attributes {
        content_type: value("content-type"),
        content_encoding: value("content-encoding"),
        content_disposition: value("content-disposition"),
        content_language: value("content-language"),
        cache_control: value("cache-control"),
        metadata,
        tags: BTreeMap::new(),
        // What the account gives when nothing is asked for is said to be inferred.
        storage_class: value(TIER).filter(|_| value(INFERRED).as_deref() != Some("true")),
        mtime_ns: mtime_ns.or(last_modified_ns),
        mode: mode.map(|mode| mode & 0o777),
        source_fingerprint,
        acl: None,
    }
}

/// Whether an answer is about a blob that stands for a directory.
pub(super) fn is_marker(headers: &HeaderMap) -> bool {
    let is_folder = headers
        .get(format!("{METADATA}{IS_FOLDER}"))
        .is_some_and(|value| text_of(value).eq_ignore_ascii_case("true"));
    is_folder && size_of(headers) == Some(0)
}

/// The bytes that the blob of an answer about all of it has.
pub(super) fn size_of(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length").and_then(|length| text_of(length).parse().ok())
}

/// The text of a header, whichever way other programs wrote what is not ASCII.
pub(super) fn text_of(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// An empty value could not be told from none everywhere, and whether a signature is of two blanks or
/// of one the documentation leaves open.
fn encode_value(value: &str) -> String {
    match value.is_empty() || value.contains("  ") {
        true => format!("=?UTF-8?B?{}?=", BASE64.encode(value.as_bytes())),
        false => encode(value),
    }
}

/// `name` as an identifier in small letters, from which [`decode_name`] makes it again.
fn encode_name(name: &str) -> String {
    let is_reserved = name.starts_with(OWN) || name.starts_with(AZURES);
    let mut encoded = String::with_capacity(name.len());
    for (place, character) in name.char_indices() {
        let is_plain = match character {
            'a'..='z' => place > 0 || !is_reserved,
            '0'..='9' => place > 0,
            // What looks like the begin of an escape is not one.
            '_' => !name[place + 1..].starts_with('x'),
            _ => false,
        };
        match (is_plain, u32::from(character)) {
            (true, _) => encoded.push(character),
            (false, value @ ..=0xffff) => encoded.push_str(&format!("_x{value:04x}_")),
            (false, value) => encoded.push_str(&format!("_x{value:08x}_")),
        }
    }
    // No name at all is none of an identifier either.
    if encoded.is_empty() { "_x_".to_owned() } else { encoded }
}

fn decode_name(name: &str) -> String {
    if name == "_x_" {
        return String::new();
    }
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(next) = rest.chars().next() {
        let (character, length) = escape_at(rest).unwrap_or_else(|| (next, next.len_utf8()));
        decoded.push(character);
        rest = &rest[length..];
    }
    decoded
}

/// The character that the escape at the begin of `text` stands for, and the bytes of the escape.
fn escape_at(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix("_x")?;
    let length = digits.find('_').filter(|length| matches!(length, 4 | 8))?;
    let digits = &digits[..length];
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(value)?, length + 3))
}

#[cfg(test)]
mod tests {
    use airlift_protocol::key::Key;
    use airlift_protocol::manifest::Entry;
    use proptest::prelude::*;

    use super::*;

    fn object(kind: Kind, attributes: Attributes) -> NewObject {
        let entry = Entry {
            key: Key::from("key/"),
            kind,
            size: 0,
            mtime_ns: Some(5),
            version: Version::None,
            is_archived: false,
        };
        NewObject { entry, attributes }
    }

    /// What a service answers with that kept what it was sent.
    fn echoed(object: &NewObject) -> HeaderMap {
        let mut answered = HeaderMap::new();
        answered.insert("content-length", HeaderValue::from_static("0"));
        for (name, value) in headers_of(object).unwrap() {
            let own = name.as_str().strip_prefix("x-ms-blob-").map(str::to_owned);
            let name = own.map_or(name, |own| HeaderName::try_from(own).unwrap());
            answered.insert(name, value);
        }
        answered
    }

    #[test]
    fn attributes_survive_the_way_through_headers() {
        let mut attributes = Attributes {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_disposition: Some("attachment".into()),
            content_language: Some("de".into()),
            cache_control: Some("no-cache".into()),
            metadata: [
                ("x-name", "Zoë ✓"),
                ("Plain", "a b"),
                ("blank", " x "),
                ("two", "a  b"),
                ("none", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            mtime_ns: Some(1_700_000_000_123_456_789),
            mode: Some(0o640),
            ..Attributes::default()
        };
        attributes.source_fingerprint = Some("abc".into());
        attributes.storage_class = Some("Cool".into());
        let answered = echoed(&object(Kind::Object, attributes.clone()));
        assert_eq!(answered["x-ms-meta-airlift_mtime"], "1700000000.123456789");
        assert_eq!(answered["x-ms-meta-airlift_mode"], "640");
        assert_eq!(answered["x-ms-meta-x_x002d_name"], "=?UTF-8?B?Wm/DqyDinJM=?=");
        assert_eq!(attributes_of(&answered, Some(1)), attributes);
        let mut inferred = answered;
        inferred.insert(INFERRED, HeaderValue::from_static("true"));
        assert_eq!(attributes_of(&inferred, Some(1)).storage_class, None);
    }

    #[test]
    fn a_marker_is_told_by_its_metadata_and_has_no_bytes() {
        let answered = echoed(&object(Kind::Directory, Attributes::default()));
        assert!(is_marker(&answered));
        let attributes = attributes_of(&answered, Some(7));
        assert_eq!((attributes.mtime_ns, attributes.metadata.len()), (Some(7), 0));
        let mut with_bytes = answered;
        with_bytes.insert("content-length", HeaderValue::from_static("1"));
        assert!(!is_marker(&with_bytes));
        let metadata = [(IS_FOLDER.to_owned(), "true".to_owned())].into();
        let user = Attributes { metadata, ..Attributes::default() };
        let answered = echoed(&object(Kind::Object, user.clone()));
        assert!(!is_marker(&answered), "the user's own metadata makes no marker");
        assert_eq!(attributes_of(&answered, None).metadata, user.metadata);
    }

    #[test]
    fn what_no_header_can_carry_is_named() {
        let disposition = Some("attachment; filename=\"é\"\n".to_owned());
        let attributes = Attributes { content_disposition: disposition, ..Attributes::default() };
        let error = headers_of(&object(Kind::Object, attributes)).unwrap_err();
        assert_eq!(error.code, ErrorCode::KindUnsupported);
        assert!(error.detail().contains("content-disposition"), "{error}");
    }

    #[test]
    fn names_are_escaped_as_dotnet_does() {
        for (name, encoded) in [
            ("owner", "owner"),
            ("a_1", "a_1"),
            ("content-sha", "content_x002d_sha"),
            ("1st", "_x0031_st"),
            ("Owner", "_x004f_wner"),
            ("_x002d_", "_x005f_x002d_"),
            ("_xa0aaA", "_x005f_xa0aa_x0041_"),
            ("_A", "__x0041_"),
            ("airlift_mtime", "_x0061_irlift_mtime"),
            ("hdi_isfolder", "_x0068_di_isfolder"),
            ("\u{1f680}", "_x0001f680_"),
            ("", "_x_"),
        ] {
            assert_eq!(encode_name(name), encoded);
            assert_eq!(decode_name(encoded), name);
        }
        assert_eq!(decode_name("_x00_"), "_x00_", "what is no escape stays as it is");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "(\\PC|_x|_|[0-9a-f]{4})*") {
            let encoded = encode_name(&name);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            prop_assert!(!encoded.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(decode_name(&encoded), name);
        }
    }
}
