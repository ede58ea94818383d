//! What stores hold of all that an object can carry, by where they are: known before one is opened.

use airlift_protocol::attributes::{AttributeKind, AttributeSet};
use airlift_protocol::job::{AclPolicy, ClassPolicy, JobSpec, Mode, Policy, TagPolicy};
use airlift_protocol::location::Location;

use super::s3::provider::Provider;
use super::settings::{StoreOptions, StoreSettings};

/// What files hold, on this machine or on a server.
pub(super) fn files() -> AttributeSet {
    [AttributeKind::Mtime, AttributeKind::Mode].into_iter().collect()
}

/// What a service that speaks S3 holds: grants are those of Amazon's.
pub(super) fn s3(provider: &Provider) -> AttributeSet {
    let all: AttributeSet = AttributeKind::ALL.into_iter().collect();
    match provider.scheme == Provider::s3().scheme {
        true => all,
        false => all.without(set(AttributeKind::Acl)),
    }
}

fn set(kind: AttributeKind) -> AttributeSet {
    [kind].into_iter().collect()
}

/// What Azure Blob Storage holds.
pub(super) fn azure() -> AttributeSet {
    let all: AttributeSet = AttributeKind::ALL.into_iter().collect();
    all.without(set(AttributeKind::Acl))
}

/// What Google Cloud Storage holds.
pub(super) fn gcs() -> AttributeSet {
    let all: AttributeSet = AttributeKind::ALL.into_iter().collect();
    all.without(set(AttributeKind::Tags)).without(set(AttributeKind::Acl))
}

/// What is read of files behind WebDAV.
fn webdav() -> AttributeSet {
    [AttributeKind::ContentType].into_iter().collect()
}

/// What the store of `location` holds of what comes from another; `None` where that is not known here: it is another node's name.
fn at(location: &Location, options: &StoreOptions) -> Option<AttributeSet> {
    let Location::Bucket { scheme, .. } = location else { return Some(files()) };
    Some(match options.settings(scheme).ok()? {
        // Classes of other services have names that mean nothing elsewhere.
        StoreSettings::S3(provider, _) if provider.scheme != Provider::s3().scheme => {
            s3(provider).without(set(AttributeKind::StorageClass))
        }
        StoreSettings::S3(provider, _) => s3(provider),
        StoreSettings::Azure(_) => azure(),
        StoreSettings::Gcs(_) => gcs(),
        StoreSettings::Sftp(_) | StoreSettings::Hdfs(_) => files(),
        StoreSettings::Webdav(_) => webdav(),
        StoreSettings::Ftp => AttributeSet::NONE,
    })
}

/// What objects of the source may carry that the job wants at the target, and that the target cannot
/// hold. Nothing where one of the two is not known here.
pub fn lost(spec: &JobSpec, options: &StoreOptions) -> AttributeSet {
    match (at(&spec.source, options), at(&spec.target, options)) {
        (Some(source), Some(target)) if spec.mode != Mode::Verify => {
            wanted(source, &spec.policy).without(target)
        }
        _ => AttributeSet::NONE,
    }
}

/// What of the kinds in `carried` is taken along, and what is to be there beside them.
fn wanted(carried: AttributeSet, policy: &Policy) -> AttributeSet {
    let mut wanted = carried;
    if policy.tags == TagPolicy::Skip {
        wanted = wanted.without(set(AttributeKind::Tags));
    }
    // A class that is named is one of the target, which says by itself when it has no such class.
    if policy.class != ClassPolicy::Keep {
        wanted = wanted.without(set(AttributeKind::StorageClass));
    }
    match policy.acl {
        AclPolicy::None => wanted.without(set(AttributeKind::Acl)),
        AclPolicy::BucketOwnerFullControl => wanted.union(set(AttributeKind::Acl)),
        AclPolicy::Copy => wanted,
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::job::Filters;

    use super::*;

    fn lost_between(source: &str, target: &str, policy: Policy) -> Vec<&'static str> {
        let at = |text: &str| Location::parse(text.as_bytes()).unwrap();
        let (source, target, filters) = (at(source), at(target), Filters::default());
        let spec = JobSpec { mode: Mode::Copy, source, target, single: None, filters, policy };
        lost(&spec, &StoreOptions::default()).names()
    }

    #[test]
    fn what_gets_lost_follows_from_both_ends_and_the_policy() {
        let plain = Policy::default;
        let copied = Policy { acl: AclPolicy::Copy, class: ClassPolicy::Keep, ..plain() };
        assert_eq!(lost_between("/a", "s3://b/", plain()), [""; 0]);
        assert_eq!(lost_between("s3://a/", "s3://b/", copied.clone()), [""; 0]);
        assert_eq!(lost_between("s3://a/", "gs://b/", plain()), ["tags"]);
        assert_eq!(lost_between("s3://a/", "az://b/", copied.clone()), ["acl"]);
        assert_eq!(lost_between("s3://a/", "r2://b/", copied), ["storage_class", "acl"]);
        let skipped = Policy { tags: TagPolicy::Skip, ..plain() };
        assert_eq!(lost_between("s3://a/", "gs://b/", skipped), [""; 0]);
        let owned = Policy { acl: AclPolicy::BucketOwnerFullControl, ..plain() };
        assert_eq!(lost_between("/a", "n1:/b", owned), ["acl"]);
        let text = lost_between("az://a/", "sftp://host/b", plain()).join(" ");
        assert_eq!(
            text,
            "content_type content_encoding content_disposition content_language cache_control metadata tags"
        );
        assert_eq!(lost_between("unknown://a/", "/b", plain()), [""; 0]);
    }
}
