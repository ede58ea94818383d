//! Who may do what with objects: left alone, granted to the bucket's owner, or carried from bucket to
//! bucket.

use std::sync::Arc;

use airlift_node::store::Store;
use airlift_node::store::s3::S3Store;
use airlift_protocol::attributes::{Acl, Grant, Grantee, Right};
use airlift_tests::airlift::Airlift;
use airlift_tests::conformance::fixture::{data, find, object};
use airlift_tests::moto::Moto;
use airlift_tests::s3::S3Server;
use airlift_tests::tree;
use aws_sdk_s3::operation::get_object_acl::GetObjectAclOutput;
use aws_sdk_s3::types::{ObjectCannedAcl, Permission};
use bytes::Bytes;
use tokio::runtime::Runtime;

struct Shared {
    runtime: Runtime,
    moto: Arc<Moto>,
    bucket: String,
}

impl Shared {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let moto = runtime.block_on(Moto::shared())?;
        let bucket = runtime.block_on(moto.new_bucket());
        Some(Self { runtime, moto, bucket })
    }

    fn put(&self, key: &str, bytes: Vec<u8>, acl: Option<ObjectCannedAcl>) {
        let request = self.moto.access().client().put_object().bucket(&self.bucket).key(key);
        let request = request.set_acl(acl).body(Bytes::from(bytes).into());
        self.runtime.block_on(request.send()).expect("a put");
    }

    fn acl(&self, key: &str) -> GetObjectAclOutput {
        let request = self.moto.access().client().get_object_acl().bucket(&self.bucket).key(key);
        self.runtime.block_on(request.send()).expect("an ACL")
    }

    /// Rights of groups on an object.
    fn of_groups(&self, key: &str) -> Vec<Permission> {
        let grants = self.acl(key).grants.unwrap_or_default().into_iter();
        let groups =
            grants.filter(|grant| grant.grantee.as_ref().is_some_and(|who| who.uri.is_some()));
        groups.filter_map(|grant| grant.permission).collect()
    }

    /// Whether the owner may do everything.
    fn is_owned(&self, key: &str) -> bool {
        let acl = self.acl(key);
        let owner = acl.owner.and_then(|owner| owner.id).expect("an owner");
        acl.grants.unwrap_or_default().iter().any(|grant| {
            let id = grant.grantee.as_ref().and_then(|who| who.id.as_deref());
            id == Some(&owner) && grant.permission == Some(Permission::FullControl)
        })
    }

    fn at(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }
}

#[test]
fn grants_are_carried_when_asked_for_and_only_then() {
    let Some(shared) = Shared::new() else { return };
    shared.put("from/open", b"open".to_vec(), Some(ObjectCannedAcl::PublicRead));
    shared.put("from/large", tree::noise(1, 9 << 20), Some(ObjectCannedAcl::PublicRead));
    shared.put("from/closed", b"closed".to_vec(), None);
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, plain, copied) = (shared.at("from/"), shared.at("plain/"), shared.at("copied/"));
    let out = airlift.run(["cp", &from, &plain, "--json"]).expect(0).json();
    assert_eq!(out["cannot_hold"], serde_json::json!([]), "{out}");
    assert!(shared.of_groups("plain/open").is_empty());

    let out = airlift.run(["cp", "--acl", "copy", &from, &copied, "--json"]).expect(0).json();
    assert_eq!((&out["objects"]["done"], &out["dropped"]["objects"]), (&3.into(), &0.into()));
    for key in ["copied/open", "copied/large"] {
        assert_eq!(shared.of_groups(key), [Permission::Read], "{key}");
        assert!(shared.is_owned(key), "{key}");
    }
    assert!(shared.of_groups("copied/closed").is_empty());

    // Files have none: said before, and named after.
    let files = tempfile::tempdir().unwrap();
    let target = files.path().to_str().unwrap();
    let out = airlift.run(["cp", "--acl", "copy", &from, target]).expect(0);
    assert!(out.stderr.contains("the target cannot hold") && out.stderr.contains("acl"), "{out:?}");
    let shown = out.stderr.lines().find(|line| line.contains("dropped")).expect("what was dropped");
    assert!(shown.contains("acl"), "{shown}");
}

#[test]
fn the_owner_of_the_bucket_can_be_given_full_control() {
    let Some(shared) = Shared::new() else { return };
    let source = tempfile::tempdir().unwrap();
    tree::write(source.path(), "small", b"small");
    tree::write(source.path(), "large", &tree::noise(1, 9 << 20));
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, to) = (source.path().to_str().unwrap(), shared.at("owned/"));
    let flags = ["cp", "--acl", "bucket-owner-full-control", from, &to];
    let _ = airlift.run(flags).expect(0);
    assert!(shared.is_owned("owned/small") && shared.is_owned("owned/large"));
    let refused = airlift.run(["cp", "--acl", "public", from, &to]).expect(2);
    assert!(refused.stderr.contains("bucket-owner-full-control"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_store_that_forgets_grants_is_found_out() {
    let server = S3Server::with_bucket("bucket");
    let store = S3Store::open(server.access().options("bucket", "")).await.unwrap();
    let (mut open, bytes) = object("open", data(1, 10));
    let everybody = Grantee::Group("http://acs.amazonaws.com/groups/global/AllUsers".to_owned());
    open.attributes.acl = Some(Acl::Grants(vec![Grant { grantee: everybody, right: Right::Read }]));
    let error = store.put_small(vec![(open, bytes)]).await.remove(0).unwrap_err();
    assert!(error.detail().contains("--acl none"), "{error}");
    // It is asked for its owner first, and does not know that either.
    assert_eq!((error.unproven, find(&store, "open").await), (None, None), "nothing is written");
}
