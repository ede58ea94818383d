//! Job specifications: what a user asked for, complete.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounded;
use crate::budget::Budget;
use crate::codec;
use crate::id::{JobId, Position};
use crate::key::Key;
use crate::limits::{CLASS_NAME_BYTES_MAX, CLASS_RULES_MAX};
use crate::location::Location;
use crate::schedule::Bandwidth;

/// What is to be done with the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Make the target hold every object of the source; delete nothing.
    Copy,
    /// As copy, then delete from the target what the source no longer has.
    Sync,
    /// Compare content and change nothing.
    Verify,
}

/// How two objects of equal size are told apart before anything is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// By what the stores say: time, ETag, recorded fingerprint.
    Attributes,
    /// By their content: sums that the stores have, else by reading both.
    Content,
}

/// What is done with symbolic links of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinkPolicy {
    /// Leave them out, each named in the report.
    Skip,
    /// Make a link with the same text at the target.
    Copy,
    /// Copy what they point to, as long as it lies below the source.
    Follow,
}

/// How much of the target is read again after the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VerifyLevel {
    /// Every object is compared with what the store says it holds (always done).
    Committed,
    /// Besides, this share of the moved objects, in percent, is read back and hashed; of objects that
    /// are compared, this share is read at both ends, whatever sums the stores have.
    ReadBack(u8),
}

impl VerifyLevel {
    /// Whether the object at `position` is in the share: a fixed choice for each position.
    pub fn is_sampled(self, position: Position) -> bool {
        let Self::ReadBack(percent) = self else { return false };
        let place = u64::from(position.page.0) << 16 | u64::from(position.index);
        // Fibonacci hashing: spreads consecutive positions evenly over the percentages.
        let spread = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread % 100 < u64::from(percent)
    }
}

/// What is done with the tags of objects, which stores keep apart and guard by rights of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TagPolicy {
    /// Take them along.
    #[default]
    Copy,
    /// Neither read nor write them.
    Skip,
}

/// Whether objects are copied by the service itself, where both ends are in one: their bytes are then not
/// read, so that no hash of them is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServerSide {
    /// Never: every byte is read, hashed and verified.
    #[default]
    Never,
    /// Where sums that the service stores of both objects prove the copy; else bytes are moved.
    Auto,
    /// As [`Auto`](Self::Auto), but an object that cannot be copied so fails.
    Always,
}

/// Who may do what with objects at the target, beside their owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AclPolicy {
    /// What the target says when nothing is asked for: as a rule, nobody.
    #[default]
    None,
    /// The owner of the target's bucket may do everything, whoever writes.
    BucketOwnerFullControl,
    /// What is granted at the source.
    Copy,
}

/// What is done with objects of the source that lie in an archive: it is asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RestorePolicy {
    /// How soon.
    pub tier: RestoreTier,
    /// What becomes of them.
    pub to: RestoreTo,
}

/// What becomes of an object that an archive gives back. Append only: the place of each is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RestoreTo {
    /// A copy of it can be read for so many days, at least one, and it stays where it is.
    Days(u16),
    /// It leaves the archive for the store's usual tier, for good.
    Hot,
    /// It leaves it for a tier that is cheaper to keep things in.
    Cool,
    /// It leaves it for one that is cheaper still.
    Cold,
}

/// How soon an archive gives back what is in it, and at what price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RestoreTier {
    /// Within minutes.
    Expedited,
    /// Within hours.
    Standard,
    /// Within half a day to two.
    Bulk,
}

/// Why a text says nothing about restoring.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' says nothing about restoring: write TIER:DAYS, such as bulk:7, with the tier bulk, standard or \
     expedited and at least one day, or for Azure TIER:hot, TIER:cool or TIER:cold"
)]
pub struct BadRestore(pub String);

impl RestoreTier {
    /// Its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }
}

impl FromStr for RestorePolicy {
    type Err = BadRestore;

    fn from_str(text: &str) -> Result<Self, BadRestore> {
        let bad = || BadRestore(text.to_owned());
        let (tier, to) = text.split_once(':').ok_or_else(bad)?;
        let tiers = [RestoreTier::Expedited, RestoreTier::Standard, RestoreTier::Bulk];
        let tier = tiers.into_iter().find(|known| known.as_str() == tier).ok_or_else(bad)?;
        let to = match to {
            "hot" => RestoreTo::Hot,
            "cool" => RestoreTo::Cool,
            "cold" => RestoreTo::Cold,
            days => {
                days.parse().ok().filter(|days| *days > 0).map(RestoreTo::Days).ok_or_else(bad)?
            }
        };
        Ok(Self { tier, to })
    }
}

