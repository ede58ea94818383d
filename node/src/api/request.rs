//! What a client asks for, and how it becomes a job specification.

use std::time::Duration;

use airlift_protocol::budget::Budget;
use airlift_protocol::job::{
    AclPolicy, BadClass, ClassPolicy, Comparison, DeleteLimit, Filters, InventoryFile,
    InventoryForm, JobSpec, KeyPolicy, LinkPolicy, Mode, Policy, Priority, RestorePolicy,
    ServerSide, SingleObject, TagPolicy, VerifyLevel,
};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::schedule::{BadBandwidth, Bandwidth};
use airlift_protocol::units::ByteRate;
use globset::GlobBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::BudgetRequest;
use super::error::ApiError;
use super::openapi::schema;
use super::text::ByteText;
use super::view::{JobMode, NodeRole};
use crate::store::locate::Probe;

/// Globs of one kind in one request.
pub const GLOBS_MAX: usize = 1000;
/// Bytes of one glob.
pub const GLOB_BYTES_MAX: usize = 4096;
/// The longest life of a token by which a node may join.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);

/// How two objects of equal size are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonText {
    /// By what the stores say.
    #[default]
    Attributes,
    /// By reading both.
    Content,
}

/// What is done with symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinksText {
    /// Leave them out.
    #[default]
    Skip,
    /// Copy the link.
    Copy,
    /// Copy what they point to.
    Follow,
}

/// Whether the service of both ends copies objects itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerSideText {
    /// Bytes are moved.
    #[default]
    Never,
    /// Where stored sums prove the copy.
    Auto,
    /// What cannot be copied so fails.
    Always,
}

/// What is done with tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagsText {
    /// Take them along.
    #[default]
    Copy,
    /// Neither read nor write them.
    Skip,
}

/// Who may do what with objects at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AclText {
    /// As the target has it.
    #[default]
    None,
    /// The owner of its bucket may do everything.
    BucketOwnerFullControl,
    /// As at the source.
    Copy,
}

/// Which keys objects get at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysText {
    /// Those they have at the source.
    #[default]
    Exact,
    /// Escaped where the target could not hold them.
    Escape,
    /// Those that were escaped before.
    Restore,
}

/// A file that says what the source has, in place of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InventoryText {
    /// A list of keys below the source: where it is.
    Keys(ByteText),
    /// A report of Amazon S3 Inventory: where its `manifest.json` is.
    S3(ByteText),
}

impl From<&InventoryFile> for InventoryText {
    fn from(file: &InventoryFile) -> Self {
        let location = ByteText::from(&file.location);
        match file.form {
            InventoryForm::Keys => Self::Keys(location),
            InventoryForm::S3 => Self::S3(location),
        }
    }
}

impl TryFrom<InventoryText> for InventoryFile {
    type Error = ApiError;

    fn try_from(text: InventoryText) -> Result<Self, ApiError> {
        let (form, location) = match text {
            InventoryText::Keys(location) => (InventoryForm::Keys, location),
            InventoryText::S3(location) => (InventoryForm::S3, location),
        };
        Ok(Self { form, location: parse_location(&location.0)? })
    }
}

