//! What each role may do, and that what is revoked does nothing any more.

use airlift_protocol::access::ApiTokenName;
use airlift_protocol::budget::Budget;
use airlift_protocol::cluster::{Addresses, ClusterId, Member, NodeName, Role, TokenId};
use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::job::{Filters, InventoryFile, InventoryForm, Mode, Policy};
use airlift_protocol::raft::RaftId;
use airlift_protocol::units::ByteRate;
use airlift_protocol::version::Formats;

use super::*;
use crate::command::{Entry, Founding};
use crate::state::Retention;
use crate::state::{Fact, JoinToken};

const NODE: NodeId = NodeId([1; 32]);
const ID: ApiTokenId = ApiTokenId([7; 8]);

/// A cluster of one voter.
pub(in crate::state) fn founded() -> State {
    let founder = Member {
        id: NODE,
        name: NodeName::parse("berlin").unwrap(),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: Timestamp(0),
        formats: Formats::BUILD,
    };
    let founding = Founding { cluster: ClusterId([9; 16]), founder, admin: [0; 32] };
    let mut state = State::default();
    let by = Actor::Node(NODE);
    ask(&mut state, by, Command::Found(Box::new(founding)));
    state
}

pub(in crate::state) fn at(text: &str) -> Location {
    Location::parse(text.as_bytes()).unwrap()
}

pub(in crate::state) fn spec(source: &str, target: &str) -> Box<JobSpec> {
    Box::new(JobSpec {
        mode: Mode::Copy,
        source: at(source),
        target: at(target),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    })
}

pub(in crate::state) fn token(name: &str, role: ApiRole, locations: &[&str]) -> Box<ApiToken> {
    Box::new(ApiToken {
        name: ApiTokenName::parse(name).unwrap(),
        secret_hash: Secret([7; 32]).hash(),
        role,
        locations: locations.iter().map(|text| at(text)).collect(),
        created_at: Timestamp(100),
        expires_at: Some(Timestamp(1000)),
    })
}

/// Applies what somebody asks for, at time 200.
pub(in crate::state) fn ask(state: &mut State, by: Actor, command: Command) -> Vec<Fact> {
    ask_at(state, by, 200, command)
}

fn ask_at(state: &mut State, by: Actor, at: u64, command: Command) -> Vec<Fact> {
    let origin = Some(Origin { by, at: Timestamp(at) });
    let index = LogIndex(state.audit.head().number + 10);
    state.apply(index, Entry { command, origin })
}

fn refusal(facts: &[Fact]) -> Option<ErrorCode> {
    facts.iter().find_map(|fact| match fact {
        Fact::Refused(failure) => Some(failure.code),
        _ => None,
    })
}

fn with(token: Box<ApiToken>) -> State {
    let mut state = founded();
    let created = ask(&mut state, Actor::Root, Command::CreateApiToken { id: ID, token });
    assert_eq!(refusal(&created), None);
    state
}

fn submit(source: &str, target: &str) -> Command {
    Command::Submit { spec: spec(source, target), at: Timestamp(200) }
}

#[test]
fn each_role_may_do_what_it_is_for_and_no_more() {
    let inside = || spec("berlin:/data/a", "s3://b/x/a").id();
    let outside = || spec("berlin:/data/a", "s3://b/y").id();
    let member = || Command::RemoveMember { node: NodeId([5; 32]) };
    let budget = |job| Command::SetBudget { job, budget: Budget::default() };
    let commands: [(Command, [bool; 4]); 13] = [
        (submit("berlin:/data/a", "s3://b/x/a"), [false, true, true, true]),
        (submit("berlin:/data/a", "s3://b/y"), [false, false, true, true]),
        (submit("berlin:/other", "s3://b/x/a"), [false, false, true, true]),
        (Command::Pause { job: inside() }, [false, true, true, true]),
        (Command::Cancel { job: outside() }, [false, false, true, true]),
        (Command::Limit { bandwidth: Some(ByteRate(5).into()) }, [false, false, false, true]),
        (budget(inside()), [false, true, true, true]),
        (budget(outside()), [false, false, true, true]),
        (Command::SetRetention(Retention::default()), [false, false, false, true]),
        (Command::ReplaceRoot { hash: [6; 32] }, [false, false, false, true]),
        (Command::RevokeApiToken { id: ApiTokenId([9; 8]) }, [false, false, false, true]),
        (member(), [false, false, false, true]),
        (Command::VoidLeases { node: NODE }, [false; 4]),
    ];
    for (command, expected) in commands {
        for (role, is_allowed) in ApiRole::ALL.into_iter().zip(expected) {
            let places = ["berlin:/data", "s3://b/x"];
            let limit = if role == ApiRole::Submitter { &places[..] } else { &[] };
            let mut state = with(token("ci", role, limit));
            ask(&mut state, Actor::Root, submit("berlin:/data/a", "s3://b/x/a"));
            ask(&mut state, Actor::Root, submit("berlin:/data/a", "s3://b/y"));
            let facts = ask(&mut state, Actor::Token(ID), command.clone());
            let is_forbidden = refusal(&facts) == Some(ErrorCode::Unauthorized);
            assert_eq!(is_forbidden, !is_allowed, "{role:?}: {command:?}: {facts:?}");
        }
    }
}