impl fmt::Display for RestorePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.tier.as_str())?;
        match self.to {
            RestoreTo::Days(days) => write!(f, "{days}"),
            RestoreTo::Hot => f.write_str("hot"),
            RestoreTo::Cool => f.write_str("cool"),
            RestoreTo::Cold => f.write_str("cold"),
        }
    }
}

/// The form of a file that says what a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InventoryForm {
    /// Keys below the source, one a line or with a NUL after each.
    Keys,
    /// The `manifest.json` of a report of Amazon S3 Inventory.
    S3,
}

/// A file that says what the source has, in place of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InventoryFile {
    /// What form it has.
    pub form: InventoryForm,
    /// Where it is.
    pub location: Location,
}

/// Which keys objects get at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyPolicy {
    /// Those they have at the source.
    #[default]
    Exact,
    /// Escaped, so that the target can hold what it could not hold as it is.
    Escape,
    /// Those that were escaped before.
    Restore,
}

/// Which class of storage objects get at the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClassPolicy {
    /// What the target gives when nothing is asked for.
    #[default]
    Default,
    /// The class it has at the source, or the nearest that the target has.
    Keep,
    /// This class of the target, for all.
    Fixed(ClassName),
    /// By the class at the source; what is not named gets the target's default.
    Map(#[serde(deserialize_with = "bounded::list::<_, _, CLASS_RULES_MAX>")] Vec<ClassRule>),
}

/// A store's name for a class of storage: 1 to 64 letters, digits, `-` and `_`, whatever came over the
/// wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ClassName(String);

/// What objects of one class at the source become.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassRule {
    /// Class at the source.
    pub from: ClassName,
    /// Class at the target.
    pub to: ClassName,
}

/// Why a text says nothing about classes of storage.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadClass {
    /// It cannot be a class's name.
    #[error(
        "'{0}' is no class of storage: a name has 1 to {CLASS_NAME_BYTES_MAX} letters, digits, '-' and '_'"
    )]
    Name(String),
    /// One class is mapped twice.
    #[error("the class '{0}' is mapped twice")]
    Twice(String),
    /// More rules than allowed.
    #[error("{0} classes are mapped, more than the {CLASS_RULES_MAX} that are allowed")]
    TooMany(usize),
}

impl ClassName {
    /// The name as the store says it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClassName {
    type Error = BadClass;

    fn try_from(name: String) -> Result<Self, BadClass> {
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match is_plain && (1..=CLASS_NAME_BYTES_MAX).contains(&name.len()) {
            true => Ok(Self(name)),
            false => Err(BadClass::Name(name)),
        }
    }
}

impl FromStr for ClassPolicy {
    type Err = BadClass;

    /// `default`, `keep`, the name of a class of the target, or `FROM=TO` with commas between.
    fn from_str(text: &str) -> Result<Self, BadClass> {
        let name = |text: &str| ClassName::try_from(text.to_owned());
        match text {
            "default" => return Ok(Self::Default),
            "keep" => return Ok(Self::Keep),
            one if !one.contains(['=', ',']) => return Ok(Self::Fixed(name(one)?)),
            _ => {}
        }
        let mut rules: Vec<ClassRule> = Vec::new();
        for rule in text.split(',') {
            let (from, to) = rule.split_once('=').ok_or_else(|| BadClass::Name(rule.to_owned()))?;
            let (from, to) = (name(from)?, name(to)?);
            if rules.iter().any(|known| known.from == from) {
                return Err(BadClass::Twice(from.0));
            }
            rules.push(ClassRule { from, to });
        }
        match rules.len() {
            0..=CLASS_RULES_MAX => Ok(Self::Map(rules)),
            more => Err(BadClass::TooMany(more)),
        }
    }
}

impl fmt::Display for ClassPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Keep => f.write_str("keep"),
            Self::Fixed(name) => f.write_str(name.as_str()),
            Self::Map(rules) => {
                let rules: Vec<String> =
                    rules.iter().map(|rule| format!("{}={}", rule.from.0, rule.to.0)).collect();
                f.write_str(&rules.join(","))
            }
        }
    }
}

/// The most that a sync may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeleteLimit {
    /// This many objects.
    Count(u64),
    /// This share of the target's objects, in percent.
    Percent(u8),
}

