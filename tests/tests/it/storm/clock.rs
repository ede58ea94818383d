//! Clocks that differ, and requests that wait: what counts is the service's time when a request is sent.

use super::*;

/// Seconds by which the clock of the service is off.
const OFF: [i64; 2] = [20 * 60, -3 * 3_600];

#[test]
fn a_date_that_is_off_changes_nothing_while_signatures_are_good() {
    // It may be that of whoever stands between.
    let scene = Scene::new(Vec::new());
    scene.storm.set_clock_ahead(-10 * 60);
    let source = plant();
    let _ = scene.run(&["cp", text(source.path()), UP]).expect(0);
    let seen = scene.storm.seen();
    let signed = seen.iter().filter_map(|seen| seen.signed_seconds_ago);
    assert!(signed.clone().count() > 42 && signed.clone().all(|ago| ago.abs() < 30), "{seen:?}");
}

#[test]
fn a_refusal_for_the_time_corrects_it_and_the_request_is_sent_again() {
    for ahead in OFF {
        let scene = Scene::new(vec![Rule::on_all(Fault::Nothing).within("list-type")]);
        scene.storm.set_clock_ahead(ahead);
        let target = fast_directory();
        let words = ["sync", "s3://bucket/none/", text(target.path()), "--allow-empty-source"];
        let _ = scene.run(&words).expect(0);
        let seen = scene.storm.seen();
        let skewed =
            |fault: &Option<Fault>| *fault == Some(Fault::Refuse(403, "RequestTimeTooSkewed"));
        assert!(skewed(&seen[0].fault), "{seen:?}");
        assert_eq!(seen.iter().filter(|seen| skewed(&seen.fault)).count(), 1, "{seen:?}");
        let signed = seen[1..].iter().filter_map(|seen| seen.signed_seconds_ago);
        assert!(signed.clone().all(|ago| (ago + ahead).abs() < 30), "{seen:?}");
    }
}

#[test]
fn doctor_warns_of_a_store_with_another_clock() {
    let scene = Scene::new(Vec::new());
    let directory = fast_directory();
    let config = directory.path().join("airlift.toml");
    let endpoint = &scene.storm.access().endpoint;
    fs::write(&config, format!("[stores.mine]\nkind = 's3'\nendpoint = '{endpoint}'\n")).unwrap();
    let words = ["doctor", "--json", "--config", text(&config)];
    let doctor = || scene.airlift.run(words).json()["checks"].clone();
    let clocks = |checks: &Value| {
        let checks = checks.as_array().unwrap().iter();
        let clocks = checks.filter(|check| check["name"] == "clock of a store");
        clocks.map(|check| check["found"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(clocks(&doctor()), [""; 0]);
    scene.storm.set_clock_ahead(-1_230);
    let found = clocks(&doctor());
    assert!(
        found.contains(&"mine: it is 20 minutes behind this machine's".to_owned()),
        "{found:?}"
    );
}

/// Requests queue for longer than their signatures may be old, in miniature: none is signed before its turn.
#[test]
fn a_request_that_waits_for_its_turn_is_signed_when_it_is_sent() {
    let slow = Rule::on(&[Operation::Put], Fault::Slow(Duration::from_millis(250)));
    let scene = Scene::new(vec![slow]);
    let source = fast_directory();
    for number in 0..40 {
        tree::write(source.path(), format!("{number:02}"), &tree::noise(number, 100));
    }
    let words = ["cp", text(source.path()), UP, "--requests-max", "1"];
    let done = scene.run(&words).expect(0).json();
    assert!(done["seconds"].as_f64().unwrap() > 9.0, "they queued: {done}");
    let puts = scene.storm.seen().into_iter().filter(|seen| seen.operation == Operation::Put);
    let oldest = puts.filter_map(|put| put.signed_seconds_ago).max();
    assert!(oldest.unwrap() <= 2, "signed {oldest:?} seconds before it was sent");
}