#[test]
fn what_a_job_reads_to_know_its_source_lies_within_too() {
    let mut state = with(token("ci", ApiRole::Submitter, &["berlin:/data", "s3://b/x"]));
    for (list, is_allowed) in [("berlin:/data/list", true), ("berlin:/etc/passwd", false)] {
        let mut spec = spec("berlin:/data/a", "s3://b/x");
        let inventory = InventoryFile { form: InventoryForm::Keys, location: at(list) };
        spec.policy.inventory = Some(inventory);
        let facts = ask(&mut state, Actor::Token(ID), Command::Submit { spec, at: Timestamp(1) });
        assert_eq!(refusal(&facts).is_none(), is_allowed, "{list}");
    }
}

#[test]
fn a_token_that_was_revoked_or_has_expired_changes_nothing() {
    let limit = || Command::Limit { bandwidth: Some(ByteRate(5).into()) };
    let mut state = with(token("ci", ApiRole::Admin, &[]));
    assert_eq!(refusal(&ask_at(&mut state, Actor::Token(ID), 999, limit())), None);
    let late = ask_at(&mut state, Actor::Token(ID), 1000, Command::Limit { bandwidth: None });
    assert_eq!(refusal(&late), Some(ErrorCode::Unauthorized));
    ask(&mut state, Actor::Root, Command::RevokeApiToken { id: ID });
    // It was proposed before it was known that the token is revoked.
    let before = state.clone();
    let facts = ask(&mut state, Actor::Token(ID), Command::Limit { bandwidth: None });
    assert_eq!(refusal(&facts), Some(ErrorCode::Unauthorized));
    assert_eq!(state, before);
}

#[test]
fn a_token_is_found_by_id_and_secret_until_it_ends() {
    let state = with(token("ci", ApiRole::Viewer, &[]));
    let found =
        |id, secret, at| state.access.find(id, &Secret([secret; 32]), Timestamp(at)).is_some();
    assert!(found(ID, 7, 999));
    assert!(!found(ID, 7, 1000) && !found(ID, 8, 999) && !found(ApiTokenId([8; 8]), 7, 999));
    assert_eq!(state.access.named("ci"), Some(ID));
    assert_eq!(state.access.named(&ID.to_string()), Some(ID));
    assert_eq!(state.access.named("nobody"), None);
}

#[test]
fn names_are_unique_and_a_repeated_request_is_one_token() {
    let mut state = with(token("ci", ApiRole::Viewer, &[]));
    let entries = state.audit.head().number;
    let create = |state: &mut State, id, token| {
        refusal(&ask(state, Actor::Root, Command::CreateApiToken { id, token }))
    };
    assert_eq!(create(&mut state, ID, token("ci", ApiRole::Viewer, &[])), None);
    assert_eq!(state.audit.head().number, entries, "nothing has changed");
    let other = ApiTokenId([8; 8]);
    let conflict = Some(ErrorCode::Conflict);
    assert_eq!(create(&mut state, other, token("ci", ApiRole::Admin, &[])), conflict);
    assert_eq!(create(&mut state, ID, token("di", ApiRole::Admin, &[])), conflict);
    assert_eq!(create(&mut state, other, token("s", ApiRole::Submitter, &[])), conflict);
    // The name of one that has expired is free.
    let mut later = token("ci", ApiRole::Admin, &[]);
    (later.created_at, later.expires_at) = (Timestamp(1000), None);
    assert_eq!(create(&mut state, other, later), None);
    assert_eq!(state.access.tokens.len(), 1);
    let gone = ask(&mut state, Actor::Root, Command::RevokeApiToken { id: ID });
    assert_eq!(refusal(&gone), Some(ErrorCode::NotFound));
}

#[test]
fn tokens_are_bounded_and_those_that_have_expired_make_room() {
    let mut state = founded();
    let mut create = |number: u64, created_at: u64| {
        let mut token = token(&format!("t{number}"), ApiRole::Viewer, &[]);
        token.created_at = Timestamp(created_at);
        if number >= 2 {
            token.expires_at = None;
        }
        let id = ApiTokenId(number.to_be_bytes());
        refusal(&ask(&mut state, Actor::Root, Command::CreateApiToken { id, token }))
    };
    for number in 0..API_TOKENS_MAX as u64 {
        assert_eq!(create(number, 100), None);
    }
    assert_eq!(create(1000, 100), Some(ErrorCode::Conflict));
    assert_eq!(create(1001, 1000), None);
    assert_eq!(create(1002, 1000), None);
    assert_eq!(create(1003, 1000), Some(ErrorCode::Conflict));
}

#[test]
fn a_join_token_is_no_matter_of_operators() {
    let mut state = with(token("ci", ApiRole::Operator, &[]));
    let join = JoinToken {
        secret_hash: [0; 32],
        role: Role::Voter,
        expires_at: Timestamp(1000),
        used_by: None,
    };
    let issue = Command::IssueToken { id: TokenId([1; 8]), token: join };
    let facts = ask(&mut state, Actor::Token(ID), issue);
    assert_eq!(refusal(&facts), Some(ErrorCode::Unauthorized));
    assert!(state.cluster.unwrap().tokens.is_empty());
}
