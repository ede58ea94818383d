//! The consensus file: what was written is read, and damage never passes for a log.

use airlift_coordinator::command::{self, Command, Turn};
use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, KeyRangeId, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::raft::LogPayload;
use airlift_protocol::report::Unreadable;
use airlift_protocol::time::Timestamp;
use tempfile::TempDir;

use super::*;

const IDENTITY_OF_1: MemberIdentity =
    MemberIdentity { layout: LAYOUT, cluster: [7; 16], id: RaftId(1), incarnation: [9; 16] };

fn entry(index: u64, term: u64) -> LogEntry {
    let payload = LogPayload::Command(format!("command {index} of term {term}").into_bytes());
    LogEntry { index: LogIndex(index), term, payload }
}

fn persist(term: u64, entries: Vec<LogEntry>) -> Persist {
    let hard_state = HardState { term, vote: Some(RaftId(1)), commit: LogIndex(1) };
    Persist { sequence: 1, hard_state, snapshot: None, entries }
}

fn snapshot(index: u64, term: u64) -> SnapshotRef {
    let position = LogPosition { index: LogIndex(index), term };
    let founded = Durable::found(RaftId(1), [3; 32], 5).snapshot.unwrap();
    SnapshotRef { position, ..founded }
}

fn fresh() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("consensus.redb");
    (directory, path)
}

fn create(path: &Path) -> ConsensusFile {
    let durable = Durable::found(RaftId(1), [3; 32], 5);
    ConsensusFile::create(path, &IDENTITY_OF_1, &durable).unwrap()
}

fn reopened(file: ConsensusFile, path: &Path) -> Durable {
    drop(file);
    let (file, identity) = ConsensusFile::open(path).unwrap();
    assert_eq!(identity, IDENTITY_OF_1);
    file.load().unwrap()
}

fn positions(durable: &Durable) -> Vec<(u64, u64)> {
    durable.entries.iter().map(|entry| (entry.index.0, entry.term)).collect()
}

#[test]
fn what_was_persisted_is_loaded_after_a_restart() {
    let (_directory, path) = fresh();
    let file = create(&path);
    assert_eq!(file.load().unwrap(), Durable::found(RaftId(1), [3; 32], 5));
    file.persist(&[persist(2, vec![entry(2, 2)]), persist(3, vec![entry(3, 3)])]).unwrap();
    let durable = reopened(file, &path);
    assert_eq!(durable.entries, [entry(2, 2), entry(3, 3)]);
    assert_eq!(durable.hard_state, persist(3, vec![]).hard_state);
}

#[test]
fn entries_of_a_new_leader_replace_the_conflicting_ones() {
    let (_directory, path) = fresh();
    let file = create(&path);
    file.persist(&[persist(2, (2..6).map(|index| entry(index, 2)).collect())]).unwrap();
    file.persist(&[persist(3, vec![entry(4, 3)])]).unwrap();
    assert_eq!(positions(&reopened(file, &path)), [(2, 2), (3, 2), (4, 3)]);
}

#[test]
fn a_snapshot_from_elsewhere_replaces_the_log() {
    let (_directory, path) = fresh();
    let file = create(&path);
    file.persist(&[persist(2, vec![entry(2, 2)])]).unwrap();
    let install = Persist { snapshot: Some(snapshot(9, 4)), ..persist(4, vec![]) };
    file.persist(&[install, persist(5, vec![entry(10, 5)])]).unwrap();
    let durable = reopened(file, &path);
    assert_eq!(positions(&durable), [(10, 5)]);
    assert_eq!(durable.compacted, snapshot(9, 4).position);
    assert_eq!(durable.snapshot, Some(snapshot(9, 4)));
}

