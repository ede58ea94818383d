//! Keys that tools are known to lose, join or rewrite.

/// Keys that S3 holds, each different from all others byte for byte. A file system cannot hold some
/// of them, and whoever copies to one has to name those.
pub const NASTY_KEYS: [&str; 64] = [
    "a//b",
    "a///b",
    "a//",
    "//",
    "/",
    "/leading",
    "//leading",
    "trailing/",
    "trailing//",
    ".",
    "..",
    "./here",
    "up/../there",
    "../outside",
    "../../etc/passwd",
    "dot/./dot",
    "dot/.",
    "dot/..",
    "...",
    " ",
    " leading blank",
    "trailing blank ",
    "in side",
    "two  blanks",
    "blank /before slash",
    "tab\there",
    "new\nline",
    "cr\rhere",
    "crlf\r\nhere",
    "bell\u{7}",
    "escape\u{1b}[31m",
    "delete\u{7f}",
    "%2F",
    "a%2Fb",
    "100%",
    "%",
    "%zz",
    "%00",
    "a+b",
    "a b+c%20d",
    "+",
    "quote\"double",
    "quote'single",
    "back\\slash",
    "..\\windows",
    "<angle>&amp;",
    "&lt;",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{fb01}ligature",
    "emoji-\u{1f680}",
    "family-\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{202e}rtl",
    "\u{feff}bom",
    "\u{a0}no-break",
    "UPPER",
    "upper",
    "#hash",
    "question?mark=1&x=2",
    "star*[1-9]{a,b}",
    "semi;colon:comma,@at!bang$dollar",
    "pipe|^`tick`~tilde",
    "a=b&c=d",
    "-rf",
];

/// A key of exactly 1,024 bytes, the most that S3 allows, in segments that file systems allow.
pub fn longest_key() -> String {
    let segment = "k".repeat(204);
    let mut key = [segment.as_str(); 5].join("/");
    key.truncate(1024);
    key
}

/// All nasty keys, ascending.
pub fn nasty_keys() -> Vec<String> {
    let mut keys: Vec<String> = NASTY_KEYS.iter().map(|&key| key.to_owned()).collect();
    keys.push(longest_key());
    keys.sort();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_many_and_different() {
        let mut keys = nasty_keys();
        assert!(keys.len() >= 60);
        assert_eq!(longest_key().len(), 1024);
        keys.dedup();
        assert_eq!(keys.len(), NASTY_KEYS.len() + 1);
    }
}
