//! Tests of layers and resolution.

use std::fs;

use super::*;
use crate::store::hdfs::access::{HdfsCredentials, HdfsPlace, HdfsServer};
use crate::store::s3::credentials::CredentialSource;
use crate::store::settings::StoreSettings;

struct Bench {
    directory: tempfile::TempDir,
    sources: Sources,
}

fn bench(file: &str, env: &[(&str, &str)]) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        fs::write(directory.path().join("airlift.toml"), file).unwrap();
    }
    let env = env.iter().map(|(name, text)| (name.into(), text.into())).collect();
    let sources = Sources { env, directory: directory.path().to_owned(), ..Sources::default() };
    Bench { directory, sources }
}

fn error(file: &str, env: &[(&str, &str)]) -> String {
    load(&bench(file, env).sources).unwrap_err().to_string()
}

const HOME: (&str, &str) = ("HOME", "/home/someone");

#[test]
fn without_anything_the_defaults_hold() {
    let resolved = load(&bench("", &[HOME]).sources).unwrap();
    assert_eq!(resolved.config.state_dir, PathBuf::from("/home/someone/.local/state/airlift"));
    assert_eq!(resolved.config.slots, SLOTS_DEFAULT);
    assert_eq!(resolved.config.memory_bytes, MEMORY_BYTES_DEFAULT);
    assert_eq!(resolved.config.bwlimit, None);
    assert_eq!(resolved.values.len(), SETTINGS.len());
    assert!(resolved.values.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn default_texts_are_the_default_values() {
    let with = load(&bench("", &[HOME]).sources).unwrap();
    let mut values = with.values;
    for value in &mut values {
        if value.setting.key != "state_dir" {
            value.text = None;
        }
    }
    assert_eq!(resolve(&values).unwrap(), with.config);
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file() {
    let file = "slots = 2\nrequests_max = 9\nmemory = '128M'\nbwlimit = 1000\n[s3]\nendpoint = 'http://h:1'\n";
    let mut bench = bench(file, &[HOME, ("AIRLIFT_SLOTS", "3"), ("AIRLIFT_BWLIMIT", "2K")]);
    bench.sources.flags.push(("bwlimit", "--bwlimit", "3K".into()));
    let resolved = load(&bench.sources).unwrap();
    assert_eq!(resolved.config.memory_bytes, 128 << 20);
    assert_eq!(resolved.config.slots, 3);
    assert_eq!(resolved.config.stores.paces.requests_max(), 9);
    assert_eq!(resolved.config.bwlimit, Some(airlift_protocol::units::ByteRate(3 << 10).into()));
    assert_eq!(resolved.config.stores.s3.endpoint.as_deref(), Some("http://h:1"));
    let path = bench.directory.path().join("airlift.toml");
    let origin = |key: &str| {
        let value = resolved.values.iter().find(|value| value.setting.key == key).unwrap();
        value.origin.clone()
    };
    assert_eq!(origin("bwlimit"), Origin::Flag("--bwlimit"));
    assert_eq!(origin("slots"), Origin::Env("AIRLIFT_SLOTS"));
    assert_eq!(origin("memory"), Origin::File(path));
    assert_eq!(origin("links"), Origin::Default);
}

/// The table of the documents has every setting, and the secret that is none.
#[test]
fn the_documents_have_a_row_for_each_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = fs::read_to_string(path).expect("docs/operations.md is there");
    let head = "| key | variable | default | meaning |";
    let (_, table) = text.split_once(head).expect("it has the table");
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    for Setting { key, env, .. } in SETTINGS {
        let names = [format!("`{key}`"), format!("`{env}`")];
        let has_both = |row: &&str| names.iter().all(|name| row.contains(name));
        assert!(rows.iter().any(has_both), "docs/operations.md has no row for {key} and {env}");
    }
    assert!(rows.iter().any(|row| row.contains("`AIRLIFT_TOKEN`")), "nor for the token");
}

#[test]
fn unknown_keys_name_key_file_and_the_nearest_known() {
    let text = error("slot = 1\n", &[HOME]);
    assert!(text.starts_with("unknown key 'slot' in "), "{text}");
    assert!(text.ends_with("airlift.toml: did you mean 'slots'?"), "{text}");
    let text = error("[s3]\nendpont = 'x'\n", &[HOME]);
    assert!(text.contains("did you mean 's3.endpoint'?"), "{text}");
    let text = error("colour = 'red'\n", &[HOME]);
    assert!(text.contains("known are state_dir, bwlimit, "), "{text}");
}

#[test]
fn unknown_variables_are_refused_but_not_those_of_tests() {
    let text = error("", &[HOME, ("AIRLIFT_SLOT", "1")]);
    assert_eq!(text, "unknown environment variable AIRLIFT_SLOT: did you mean 'AIRLIFT_SLOTS'?");
    let fine = [HOME, ("AIRLIFT_TEST_FAULT", "1"), ("AIRLIFT_BWLIMIT", "")];
    assert!(load(&bench("", &fine).sources).is_ok());
}

#[test]
fn wrong_values_name_key_and_origin() {
    for (file, part) in [
        ("slots = 0", "slots = '0' (file "),
        ("requests_max = 0", "requests_max = '0' (file "),
        ("requests_max = 5000", "write a whole number from 1 to 4096"),
        ("slots = true", "is a boolean: write a text or a whole number"),
        ("memory = '1M'", "at least 64.0 MiB are needed"),
        ("bwlimit = 'fast'", "'fast' is not a size"),
        ("links = 'maybe'", "write one of skip, copy, follow"),
        ("[s3]\nendpoint = 'host:9000'", "write a URL such as"),
        ("[s3]\nendpoint = 'http://u:p@h/'", "credentials do not belong"),
        ("[s3]\naddressing = 'x'", "write one of auto, path, virtual"),
        ("[stores.x]\nkind = 's3'\nchecksum = 'sha1'", "write one of crc64nvme, crc32c, md5"),
        ("slots = 1\nslots = 2", "line 2: "),
    ] {
        let text = error(file, &[HOME]);
        assert!(text.contains(part), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_named_file_must_exist_and_a_relative_state_directory_is_beside_it() {
    let missing = error("", &[HOME, ("AIRLIFT_CONFIG", "nowhere.toml")]);
    assert!(missing.ends_with("nowhere.toml does not exist"), "{missing}");
    let mut bench = bench("", &[HOME]);
    let folder = bench.directory.path().join("etc");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x.toml"), "state_dir = 'state'").unwrap();
    bench.sources.file = Some("etc/x.toml".into());
    assert_eq!(load(&bench.sources).unwrap().config.state_dir, folder.join("state"));
}

#[test]
fn without_home_the_state_directory_has_to_be_named() {
    assert!(error("", &[]).contains("give --state-dir DIR"));
    assert!(load(&bench("", &[("AIRLIFT_STATE_DIR", "/x")]).sources).is_ok());
}

#[test]
fn a_cluster_is_read_and_the_command_line_can_undo_it() {
    let text = error("cluster = 'localhost'", &[HOME]);
    assert!(text.starts_with("cluster = 'localhost' (file "), "{text}");
    assert!(text.contains("write URLs such as http://127.0.0.1:7400"), "{text}");
    let mut bench = bench("", &[HOME, ("AIRLIFT_CLUSTER", "http://a:1,http://b:2")]);
    assert_eq!(load(&bench.sources).unwrap().config.cluster.len(), 2);
    bench.sources.flags.push(("cluster", "--cluster", "".into()));
    assert_eq!(load(&bench.sources).unwrap().config.cluster, []);
}

#[test]
fn the_token_is_found_by_precedence_and_never_shown() {
    let mut bench = bench("token_file = 'token'", &[HOME]);
    let beside = bench.directory.path().join("token");
    assert_eq!(load(&bench.sources).unwrap().config.token, Token::File(beside));
    bench.sources.env.insert("AIRLIFT_TOKEN".into(), "secret\n".into());
    let resolved = load(&bench.sources).unwrap();
    assert_eq!(resolved.config.token, Token::Text(Secret::new("secret")));
    assert!(!format!("{resolved:?}").contains("secret\""));
    bench.sources.flags.push(("token_file", "--token-file", "/t".into()));
    assert_eq!(load(&bench.sources).unwrap().config.token, Token::File("/t".into()));
}

#[test]
fn stores_are_read_by_their_kind_and_shown_as_they_are_written() {
    let file = "[stores.backup]\nkind = 'oss'\nregion = 'cn-beijing'\ncredentials = 'env:BACKUP_'\n\
                [stores.lab-1]\nkind = 'minio'\nendpoint = 'http://lab:9000'\ncredentials = 'file:keys'\n";
    let bench = bench(file, &[HOME]);
    let resolved = load(&bench.sources).unwrap();
    let path = bench.directory.path().join("airlift.toml");
    let stores = &resolved.config.stores;
    assert_eq!(stores.file.as_ref(), Some(&path));
    let StoreSettings::S3(provider, oss) = stores.settings("backup").unwrap() else {
        panic!("it speaks S3");
    };
    assert_eq!((provider.scheme, oss.region.as_deref()), ("oss", Some("cn-beijing")));
    assert_eq!(oss.credentials, CredentialSource::Variables("BACKUP_".to_owned()));
    let StoreSettings::S3(_, lab) = stores.settings("lab-1").unwrap() else {
        panic!("it speaks S3");
    };
    assert_eq!(lab.credentials, CredentialSource::File(bench.directory.path().join("keys")));
    let rows: Vec<(&str, &str)> =
        resolved.stores.iter().map(|row| (row.key.as_str(), row.text.as_str())).collect();
    assert_eq!(rows[0], ("stores.backup.credentials", "env:BACKUP_"));
    assert_eq!(rows.len(), 6);
    assert!(resolved.stores.iter().all(|row| row.file == path));
}

#[test]
fn a_file_system_has_two_namenodes_and_a_token() {
    let file = "[stores.lake]\nkind = 'hdfs'\nendpoint = 'https://nn1:9871/'\nstandby = 'https://nn2:9871'\n\
                user = 'etl'\ncredentials = 'file:token'\n";
    let bench = bench(file, &[HOME]);
    let resolved = load(&bench.sources).unwrap();
    let expected = HdfsServer {
        endpoint: "https://nn1:9871".to_owned(),
        standby: Some("https://nn2:9871".to_owned()),
        user: Some("etl".to_owned()),
        credentials: HdfsCredentials::File(bench.directory.path().join("token")),
    };
    let found = resolved.config.stores.settings("lake").unwrap();
    assert_eq!(found, StoreSettings::Hdfs(HdfsPlace::Server(expected)));
}

#[test]
fn stores_that_cannot_be_meant_are_refused_with_the_way_out() {
    for (table, part) in [
        ("[stores.x]\nregion = 'a'", "it has no kind: write one of s3, oss"),
        ("[stores.x]\nkind = 'oos'", "unknown kind 'oos': did you mean 'oss'?"),
        ("[stores.x]\nkind = 's3'\nregoin = 'a'", "unknown key 'regoin': did you mean 'region'?"),
        ("[stores.x]\nkind = 's3'\nsecret_key = 'hush'", "write where it is, as credentials"),
        ("[stores.x]\nkind = 's3'\npassword = 'hush'", "would be a secret in a file"),
        ("[stores.x]\nkind = 's3'\ncredentials = 'hush'", "\"env:PREFIX_\""),
        ("[stores.x]\nkind = 's3'\ncredentials = 'env:a b'", "\"file:/path\""),
        ("[stores.x]\nkind = 's3'\nendpoint = 'host:1'", "endpoint = 'host:1': write a URL"),
        ("[stores.x]\nkind = 's3'\nendpoint = true", "'endpoint' is a boolean"),
        ("[stores.x]\nkind = 'hdfs'", "write the namenode's URL"),
        (
            "[stores.x]\nkind = 'hdfs'\nendpoint = 'http://n'\ncredentials = 'profile:p'",
            "no profiles",
        ),
        ("[stores.s3]\nkind = 's3'", "'s3://' means something already"),
        ("[stores.gs]\nkind = 's3'", "choose another name"),
        ("[stores.Big]\nkind = 's3'", "small letters"),
        ("[stores]\nx = 1", "[stores.x] in "),
        ("stores = 1", "write [stores.NAME]"),
    ] {
        let text = error(table, &[HOME]);
        assert!(text.contains(part), "{text}");
        assert!(text.contains("airlift.toml"), "{text}");
        assert!(!text.contains('\n') && !text.contains("hush"), "{text}");
    }
}
