//! Who may do what with objects: read with a request of its own, written as headers of the request that
//! creates the object, and confirmed, because stores that do not know grants ignore them.
//!
//! What an owner may do with its own object is not carried: at the target it is another one. Where
//! grants are written, the owner of the bucket is one of those who may do everything, since otherwise
//! nobody would be sure to.

use std::collections::BTreeSet;

use airlift_protocol::attributes::{Acl, Grant, Grantee, Right};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::AclPolicy;
use airlift_protocol::key::Key;
use aws_sdk_s3::types::{self, ObjectCannedAcl, Permission};

use super::client::Bucket;
use super::error::store_error;
use crate::store::StoreError;

/// How to go on without grants.
const WAY_OUT: &str = "use --acl none to leave it to the target who may do what";

/// The headers that say who may do what with a new object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AclHeaders {
    pub(super) canned: Option<ObjectCannedAcl>,
    pub(super) full_control: Option<String>,
    pub(super) read: Option<String>,
    pub(super) read_acl: Option<String>,
    pub(super) write_acl: Option<String>,
}

/// What a store says of who may do what with an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    owner: Option<String>,
    grants: BTreeSet<Grant>,
}

impl Bucket {
    /// What is granted on an object beside its owner's rights: nobody is asked where the job does not
    /// copy it.
    pub(super) async fn acl_of(&self, key: &Key) -> Result<Option<Acl>, StoreError> {
        if self.acl != AclPolicy::Copy {
            return Ok(None);
        }
        let held = self.read_acl(key).await;
        Ok(held.map_err(|error| advised(error, "s3:GetObjectAcl"))?.beside_its_owner())
    }

    async fn read_acl(&self, key: &Key) -> Result<Held, StoreError> {
        let request = self.client().get_object_acl().bucket(&self.name);
        let answer = request.key(self.sendable(key)?).send().await;
        let answer = answer.map_err(|error| self.error("read the grants of", key, &error))?;
        let owner = answer.owner.and_then(|owner| owner.id);
        let grants = answer.grants.unwrap_or_default().into_iter().filter_map(grant_of);
        Ok(Held { owner, grants: grants.collect() })
    }

    /// The id of the account that owns the bucket.
    async fn owner(&self) -> Result<&str, StoreError> {
        let ask = || async {
            let asked = async {
                let answer = self.client().get_bucket_acl().bucket(&self.name).send().await;
                answer.map_err(|error| {
                    store_error("find the owner of", &self.place(), &self.service, &error)
                })
            };
            let answer = self.pace.reads.pass(0, asked).await?;
            answer.owner.and_then(|owner| owner.id).ok_or_else(|| {
                let text =
                    format!("{}: the store does not say who owns it: {WAY_OUT}", self.place());
                StoreError::new(ErrorCode::KindUnsupported, text)
            })
        };
        self.owner.get_or_try_init(ask).await.map(String::as_str)
    }

    /// The headers that give a new object under `key` its grants.
    pub(super) async fn acl_headers(
        &self,
        key: &Key,
        acl: Option<&Acl>,
    ) -> Result<AclHeaders, StoreError> {
        let grants = match acl {
            None => return Ok(AclHeaders::default()),
            Some(Acl::BucketOwnerFullControl) => {
                let canned = Some(ObjectCannedAcl::BucketOwnerFullControl);
                return Ok(AclHeaders { canned, ..AclHeaders::default() });
            }
            Some(Acl::Grants(grants)) => grants,
        };
        let owner = self.owner().await.map_err(|error| advised(error, "s3:GetBucketAcl"))?;
        let mut grants: BTreeSet<Grant> = grants.iter().cloned().collect();
        grants.insert(full_control_of(owner));
        headers_of(&grants).ok_or_else(|| {
            let text = format!("a grantee's name cannot stand in a header: {WAY_OUT}");
            self.complaint(ErrorCode::KindUnsupported, key, &text)
        })
    }

    /// Fails when an object that was written with `acl` does not have it. Where these credentials may
    /// write grants and not read them, the store is believed.
    pub(super) async fn confirm_acl(&self, key: &Key, acl: Option<&Acl>) -> Result<(), StoreError> {
        let Some(acl) = acl else { return Ok(()) };
        let asked = async {
            let held = self.pace_of(key).reads.pass(0, self.read_acl(key)).await?;
            Ok::<_, StoreError>((held, self.owner().await?))
        };
        match asked.await {
            Ok((held, owner)) if held.is_as_wanted(acl, owner) => Ok(()),
            Ok(_) => {
                let text = format!("the store did not keep who may do what with it: {WAY_OUT}");
                Err(self.complaint(ErrorCode::KindUnsupported, key, &text))
            }
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(()),
            Err(error) => Err(advised(error, "s3:GetObjectAcl")),
        }
    }
}

/// `error` with what to do about it: where a right is missing, and where the store knows no grants.
fn advised(error: StoreError, right: &str) -> StoreError {
    let advice = match error.code {
        ErrorCode::PermissionDenied => format!("allow {right}, or {WAY_OUT}"),
        ErrorCode::KindUnsupported if !error.detail().contains(WAY_OUT) => WAY_OUT.to_owned(),
        _ => return error,
    };
    StoreError::new(error.code, format!("{}: {advice}", error.detail()))
}

