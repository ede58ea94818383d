//! Listings that are empty, fail, break off, are cut short or are of yesterday: nothing is deleted on
//! their word.

use std::thread;

use super::*;

const FROM: &str = "s3://bucket/from";

/// How `from/` and `up/` begin: the latter has what the former does not.
fn planted_scene() -> Scene {
    let scene = Scene::new(Vec::new());
    let object = |name: &'static str| (name, name.as_bytes().to_vec());
    scene.put("from", &["a", "b", "c"].map(object));
    scene.put("up", &["a", "old-1", "old-2"].map(object));
    scene
}

const FULL: [&str; 6] = ["from/a", "from/b", "from/c", "up/a", "up/old-1", "up/old-2"];

#[test]
fn a_sync_deletes_nothing_on_the_word_of_a_bad_listing() {
    let faults = [
        Fault::Nothing,
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(404, "NoSuchKey"),
        Fault::Refuse(403, "AccessDenied"),
        Fault::ErrorInSuccess { code: "InternalError", is_applied: false },
        Fault::BreakOff,
        Fault::CutShort,
        Fault::ResetAfter,
        Fault::TooMany,
    ];
    let check = |fault: Fault, place: &str| {
        let scene = planted_scene();
        scene.storm.change(vec![Rule::on(&[Operation::List], fault).within(place)]);
        let outcome = scene.run(&["sync", FROM, UP]);
        let keys = scene.server.keys(BUCKET);
        assert!(FULL.iter().all(|key| keys.iter().any(|it| it == key)), "{fault:?}: {keys:?}");
        assert!(scene.storm.struck() > 0, "{fault:?} {place}");
        // A target that says that it has nothing gives no reason to delete anything.
        let is_believed = (fault, place) == (Fault::Nothing, "prefix=up");
        assert_eq!(outcome.code == Some(0), is_believed, "{fault:?} {place}: {outcome:?}");
        scene.storm.change(Vec::new());
        let synced = scene.run(&["sync", FROM, UP]).expect(0).json();
        assert_eq!(synced["objects"]["deleted"], 2, "{fault:?} {place}: {synced}");
        assert_eq!(scene.server.keys(BUCKET)[3..], ["up/a", "up/b", "up/c"]);
    };
    thread::scope(|scope| {
        for fault in faults {
            for place in ["prefix=from", "prefix=up"] {
                scope.spawn(move || check(fault, place));
            }
        }
    });
}

/// As many objects at both ends as make two pages of a listing.
fn scene_of_two_pages() -> Scene {
    let scene = Scene::new(Vec::new());
    let names: Vec<String> = (0..1_500).map(|number| format!("{number:04}")).collect();
    let objects: Vec<(&str, Vec<u8>)> =
        names.iter().map(|name| (name.as_str(), name.as_bytes().to_vec())).collect();
    scene.put("from", &objects);
    let _ = scene.run(&["sync", FROM, UP]).expect(0);
    scene
}

/// A list of all objects of `from/`: so few that each of them is looked up by itself.
fn scene_of_a_list() -> (Scene, TempDir) {
    let scene = Scene::new(Vec::new());
    let names: Vec<String> = (0..15).map(|number| format!("{number:02}")).collect();
    let objects: Vec<(&str, Vec<u8>)> =
        names.iter().map(|name| (name.as_str(), name.as_bytes().to_vec())).collect();
    scene.put("from", &objects);
    let other = fast_directory();
    fs::write(other.path().join("list"), names.join("\n")).unwrap();
    (scene, other)
}

#[test]
fn keys_of_a_list_that_a_busy_store_refuses_to_look_up_are_asked_for_again() {
    let (scene, other) = scene_of_a_list();
    let head = |fault| Rule::on(&[Operation::Head], fault).within("/from/");
    let failing = Fault::Refuse(500, "InternalError");
    scene.storm.change(vec![head(SLOW_DOWN).first(20), head(failing).first(5)]);
    let (list, target) = (other.path().join("list"), other.path().join("target"));
    let words = ["cp", "--files-from", text(&list), FROM, text(&target)];
    let done = scene.run(&words).expect(0).json();
    assert_eq!(done["objects"]["done"], 15, "{done}");
    assert_eq!(scene.storm.struck(), 25);
    assert_eq!(planted(&target).len(), 15);
}

