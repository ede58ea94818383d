//! Which keys OpenDAL leaves as they are.
//!
//! Before every request it trims blanks from both ends of a path, drops slashes at its begin and joins
//! those that follow each other. URLs do more: `.` and `..` between slashes are resolved on the way.

use airlift_protocol::key::Key;

/// `key` as a path at the server, which OpenDAL sends as it is.
///
/// # Errors
/// Why it would be another one.
pub(super) fn kept(key: &Key) -> Result<&str, &'static str> {
    let Some(text) = key.as_str() else {
        return Err("the name is not UTF-8, which this protocol requires");
    };
    if text.trim() != text {
        return Err("the name begins or ends with a blank, which would be lost on the way");
    }
    if text.contains('\0') || text.chars().any(char::is_control) {
        return Err("the name has control characters, which this protocol cannot carry");
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    match path.split('/').find(|name| matches!(*name, "" | "." | "..")) {
        Some("") => Err("an empty name (`//`, or `/` at the begin) would be lost on the way"),
        Some(_) => Err("`.` and `..` between slashes would be resolved on the way"),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use opendal::raw::normalize_path;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_would_change_are_named() {
        for key in [
            &b""[..],
            b"/",
            b"/a",
            b"a//b",
            b"a//",
            b" a",
            b"a ",
            b"a\t",
            b".",
            b"a/../b",
            b"./a",
            b"\xff",
            b"a\nb",
            "\u{a0}a".as_bytes(),
        ] {
            assert!(kept(&Key::new(key)).is_err(), "{}", Key::new(key));
        }
        for key in ["a", "a/b/", "a b", "a/ b", "...", "a%2Fb", "é/ü", "a?b#c"] {
            assert_eq!(kept(&Key::from(key)), Ok(key));
        }
    }

    proptest! {
        /// Whatever is accepted, OpenDAL's own function leaves alone.
        #[test]
        fn what_is_kept_is_what_opendal_sends(text in "[ ./a\\\\%\u{a0}\u{3000}é\t]{0,8}") {
            if let Ok(path) = kept(&Key::from(text.as_str())) {
                prop_assert_eq!(normalize_path(path), text);
            }
        }

        #[test]
        fn so_it_is_for_any_text(text in any::<String>()) {
            if let Ok(path) = kept(&Key::from(text.as_str())) {
                prop_assert_eq!(normalize_path(path), text);
            }
        }
    }
}
