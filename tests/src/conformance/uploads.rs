//! Properties of uploads: `open_upload`, `upload`, `commit`.

use airlift_node::pipeline::chunk::Payload;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use bytes::Bytes;
use futures::future::join_all;

use super::Place;
use super::fixture::{Large, content, data, find, keys, object, put, verified_chunks};

/// Neither listed nor found before, complete after.
pub async fn an_upload_is_invisible_until_it_is_committed(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "large/object", 1).await;
    let part_bytes = large.upload.part_bytes();
    assert!(part_bytes.is_power_of_two() && part_bytes >= CHUNK_BYTES, "{part_bytes}");
    large.write_all().await;
    assert!(keys(&*store).await.is_empty());
    assert_eq!(find(&*store, "large/object").await, None);
    large.commit(&*store).await;
    assert_eq!(keys(&*store).await, [Key::from("large/object")]);
    assert_eq!(content(&*store, "large/object").await, large.bytes);
    store.clean().await.expect("a clean place");
    assert_eq!(place.leftovers().await, [""; 0]);
}

/// Last part first, then the rest side by side.
pub async fn parts_may_be_written_in_any_order_and_at_once(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "any-order", 2).await;
    let mut parts = large.parts();
    let last = parts.pop().expect("several parts");
    large.write(last).await;
    join_all(parts.into_iter().map(|part| large.write(part))).await;
    large.sync().await;
    large.commit(&*store).await;
    assert_eq!(content(&*store, "any-order").await, large.bytes);
}

/// By another handle, which need not write again what was written and synced.
pub async fn an_upload_is_taken_up_where_it_stopped(place: &dyn Place) {
    let first = place.open().await;
    let mut large = Large::begin(&*first, "taken-up", 3).await;
    let parts = large.parts();
    large.write(parts[1]).await;
    large.sync().await;
    drop(first);

    let second = place.open().await;
    let token = large.token.clone();
    assert!(large.reopen(&*second, Some(&token), None).await, "the upload is still there");
    assert_eq!(large.token, token);
    let present = large.upload.present().await.expect("an answer");
    assert!(
        present.iter().any(|range| range.contains(parts[1])),
        "what was written and synced is there: {present:?}"
    );
    for part in [parts[2], parts[0]] {
        large.write(part).await;
    }
    large.sync().await;
    large.commit(&*second).await;
    assert_eq!(content(&*second, "taken-up").await, large.bytes);
}

/// A token that stands for nothing any more gives an upload of another name, and says so.
pub async fn a_lost_upload_is_begun_anew(place: &dyn Place) {
    let store = place.open().await;
    let mut large = Large::begin(&*store, "anew", 4).await;
    large.write(large.parts()[0]).await;
    large.sync().await;
    large.discard(&*store).await;

    let lost = large.token.clone();
    assert!(!large.reopen(&*store, Some(&lost), None).await, "there is nothing to take up");
    assert_ne!(large.token, lost, "what the journal knows of one is not true of the other");
    large.write_all().await;
    large.commit(&*store).await;
    assert_eq!(content(&*store, "anew").await, large.bytes);
}

/// By whatever is asked of it first, and by the commit.
pub async fn a_lost_upload_is_said_to_be_lost(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "lost", 5).await;
    large.discard(&*store).await;
    let error = match store.upload(&large.object, &large.token).await {
        Err(error) => error,
        Ok(upload) => {
            upload.write(large.chunks(large.parts()[0])).await.expect_err("the upload is gone")
        }
    };
    assert_eq!(error.code, ErrorCode::UploadLost, "{error}");
    let commit = store.commit(&large.object, &large.token, large.root()).await;
    let error = commit.expect_err("nothing was committed");
    assert_eq!(error.code, ErrorCode::UploadLost, "{error}");
    assert!(keys(&*store).await.is_empty());
}

/// As after a crash between the commit and the report of it.
pub async fn a_commit_may_be_repeated(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "twice", 6).await;
    large.write_all().await;
    large.commit(&*store).await;
    large.commit(&*store).await;
    large.commit(&*place.open().await).await;
    assert_eq!(content(&*store, "twice").await, large.bytes);
}

/// Also over bytes that an earlier attempt had written.
pub async fn zeros_of_an_upload_arrive_as_zeros(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "zeros", 7).await;
    let size = large.object.entry.size;
    let parts = large.parts();
    large.write(parts[0]).await;
    let zeros = |part: ByteRange| {
        let payload = |chunk: ByteRange| (chunk.start, Payload::Zero(chunk.len()));
        verified_chunks(size, shard::chunks(part).map(payload))
    };
    for part in [parts[0], parts[1]] {
        large.upload.write(zeros(part)).await.expect("zeros can be written");
    }
    large.write(parts[2]).await;
    large.sync().await;
    let mut expected = vec![0; size as usize];
    let start = parts[2].start as usize;
    expected[start..].copy_from_slice(&large.bytes[start..]);
    let root = Root::of(&expected);
    store.commit(&large.object, &large.token, root).await.expect("a commit");
    assert_eq!(content(&*store, "zeros").await, Bytes::from(expected));
}

/// The object before is whole until then.
pub async fn a_committed_upload_replaces_the_object_before(place: &dyn Place) {
    let store = place.open().await;
    put(&*store, vec![object("replaced", data(8, 5000))]).await;
    let large = Large::begin(&*store, "replaced", 9).await;
    large.write_all().await;
    assert_eq!(content(&*store, "replaced").await, data(8, 5000));
    large.commit(&*store).await;
    assert_eq!(content(&*store, "replaced").await, large.bytes);
}

/// As for what comes from a bucket: how large it is decides nothing about who may read it.
pub async fn bits_that_no_source_says_are_those_of_a_small_object(place: &dyn Place) {
    let store = place.open().await;
    let (mut small, bytes) = object("bits/small", data(10, 10));
    small.attributes.mode = None;
    put(&*store, vec![(small.clone(), bytes)]).await;
    let large = Large::begin_with(&*store, "bits/large", 11, &small.attributes).await;
    large.write_all().await;
    large.commit(&*store).await;
    let mut modes = Vec::new();
    for key in ["bits/small", "bits/large"] {
        let info = store.stat(&Key::from(key)).await.expect("an answer").expect("the object");
        modes.push(info.attributes.mode);
    }
    assert_eq!(modes[0], modes[1], "{modes:?}");
}
