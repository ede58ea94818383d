//! Tests of what a request becomes.

use airlift_protocol::budget::{Money, Price, Prices};

use super::*;

fn at(text: &str) -> Location {
    Location::parse(text.as_bytes()).unwrap()
}

fn submission(mode: Mode, source: &str, target: &str) -> Submission {
    let (source, target) = (at(source), at(target));
    let (filters, policy) = (Filters::default(), Policy::default());
    Submission { mode, source, target, filters, policy }
}

fn spec(mode: Mode, source: (&str, Probe), target: (&str, Probe)) -> Result<JobSpec, ApiError> {
    let found = |(text, kind)| Found { location: at(text), kind };
    submission(mode, source.0, target.0).spec(found(source), found(target))
}

#[test]
fn a_request_comes_back_as_it_was() {
    let mut all = submission(Mode::Sync, "berlin:/a", "s3://b/p");
    all.source = Location::Node { node: "berlin".into(), path: b"/\xff".to_vec() };
    all.filters = Filters { include: vec!["*.a".into()], exclude: vec!["b/**".into()] };
    let price = Price { egress_per_gb: Money(90_000), requests_per_1000: Money(4) };
    let prices = Prices { source: price, target: Price::default() };
    all.policy = Policy {
        comparison: Comparison::Content,
        links: LinkPolicy::Follow,
        verify: VerifyLevel::ReadBack(7),
        dry_run: true,
        allow_empty_source: true,
        max_delete: Some(DeleteLimit::Percent(9)),
        bandwidth: Some(ByteRate(5).into()),
        priority: Priority::HIGH,
        tags: TagPolicy::Skip,
        class: "GLACIER=Archive".parse().unwrap(),
        keys: KeyPolicy::Exact,
        inventory: None,
        server_side: ServerSide::Auto,
        acl: AclPolicy::BucketOwnerFullControl,
        restore: Some("standard:3".parse().unwrap()),
        budget: Budget { bytes: Some(1), requests: Some(2), money: Some((Money(3), prices)) },
    };
    let mut listed = submission(Mode::Copy, "s3://b", "berlin:/x");
    let location = at("s3://b/inventory/manifest.json");
    listed.policy.inventory = Some(InventoryFile { form: InventoryForm::S3, location });
    for submission in [all, listed, submission(Mode::Copy, "s3://b", "berlin:/x")] {
        let json = serde_json::to_string(&SubmitRequest::from(&submission)).unwrap();
        let request: SubmitRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(Submission::try_from(request), Ok(submission));
    }
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_command_line() {
    let json = r#"{"mode":"cp","source":"a:/x","target":"b:/y"}"#;
    let request: SubmitRequest = serde_json::from_str(json).unwrap();
    assert_eq!(Submission::try_from(request), Ok(submission(Mode::Copy, "a:/x", "b:/y")));
}

#[test]
fn wrong_requests_are_refused() {
    let request = || SubmitRequest::from(&submission(Mode::Copy, "a:/x", "b:/y"));
    let too_many = vec!["*".to_owned(); GLOBS_MAX + 1];
    let cases = [
        (SubmitRequest { source: ByteText(b"./x".to_vec()), ..request() }, "write NODE:/path"),
        (SubmitRequest { target: ByteText(b"/x".to_vec()), ..request() }, "write NODE:/path"),
        (SubmitRequest { target: ByteText(b"".to_vec()), ..request() }, "empty"),
        (
            SubmitRequest { mode: JobMode::Sync, keys: KeysText::Escape, ..request() },
            "mode cp only",
        ),
        (SubmitRequest { storage_class: Some("a b".into()), ..request() }, "no class of storage"),
        (SubmitRequest { include: vec!["[".into()], ..request() }, "include: '[' is not a glob"),
        (SubmitRequest { exclude: too_many, ..request() }, "at most 1000"),
        (SubmitRequest { exclude: vec!["x".repeat(GLOB_BYTES_MAX + 1)], ..request() }, "longer"),
        (SubmitRequest { read_back_percent: 101, ..request() }, "100 percent"),
        (SubmitRequest { bandwidth_bytes_per_second: Some(0), ..request() }, "bandwidth of 0"),
        (SubmitRequest { priority: Some(0), ..request() }, "from 1 to 100"),
        (SubmitRequest { priority: Some(101), ..request() }, "from 1 to 100"),
    ];
    for (request, part) in cases {
        let error = Submission::try_from(request).unwrap_err();
        assert!(error.detail.contains(part), "{error}");
    }
    let percent = Some(DeleteLimitText::Percent(101));
    assert!(Submission::try_from(SubmitRequest { max_delete: percent, ..request() }).is_err());
}

#[test]
fn containers_go_into_containers() {
    use Probe::{Container, Missing, Object};
    for (target, kind, expected) in [
        ("b:/y", Missing, "b:/y"),
        ("b:/y/", Container, "b:/y"),
        ("b:/", Container, "b:/"),
        ("s3://k/p", Missing, "s3://k/p/"),
        ("s3://k/p", Object, "s3://k/p/"),
        ("s3://k", Container, "s3://k"),
    ] {
        let spec = spec(Mode::Copy, ("a:/x/", Container), (target, kind)).unwrap();
        assert_eq!((spec.source, spec.target, spec.single), (at("a:/x"), at(expected), None));
    }
    let error = spec(Mode::Copy, ("a:/x", Container), ("b:/y", Object)).unwrap_err();
    assert!(error.detail.contains("is a file"), "{error}");
}

#[test]
fn one_object_goes_into_a_container_or_becomes_the_target() {
    use Probe::{Container, Missing, Object};
    for (source, target, kind, expected) in [
        ("a:/x/f", "b:/y", Container, ("a:/x", "f", "b:/y", "f")),
        ("a:/x/f", "b:/y/", Missing, ("a:/x", "f", "b:/y", "f")),
        ("a:/x/f", "b:/y", Missing, ("a:/x", "f", "b:/", "y")),
        ("a:/x/f", "b:/y/g", Object, ("a:/x", "f", "b:/y", "g")),
        ("s3://k/p/f", "s3://k/q", Container, ("s3://k/p/", "f", "s3://k", "q")),
        ("s3://k/f", "s3://k/q/", Missing, ("s3://k", "f", "s3://k/q/", "f")),
    ] {
        let spec = spec(Mode::Copy, (source, Object), (target, kind)).unwrap();
        let single = spec.single.unwrap();
        let keys = (single.source_key.to_string(), single.target_key.to_string());
        let (source, source_key, target, target_key) = expected;
        assert_eq!((spec.source, spec.target), (at(source), at(target)));
        assert_eq!((keys.0.as_str(), keys.1.as_str()), (source_key, target_key));
    }
    assert!(spec(Mode::Copy, ("a:/f", Object), ("b:/y/", Object)).is_err());
}

#[test]
fn a_link_to_an_object_keeps_the_name_it_was_asked_for() {
    let submission = submission(Mode::Copy, "a:/x/latest", "b:/y");
    let source = Found { location: at("a:/real/v7"), kind: Probe::Object };
    let target = Found { location: at("b:/y"), kind: Probe::Container };
    let single = submission.spec(source, target).unwrap().single.unwrap();
    assert_eq!((single.source_key, single.target_key), (Key::from("v7"), Key::from("latest")));
}

#[test]
fn a_source_that_does_not_exist_is_an_error_unless_a_sync_may_empty_the_target() {
    use Probe::{Container, Missing};
    let error = spec(Mode::Sync, ("s3://k/p", Missing), ("b:/y", Container)).unwrap_err();
    assert_eq!(error, ApiError::not_found("the source s3://k/p does not exist"));
    let mut submission = submission(Mode::Sync, "s3://k/p", "b:/y");
    submission.policy.allow_empty_source = true;
    let found = |text, kind| Found { location: at(text), kind };
    let spec = submission.spec(found("s3://k/p", Missing), found("b:/y", Container)).unwrap();
    assert_eq!(spec.source, at("s3://k/p/"));
}

#[test]
fn ends_that_overlap_are_refused() {
    use Probe::{Container, Object};
    for (mode, source, target, is_fine) in [
        (Mode::Copy, "a:/x", "a:/x/y", false),
        (Mode::Copy, "a:/x/y", "a:/x", false),
        (Mode::Copy, "a:/", "a:/x", false),
        (Mode::Copy, "a:/x", "a:/xy", true),
        (Mode::Copy, "a:/x", "b:/x", true),
        (Mode::Verify, "a:/x", "a:/x/y", true),
        (Mode::Verify, "a:/x", "a:/x/", false),
        (Mode::Sync, "s3://k", "s3://k/p", false),
        (Mode::Sync, "s3://k/p", "s3://k/p2", true),
    ] {
        let result = spec(mode, (source, Container), (target, Container));
        assert_eq!(result.is_ok(), is_fine, "{source} {target}");
    }
    assert!(spec(Mode::Copy, ("a:/x", Object), ("a:/x", Object)).is_err());
    assert!(spec(Mode::Copy, ("a:/x", Object), ("a:/y", Object)).is_ok());
}

#[test]
fn tokens_live_for_a_bounded_time() {
    let request = |ttl_seconds| TokenRequest { role: NodeRole::Worker, ttl_seconds };
    assert!(request(3600).check().is_ok());
    assert!(request(0).check().is_err());
    assert!(request(3601).check().is_err());
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let limit = |text: &str| serde_json::from_str::<LimitRequest>(text).unwrap().bandwidth();
    assert_eq!(limit("{}"), Ok(None));
    assert_eq!(limit(r#"{"bandwidth_bytes_per_second":5}"#), Ok(Some(ByteRate(5).into())));
    let week = r#"{"bandwidth_schedule":"08:00-18:00 5, 18:00-08:00 off; Europe/Berlin"}"#;
    let set = limit(week).unwrap().unwrap();
    let again: LimitRequest = serde_json::from_str(week).unwrap();
    assert_eq!(LimitRequest::from(Some(&set)), again);
    let refused = limit(r#"{"bandwidth_schedule":"08:00-18:00 5, 17:00-19:00 6"}"#).unwrap_err();
    assert!(refused.detail.contains("entry 2, '17:00-19:00 6', overlaps entry 1"), "{refused}");
    let refused = limit(r#"{"bandwidth_schedule":"5M","bandwidth_bytes_per_second":5}"#);
    assert!(refused.unwrap_err().detail.contains("give one of"));
    let refused = limit(r#"{"bandwidth_bytes_per_second":0}"#).unwrap_err();
    assert!(refused.detail.contains("pause them"), "{refused}");
    assert!(serde_json::from_str::<LimitRequest>(r#"{"bandwidth":5}"#).is_err());
}

#[test]
fn an_inventory_lies_where_the_source_is_listed_or_in_a_bucket() {
    let with = |source: &str, inventory: &str| {
        let mut submission = submission(Mode::Copy, source, "c:/z");
        let location = at(inventory);
        submission.policy.inventory = Some(InventoryFile { form: InventoryForm::Keys, location });
        let found = |text, kind| Found { location: at(text), kind };
        submission.spec(found(source, Probe::Container), found("c:/z", Probe::Missing))
    };
    for (source, inventory) in
        [("a:/x", "a:/list"), ("a:/x", "s3://b/list"), ("s3://b", "s3://c/l")]
    {
        assert!(with(source, inventory).is_ok(), "{source} {inventory}");
    }
    for (source, inventory) in [("a:/x", "b:/list"), ("s3://b", "a:/list")] {
        let error = with(source, inventory).unwrap_err();
        assert!(error.detail.contains("into a bucket"), "{}", error.detail);
    }
}
