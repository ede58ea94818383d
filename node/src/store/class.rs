//! Classes of storage: the stores' names for what keeping an object costs and how soon it can be read,
//! and which of them stand for each other.
//!
//! Sources: the pages on storage classes of the Amazon S3 and Google Cloud Storage user guides, and on
//! access tiers of the Azure Blob Storage documentation, as of 2026-11.

/// From what is read often to what is read almost never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Warmth {
    /// Read at once, without a price for reading.
    Hot,
    /// Read at once, kept for a month at least.
    Infrequent,
    /// Read at once, kept for a quarter of a year at least.
    Rare,
    /// Made for archives.
    Archive,
    /// The cheapest archive, restored within days.
    DeepArchive,
}

/// A family of names of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The store has no classes.
    None,
    /// Those of Amazon S3.
    S3,
    /// Those of Azure Blob Storage.
    Azure,
    /// Those of Google Cloud Storage.
    Gcs,
}

/// The first of each warmth is the one that others are mapped to.
const S3: [(&str, Warmth); 9] = [
    ("STANDARD", Warmth::Hot),
    ("INTELLIGENT_TIERING", Warmth::Hot),
    ("REDUCED_REDUNDANCY", Warmth::Hot),
    ("EXPRESS_ONEZONE", Warmth::Hot),
    ("STANDARD_IA", Warmth::Infrequent),
    ("ONEZONE_IA", Warmth::Infrequent),
    ("GLACIER_IR", Warmth::Rare),
    ("GLACIER", Warmth::Archive),
    ("DEEP_ARCHIVE", Warmth::DeepArchive),
];

const AZURE: [(&str, Warmth); 4] = [
    ("Hot", Warmth::Hot),
    ("Cool", Warmth::Infrequent),
    ("Cold", Warmth::Rare),
    ("Archive", Warmth::Archive),
];

const GCS: [(&str, Warmth); 4] = [
    ("STANDARD", Warmth::Hot),
    ("NEARLINE", Warmth::Infrequent),
    ("COLDLINE", Warmth::Rare),
    ("ARCHIVE", Warmth::Archive),
];

impl Classes {
    fn names(self) -> &'static [(&'static str, Warmth)] {
        match self {
            Self::None => &[],
            Self::S3 => &S3,
            Self::Azure => &AZURE,
            Self::Gcs => &GCS,
        }
    }

    /// The class that stands for `name`, which may be of any family: itself where this family has it,
    /// else the one as warm, else the next warmer one, so that nothing is harder to read than it was.
    /// `None` where the name is not known, or the store has no classes.
    pub fn nearest(self, name: &str) -> Option<&'static str> {
        let named = |family: Self| family.names().iter().find(|(known, _)| *known == name);
        if let Some((own, _)) = named(self) {
            return Some(own);
        }
        let (_, warmth) = [Self::S3, Self::Azure, Self::Gcs].into_iter().find_map(named)?;
        let warm_enough = || self.names().iter().filter(|(_, own)| own <= warmth);
        let coldest = warm_enough().map(|(_, own)| own).max()?;
        warm_enough().find(|(_, own)| own == coldest).map(|(own, _)| *own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_becomes_the_nearest_that_is_not_colder() {
        for (name, s3, azure, gcs) in [
            ("STANDARD", "STANDARD", "Hot", "STANDARD"),
            ("Hot", "STANDARD", "Hot", "STANDARD"),
            ("INTELLIGENT_TIERING", "INTELLIGENT_TIERING", "Hot", "STANDARD"),
            ("ONEZONE_IA", "ONEZONE_IA", "Cool", "NEARLINE"),
            ("NEARLINE", "STANDARD_IA", "Cool", "NEARLINE"),
            ("Cold", "GLACIER_IR", "Cold", "COLDLINE"),
            ("ARCHIVE", "GLACIER", "Archive", "ARCHIVE"),
            ("DEEP_ARCHIVE", "DEEP_ARCHIVE", "Archive", "ARCHIVE"),
        ] {
            assert_eq!(Classes::S3.nearest(name), Some(s3), "{name}");
            assert_eq!(Classes::Azure.nearest(name), Some(azure), "{name}");
            assert_eq!(Classes::Gcs.nearest(name), Some(gcs), "{name}");
            assert_eq!(Classes::None.nearest(name), None, "{name}");
        }
        assert_eq!(Classes::S3.nearest("SNOW"), None);
    }
}