#[test]
fn credentials_that_end_while_a_list_is_looked_up_end_the_job_and_no_key_is_called_unreadable() {
    let (scene, other) = scene_of_a_list();
    let asks = [Operation::Head, Operation::Get];
    let expired = Fault::Refuse(400, "ExpiredToken");
    scene.storm.change(vec![Rule::on(&asks, expired).within("/from/")]);
    let (list, target) = (other.path().join("list"), other.path().join("target"));
    let words = ["cp", "--files-from", text(&list), FROM, text(&target)];
    let stopped = scene.run(&words).expect(3);
    assert!(stopped.stdout.contains("ExpiredToken"), "{stopped:?}");
    let failed = &stopped.json()["objects"]["failed"];
    assert!(failed.is_null() || *failed == 0, "{stopped:?}");
    scene.storm.change(Vec::new());
    let done = scene.run(&words).expect(0).json();
    assert_eq!(done["objects"]["done"], 15, "{done}");
}

/// A listing fails after its first page: what came before is no whole.
#[test]
fn a_listing_that_fails_on_its_way_is_not_taken_for_all_there_is() {
    let scene = scene_of_two_pages();
    for fault in [Fault::Refuse(500, "InternalError"), Fault::BreakOff, Fault::CutShort] {
        scene.storm.change(vec![
            Rule::on(&[Operation::List], fault).within("prefix=from").within("continuation-token"),
        ]);
        let outcome = scene.run(&["sync", FROM, UP]);
        assert_eq!(outcome.code, Some(3), "{fault:?}: {outcome:?}");
        assert_eq!(scene.server.keys(BUCKET).len(), 3_000, "{fault:?}");
        assert!(scene.storm.struck() > 0);
    }
}

/// A listing ends after its first page, and nothing about it shows that. Whatever is to be deleted is
/// looked at by itself before.
#[test]
fn a_listing_that_says_too_early_that_it_is_all_deletes_nothing_that_is_there() {
    let scene = scene_of_two_pages();
    let nothing_more = Rule::on(&[Operation::List], Fault::Nothing).within("prefix=from");
    // So do the listings that answer for many keys at once.
    scene.storm.change(vec![
        nothing_more.clone().within("continuation-token"),
        nothing_more.within("start-after"),
    ]);
    let synced = scene.run(&["sync", FROM, UP]).expect(1).json();
    assert_eq!(
        (&synced["objects"]["deleted"], &synced["objects"]["failed"]),
        (&0.into(), &500.into())
    );
    assert_eq!(scene.server.keys(BUCKET).len(), 3_000);
    let reason = synced["errors"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the source has it"), "{synced}");
}

#[test]
fn a_first_page_that_is_empty_and_leads_on_is_followed() {
    let scene = planted_scene();
    scene.storm.change(vec![Rule::on(&[Operation::List], Fault::EmptyFirst)]);
    let synced = scene.run(&["sync", FROM, UP]).expect(0).json();
    assert_eq!(synced["objects"]["total"], 3, "{synced}");
    assert_eq!(synced["objects"]["deleted"], 2, "{synced}");
    assert_eq!(scene.server.keys(BUCKET)[3..], ["up/a", "up/b", "up/c"]);
}

/// Some stores answer with a listing as it was a while ago. What it names and is gone, is named as
/// failed or skipped; what a stale target names is looked up before it is deleted; and the next sync,
/// with a true listing, is right.
#[test]
fn a_stale_listing_harms_nothing_that_the_next_sync_does_not_mend() {
    for place in ["prefix=from", "prefix=up"] {
        let scene = planted_scene();
        let _ = scene.run(&["sync", FROM, UP]).expect(0);
        let client = scene.server.access().client();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let request = client.delete_object().bucket(BUCKET).key("from/b");
            request.send().await.unwrap();
            let request = client.put_object().bucket(BUCKET).key("from/d");
            request.body(b"d".to_vec().into()).send().await.unwrap();
        });
        scene.storm.change(vec![Rule::on(&[Operation::List], Fault::Stale).within(place)]);
        let _ = scene.run(&["sync", FROM, UP]).expect(0);
        let keys = scene.server.keys(BUCKET);
        for key in ["from/a", "from/c", "from/d", "up/a", "up/c"] {
            assert!(keys.iter().any(|it| it == key), "{place}: {keys:?}");
        }
        scene.storm.change(Vec::new());
        let _ = scene.run(&["sync", FROM, UP]).expect(0);
        assert_eq!(scene.server.keys(BUCKET)[3..], ["up/a", "up/c", "up/d"], "{place}");
    }
}
