//! Properties of `put_small` and `check_key`.

use std::collections::BTreeMap;

use airlift_node::store::{Access, Acl, AttributeKind, AttributeSet, Attributes, MtimeStep, Store};
use airlift_protocol::attributes::{Grant, Grantee, Right};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use bytes::Bytes;

use super::Place;
use super::fixture::{
    Large, MTIME_NS, content, data, entry, keys, marker, object, put, read_small,
};

/// Longer, shorter and of the same size.
pub async fn an_object_replaces_the_one_before(place: &dyn Place) {
    let store = place.open().await;
    for (seed, size) in [(1, 1000), (2, 3000), (3, 3000), (4, 0), (5, 10)] {
        put(&*store, vec![object("replaced/again", data(seed, size))]).await;
        assert_eq!(content(&*store, "replaced/again").await, data(seed, size));
    }
    assert_eq!(keys(&*store).await, [Key::from("replaced/again")]);
}

/// The others of the batch arrive, and the one that cannot is the one that is named.
pub async fn an_error_of_one_object_spares_the_others(place: &dyn Place) {
    let store = place.open().await;
    let objects = vec![
        object("first", data(1, 10)),
        marker("second", Kind::Special),
        object("third", data(3, 10)),
    ];
    let results = store.put_small(objects).await;
    let arrived: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(arrived, [true, false, true], "{results:?}");
    assert_eq!(keys(&*store).await, [Key::from("first"), Key::from("third")]);
}

/// Keys that tools are known to lose, join or rewrite.
fn odd_keys() -> Vec<Vec<u8>> {
    let texts = [
        "a//b",
        "//",
        "/leading",
        "trailing/",
        "./here",
        "up/../there",
        "..",
        ".",
        "dot/./dot",
        " ",
        " leading blank",
        "trailing blank ",
        "in side",
        "tab\there",
        "new\nline",
        "cr\rhere",
        "bell\u{7}",
        "%2F",
        "100%",
        "a+b",
        "a b+c%20d",
        "quote\"double",
        "quote'single",
        "back\\slash",
        "<angle>&amp;",
        "caf\u{e9}",
        "cafe\u{301}",
        "emoji-\u{1f680}",
        "\u{202e}rtl",
        "UPPER",
        "upper",
        "#hash",
        "question?mark",
        "star*",
        "semi;colon",
        "colon:here",
        "pipe|here",
        "~tilde",
        "$dollar",
        "dir.with.dots/file",
        "-dash",
        "--",
        "deep/er/and/deep/er",
        "null\u{0}",
        "\u{feff}bom",
        "a=b&c=d",
        "[bracket]",
        "{brace}",
        "@at",
        "`tick`",
        "!bang",
        "^",
        ",",
        "con",
    ];
    let mut keys: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    keys.push(b"latin-\xe9".to_vec());
    keys.push(b"\xff\xfe\xfd".to_vec());
    keys.push([vec![b'x'; 255], vec![b'y'; 255], vec![b'z'; 200]].join(&b'/'));
    keys.push(vec![b'n'; 256]);
    keys.push([vec![b'p'; 250], vec![b'q'; 250], vec![b'r'; 250], vec![b's'; 271]].join(&b'/'));
    keys
}