/// The most that a sync may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeleteLimitText {
    /// This many objects.
    Count(#[schemars(schema_with = "schema::number")] u64),
    /// This share of the target's objects.
    Percent(#[schemars(schema_with = "schema::percent")] u8),
}

/// A job, as a client submits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// What is to be done.
    pub mode: JobMode,
    /// Where objects are read: `NODE:/path` or `s3://BUCKET/PREFIX`; what is there decides whether
    /// the job is about one object or all below.
    pub source: ByteText,
    /// Where they go.
    pub target: ByteText,
    /// When not empty, only keys that match one of these take part.
    #[serde(default)]
    pub include: Vec<String>,
    /// Keys that match one of these do not take part.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How equal objects are recognised.
    #[serde(default)]
    pub comparison: ComparisonText,
    /// What is done with symbolic links.
    #[serde(default)]
    pub links: LinksText,
    /// Share of the moved objects that is read back and hashed again.
    #[serde(default)]
    #[schemars(schema_with = "schema::percent")]
    pub read_back_percent: u8,
    /// Decide and report, but change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether a sync may delete although the source has no object at all.
    #[serde(default)]
    pub allow_empty_source: bool,
    /// The most that a sync may delete.
    #[serde(default)]
    pub max_delete: Option<DeleteLimitText>,
    /// Bytes a second that the job may move, all nodes together.
    #[serde(default)]
    #[schemars(schema_with = "schema::positive")]
    pub bandwidth_bytes_per_second: Option<u64>,
    /// The same by the time of the week, in place of it: `08:00-18:00 200M, 18:00-08:00 off; Europe/Berlin`.
    #[serde(default)]
    pub bandwidth_schedule: Option<String>,
    /// The job's weight beside other jobs, from 1 to 100; 10 when it is not given.
    #[serde(default)]
    #[schemars(schema_with = "schema::weight")]
    pub priority: Option<u8>,
    /// What is done with the tags of objects.
    #[serde(default)]
    pub tags: TagsText,
    /// Class of storage at the target: `default`, `keep`, a name, or `FROM=TO` with commas between;
    /// `default` when it is not given.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// Who may do what with objects at the target.
    #[serde(default)]
    pub acl: AclText,
    /// Whether what lies in an archive of the source is restored: `TIER:DAYS` or `TIER:hot`, as on the command line.
    #[serde(default)]
    pub restore: Option<String>,
    /// Which keys objects get at the target; modes other than `cp` have exact ones only.
    #[serde(default)]
    pub keys: KeysText,
    /// What the source is believed to have, with mode `cp`; it is listed when this is not given.
    #[serde(default)]
    pub inventory: Option<InventoryText>,
    /// Whether the service of both ends copies objects itself.
    #[serde(default)]
    pub server_side: ServerSideText,
    /// What the job may use. Without it, a job that runs or is paused keeps the one that it has, and any other
    /// is not bounded.
    #[serde(default)]
    pub budget: Option<BudgetRequest>,
}

/// A request for a token by which a node may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The role of the node that will use it.
    pub role: NodeRole,
    /// How long it can be used.
    #[schemars(range(min = 1, max = 3600))]
    pub ttl_seconds: u64,
}

impl TokenRequest {
    /// Refuses a life of nothing or of more than [`TOKEN_LIFE_MAX`].
    ///
    /// # Errors
    /// When it is refused.
    pub fn check(self) -> Result<Self, ApiError> {
        let most = TOKEN_LIFE_MAX.as_secs();
        match self.ttl_seconds {
            0 => Err(ApiError::invalid("a token that lives for 0 seconds is of no use")),
            seconds if seconds > most => Err(ApiError::invalid(format!(
                "a token lives for at most {most} seconds, not {seconds}"
            ))),
            _ => Ok(self),
        }
    }
}

/// A request to hand over the lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaderRequest {
    /// Name or id of the voter that is to lead; the cluster chooses when it is not given.
    #[serde(default)]
    pub node: Option<String>,
}

/// A request that all jobs together keep to a bandwidth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    /// Bytes a second; no limit when neither this nor a schedule is given.
    #[serde(default)]
    #[schemars(schema_with = "schema::positive")]
    pub bandwidth_bytes_per_second: Option<u64>,
    /// The same by the time of the week, in place of it.
    #[serde(default)]
    pub bandwidth_schedule: Option<String>,
}

impl From<Option<&Bandwidth>> for LimitRequest {
    fn from(bandwidth: Option<&Bandwidth>) -> Self {
        let (bandwidth_bytes_per_second, bandwidth_schedule) = bandwidth_text(bandwidth);
        Self { bandwidth_bytes_per_second, bandwidth_schedule }
    }
}

impl LimitRequest {
    /// The limit that is asked for.
    ///
    /// # Errors
    /// When it is nothing, or the schedule is none.
    pub fn bandwidth(&self) -> Result<Option<Bandwidth>, ApiError> {
        if self.bandwidth_bytes_per_second == Some(0) {
            return Err(ApiError::invalid("a bandwidth of 0 would stop all jobs: pause them"));
        }
        bandwidth(self.bandwidth_bytes_per_second, self.bandwidth_schedule.as_deref())
    }
}