impl DeleteLimit {
    /// Whether `deletes` of the `objects` that the target holds are within the limit.
    pub fn allows(self, deletes: u64, objects: u64) -> bool {
        match self {
            Self::Count(count) => deletes <= count,
            Self::Percent(percent) => {
                u128::from(deletes) * 100 <= u128::from(objects) * u128::from(percent)
            }
        }
    }
}

/// Which keys take part: shell globs over the whole key, `*` not crossing `/`, `**` crossing it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filters {
    /// When not empty, only keys that match one of these take part.
    pub include: Vec<String>,
    /// Keys that match one of these do not take part, whatever `include` says.
    pub exclude: Vec<String>,
}

/// How the job is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// How equal objects are recognised.
    pub comparison: Comparison,
    /// What is done with symbolic links.
    pub links: LinkPolicy,
    /// How much is read back.
    pub verify: VerifyLevel,
    /// Decide and report, but change nothing.
    pub dry_run: bool,
    /// Whether a sync may delete although the source has no object at all.
    pub allow_empty_source: bool,
    /// The most that a sync may delete; beyond it, nothing is deleted.
    pub max_delete: Option<DeleteLimit>,
    /// Bytes per second that the job may move, all nodes together.
    pub bandwidth: Option<Bandwidth>,
    /// How much of a cluster the job gets beside others.
    pub priority: Priority,
    /// What is done with tags.
    pub tags: TagPolicy,
    /// Which class of storage objects get.
    pub class: ClassPolicy,
    /// Which keys objects get. Only a copy has other than exact ones: whoever compares two listings
    /// key by key needs one order in both.
    pub keys: KeyPolicy,
    /// What the source is believed to have; it is listed when this is not set. Only for a copy: what a
    /// file does not name is not missing.
    pub inventory: Option<InventoryFile>,
    /// Whether the service of both ends copies objects itself.
    pub server_side: ServerSide,
    /// Who may do what with objects at the target.
    pub acl: AclPolicy,
    /// Whether what lies in an archive is restored.
    pub restore: Option<RestorePolicy>,
    /// The most that the job may use, all nodes together.
    pub budget: Budget,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            comparison: Comparison::Attributes,
            links: LinkPolicy::Skip,
            verify: VerifyLevel::Committed,
            dry_run: false,
            allow_empty_source: false,
            max_delete: None,
            bandwidth: None,
            priority: Priority::default(),
            tags: TagPolicy::default(),
            class: ClassPolicy::default(),
            keys: KeyPolicy::default(),
            inventory: None,
            server_side: ServerSide::default(),
            acl: AclPolicy::default(),
            restore: None,
            budget: Budget::default(),
        }
    }
}

/// A job's weight beside other jobs: one of twice the weight is worked on at twice as many places
/// at once, as long as each has enough to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

/// Why a text is no priority.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no priority: write low, normal, high, or a number from 1 to 100")]
pub struct BadPriority(pub String);

impl Priority {
    /// A tenth of the normal weight.
    pub const LOW: Self = Self(1);
    /// What a job has when nothing else is said.
    pub const NORMAL: Self = Self(10);
    /// Ten times the normal weight.
    pub const HIGH: Self = Self(100);

    /// The priority of this weight, from 1 to 100.
    pub fn of_weight(weight: u8) -> Option<Self> {
        (Self::LOW.0..=Self::HIGH.0).contains(&weight).then_some(Self(weight))
    }

    /// Its weight, from 1 to 100 whatever came over the wire.
    pub fn weight(self) -> u8 {
        self.0.clamp(Self::LOW.0, Self::HIGH.0)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl FromStr for Priority {
    type Err = BadPriority;

    fn from_str(text: &str) -> Result<Self, BadPriority> {
        let found = match text {
            "low" => Some(Self::LOW),
            "normal" => Some(Self::NORMAL),
            "high" => Some(Self::HIGH),
            number => number.parse().ok().and_then(Self::of_weight),
        };
        found.ok_or_else(|| BadPriority(text.to_owned()))
    }
}

/// The job is about one object only: its key below the source and its key below the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SingleObject {
    /// Key at the source.
    pub source_key: Key,
    /// Key at the target.
    pub target_key: Key,
}

/// A job as submitted. Locations are directories or prefixes and absolute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobSpec {
    /// What is to be done.
    pub mode: Mode,
    /// Where the objects are read.
    pub source: Location,
    /// Where the objects go.
    pub target: Location,
    /// Set when the job is about one object.
    pub single: Option<SingleObject>,
    /// Which keys take part.
    pub filters: Filters,
    /// How the job is to be done.
    pub policy: Policy,
}

