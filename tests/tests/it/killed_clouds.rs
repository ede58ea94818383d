//! Kills at random instants on the way to Azure and to Google: after each nothing partial is visible, and
//! the same command ends with equal content and nothing left over.

use std::time::{Duration, Instant};

use airlift_node::store::Store;
use airlift_node::store::azure::AzureStore;
use airlift_node::store::gcs::GcsStore;
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::azurite::Azurite;
use airlift_tests::conformance::fixture::{content, keys};
use airlift_tests::gcs::GcsEmulator;
use airlift_tests::tree;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Kills of each store.
const KILLS: u32 = 8;

/// Rounds in which these are to happen.
const ROUNDS_MAX: u32 = 60;

/// Kills in a row before the job may end.
const KILLS_IN_A_ROW: u32 = 2;

const SMALL: u64 = 40;

fn plant() -> TempDir {
    let source = fast_directory();
    for i in 0..SMALL {
        tree::write(
            source.path(),
            format!("d{}/{i}", i % 5),
            &tree::noise(i, (i * i) as usize * 9),
        );
    }
    tree::write(source.path(), "large", &tree::noise(1000, (50 << 20) + 4711));
    source
}

/// Numbers that differ from kill to kill and are the same in every run of the test.
fn random(seed: u32, below: Duration) -> Duration {
    let hash = blake3::hash(&seed.to_le_bytes());
    let number = u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap());
    below.mul_f64(f64::from(number) / f64::from(u32::MAX))
}

/// Kills and resumes until there were enough kills, each round below another prefix of `target`.
fn kill(
    airlift: &Airlift,
    target: &str,
    store: impl Fn(&str) -> Box<dyn Store>,
    leftovers: impl Fn() -> Vec<String>,
) {
    let runtime = Runtime::new().unwrap();
    let source = plant();
    let arguments = |round: u32| {
        let source = source.path().to_str().unwrap().to_owned();
        ["cp".to_owned(), source, format!("{target}/r{round}/")]
    };
    let check_visible = |store: &dyn Store| {
        let keys = runtime.block_on(keys(store));
        for key in &keys {
            let held = runtime.block_on(content(store, key.clone()));
            let path = source.path().join(key.as_str().unwrap());
            assert!(held == std::fs::read(path).unwrap(), "{key} is partial");
        }
        keys.len() as u64
    };
    let begun = Instant::now();
    let _ = airlift.run(arguments(0)).expect(0);
    let whole = begun.elapsed();
    let mut kills = 0;
    for round in 1.. {
        if kills >= KILLS {
            break;
        }
        assert!(round < ROUNDS_MAX, "{kills} kills in {round} rounds: they come too late");
        let store = store(&format!("r{round}/"));
        for in_a_row in 0..KILLS_IN_A_ROW {
            let mut running = airlift.start(arguments(round));
            std::thread::sleep(random(round * 10 + in_a_row, whole));
            if running.kill().code().is_none() {
                kills += 1;
            }
            check_visible(&*store);
        }
        let _ = airlift.run(arguments(round)).expect(0);
        assert_eq!(check_visible(&*store), SMALL + 1);
        assert_eq!(leftovers(), [""; 0]);
        assert!(airlift.jobs().is_empty());
    }
}

#[test]
fn files_to_azure() {
    let Some(server) = Azurite::shared() else { return };
    let runtime = Runtime::new().unwrap();
    let name = runtime.block_on(server.new_container());
    let airlift = server
        .environment()
        .iter()
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, value));
    kill(
        &airlift,
        &format!("az://{name}"),
        |prefix| Box::new(AzureStore::open(server.options(&name, prefix)).expect("a store")),
        || runtime.block_on(server.staged(&name)),
    );
}

#[test]
fn files_to_google() {
    let Some(server) = GcsEmulator::shared() else { return };
    let runtime = Runtime::new().unwrap();
    let name = runtime.block_on(server.new_bucket());
    let airlift = server
        .environment()
        .iter()
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, value));
    kill(
        &airlift,
        &format!("gs://{name}"),
        |prefix| Box::new(GcsStore::open(server.options(&name, prefix)).expect("a store")),
        || {
            let objects = runtime.block_on(server.objects(&name));
            let names = objects.iter().filter_map(|object| object["name"].as_str());
            names.filter(|name| name.contains(".airlift-")).map(str::to_owned).collect()
        },
    );
}
