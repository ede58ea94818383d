//! Every change is on record once, with who made it, in a chain that holds over snapshots.

use airlift_protocol::access::{ApiRole, ApiTokenId};
use airlift_protocol::cluster::{Addresses, NodeName, Role, TokenId};
use airlift_protocol::codec;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::STATE_BYTES_MAX;
use airlift_protocol::units::ByteRate;
use airlift_protocol::version::Formats;

use super::*;
use crate::state::JoinToken;
use crate::state::access::tests::{ask, founded, spec, token};

const PARIS: NodeId = NodeId([2; 32]);
const JOIN: TokenId = TokenId([5; 8]);
const CI: ApiTokenId = ApiTokenId([7; 8]);

fn lines(state: &State) -> Vec<String> {
    let show = |entry: &AuditEntry| {
        let AuditEntry { number, by, action, subject, detail, .. } = entry;
        format!("{number} {by}: {action} {subject}: {detail}")
    };
    state.audit.entries().map(show).collect()
}

fn holds(audit: &Audit) {
    let mut chain = audit.before();
    audit.entries().for_each(|entry| chain.follow(entry).unwrap());
    assert_eq!(chain, audit.head());
}

fn job() -> JobId {
    spec("berlin:/a", "s3://b/x").id()
}

#[test]
fn every_change_is_told_with_who_made_it() {
    let mut state = founded();
    let root = |state: &mut State, command| drop(ask(state, Actor::Root, command));
    let join = JoinToken {
        secret_hash: [0; 32],
        role: Role::Worker,
        expires_at: Timestamp(60_200),
        used_by: None,
    };
    root(&mut state, Command::IssueToken { id: JOIN, token: join });
    let joining = Joining {
        token: JOIN,
        node: PARIS,
        name: NodeName::parse("paris").unwrap(),
        addresses: Addresses::default(),
        at: Timestamp(200),
        formats: Formats::BUILD,
    };
    ask(&mut state, Actor::Node(PARIS), Command::Join(Box::new(joining)));
    let operator = token("ci", ApiRole::Operator, &[]);
    root(&mut state, Command::CreateApiToken { id: CI, token: operator });
    let submit = Command::Submit { spec: spec("berlin:/a", "s3://b/x"), at: Timestamp(200) };
    let by_ci = |state: &mut State, command| drop(ask(state, Actor::Token(CI), command));
    by_ci(&mut state, submit);
    by_ci(&mut state, Command::Pause { job: job() });
    by_ci(&mut state, Command::Resume { job: job() });
    by_ci(&mut state, Command::Cancel { job: job() });
    root(&mut state, Command::Limit { bandwidth: Some(ByteRate(1000).into()) });
    root(&mut state, Command::HandOver { to: Some(PARIS) });
    root(&mut state, Command::HandOver { to: None });
    root(&mut state, Command::RemoveMember { node: PARIS });
    root(&mut state, Command::RevokeApiToken { id: CI });
    root(&mut state, Command::ReplaceRoot { hash: [6; 32] });
    assert_eq!(state.cluster.as_ref().unwrap().admin, [6; 32]);
    root(&mut state, Command::ReplaceRoot { hash: [6; 32] });
    let (job, paris) = (job(), PARIS);
    let cluster = state.cluster.as_ref().unwrap();
    let (founder, cluster) = (cluster.members.keys().next().unwrap(), cluster.id);
    let ci = "token ci (operator 0707070707070707)";
    let expected = [
        format!("1 node {founder}: cluster.found {cluster}: by node berlin ({founder})"),
        "2 root: join-token.create 0505050505050505: for one worker, for 60 s".to_owned(),
        format!(
            "3 node {paris}: node.join paris: as a worker, {paris}, by the join token 0505050505050505"
        ),
        "4 root: token.create ci: operator 0707070707070707, for 0 s".to_owned(),
        format!("5 {ci}: job.submit {job}: cp berlin:/a to s3://b/x"),
        format!("6 {ci}: job.pause {job}: "),
        format!("7 {ci}: job.resume {job}: "),
        format!("8 {ci}: job.cancel {job}: "),
        format!("9 root: limit.set all jobs: {}", ByteRate(1000)),
        "10 root: lead.move paris: ".to_owned(),
        "11 root: lead.move any voter: ".to_owned(),
        format!("12 root: node.remove paris: {paris}"),
        "13 root: token.revoke ci: operator 0707070707070707".to_owned(),
        "14 root: root-token.replace root: ".to_owned(),
    ];
    assert_eq!(lines(&state), expected);
    holds(&state.audit);
}