impl JobSpec {
    /// Whether whoever submits it bounds what a job of the same name may use.
    pub fn has_budget(&self) -> bool {
        !self.policy.dry_run && !self.policy.budget.is_empty()
    }

    /// The job's id: the same mode and ends give the same id, whatever the filters and policy, so
    /// that a repeated command with another limit still finds what the first one began. A dry run
    /// is a job of its own.
    pub fn id(&self) -> JobId {
        let dry_run = self.policy.dry_run;
        let identity =
            codec::encode(&(self.mode, &self.source, &self.target, &self.single, dry_run));
        let hash = blake3::derive_key("airlift 2026-11 job id", &identity);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        JobId(id)
    }

    /// The key at the target for an object that has `key` at the source.
    pub fn target_key<'a>(&'a self, key: &'a Key) -> &'a Key {
        self.single.as_ref().map_or(key, |single| &single.target_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteRate;

    fn spec(mode: Mode) -> JobSpec {
        JobSpec {
            mode,
            source: Location::Path(b"/a".to_vec()),
            target: Location::Path(b"/b".to_vec()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        }
    }

    #[test]
    fn a_repeated_command_has_the_same_id_whatever_its_limits() {
        let first = spec(Mode::Copy);
        let mut second = spec(Mode::Copy);
        second.policy.bandwidth = Some(Bandwidth::Fixed(ByteRate(1)));
        second.policy.priority = Priority::HIGH;
        assert_eq!(first.id(), second.id());
        assert_ne!(first.id(), spec(Mode::Sync).id());
    }

    #[test]
    fn priorities_are_words_or_weights() {
        for (text, weight) in [("low", 1), ("normal", 10), ("high", 100), ("1", 1), ("37", 37)] {
            assert_eq!(text.parse::<Priority>().unwrap().weight(), weight);
        }
        for text in ["", "0", "101", "-1", "256", "urgent", "High"] {
            assert_eq!(text.parse::<Priority>(), Err(BadPriority(text.to_owned())));
        }
        let forged: Priority = codec::decode(&[0], 1).unwrap();
        assert_eq!(forged.weight(), 1);
    }

    #[test]
    fn classes_are_a_word_a_name_or_rules_and_print_back() {
        for text in ["default", "keep", "STANDARD_IA", "GLACIER=Archive,STANDARD_IA=Cool"] {
            assert_eq!(text.parse::<ClassPolicy>().unwrap().to_string(), text);
        }
        let long = "x".repeat(CLASS_NAME_BYTES_MAX + 1);
        for text in ["", "a b", "a=", "=b", "a=b,", "a=b,c", "a=b,a=c", "a=b=c", long.as_str()] {
            assert!(text.parse::<ClassPolicy>().is_err(), "{text}");
        }
        let many: Vec<String> = (0..=CLASS_RULES_MAX).map(|n| format!("a{n}=b")).collect();
        assert_eq!(many.join(",").parse::<ClassPolicy>(), Err(BadClass::TooMany(many.len())));
        let forged = codec::encode(&"not a name".to_owned());
        assert!(codec::decode::<ClassName>(&forged, 64).is_err());
    }

    #[test]
    fn restoring_is_a_tier_and_days_or_where_to() {
        for text in
            ["bulk:7", "standard:1", "expedited:30", "standard:hot", "bulk:cool", "bulk:cold"]
        {
            assert_eq!(text.parse::<RestorePolicy>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "bulk",
            "bulk:",
            "bulk:0",
            "bulk:-1",
            "bulk:70000",
            "slow:7",
            "Bulk:7",
            ":7",
            "bulk:Hot",
        ] {
            assert_eq!(text.parse::<RestorePolicy>(), Err(BadRestore(text.to_owned())), "{text}");
        }
        for (text, golden) in [("standard:7", vec![1, 0, 7]), ("bulk:cold", vec![2, 3])] {
            assert_eq!(codec::encode(&text.parse::<RestorePolicy>().unwrap()), golden, "{text}");
        }
    }

    #[test]
    fn delete_limits_are_inclusive() {
        assert!(DeleteLimit::Count(3).allows(3, 3));
        assert!(!DeleteLimit::Count(3).allows(4, 100));
        assert!(DeleteLimit::Percent(10).allows(10, 100));
        assert!(!DeleteLimit::Percent(10).allows(11, 100));
        assert!(!DeleteLimit::Percent(50).allows(1, 0));
    }
}