/// A submitted job, read and checked, before anyone has looked at its two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What is to be done.
    pub mode: Mode,
    /// Where objects are read, as written.
    pub source: Location,
    /// Where they go, as written.
    pub target: Location,
    /// Which keys take part.
    pub filters: Filters,
    /// How it is to be done.
    pub policy: Policy,
}

/// The header by which a client says that it may have sent a submission before.
pub const KEY_HEADER: &str = "idempotency-key";
/// Characters of what it says.
pub const KEY_CHARS_MAX: usize = 128;

/// What a submission with a key of the client's is known by.
///
/// # Errors
/// When the key is empty, too long, or not plain text.
pub fn submit_key(key: &str, submission: &Submission) -> Result<SubmitKey, ApiError> {
    if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(ApiError::invalid(format!(
            "Idempotency-Key: write 1 to {KEY_CHARS_MAX} letters, digits and signs, such as a UUID"
        )));
    }
    let request = serde_json::to_vec(&SubmitRequest::from(submission))
        .expect("invariant: requests are plain JSON");
    let half = |bytes: &[u8]| {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        half
    };
    Ok(SubmitKey { name: half(key.as_bytes()), of: half(&request) })
}

/// What was found at a written location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The same place without links and dots, where the node that has it can tell.
    pub location: Location,
    /// What is there. A directory is a container.
    pub kind: Probe,
}

impl From<&Submission> for SubmitRequest {
    fn from(submission: &Submission) -> Self {
        let Submission { mode, source, target, filters, policy } = submission;
        let limit = LimitRequest::from(policy.bandwidth.as_ref());
        Self {
            mode: JobMode::from(*mode),
            source: ByteText::from(source),
            target: ByteText::from(target),
            include: filters.include.clone(),
            exclude: filters.exclude.clone(),
            comparison: match policy.comparison {
                Comparison::Attributes => ComparisonText::Attributes,
                Comparison::Content => ComparisonText::Content,
            },
            links: match policy.links {
                LinkPolicy::Skip => LinksText::Skip,
                LinkPolicy::Copy => LinksText::Copy,
                LinkPolicy::Follow => LinksText::Follow,
            },
            read_back_percent: match policy.verify {
                VerifyLevel::Committed => 0,
                VerifyLevel::ReadBack(percent) => percent,
            },
            dry_run: policy.dry_run,
            allow_empty_source: policy.allow_empty_source,
            max_delete: policy.max_delete.map(|limit| match limit {
                DeleteLimit::Count(count) => DeleteLimitText::Count(count),
                DeleteLimit::Percent(percent) => DeleteLimitText::Percent(percent),
            }),
            bandwidth_bytes_per_second: limit.bandwidth_bytes_per_second,
            bandwidth_schedule: limit.bandwidth_schedule,
            priority: Some(policy.priority.weight()),
            tags: match policy.tags {
                TagPolicy::Copy => TagsText::Copy,
                TagPolicy::Skip => TagsText::Skip,
            },
            acl: match policy.acl {
                AclPolicy::None => AclText::None,
                AclPolicy::BucketOwnerFullControl => AclText::BucketOwnerFullControl,
                AclPolicy::Copy => AclText::Copy,
            },
            restore: policy.restore.map(|policy| policy.to_string()),
            storage_class: (policy.class != ClassPolicy::Default).then(|| policy.class.to_string()),
            keys: match policy.keys {
                KeyPolicy::Exact => KeysText::Exact,
                KeyPolicy::Escape => KeysText::Escape,
                KeyPolicy::Restore => KeysText::Restore,
            },
            inventory: policy.inventory.as_ref().map(InventoryText::from),
            server_side: match policy.server_side {
                ServerSide::Never => ServerSideText::Never,
                ServerSide::Auto => ServerSideText::Auto,
                ServerSide::Always => ServerSideText::Always,
            },
            budget: (!policy.budget.is_empty()).then(|| BudgetRequest::from(&policy.budget)),
        }
    }
}

impl TryFrom<SubmitRequest> for Submission {
    type Error = ApiError;