#[test]
fn a_compacted_log_goes_on_where_it_was() {
    let (_directory, path) = fresh();
    let file = create(&path);
    file.persist(&[persist(2, (2..8).map(|index| entry(index, 2)).collect())]).unwrap();
    file.compact(LogIndex(4), &snapshot(6, 2), &BTreeSet::new()).unwrap();
    file.persist(&[persist(3, vec![entry(8, 3)])]).unwrap();
    let durable = reopened(file, &path);
    assert_eq!(positions(&durable), [(5, 2), (6, 2), (7, 2), (8, 3)]);
    assert_eq!(durable.compacted.index, LogIndex(4));
    assert_eq!(durable.snapshot, Some(snapshot(6, 2)));
}

#[test]
fn a_file_belongs_to_one_member_only() {
    let (_directory, path) = fresh();
    assert_eq!(ConsensusFile::open(&path).unwrap_err().code, ErrorCode::NotFound);
    assert!(!path.exists(), "looking for a file does not make one");
    let file = create(&path);
    assert_eq!(ConsensusFile::open(&path).unwrap_err().code, ErrorCode::Conflict);
    drop(file);
    let again = ConsensusFile::create(&path, &IDENTITY_OF_1, &Durable::joining());
    assert_eq!(again.unwrap_err().code, ErrorCode::Conflict);
}

#[test]
fn an_entry_in_the_place_of_another_is_found() {
    for (to, what) in [(3, "altered in place"), (9, "beyond a gap")] {
        let (_directory, path) = fresh();
        let file = create(&path);
        file.persist(&[persist(2, (2..5).map(|index| entry(index, 2)).collect())]).unwrap();
        let other = codec::encode(&entry(to, 1));
        let forged = row(&hash(&[], &to.to_le_bytes(), &other), &other);
        file.write(|transaction| {
            transaction.open_table(ENTRIES)?.insert(to, forged.as_slice())?;
            Ok(())
        })
        .unwrap();
        let error = file.load().unwrap_err();
        assert_eq!(error.code, ErrorCode::CorruptState, "{what}");
        assert!(error.detail().contains("must not vote again"), "{}", error.detail());
    }
}

#[test]
fn entries_that_leave_a_gap_are_refused_and_nothing_is_written() {
    let (_directory, path) = fresh();
    let file = create(&path);
    assert!(file.persist(&[persist(2, vec![entry(4, 2)])]).is_err());
    assert_eq!(reopened(file, &path), Durable::found(RaftId(1), [3; 32], 5));
}

#[test]
fn damage_anywhere_is_an_error_and_never_a_panic_or_another_log() {
    let (_directory, path) = fresh();
    let file = create(&path);
    let mut known = vec![file.load().unwrap()];
    for index in 2..5 {
        file.persist(&[persist(2, vec![entry(index, 2)])]).unwrap();
        known.push(file.load().unwrap());
    }
    drop(file);
    let sound = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        ConsensusFile::open(&path).and_then(|(file, _)| file.load())
    };
    for at in (0..sound.len()).step_by(sound.len() / 97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        if let Ok(durable) = load(&bytes) {
            // Damage in unused space is invisible; damage in the header may hide the last write.
            assert!(known.contains(&durable), "byte {at} of {}", sound.len());
        }
    }
    for length in [1, 100, sound.len() / 2] {
        assert!(load(&sound[..length]).is_err(), "{length} bytes of {}", sound.len());
    }
}

fn page(number: u32) -> Page {
    let entry = Entry {
        key: Key::from(format!("key-{number}").as_str()),
        kind: Kind::Object,
        size: u64::from(number),
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    };
    Page { id: PageId(number), entries: vec![entry] }
}

fn page_entry(index: u64, term: u64) -> LogEntry {
    let number = u32::try_from(index).unwrap();
    let turn = Turn { range: KeyRangeId(0), number: PageId(number), at: Timestamp(0) };
    let (job, page, unreadable) = (JobId([1; 16]), page(number), Unreadable::default());
    let command = Command::Page { job, run: 1, end: End::Source, page, turn, unreadable };
    let payload = LogPayload::Command(codec::encode(&command::Entry::from(command)));
    LogEntry { index: LogIndex(index), term, payload }
}