#[test]
fn what_is_refused_changes_nothing_or_comes_from_nobody_is_not_on_record() {
    let mut state = founded();
    let submit = || Command::Submit { spec: spec("berlin:/a", "s3://b/x"), at: Timestamp(200) };
    ask(&mut state, Actor::Root, submit());
    let head = state.audit.head();
    ask(&mut state, Actor::Root, submit());
    ask(&mut state, Actor::Root, Command::Resume { job: job() });
    ask(&mut state, Actor::Root, Command::Limit { bandwidth: None });
    ask(&mut state, Actor::Root, Command::Pause { job: JobId([0; 16]) });
    ask(&mut state, Actor::Root, Command::RemoveMember { node: PARIS });
    ask(&mut state, Actor::Token(CI), Command::Pause { job: job() });
    state.apply(LogIndex(9), Command::Pause { job: job() });
    assert_eq!(state.audit.head(), head);
    ask(&mut state, Actor::Root, Command::Pause { job: job() });
    assert_eq!(state.audit.head(), head, "it rests already");
    ask(&mut state, Actor::Root, Command::Cancel { job: job() });
    ask(&mut state, Actor::Root, Command::Cancel { job: job() });
    assert_eq!(state.audit.head().number, head.number + 1);
}

#[test]
fn a_job_that_rests_for_its_credentials_is_submitted_again_on_record() {
    let mut state = founded();
    let submit = || Command::Submit { spec: spec("berlin:/a", "s3://b/x"), at: Timestamp(200) };
    ask(&mut state, Actor::Root, submit());
    let rested = state.jobs.get_mut(&job()).unwrap();
    rested.paused_by = Some(Failure::new(ErrorCode::Unauthorized, "no"));
    ask(&mut state, Actor::Root, submit());
    assert_eq!(state.audit.head().number, 3);
}

#[test]
fn a_process_that_works_alone_keeps_no_record() {
    let mut state = State::default();
    let submit = Command::Submit { spec: spec("berlin:/a", "s3://b/x"), at: Timestamp(200) };
    ask(&mut state, Actor::Root, submit);
    assert_eq!((state.jobs.len(), state.audit.head().number), (1, 0));
}

#[test]
fn the_oldest_entries_go_and_the_chain_holds_over_a_snapshot() {
    let mut state = founded();
    let limits = AUDIT_ENTRIES_MAX as u64 + 5;
    for rate in 1..=limits {
        let bandwidth = Some(ByteRate(rate).into());
        ask(&mut state, Actor::Root, Command::Limit { bandwidth });
    }
    let audit = &state.audit;
    assert_eq!(audit.entries().count(), AUDIT_ENTRIES_MAX);
    assert_eq!((audit.before().number, audit.head().number), (6, limits + 1));
    holds(audit);
    let bytes = codec::encode(&state);
    assert!(bytes.len() < 4 << 20, "{} bytes", bytes.len());
    let back: State = codec::decode(&bytes, STATE_BYTES_MAX).unwrap();
    assert_eq!(back.audit, state.audit);
}

#[test]
fn entries_are_as_long_as_allowed_whatever_is_asked() {
    let mut state = founded();
    let long = format!("s3://b/{}\n", "ä".repeat(2000));
    let submit = Command::Submit { spec: spec(&long, &long), at: Timestamp(200) };
    ask(&mut state, Actor::Root, submit);
    let entry = state.audit.entries().last().unwrap().clone();
    assert!(entry.detail.len() <= airlift_protocol::limits::AUDIT_TEXT_BYTES_MAX);
    holds(&state.audit);
}

#[test]
fn a_budget_that_comes_with_a_submission_is_on_record() {
    use airlift_protocol::budget::Budget;

    let mut state = founded();
    let mut bounded = *spec("berlin:/a", "s3://b/x");
    let submit = |state: &mut State, spec: &JobSpec| {
        let submit = Command::Submit { spec: Box::new(spec.clone()), at: Timestamp(200) };
        ask(state, Actor::Root, submit);
    };
    let before = lines(&state).len();
    bounded.policy.budget = Budget { bytes: Some(7), ..Budget::default() };
    submit(&mut state, &bounded);
    submit(&mut state, &bounded);
    bounded.policy.budget.bytes = Some(8);
    submit(&mut state, &bounded);
    submit(&mut state, &spec("berlin:/a", "s3://b/x"));
    let number = before + 1;
    let expected = [
        format!("{number} root: job.submit {}: cp berlin:/a to s3://b/x, budget 7 B", job()),
        format!("{} root: job.budget {}: 8 B", number + 1, job()),
    ];
    assert_eq!(lines(&state)[before..], expected);
}

#[test]
fn another_budget_and_another_retention_are_on_record_once() {
    use airlift_protocol::budget::Budget;

    use crate::state::Retention;

    let mut state = founded();
    let submit = Command::Submit { spec: spec("berlin:/a", "s3://b/x"), at: Timestamp(200) };
    ask(&mut state, Actor::Root, submit);
    let before = lines(&state).len();
    for _ in 0..2 {
        let budget = Budget { bytes: Some(7), requests: Some(8), money: None };
        ask(&mut state, Actor::Root, Command::SetBudget { job: job(), budget });
        let retention = Retention { age_ms: Some(60_000), count: Some(5) };
        ask(&mut state, Actor::Root, Command::SetRetention(retention));
    }
    let number = before + 1;
    let expected = [
        format!("{number} root: job.budget {}: 7 B, 8 requests", job()),
        format!("{} root: retention.set finished jobs: 60 s, 5 jobs", number + 1),
    ];
    assert_eq!(lines(&state)[before..], expected);
    holds(&state.audit);
}
