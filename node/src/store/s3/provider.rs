//! What is known of the services that speak S3, and how that is read: one profile a service, as data.
//!
//! A profile never has code of its own. Where a service differs, a field says so, and the same lines
//! read that field for all of them; a service that needs more than that is a store of its own.

use super::Checksums;
pub use super::providers::PROVIDERS;

/// A service that speaks S3, or something like it.
#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    /// Scheme of its locations, and the `kind` of its configured stores.
    pub scheme: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// Where its server is when nothing else is said.
    pub endpoint: Endpoint,
    /// What its region is when nothing else is said.
    pub region: Region,
    /// Whether it takes requests that name the bucket in the path, and those that name it in the host.
    pub addressing: Styles,
    /// Which checksum goes with the bytes that are written.
    pub checksums: Preferred,
    /// The header in which it says the CRC64-XZ of an object, as a decimal number.
    pub crc64_header: Option<&'static str>,
    /// How large parts and objects may be.
    pub limits: Limits,
    /// Which keys it holds as they are.
    pub keys: KeyRules,
    /// What it grants so many requests a second for.
    pub counts: Counts,
    /// The variables in which its users have their credentials, the first set that is there counts.
    pub credentials: &'static [Credentials],
    /// What else a user should know of it, for the documents.
    pub notes: &'static str,
}

/// Where a service is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Where the AWS SDK finds it: in the region, or where `AWS_ENDPOINT_URL` and the profile say.
    Aws,
    /// At this URL, with `{region}` or `{account}` filled in.
    Pattern(&'static str),
    /// Wherever its owner runs it.
    Own,
}

/// What region requests are signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// As the AWS tools find it.
    Aws,
    /// The one that one of these variables names.
    Variables(&'static [&'static str]),
    /// Always this one.
    Fixed(&'static str),
}

/// How requests may name their bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Styles {
    /// In the host only.
    Virtual,
    /// Either way, and in the path unless something else is asked for.
    Path,
    /// Either way: in the host at AWS itself, in the path at a configured endpoint.
    Auto,
}

/// What a service grants so many requests a second for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Each prefix of a bucket.
    ByPrefix,
    /// A bucket, or more than that.
    ByBucket,
}

/// Which checksum a service is sent unless its user says another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preferred {
    /// Always this one.
    Always(Checksums),
    /// The first one at the service itself; the second one at a configured endpoint, behind which a
    /// server may be that does not have the first.
    ByEndpoint(Checksums, Checksums),
}

/// What an upload may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fewest bytes of a part that is not the last.
    pub part_bytes_min: u64,
    /// Most bytes of a part.
    pub part_bytes_max: u64,
    /// Most parts of an object.
    pub parts_max: u64,
    /// Most bytes of an object.
    pub object_bytes_max: u64,
}

/// Which keys a bucket holds, prefix included. All services want UTF-8 of at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// Most bytes of a key.
    pub bytes_max: usize,
    /// What a key may not begin with.
    pub not_first: &'static [&'static str],
    /// What may not be in a key.
    pub not_within: &'static [&'static str],
    /// Characters that may not be in a key, as first and last of each range.
    pub not_characters: &'static [(char, char)],
    /// Whole keys that there may not be.
    pub not_whole: &'static [&'static str],
    /// What may not stand between two slashes, or between one and an end.
    pub not_segments: &'static [&'static str],
    /// Whether the service composes characters (Unicode NFC), so that other keys would be rewritten.
    pub is_composed: bool,
}

/// Names of the variables of one set of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the key.
    pub id: &'static str,
    /// Its secret.
    pub secret: &'static str,
    /// The token of a session, when the credentials are short-lived.
    pub token: Option<&'static str>,
}

/// Without what a service cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The account that its URL names.
    Account,
    /// The region that its URL names, or that requests are signed for.
    Region,
    /// The URL of a server of one's own.
    Url,
}

/// The variables that name an account where an endpoint has `{account}`.
pub const ACCOUNT_VARIABLES: &[&str] = &["CLOUDFLARE_ACCOUNT_ID", "R2_ACCOUNT_ID"];

