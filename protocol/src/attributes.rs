//! What an object is beside its bytes.

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::limits::ACL_GRANTS_MAX;
use crate::manifest::Entry;

/// What an object carries beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Media type.
    pub content_type: Option<String>,
    /// Encoding that was applied to the content; the bytes are moved as stored.
    pub content_encoding: Option<String>,
    /// How to present the content.
    pub content_disposition: Option<String>,
    /// Language of the content.
    pub content_language: Option<String>,
    /// Caching directives.
    pub cache_control: Option<String>,
    /// The user's own metadata. Airlift's own keys never appear here.
    pub metadata: BTreeMap<String, String>,
    /// The user's tags, which stores keep apart from metadata and can change without touching the
    /// object.
    pub tags: BTreeMap<String, String>,
    /// The store's name for what keeping the object costs and how soon it can be read; `None` for
    /// the store's default.
    pub storage_class: Option<String>,
    /// Time of last modification of the content, nanoseconds since 1970.
    pub mtime_ns: Option<i64>,
    /// Permission bits, `0o777` at most.
    pub mode: Option<u32>,
    /// Fingerprint of the source state this object was copied from, when Airlift copied it.
    pub source_fingerprint: Option<String>,
    /// Who may do what with the object, beside its owner; `None` for nobody.
    pub acl: Option<Acl>,
}

/// Who may do what with an object, beside its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acl {
    /// Whoever owns the bucket may do everything.
    BucketOwnerFullControl,
    /// What is granted, in order, each once; what the owner may do is not said.
    Grants(#[serde(deserialize_with = "bounded::list::<_, _, ACL_GRANTS_MAX>")] Vec<Grant>),
}

/// One right of somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Whose.
    pub grantee: Grantee,
    /// Which.
    pub right: Right,
}

/// Who has a right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grantee {
    /// The account with this id, as the store names it.
    Account(String),
    /// The group that the store means by this URI.
    Group(String),
}

/// What somebody may do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Right {
    /// Read it.
    Read,
    /// Read who may do what with it.
    ReadAcl,
    /// Change who may do what with it.
    WriteAcl,
    /// All of that.
    FullControl,
}

impl Attributes {
    /// What of all that an object can carry this one does carry. A time counts where permission bits
    /// say that a file had it: any object has a time at which its store wrote it.
    pub fn kinds(&self) -> AttributeSet {
        let carried = |kind: &AttributeKind| match kind {
            AttributeKind::ContentType => self.content_type.is_some(),
            AttributeKind::ContentEncoding => self.content_encoding.is_some(),
            AttributeKind::ContentDisposition => self.content_disposition.is_some(),
            AttributeKind::ContentLanguage => self.content_language.is_some(),
            AttributeKind::CacheControl => self.cache_control.is_some(),
            AttributeKind::Metadata => !self.metadata.is_empty(),
            AttributeKind::Tags => !self.tags.is_empty(),
            AttributeKind::StorageClass => self.storage_class.is_some(),
            AttributeKind::Mtime => self.mode.is_some() && self.mtime_ns.is_some(),
            AttributeKind::Mode => self.mode.is_some(),
            AttributeKind::Acl => self.acl.is_some(),
        };
        AttributeKind::ALL.into_iter().filter(carried).collect()
    }
}

/// One kind of thing that an object may carry beside its bytes. Append only: the place of each is on
/// the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeKind {
    /// Media type.
    ContentType,
    /// Encoding of the content.
    ContentEncoding,
    /// How to present the content.
    ContentDisposition,
    /// Language of the content.
    ContentLanguage,
    /// Caching directives.
    CacheControl,
    /// The user's metadata.
    Metadata,
    /// The user's tags.
    Tags,
    /// Class of storage.
    StorageClass,
    /// A file's time of last modification.
    Mtime,
    /// Permission bits.
    Mode,
    /// Who may do what with it, beside its owner.
    Acl,
}

impl AttributeKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::ContentDisposition,
        Self::ContentLanguage,
        Self::CacheControl,
        Self::Metadata,
        Self::Tags,
        Self::StorageClass,
        Self::Mtime,
        Self::Mode,
        Self::Acl,
    ];

    /// The name that reports and JSON output use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::ContentDisposition => "content_disposition",
            Self::ContentLanguage => "content_language",
            Self::CacheControl => "cache_control",
            Self::Metadata => "metadata",
            Self::Tags => "tags",
            Self::StorageClass => "storage_class",
            Self::Mtime => "mtime",
            Self::Mode => "mode",
            Self::Acl => "acl",
        }
    }
}

/// A set of kinds of attributes: one bit each on the wire, a list of names in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeSet(u16);

impl AttributeSet {
    /// No kind at all.
    pub const NONE: Self = Self(0);

    /// Whether no kind is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether `kind` is in it.
    pub fn contains(self, kind: AttributeKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// What is in this set or in `other`.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kinds in it that this build knows, in the order of [`AttributeKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = AttributeKind> {
        AttributeKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The names of what is in it.
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(AttributeKind::as_str).collect()
    }
}

fn bit(kind: AttributeKind) -> u16 {
    1 << kind as u16
}

impl FromIterator<AttributeKind> for AttributeSet {
    fn from_iter<T: IntoIterator<Item = AttributeKind>>(kinds: T) -> Self {
        Self(kinds.into_iter().map(bit).fold(0, |set, bit| set | bit))
    }
}

impl Serialize for AttributeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => self.names().serialize(serializer),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AttributeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u16::deserialize(deserializer).map(Self);
        }
        let kind = |name: String| {
            let known = AttributeKind::ALL.into_iter().find(|kind| kind.as_str() == name);
            known.ok_or_else(|| D::Error::custom(format!("'{name}' is no kind of attribute")))
        };
        Vec::<String>::deserialize(deserializer)?.into_iter().map(kind).collect()
    }
}

/// An object as its store describes it in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// What a listing says.
    pub entry: Entry,
    /// What a listing does not say.
    pub attributes: Attributes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_carries_what_is_set() {
        assert!(Attributes::default().kinds().is_empty());
        let stored = Attributes {
            content_type: Some("text/plain".into()),
            tags: [("team".to_owned(), "red".to_owned())].into(),
            mtime_ns: Some(5),
            ..Attributes::default()
        };
        assert_eq!(stored.kinds().names(), ["content_type", "tags"]);
        let file = Attributes { mtime_ns: Some(5), mode: Some(0o640), ..Attributes::default() };
        assert_eq!(file.kinds().names(), ["mtime", "mode"]);
    }

    #[test]
    fn sets_are_added_and_taken_away() {
        let all: AttributeSet = AttributeKind::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), AttributeKind::ALL.len());
        let tags: AttributeSet = [AttributeKind::Tags].into_iter().collect();
        assert!(!all.without(tags).contains(AttributeKind::Tags));
        assert_eq!(all.without(tags).union(tags), all);
        assert_eq!(tags.without(all), AttributeSet::NONE);
    }
}
