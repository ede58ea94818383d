//! Keys at the target: those of the source, or, where the job wants it, escaped so that a target with
//! narrower rules can hold them, and back.
//!
//! An escape is `%` and two hex digits, in capitals, for one byte. What looks like an escape already has
//! its `%` escaped, so that undoing all escapes gives the key that was: no two keys share an escaped
//! form, whatever else is escaped.

use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;

/// The escaped form of `key`: the plain one, in which only what looks like an escape is escaped, when
/// `is_held` says that the target holds it, else the strict one.
pub(super) fn escape(key: &Key, kind: &Kind, is_held: impl Fn(&Key) -> bool) -> Key {
    let plain = plain(key);
    if is_held(&plain) { plain } else { strict(key, kind) }
}

/// The key that `escaped` stands for; `None` when it is no escaped form of any key, so that undoing it
/// could make one key of two.
pub(super) fn restore(escaped: &Key, kind: &Kind) -> Option<Key> {
    let key = undo(escaped);
    (plain(&key) == *escaped || strict(&key, kind) == *escaped).then_some(key)
}

/// The other escaped form of the key that `escaped` stands for, if there is another.
pub(super) fn twin(escaped: &Key, kind: &Kind) -> Option<Key> {
    let key = undo(escaped);
    [plain(&key), strict(&key, kind)].into_iter().find(|form| form != escaped)
}

/// Only what looks like an escape is escaped.
fn plain(key: &Key) -> Key {
    let bytes = key.as_bytes();
    let mut escaped = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' if hex_at(bytes, at + 1).is_some() => push(&mut escaped, byte),
            _ => escaped.push(byte),
        }
    }
    Key::new(escaped)
}

/// All is escaped that some store or file system refuses or rewrites: bytes outside UTF-8, control
/// characters, backslashes, empty segments, blanks at the ends of a segment, dots at its beginning and
/// end. The slash at the end of a directory's key stays.
fn strict(key: &Key, kind: &Kind) -> Key {
    let bytes = key.as_bytes();
    let (body, end) = match bytes.strip_suffix(b"/") {
        Some(body) if *kind == Kind::Directory && !body.is_empty() => (body, &b"/"[..]),
        _ => (bytes, &b""[..]),
    };
    let mut escaped = Vec::with_capacity(bytes.len() + 8);
    for (index, segment) in body.split(|&byte| byte == b'/').enumerate() {
        match (index, segment.is_empty() || escaped.is_empty()) {
            (0, _) => {}
            // The slash before an empty segment, or after one that nothing stands before.
            (_, true) => push(&mut escaped, b'/'),
            (_, false) => escaped.push(b'/'),
        }
        push_segment(&mut escaped, segment);
    }
    escaped.extend_from_slice(end);
    Key::new(escaped)
}

fn push_segment(escaped: &mut Vec<u8>, segment: &[u8]) {
    let last = segment.len().saturating_sub(1);
    let mut at = 0;
    for chunk in segment.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            let is_end = at == 0 || at == last;
            let is_refused = byte.is_ascii_control()
                || byte == b'\\'
                || (is_end && matches!(byte, b' ' | b'.'))
                || (byte == b'%' && hex_at(segment, at + 1).is_some());
            match is_refused {
                true => push(escaped, byte),
                false => escaped.push(byte),
            }
            at += 1;
        }
        for byte in chunk.invalid() {
            push(escaped, *byte);
            at += 1;
        }
    }
}

fn push(escaped: &mut Vec<u8>, byte: u8) {
    escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
}

/// The byte whose two hex digits stand at `at`.
fn hex_at(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

fn undo(escaped: &Key) -> Key {
    let bytes = escaped.as_bytes();
    let mut key = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex_at(bytes, at + 1)) {
            (b'%', Some(byte)) => {
                key.push(byte);
                at += 3;
            }
            (byte, _) => {
                key.push(byte);
                at += 1;
            }
        }
    }
    Key::new(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_target_refuses_is_escaped_and_nothing_else() {
        for (key, form) in [
            ("a/b.c", "a/b.c"),
            ("100%", "100%"),
            ("100%25", "100%2525"),
            ("a//b", "a%2F/b"),
            ("/a", "%2Fa"),
            ("//a", "%2F/a"),
            ("a/../b/.", "a/%2E%2E/b/%2E"),
            (".hidden/ x ", "%2Ehidden/%20x%20"),
            ("a\\b\n", "a%5Cb%0A"),
            ("dir/", "dir%2F"),
            ("dir//", "dir%2F%2F"),
            ("/", "%2F"),
        ] {
            assert_eq!(strict(&Key::from(key), &Kind::Object), Key::from(form), "{key}");
        }
        assert_eq!(strict(&Key::from("a /b/"), &Kind::Directory), Key::from("a%20/b/"));
        let latin = Key::new(*b"caf\xe9/\xc3\xa9");
        assert_eq!(strict(&latin, &Kind::Object), Key::from("caf%E9/é"));
    }

    #[test]
    fn the_plain_form_is_taken_where_the_target_holds_it() {
        let key = Key::from(" x%41");
        assert_eq!(escape(&key, &Kind::Object, |_| true), Key::from(" x%2541"));
        assert_eq!(escape(&key, &Kind::Object, |_| false), Key::from("%20x%2541"));
    }

    #[test]
    fn what_nobody_escaped_is_not_restored() {
        for key in ["%41", "a%2fb", "x%20y", "%2Ea/ b"] {
            assert_eq!(restore(&Key::from(key), &Kind::Object), None, "{key}");
        }
        assert_eq!(twin(&Key::from("a%2F/b"), &Kind::Object), Some(Key::from("a//b")));
        assert_eq!(twin(&Key::from("a/b"), &Kind::Object), None);
    }

    proptest! {
        #[test]
        fn any_key_comes_back(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'/'), Just(b'%'), Just(b'.'), Just(b' '), Just(b'2'), Just(b'F')
        ], 1..24)) {
            let key = Key::new(bytes);
            for kind in [Kind::Object, Kind::Directory] {
                let strict = strict(&key, &kind);
                for form in [plain(&key), strict.clone()] {
                    prop_assert_eq!(undo(&form), key.clone());
                    prop_assert_eq!(restore(&form, &kind), Some(key.clone()));
                }
                prop_assert!(strict.as_str().is_some());
                prop_assert!(!strict.as_bytes().windows(2).any(|pair| pair == b"//"));
            }
        }
    }
}