    fn try_from(request: SubmitRequest) -> Result<Self, ApiError> {
        check(&request)?;
        let policy = Policy {
            comparison: match request.comparison {
                ComparisonText::Attributes => Comparison::Attributes,
                ComparisonText::Content => Comparison::Content,
            },
            links: match request.links {
                LinksText::Skip => LinkPolicy::Skip,
                LinksText::Copy => LinkPolicy::Copy,
                LinksText::Follow => LinkPolicy::Follow,
            },
            verify: match request.read_back_percent {
                0 => VerifyLevel::Committed,
                percent => VerifyLevel::ReadBack(percent),
            },
            dry_run: request.dry_run,
            allow_empty_source: request.allow_empty_source,
            max_delete: request.max_delete.map(|limit| match limit {
                DeleteLimitText::Count(count) => DeleteLimit::Count(count),
                DeleteLimitText::Percent(percent) => DeleteLimit::Percent(percent),
            }),
            bandwidth: bandwidth(
                request.bandwidth_bytes_per_second,
                request.bandwidth_schedule.as_deref(),
            )?,
            priority: priority(request.priority)?,
            tags: match request.tags {
                TagsText::Copy => TagPolicy::Copy,
                TagsText::Skip => TagPolicy::Skip,
            },
            class: class(request.storage_class.as_deref())?,
            acl: match request.acl {
                AclText::None => AclPolicy::None,
                AclText::BucketOwnerFullControl => AclPolicy::BucketOwnerFullControl,
                AclText::Copy => AclPolicy::Copy,
            },
            restore: restore(request.restore.as_deref())?,
            keys: match request.keys {
                KeysText::Exact => KeyPolicy::Exact,
                KeysText::Escape => KeyPolicy::Escape,
                KeysText::Restore => KeyPolicy::Restore,
            },
            inventory: request.inventory.map(InventoryFile::try_from).transpose()?,
            server_side: match request.server_side {
                ServerSideText::Never => ServerSide::Never,
                ServerSideText::Auto => ServerSide::Auto,
                ServerSideText::Always => ServerSide::Always,
            },
            budget: request
                .budget
                .map_or_else(|| Ok(Budget::default()), |budget| budget.budget(None))?,
        };
        Ok(Self {
            mode: Mode::from(request.mode),
            source: parse_location(&request.source.0)?,
            target: parse_location(&request.target.0)?,
            filters: Filters { include: request.include, exclude: request.exclude },
            policy,
        })
    }
}

/// Refuses what makes no sense, whatever the ends are.
fn check(request: &SubmitRequest) -> Result<(), ApiError> {
    let percents = [request.read_back_percent, percent_of(request.max_delete)];
    if percents.iter().any(|percent| *percent > 100) {
        return Err(ApiError::invalid("a share is at most 100 percent"));
    }
    if request.bandwidth_bytes_per_second == Some(0) {
        return Err(ApiError::invalid("a bandwidth of 0 would stop the job: leave it out"));
    }
    if request.mode != JobMode::Cp && request.keys != KeysText::Exact {
        return Err(ApiError::invalid(
            "keys are mapped by mode cp only: the others need the same keys at both ends",
        ));
    }
    if request.mode != JobMode::Cp && request.inventory.is_some() {
        return Err(ApiError::invalid(
            "an inventory is for mode cp only: what a file does not name is not missing",
        ));
    }
    check_globs("include", &request.include)?;
    check_globs("exclude", &request.exclude)
}

/// A limit as it was given: as a number, or as a text.
fn bandwidth(rate: Option<u64>, text: Option<&str>) -> Result<Option<Bandwidth>, ApiError> {
    match (rate, text) {
        (None, None) => Ok(None),
        (Some(rate), None) => Ok(Some(Bandwidth::Fixed(ByteRate(rate)))),
        (None, Some(text)) => {
            let parsed = text.parse().map(Some);
            parsed.map_err(|error: BadBandwidth| ApiError::invalid(error.to_string()))
        }
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "a bandwidth is a number or a schedule: give one of \
             bandwidth_bytes_per_second and bandwidth_schedule",
        )),
    }
}

