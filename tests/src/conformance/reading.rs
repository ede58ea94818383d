//! Properties of `read_small`, `read_range` and `stat`.

use airlift_node::pipeline::chunk::Payload;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::Kind;
use airlift_protocol::units::ByteRange;
use bytes::Bytes;

use super::Place;
use super::fixture::{
    content, data, entry, new_object, object, put, read, read_range, read_small, verified,
};

/// Bytes, size and description, from nothing to several chunks.
pub async fn small_objects_come_back_as_they_were_put(place: &dyn Place) {
    let store = place.open().await;
    let sizes = [0, 1, 4095, 4096, 65_537, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
    let named = |&size: &u64| (format!("size/{size:08}"), data(size, size));
    let contents: Vec<(String, Bytes)> = sizes.iter().map(named).collect();
    let objects = contents.iter().map(|(name, bytes)| object(name.as_str(), bytes.clone()));
    put(&*place.writer().await, objects.collect()).await;
    let mut entries = Vec::new();
    for (name, bytes) in &contents {
        let entry = entry(&*store, name.as_str()).await;
        assert_eq!((entry.size, &entry.kind), (bytes.len() as u64, &Kind::Object), "{name}");
        let info = store.stat(&entry.key).await.expect("the object has a description");
        assert_eq!(info.expect("the object is there").entry, entry);
        assert_eq!(read(&*store, &entry).await.expect("the object can be read"), bytes, "{name}");
        entries.push(entry);
    }
    for ((name, bytes), result) in contents.iter().zip(read_small(&*store, entries).await) {
        assert_eq!(result.expect("the object can be read").0, bytes, "{name}");
    }
    let nothing = store.stat(&Key::from("size/none")).await.expect("an answer");
    assert_eq!(nothing, None);
}

/// Any range that begins at a chunk.
pub async fn ranges_come_chunk_by_chunk(place: &dyn Place) {
    let store = place.open().await;
    let size = 3 * CHUNK_BYTES + 77;
    let bytes = data(1, size);
    put(&*place.writer().await, vec![object("ranged", bytes.clone())]).await;
    let entry = entry(&*store, "ranged").await;
    for (start, end) in [
        (0, size),
        (0, CHUNK_BYTES),
        (0, 1),
        (CHUNK_BYTES, 3 * CHUNK_BYTES),
        (2 * CHUNK_BYTES, size),
        (3 * CHUNK_BYTES, size),
        (CHUNK_BYTES, CHUNK_BYTES + 9),
    ] {
        let range = ByteRange::new(start, end);
        let read = read_range(&*store, &entry, range).await.expect("the range can be read");
        assert_eq!(read, bytes.slice(start as usize..end as usize), "{range:?}");
    }
}

/// Reads are pinned: other bytes of the same size are not taken for those that were listed.
pub async fn an_object_that_changed_is_not_read_as_the_listed_one(place: &dyn Place) {
    let store = place.open().await;
    put(
        &*place.writer().await,
        vec![object("changes", data(1, 5000)), object("stays", data(2, 5000))],
    )
    .await;
    let listed = entry(&*store, "changes").await;
    let stays = entry(&*store, "stays").await;
    for other in [data(3, 5000), data(4, 4000), data(5, 6000)] {
        place.overwrite(&listed.key, &other).await;
        let error = read(&*store, &listed).await.expect_err("the object changed");
        assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
        let mut results = read_small(&*store, vec![listed.clone(), stays.clone()]).await;
        let (bytes, _) = results.remove(1).expect("the other object did not change");
        assert_eq!(bytes, data(2, 5000));
        let error = results.remove(0).expect_err("the object changed");
        assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
        assert_eq!(content(&*store, "changes").await, other, "listed again, it can be read");
    }
}

/// Neither panics nor spoils the rest of the batch.
pub async fn an_object_that_is_gone_is_an_error_of_its_own(place: &dyn Place) {
    let store = place.open().await;
    put(&*place.writer().await, vec![object("goes", data(1, 100)), object("stays", data(2, 100))])
        .await;
    let goes = entry(&*store, "goes").await;
    let stays = entry(&*store, "stays").await;
    let writer = place.writer().await;
    for result in writer.delete(vec![entry(&*writer, "goes").await]).await {
        result.expect("an object can be deleted");
    }
    let gone = [ErrorCode::NotFound, ErrorCode::SourceChanged];
    let mut results = read_small(&*store, vec![goes.clone(), stays]).await;
    results.remove(1).expect("the other object is there");
    let error = results.remove(0).expect_err("the object is gone");
    assert!(gone.contains(&error.code), "{error:?}");
    let error = read(&*store, &goes).await.expect_err("the object is gone");
    assert!(gone.contains(&error.code), "{error:?}");
}

/// However the store keeps them.
pub async fn zeros_come_back_as_zeros(place: &dyn Place) {
    let store = place.open().await;
    let sizes = [1, 4096, 2 * CHUNK_BYTES + 9];
    let zeros = |&size: &u64| {
        let key = format!("zeros/{size}");
        (new_object(key.as_str(), Kind::Object, size), verified(Payload::Zero(size)))
    };
    put(&*place.writer().await, sizes.iter().map(zeros).collect()).await;
    for size in sizes {
        let entry = entry(&*store, format!("zeros/{size}").as_str()).await;
        assert_eq!(entry.size, size);
        let expected = vec![0; size as usize];
        assert_eq!(read(&*store, &entry).await.expect("zeros can be read"), expected);
        let (bytes, _) = read_small(&*store, vec![entry]).await.remove(0).expect("zeros");
        assert_eq!(bytes, expected);
    }
}