impl Held {
    fn beside_its_owner(self) -> Option<Acl> {
        let own = self.owner.as_deref().map(full_control_of);
        let grants: Vec<Grant> =
            self.grants.into_iter().filter(|grant| Some(grant) != own.as_ref()).collect();
        (!grants.is_empty()).then_some(Acl::Grants(grants))
    }

    /// Whether all of `acl` is granted, and nothing else but all to the object's owner and to the
    /// bucket's.
    fn is_as_wanted(&self, acl: &Acl, bucket_owner: &str) -> bool {
        let wanted: BTreeSet<Grant> = match acl {
            Acl::BucketOwnerFullControl => [full_control_of(bucket_owner)].into(),
            Acl::Grants(grants) => grants.iter().cloned().collect(),
        };
        let owners = [self.owner.as_deref(), Some(bucket_owner)];
        let is_owners =
            |grant: &Grant| owners.iter().flatten().any(|owner| *grant == full_control_of(owner));
        wanted.is_subset(&self.grants) && self.grants.difference(&wanted).all(is_owners)
    }
}

fn full_control_of(account: &str) -> Grant {
    Grant { grantee: Grantee::Account(account.to_owned()), right: Right::FullControl }
}

/// A grant as the store says it. The right to write means nothing for an object, and who is named by
/// an e-mail address the store answers with an id.
fn grant_of(grant: types::Grant) -> Option<Grant> {
    let right = match grant.permission? {
        Permission::FullControl => Right::FullControl,
        Permission::Read => Right::Read,
        Permission::ReadAcp => Right::ReadAcl,
        Permission::WriteAcp => Right::WriteAcl,
        _ => return None,
    };
    let grantee = grant.grantee?;
    let grantee = match (grantee.uri, grantee.id) {
        (Some(uri), _) => Grantee::Group(uri),
        (None, Some(id)) => Grantee::Account(id),
        (None, None) => return None,
    };
    Some(Grant { grantee, right })
}

/// `None` when a name cannot stand in a header.
fn headers_of(grants: &BTreeSet<Grant>) -> Option<AclHeaders> {
    let mut headers = AclHeaders::default();
    for Grant { grantee, right } in grants {
        let (kind, name) = match grantee {
            Grantee::Account(id) => ("id", id),
            Grantee::Group(uri) => ("uri", uri),
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'\\');
        if name.is_empty() || !name.bytes().all(is_plain) {
            return None;
        }
        let header = match right {
            Right::FullControl => &mut headers.full_control,
            Right::Read => &mut headers.read,
            Right::ReadAcl => &mut headers.read_acl,
            Right::WriteAcl => &mut headers.write_acl,
        };
        let named = format!("{kind}=\"{name}\"");
        *header = Some(match header.take() {
            Some(others) => format!("{others}, {named}"),
            None => named,
        });
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

    fn grant(grantee: Grantee, right: Right) -> Grant {
        Grant { grantee, right }
    }

    fn account(id: &str, right: Right) -> Grant {
        grant(Grantee::Account(id.to_owned()), right)
    }

    fn held(owner: &str, grants: &[Grant]) -> Held {
        Held { owner: Some(owner.to_owned()), grants: grants.iter().cloned().collect() }
    }

    #[test]
    fn grants_are_headers_by_their_right() {
        let group = grant(Grantee::Group(ALL.to_owned()), Right::Read);
        let grants = [
            account("a1", Right::Read),
            group,
            account("a1", Right::WriteAcl),
            full_control_of("own"),
        ];
        let headers = headers_of(&grants.into()).unwrap();
        assert_eq!(headers.read, Some(format!("id=\"a1\", uri=\"{ALL}\"")));
        assert_eq!(headers.write_acl.as_deref(), Some("id=\"a1\""));
        assert_eq!(headers.full_control.as_deref(), Some("id=\"own\""));
        assert_eq!((headers.read_acl, headers.canned), (None, None));
        for odd in ["", "a\"b", "a,b", "a b", "\u{e9}"] {
            assert_eq!(headers_of(&[account(odd, Right::Read)].into()), None, "{odd}");
        }
    }

    #[test]
    fn what_an_owner_may_do_is_not_carried() {
        let read = account("other", Right::Read);
        let own = full_control_of("own");
        assert_eq!(held("own", std::slice::from_ref(&own)).beside_its_owner(), None);
        let both = held("own", &[own, read.clone()]);
        assert_eq!(both.beside_its_owner(), Some(Acl::Grants(vec![read])));
    }

    #[test]
    fn what_is_confirmed_is_all_that_was_wanted_and_no_more() {
        let read = account("other", Right::Read);
        let (own, bucket) = (full_control_of("own"), full_control_of("bucket"));
        let wanted = Acl::Grants(vec![read.clone()]);
        assert!(
            held("own", &[own.clone(), bucket.clone(), read.clone()])
                .is_as_wanted(&wanted, "bucket")
        );
        assert!(!held("own", std::slice::from_ref(&own)).is_as_wanted(&wanted, "bucket"));
        let more = held("own", &[read, account("third", Right::Read)]);
        assert!(!more.is_as_wanted(&wanted, "bucket"));
        let canned = Acl::BucketOwnerFullControl;
        assert!(held("own", &[own.clone(), bucket]).is_as_wanted(&canned, "bucket"));
        assert!(!held("own", &[own]).is_as_wanted(&canned, "bucket"));
    }
}