/// A limit as a number, or as a text.
fn bandwidth_text(bandwidth: Option<&Bandwidth>) -> (Option<u64>, Option<String>) {
    match bandwidth {
        None => (None, None),
        Some(Bandwidth::Fixed(rate)) => (Some(rate.0), None),
        Some(schedule) => (None, Some(schedule.to_string())),
    }
}

fn priority(weight: Option<u8>) -> Result<Priority, ApiError> {
    let Some(weight) = weight else { return Ok(Priority::default()) };
    Priority::of_weight(weight)
        .ok_or_else(|| ApiError::invalid(format!("a priority is from 1 to 100, not {weight}")))
}

fn class(text: Option<&str>) -> Result<ClassPolicy, ApiError> {
    let Some(text) = text else { return Ok(ClassPolicy::default()) };
    text.parse().map_err(|error: BadClass| ApiError::invalid(error.to_string()))
}

fn restore(text: Option<&str>) -> Result<Option<RestorePolicy>, ApiError> {
    let parse = |text: &str| text.parse::<RestorePolicy>();
    text.map(parse).transpose().map_err(|error| ApiError::invalid(error.to_string()))
}

fn percent_of(limit: Option<DeleteLimitText>) -> u8 {
    match limit {
        Some(DeleteLimitText::Percent(percent)) => percent,
        Some(DeleteLimitText::Count(_)) | None => 0,
    }
}

fn check_globs(name: &str, globs: &[String]) -> Result<(), ApiError> {
    if globs.len() > GLOBS_MAX {
        return Err(ApiError::invalid(format!("{name}: at most {GLOBS_MAX} globs are allowed")));
    }
    for glob in globs {
        if glob.len() > GLOB_BYTES_MAX {
            return Err(ApiError::invalid(format!(
                "{name}: a glob of {} bytes is longer than the {GLOB_BYTES_MAX} that are allowed",
                glob.len()
            )));
        }
        GlobBuilder::new(glob).literal_separator(true).build().map_err(|error| {
            let (glob, reason) = (glob.escape_debug(), error.kind());
            ApiError::invalid(format!("{name}: '{glob}' is not a glob: {reason}"))
        })?;
    }
    Ok(())
}

/// Reads a location that means the same place on every node. Whether there is a store of its scheme or
/// name is for the nodes to say that open it: each has a configuration of its own.
///
/// # Errors
/// When it cannot be read, or is a bare path.
pub fn parse_location(bytes: &[u8]) -> Result<Location, ApiError> {
    let location = Location::parse(bytes).map_err(|error| ApiError::invalid(error.to_string()))?;
    match &location {
        Location::Node { .. } | Location::Bucket { .. } => Ok(location),
        Location::Path(_) => Err(ApiError::invalid(format!(
            "'{location}' does not say on which node it is: write NODE:/path with the node's name and an absolute path"
        ))),
    }
}

impl Submission {
    /// The job that the submission means, given what is at its two ends.
    ///
    /// # Errors
    /// When the source does not exist, the target is in the way, or one end lies in the other.
    pub fn spec(self, source: Found, target: Found) -> Result<JobSpec, ApiError> {
        let may_be_empty = self.mode == Mode::Sync && self.policy.allow_empty_source;
        let is_bucket = matches!(source.location, Location::Bucket { .. });
        let (source, target, single) = match source.kind {
            Probe::Missing if !(may_be_empty && is_bucket) => {
                let location = &source.location;
                return Err(ApiError::not_found(format!("the source {location} does not exist")));
            }
            Probe::Missing | Probe::Container => {
                (source.location.into_container(), container_target(target)?, None)
            }
            Probe::Object if self.policy.inventory.is_some() => {
                return Err(ApiError::invalid(format!(
                    "an inventory is of a directory or prefix, and {} is one object",
                    source.location
                )));
            }
            Probe::Object => {
                let (parent, source_key) = split(&source.location)?;
                // Into the target under the name that was written, not the one a link leads to.
                let (_, name) = split(&self.source)?;
                let (target, target_key) = object_target(target, name)?;
                (parent, target, Some(SingleObject { source_key, target_key }))
            }
        };
        check_inventory(&source, self.policy.inventory.as_ref())?;
        let Self { mode, filters, policy, .. } = self;
        let spec = JobSpec { mode, source, target, single, filters, policy };
        check_overlap(&spec)?;
        Ok(spec)
    }
}