/// A key that the store says it can hold arrives byte for byte, and nothing else does.
pub async fn odd_keys_arrive_exactly_or_are_named(place: &dyn Place) {
    let store = place.open().await;
    let mut expected: BTreeMap<Key, Bytes> = BTreeMap::new();
    let mut objects = Vec::new();
    let odd_keys = odd_keys().into_iter().filter(|key| !place.refuses(&Key::new(key.clone())));
    for (number, key) in odd_keys.enumerate() {
        let bytes = data(number as u64, 20 + number as u64);
        let (new, verified) = object(Key::new(key), bytes.clone());
        match store.check_key(&new.entry) {
            Some(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
            None => {
                expected.insert(new.entry.key.clone(), bytes);
                objects.push((new, verified));
            }
        }
    }
    assert!(expected.len() >= 35, "only {} keys can be held", expected.len());
    objects.sort_by(|(one, _), (other, _)| one.entry.key.cmp(&other.entry.key));
    put(&*store, objects).await;
    assert_eq!(keys(&*store).await, expected.keys().cloned().collect::<Vec<_>>());
    for (key, bytes) in expected {
        assert_eq!(content(&*store, key.clone()).await, bytes, "{key}");
    }
}

/// An empty directory is a zero-byte marker elsewhere.
pub async fn a_directory_marker_comes_back_as_one(place: &dyn Place) {
    let store = place.open().await;
    let objects = vec![
        object("before", data(1, 10)),
        marker("empty/", Kind::Directory),
        marker("nested/empty/", Kind::Directory),
    ];
    put(&*store, objects).await;
    let expected = ["before", "empty/", "nested/empty/"].map(Key::from);
    assert_eq!(keys(&*store).await, expected);
    for key in ["empty/", "nested/empty/"] {
        let entry = entry(&*store, key).await;
        assert_eq!((entry.kind, entry.size), (Kind::Directory, 0));
    }
    put(&*store, vec![marker("empty/", Kind::Directory)]).await;
}

/// With the same text, wherever it points.
pub async fn links_come_back_where_the_store_keeps_them(place: &dyn Place) {
    let store = place.open().await;
    if !store.capabilities().symlinks {
        return;
    }
    let link = |text: &[u8]| Kind::Symlink(text.to_vec());
    for text in [&b"../outside"[..], b"/etc/passwd", b"file", b"not\xffutf8"] {
        put(&*store, vec![object("links/file", data(1, 9)), marker("links/link", link(text))])
            .await;
        let found = entry(&*store, "links/link").await;
        assert_eq!((found.kind.clone(), found.size), (link(text), 0));
        let (bytes, _) = read_small(&*store, vec![found]).await.remove(0).expect("a link is there");
        assert!(bytes.is_empty(), "a link has no bytes of its own");
        assert_eq!(content(&*store, "links/file").await, data(1, 9));
    }
}

/// To the step that the store claims, and to the bit.
pub async fn times_and_modes_are_kept_where_the_store_keeps_them(place: &dyn Place) {
    let store = place.open().await;
    if !store.capabilities().keeps_mtime {
        return;
    }
    let step = store.mtime_step(Access::Write).await.expect("an answer");
    let kept = Some(step.kept(MTIME_NS));
    let modes = [0o640, 0o444, 0o777, 0o600];
    let named = |&mode: &u32| {
        let (mut new, verified) = object(format!("mode/{mode:o}").as_str(), data(1, 10));
        new.attributes.mode = Some(mode);
        (new, verified)
    };
    put(&*store, modes.iter().map(named).collect()).await;
    for mode in modes {
        let key = Key::from(format!("mode/{mode:o}").as_str());
        let info = store.stat(&key).await.expect("an answer").expect("the object is there");
        assert_eq!(info.entry.mtime_ns, kept);
        assert_eq!(info.attributes.mtime_ns, kept);
        assert_eq!(info.attributes.mode, Some(mode));
    }
}

/// One of everything that a store says it keeps, on a small object and on one of many parts.
pub async fn whatever_the_store_keeps_comes_back(place: &dyn Place) {
    let store = place.open().await;
    let keeps = store.capabilities().keeps.without(place.forgets());
    let step = store.mtime_step(Access::Write).await.expect("an answer");
    let carried = attributes(&*store, keeps, step);
    assert_eq!(carried.kinds(), keeps, "there is one of everything");
    let (mut small, bytes) = object("carries/small", data(1, 10));
    small.attributes = carried.clone();
    put(&*store, vec![(small, bytes)]).await;
    let large = Large::begin_with(&*store, "carries/large", 2, &carried).await;
    large.write_all().await;
    large.commit(&*store).await;
    for key in ["carries/small", "carries/large"] {
        let info = store.stat(&Key::from(key)).await.expect("an answer").expect("the object");
        let mut held = info.attributes;
        if !keeps.contains(AttributeKind::Mtime) {
            held.mtime_ns = None;
        }
        assert_eq!(held, carried, "{key}");
        let listed = read_small(&*store, vec![info.entry]).await.remove(0);
        let (_, mut read) = listed.expect("the object can be read");
        if !keeps.contains(AttributeKind::Mtime) {
            read.mtime_ns = None;
        }
        assert_eq!(read, carried, "{key} as it is read");
    }
}

/// Attributes of the kinds in `keeps`, none of which every store gives by itself.
fn attributes(store: &dyn Store, keeps: AttributeSet, step: MtimeStep) -> Attributes {
    let text = |kind, text: &str| keeps.contains(kind).then(|| text.to_owned());
    let pairs = |kind, pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter().filter(|_| keeps.contains(kind));
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let unicode = Attributes {
        tags: pairs(AttributeKind::Tags, &[("team", "Z\u{fc}rich 1"), ("empty", "")]),
        ..Attributes::default()
    };
    let everybody = Grantee::Group("http://acs.amazonaws.com/groups/global/AllUsers".to_owned());
    let class = store.capabilities().classes.nearest("STANDARD_IA");
    let is_file = keeps.contains(AttributeKind::Mode);
    Attributes {
        content_type: text(AttributeKind::ContentType, "text/x-test; charset=utf-8"),
        // What an emulator does not take for its own to undo.
        content_encoding: text(AttributeKind::ContentEncoding, "br"),
        content_disposition: text(AttributeKind::ContentDisposition, "attachment; filename=\"x\""),
        content_language: text(AttributeKind::ContentLanguage, "de"),
        cache_control: text(AttributeKind::CacheControl, "max-age=60"),
        metadata: pairs(
            AttributeKind::Metadata,
            &[("plain", "a b"), ("with-dash", "x"), ("accents", "Zo\u{eb}")],
        ),
        tags: match store.holds(&unicode).contains(AttributeKind::Tags) {
            true => unicode.tags,
            false => pairs(AttributeKind::Tags, &[("team", "a+b 1"), ("empty", "")]),
        },
        storage_class: class
            .filter(|_| keeps.contains(AttributeKind::StorageClass))
            .map(str::to_owned),
        mtime_ns: keeps.contains(AttributeKind::Mtime).then_some(step.kept(MTIME_NS)),
        mode: is_file.then_some(0o640),
        source_fingerprint: None,
        acl: keeps
            .contains(AttributeKind::Acl)
            .then(|| Acl::Grants(vec![Grant { grantee: everybody, right: Right::Read }])),
    }
}