fn indices(indices: &[u64]) -> BTreeSet<LogIndex> {
    indices.iter().copied().map(LogIndex).collect()
}

fn found(file: &ConsensusFile) -> Vec<u64> {
    (1..20).filter(|index| file.find_page(LogIndex(*index)).unwrap().is_some()).collect()
}

/// A log of pages 2 to 8, of which 6 are known to be committed.
fn with_pages(path: &Path) -> ConsensusFile {
    let file = create(path);
    let mut persist = persist(2, (2..=8).map(|index| page_entry(index, 2)).collect());
    persist.hard_state.commit = LogIndex(6);
    file.persist(&[persist]).unwrap();
    file
}

#[test]
fn manifest_pages_outlive_the_log_for_as_long_as_they_are_wanted() {
    let (_directory, path) = fresh();
    let file = with_pages(&path);
    assert_eq!(found(&file), [2, 3, 4, 5, 6], "what is not committed may be replaced");
    file.compact(LogIndex(5), &snapshot(6, 2), &indices(&[2, 3, 6])).unwrap();
    assert_eq!(positions(&file.load().unwrap()), [(6, 2), (7, 2), (8, 2)]);
    assert_eq!(found(&file), [2, 3, 6]);
    assert_eq!(file.find_page(LogIndex(3)).unwrap(), Some(page(3)));
    file.compact(LogIndex(6), &snapshot(6, 2), &indices(&[3])).unwrap();
    assert_eq!(found(&file), [3]);
    assert_eq!(positions(&reopened(file, &path)), [(7, 2), (8, 2)]);
}

#[test]
fn an_older_snapshot_never_replaces_a_newer_one() {
    let (_directory, path) = fresh();
    let file = with_pages(&path);
    file.compact(LogIndex(2), &snapshot(6, 2), &indices(&[])).unwrap();
    assert!(file.compact(LogIndex(3), &snapshot(5, 2), &indices(&[])).is_err());
    assert_eq!(file.load().unwrap().snapshot, Some(snapshot(6, 2)));
}

#[test]
fn pages_that_another_state_needs_are_there_when_it_is_installed() {
    let (_directory, path) = fresh();
    let file = with_pages(&path);
    let missing = file.adopt_pages(&indices(&[3, 7, 12])).unwrap();
    assert_eq!(missing, [LogIndex(7), LogIndex(12)], "7 may yet be another entry");
    file.keep_pages(&[(LogIndex(7), page(70)), (LogIndex(12), page(12))]).unwrap();
    assert_eq!(file.adopt_pages(&indices(&[3, 7, 12])).unwrap(), []);
    let install = Persist { snapshot: Some(snapshot(15, 4)), ..persist(4, vec![]) };
    file.persist(&[install]).unwrap();
    assert_eq!(found(&file), [3, 7, 12]);
    assert_eq!(file.find_page(LogIndex(7)).unwrap(), Some(page(70)));
}

#[test]
fn an_altered_page_is_found() {
    let (_directory, path) = fresh();
    let file = with_pages(&path);
    file.keep_pages(&[(LogIndex(12), page(12))]).unwrap();
    file.write(|transaction| {
        let mut table = transaction.open_table(PAGES)?;
        let mut row = table.get(12)?.unwrap().value().to_vec();
        *row.last_mut().unwrap() ^= 1;
        table.insert(12, row.as_slice())?;
        Ok(())
    })
    .unwrap();
    assert_eq!(file.find_page(LogIndex(12)).unwrap_err().code, ErrorCode::CorruptState);
}

#[test]
fn a_disk_that_has_failed_is_no_damage() {
    let (_directory, path) = fresh();
    let file = create(&path);
    let full = std::io::Error::from(rustix::io::Errno::NOSPC);
    let first = file.write(|_| Err(full.into())).unwrap_err();
    let later = file.read(|_| Err::<(), _>(redb::Error::PreviousIo)).unwrap_err();
    assert_eq!((first.code, later.code), (ErrorCode::NoSpace, ErrorCode::NoSpace));
}