impl Provider {
    /// The profile of `scheme`, if there is one.
    pub fn of(scheme: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.scheme == scheme)
    }

    /// The profile of AWS, and of a server of which nothing is known but that it speaks S3.
    pub const fn s3() -> &'static Self {
        &PROVIDERS[0]
    }

    /// The URL of the service, as far as the profile knows it.
    ///
    /// # Errors
    /// What is missing.
    pub fn url(
        &self,
        region: Option<&str>,
        account: Option<&str>,
    ) -> Result<Option<String>, Missing> {
        let Endpoint::Pattern(pattern) = self.endpoint else { return Ok(None) };
        let mut url = pattern.to_owned();
        for (hole, value, missing) in
            [("{region}", region, Missing::Region), ("{account}", account, Missing::Account)]
        {
            if url.contains(hole) {
                url = url.replace(hole, value.ok_or(missing)?);
            }
        }
        Ok(Some(url))
    }

    /// What to do about missing or wrong credentials.
    pub fn credentials_way_out(&self) -> String {
        let own = self
            .credentials
            .first()
            .map_or_else(String::new, |own| format!("{} and {}, or ", own.id, own.secret));
        format!("set {own}AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    }

    /// What to do about a missing or wrong region.
    pub fn region_way_out(&self) -> String {
        match self.region {
            Region::Variables([first, ..]) => format!("set {first} to the bucket's region"),
            Region::Aws | Region::Variables([]) | Region::Fixed(_) => {
                "set AWS_REGION to the bucket's region".to_owned()
            }
        }
    }
}

impl Limits {
    /// Exponent of the part size for an object of `size` bytes, from `shift_min` to `shift_max`:
    /// the smallest that needs no more parts than are allowed. `None` when the object is too large.
    pub fn part_shift(&self, size: u64, shift_min: u32, shift_max: u32) -> Option<u32> {
        if size > self.object_bytes_max {
            return None;
        }
        let is_legal = |bytes: u64| (self.part_bytes_min..=self.part_bytes_max).contains(&bytes);
        let holds = |bytes: u64| size.div_ceil(bytes) <= self.parts_max;
        (shift_min..=shift_max).find(|&shift| is_legal(1 << shift) && holds(1 << shift))
    }

    /// Most bytes of an object whose parts have at most `1 << shift_max` bytes.
    pub fn object_bytes_max(&self, shift_max: u32) -> u64 {
        let part_bytes = self.part_bytes_max.min(1 << shift_max);
        let part_bytes = 1 << part_bytes.ilog2();
        self.object_bytes_max.min(self.parts_max.saturating_mul(part_bytes))
    }
}

impl KeyRules {
    /// Why a bucket cannot hold `full`, prefix included, as it is.
    pub fn check(&self, full: &str, service: &str) -> Option<String> {
        if full.len() > self.bytes_max {
            let (bytes, most) = (full.len(), self.bytes_max);
            return Some(format!(
                "with its prefix the key has {bytes} bytes, and {service} allows {most}"
            ));
        }
        let first = self.not_first.iter().find(|text| full.starts_with(**text));
        if let Some(text) = first {
            return Some(format!("a key of {service} cannot begin with '{text}'"));
        }
        if let Some(text) = self.not_within.iter().find(|text| full.contains(**text)) {
            return Some(format!("a key of {service} cannot contain '{text}'"));
        }
        let is_refused =
            |c: &char| self.not_characters.iter().any(|&(from, to)| (from..=to).contains(c));
        if let Some(c) = full.chars().find(is_refused) {
            return Some(format!(
                "a key of {service} cannot contain the character U+{:04X}",
                u32::from(c)
            ));
        }
        if self.not_whole.contains(&full) {
            return Some(format!("'{full}' cannot be a key of {service}"));
        }
        if let Some(text) = full.split('/').find(|text| self.not_segments.contains(text)) {
            return Some(format!("a key of {service} cannot have '{text}' between slashes"));
        }
        (self.is_composed && !unicode_normalization::is_nfc(full)).then(|| {
            format!("{service} would rewrite the key: its characters are not composed (NFC)")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn provider(scheme: &str) -> &'static Provider {
        Provider::of(scheme).unwrap_or_else(|| panic!("no profile of {scheme}"))
    }

    #[test]
    fn urls_follow_region_and_account() {
        for (scheme, region, account, url) in [
            ("s3", Some("eu-west-1"), None, Ok(None)),
            ("oss", Some("cn-hangzhou"), None, Ok(Some("https://s3.oss-cn-hangzhou.aliyuncs.com"))),
            ("cos", Some("ap-guangzhou"), None, Ok(Some("https://cos.ap-guangzhou.myqcloud.com"))),
            ("obs", Some("cn-north-4"), None, Ok(Some("https://obs.cn-north-4.myhuaweicloud.com"))),
            ("r2", None, Some("0ff1ce"), Ok(Some("https://0ff1ce.r2.cloudflarestorage.com"))),
            ("b2", Some("us-west-004"), None, Ok(Some("https://s3.us-west-004.backblazeb2.com"))),
            ("wasabi", Some("us-east-2"), None, Ok(Some("https://s3.us-east-2.wasabisys.com"))),
            ("gcs-s3", None, None, Ok(Some("https://storage.googleapis.com"))),
            ("minio", Some("x"), None, Ok(None)),
            ("ceph", None, None, Ok(None)),
            ("oss", None, None, Err(Missing::Region)),
            ("r2", Some("auto"), None, Err(Missing::Account)),
        ] {
            let found = provider(scheme).url(region, account);
            assert_eq!(found, url.map(|url: Option<&str>| url.map(str::to_owned)), "{scheme}");
        }
    }

    #[test]
    fn keys_are_refused_by_the_rule_that_they_break() {
        for (scheme, key, part) in [
            ("s3", "/a//b", None),
            ("oss", "/a", Some("cannot begin with '/'")),
            ("oss", "\\a", Some("cannot begin with '\\'")),
            ("oss", "a//b\\", None),
            ("cos", "/a", Some("Tencent COS cannot begin with '/'")),
            ("cos", "a\u{1b}", Some("U+001B")),
            ("cos", "a\u{17}", None),
            ("r2", "cafe\u{301}", Some("would rewrite the key")),
            ("r2", "caf\u{e9}", None),
            ("b2", "a//b", Some("cannot contain '//'")),
            ("b2", "a\tb", Some("U+0009")),
            ("b2", "a\u{7f}", Some("U+007F")),
            ("minio", "a/../b", Some("'..' between slashes")),
            ("minio", "a..b/c", None),
            ("gcs-s3", "..", Some("'..' cannot be a key of Google")),
            ("gcs-s3", "../x", None),
            ("gcs-s3", "a\r", Some("U+000D")),
            ("gcs-s3", ".well-known/acme-challenge/x", Some("cannot begin with '.well-known")),
        ] {
            let provider = provider(scheme);
            let found = provider.keys.check(key, provider.name);
            match part {
                None => assert_eq!(found, None, "{scheme} {key:?}"),
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|text| text.contains(part)), "{found:?}");
                }
            }
        }
        for (scheme, most) in [("s3", 1024), ("oss", 1023), ("cos", 850), ("obs", 1024)] {
            let provider = provider(scheme);
            assert_eq!(provider.keys.check(&"x".repeat(most), provider.name), None, "{scheme}");
            assert!(provider.keys.check(&"x".repeat(most + 1), provider.name).is_some());
        }
    }

    #[test]
    fn every_profile_can_be_planned_with_and_named() {
        let schemes: BTreeSet<&str> = PROVIDERS.iter().map(|provider| provider.scheme).collect();
        assert_eq!(schemes.len(), PROVIDERS.len(), "a scheme stands for one service");
        for provider in PROVIDERS {
            let limits = provider.limits;
            for size in [0, 9 << 20, 1 << 40, limits.object_bytes_max(30)] {
                let shift = limits.part_shift(size, 24, 30);
                assert!(shift.is_some(), "{} {size}", provider.scheme);
            }
            assert_eq!(limits.part_shift(limits.object_bytes_max(30) + 1, 24, 30), None);
            assert!(!provider.notes.contains('\n') && !provider.name.is_empty());
            for set in provider.credentials {
                assert_ne!(set.id, set.secret, "{}", provider.scheme);
            }
        }
        assert_eq!(Provider::s3().scheme, "s3");
        assert_eq!(Provider::of("S4"), None);
    }

    #[test]
    fn advice_names_the_variables_that_the_service_is_known_by() {
        assert!(provider("oss").credentials_way_out().contains("OSS_ACCESS_KEY_SECRET"));
        assert!(provider("ceph").credentials_way_out().starts_with("set AWS_ACCESS_KEY_ID"));
        assert_eq!(provider("cos").region_way_out(), "set COS_REGION to the bucket's region");
        assert_eq!(provider("s3").region_way_out(), "set AWS_REGION to the bucket's region");
    }

    /// The table of the documents is what the data says.
    #[test]
    fn the_documents_have_a_row_for_each_profile() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/stores.md");
        let text = std::fs::read_to_string(path).expect("docs/stores.md is there");
        for provider in PROVIDERS {
            let row = row(provider);
            assert!(text.contains(&row), "docs/stores.md has no row\n{row}");
        }
    }

    fn row(provider: &Provider) -> String {
        let endpoint = match provider.endpoint {
            Endpoint::Aws => "of the region".to_owned(),
            Endpoint::Pattern(url) => format!("`{url}`"),
            Endpoint::Own => "to be configured".to_owned(),
        };
        let bucket = match provider.addressing {
            Styles::Virtual => "host",
            Styles::Path => "path",
            Styles::Auto => "host; path at a configured endpoint",
        };
        let name = |sum| match sum {
            Checksums::Crc64Nvme => "CRC64-NVME",
            Checksums::Crc32c => "CRC32C",
            Checksums::Md5 => "MD5",
        };
        let sum = match provider.checksums {
            Preferred::Always(sum) => name(sum).to_owned(),
            Preferred::ByEndpoint(own, other) => {
                format!("{}; {} at a configured endpoint", name(own), name(other))
            }
        };
        let tib = provider.limits.object_bytes_max(30) as f64 / (1_u64 << 40) as f64;
        format!(
            "| `{}` | {} | {endpoint} | {bucket} | {sum} | {tib:.1} TiB | {} |",
            provider.scheme, provider.name, provider.notes
        )
    }
}
