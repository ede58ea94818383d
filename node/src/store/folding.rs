//! The folded form of names: what two names have in common that a place takes for one.
//!
//! Places differ in details (tables of several versions of Unicode), so that this rather takes two
//! names for one that a place can tell apart than the other way round.

use airlift_protocol::folding::{CaseFolding, Folding};
use unicode_normalization::UnicodeNormalization;

/// Characters that nobody sees, and that places which fold case fully leave out of account.
const IGNORED: [(char, char); 13] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
];

/// What `name` has in common with every name that a place takes for it. Bytes outside UTF-8 stay as
/// they are.
pub(crate) fn fold(folding: Folding, name: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        match chunk.valid().is_ascii() {
            true if folding.case == CaseFolding::None => {
                folded.extend_from_slice(chunk.valid().as_bytes());
            }
            true => folded.extend(chunk.valid().bytes().map(|byte| byte.to_ascii_lowercase())),
            false => folded.extend_from_slice(fold_text(folding, chunk.valid()).as_bytes()),
        }
        folded.extend_from_slice(chunk.invalid());
    }
    folded
}

fn fold_text(folding: Folding, text: &str) -> String {
    let text = match folding.ignores_form {
        true => text.nfd().collect(),
        false => text.to_owned(),
    };
    let text: String = match folding.case {
        CaseFolding::None => return text,
        CaseFolding::Simple => text.chars().map(other_case).collect(),
        CaseFolding::Full => {
            let seen = text.chars().filter(|&character| !is_ignored(character));
            seen.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
        }
    };
    // The small form of a letter may be one that is composed.
    if folding.ignores_form { text.nfd().collect() } else { text }
}

/// By way of capitals: the two small sigmas have one capital. What has no case of one letter stays.
fn other_case(character: char) -> char {
    let upper = only(character.to_uppercase()).unwrap_or(character);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

fn is_ignored(character: char) -> bool {
    IGNORED.iter().any(|&(first, last)| (first..=last).contains(&character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(case: CaseFolding, ignores_form: bool) -> Folding {
        Folding { case, ignores_form }
    }

    #[test]
    fn names_that_a_place_takes_for_one_have_one_form() {
        use CaseFolding::{Full, None, Simple};
        for (one, other, places) in [
            ("Read Me", "READ mE", [false, false, true, true, true]),
            ("caf\u{e9}", "cafe\u{301}", [false, true, false, true, true]),
            ("CAF\u{c9}", "cafe\u{301}", [false, false, false, true, true]),
            ("\u{3c3}", "\u{3c2}", [false, false, true, true, true]),
            ("stra\u{df}e", "STRASSE", [false, false, false, false, true]),
            ("co\u{ad}op", "coop", [false, false, false, false, true]),
            ("\u{130}", "i\u{307}", [false, false, false, true, true]),
            ("a", "b", [false; 5]),
            ("a/b", "a-b", [false; 5]),
        ] {
            let foldings = [
                of(None, false),
                of(None, true),
                of(Simple, false),
                of(Simple, true),
                of(Full, true),
            ];
            for (folding, same) in foldings.into_iter().zip(places) {
                let forms = [one, other].map(|name| fold(folding, name.as_bytes()));
                assert_eq!(forms[0] == forms[1], same, "{one} and {other} where {folding:?}");
            }
        }
        let folding = of(Full, true);
        assert_eq!(fold(folding, b"A\xe9B"), b"a\xe9b", "what is no text stays");
    }

    proptest! {
        #[test]
        fn a_folded_name_is_its_own_form(name in "\\PC*", ignores_form: bool) {
            for case in [CaseFolding::None, CaseFolding::Simple, CaseFolding::Full] {
                let folding = of(case, ignores_form);
                let folded = fold(folding, name.as_bytes());
                prop_assert_eq!(fold(folding, &folded), folded.clone());
                let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'/').count();
                prop_assert_eq!(slashes(&folded), slashes(name.as_bytes()));
            }
        }
    }
}