/// The node that lists the source has to reach the inventory: any node that reaches one bucket is taken
/// to reach others.
fn check_inventory(source: &Location, file: Option<&InventoryFile>) -> Result<(), ApiError> {
    let Some(InventoryFile { location, .. }) = file else { return Ok(()) };
    let is_reached = match (source, location) {
        (Location::Node { node: here, .. }, Location::Node { node, .. }) => here == node,
        (_, Location::Bucket { .. }) => true,
        _ => false,
    };
    match is_reached {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "the inventory {location} is not where {source} is listed: put it on that node, or into a bucket"
        ))),
    }
}

fn container_target(target: Found) -> Result<Location, ApiError> {
    match (&target.location, target.kind) {
        (Location::Node { .. }, Probe::Object) => Err(ApiError::invalid(format!(
            "the target {} is a file, but the source is a directory or prefix: name a directory",
            target.location
        ))),
        _ => Ok(target.location.into_container()),
    }
}

fn object_target(target: Found, name: Key) -> Result<(Location, Key), ApiError> {
    let is_written_so = target.location.is_written_as_container();
    match (&target.location, target.kind) {
        (Location::Node { .. }, Probe::Object) if is_written_so => Err(ApiError::invalid(format!(
            "the target {} is a file, not a directory: leave the '/' out to replace it",
            target.location
        ))),
        (Location::Node { .. }, Probe::Container) => Ok((target.location.into_container(), name)),
        _ if is_written_so => Ok((target.location.into_container(), name)),
        _ => split(&target.location),
    }
}

/// The directory or prefix of an object, and its key there.
fn split(location: &Location) -> Result<(Location, Key), ApiError> {
    let (parent, name) = location.split();
    match name.as_bytes() {
        b"" | b"." | b".." => Err(ApiError::invalid(format!("{location} names no object"))),
        _ => Ok((parent, name)),
    }
}

/// Refuses ends of which one lies in the other, as far as their names tell.
fn check_overlap(spec: &JobSpec) -> Result<(), ApiError> {
    let (Some((source_root, source)), Some((target_root, target))) =
        (place(&spec.source), place(&spec.target))
    else {
        return Ok(());
    };
    if source_root != target_root {
        return Ok(());
    }
    let (source_end, target_end) = (&spec.source, &spec.target);
    let is_same = source == target;
    if let Some(single) = &spec.single {
        return match is_same && single.source_key == single.target_key {
            true => Err(ApiError::invalid(format!(
                "source and target are the same object, {} of {source_end}",
                single.source_key
            ))),
            false => Ok(()),
        };
    }
    match spec.mode {
        _ if is_same => {
            Err(ApiError::invalid(format!("source and target are the same, {source_end}")))
        }
        Mode::Verify => Ok(()),
        Mode::Copy | Mode::Sync if target.starts_with(&source) => Err(ApiError::invalid(format!(
            "the target {target_end} lies inside the source {source_end}: the copy would feed on itself; choose a target outside"
        ))),
        Mode::Copy | Mode::Sync if source.starts_with(&target) => Err(ApiError::invalid(format!(
            "the source {source_end} lies inside the target {target_end}: the job would write over its own source; choose a target outside"
        ))),
        Mode::Copy | Mode::Sync => Ok(()),
    }
}

/// What holds a container, and its place therein with a `/` at its end.
fn place(location: &Location) -> Option<((&str, &str), Vec<u8>)> {
    let (root, path) = match location {
        Location::Bucket { scheme, bucket, prefix } => {
            ((scheme.as_str(), bucket.as_str()), prefix.as_bytes())
        }
        Location::Node { node, path } => (("", node.as_str()), path.as_slice()),
        Location::Path(_) => return None,
    };
    let mut bytes = path.to_vec();
    if !bytes.is_empty() && !bytes.ends_with(b"/") {
        bytes.push(b'/');
    }
    Some((root, bytes))
}

#[cfg(test)]
mod tests;
