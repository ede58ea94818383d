//! From cloud to cloud: files to Azure, to Google, to S3 and back, through the binary.

use airlift_tests::airlift::Airlift;
use airlift_tests::azurite::Azurite;
use airlift_tests::gcs::GcsEmulator;
use airlift_tests::s3::S3Server;
use airlift_tests::tree;
use tokio::runtime::Runtime;

/// Attributes that all three stores keep, as the first one is given them.
const HEADERS: [(&str, &str); 7] = [
    ("x-ms-blob-content-type", "text/x-travels"),
    ("x-ms-blob-content-encoding", "identity"),
    ("x-ms-blob-content-disposition", "attachment"),
    ("x-ms-blob-content-language", "de"),
    ("x-ms-blob-cache-control", "no-cache"),
    ("x-ms-meta-owner", "tests"),
    ("x-ms-meta-with_x002d_dash", "=?UTF-8?B?Wm/Dqw==?="),
];

#[test]
fn files_go_through_three_clouds_and_come_back_the_same() {
    let runtime = Runtime::new().unwrap();
    let (Some(azure), Some(google)) = (Azurite::shared(), GcsEmulator::shared()) else { return };
    let s3 = S3Server::with_bucket("bucket");
    let (container, bucket) =
        runtime.block_on(async { (azure.new_container().await, google.new_bucket().await) });
    let variables = azure.environment().into_iter().chain(google.environment());
    let airlift = variables.fold(Airlift::new().with_s3(s3.access()), |airlift, (name, value)| {
        airlift.with_variable(name, &value)
    });
    let (source, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..60u64 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, i as usize * 397));
    }
    tree::write(source.path(), "large", &tree::noise(7, (36 << 20) + 5));
    for name in ["percent%2F and+plus", " blank", "caf\u{e9}", "cafe\u{301}", "#?&=;:@"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    std::fs::create_dir(source.path().join("hollow")).unwrap();
    let stations = [
        source.path().to_str().unwrap().to_owned(),
        format!("az://{container}/a"),
        format!("gs://{bucket}/g"),
        "s3://bucket/s".to_owned(),
        back.path().to_str().unwrap().to_owned(),
    ];
    for way in stations.windows(2) {
        let moved = airlift.run(["cp", &way[0], &way[1], "--json"]).expect(0).json();
        assert_eq!(moved["objects"]["done"], 67, "{way:?}: {moved}");
        let again = airlift.run(["cp", &way[0], &way[1], "--json"]).expect(0).json();
        assert_eq!(again["objects"]["unchanged"], 67, "{way:?}: {again}");
    }
    let _ = airlift.run(["verify", &stations[1], &stations[3]]).expect(0);
    assert_eq!(tree::read(source.path()), tree::read(back.path()), "bytes, times and modes");

    // What a blob carries beside its bytes, small and large.
    let put = async {
        for (name, size) in [("x/small", 100), ("x/large", 20 << 20)] {
            azure.put(&format!("{container}/{name}"), &HEADERS, tree::noise(1, size)).await;
        }
    };
    runtime.block_on(put);
    for (from, to) in [
        (format!("az://{container}/x"), format!("gs://{bucket}/x")),
        (format!("gs://{bucket}/x"), "s3://bucket/x".to_owned()),
    ] {
        let _ = airlift.run(["cp", &from, &to]).expect(0);
    }
    for key in ["x/small", "x/large"] {
        let head = s3.access().client().head_object().bucket("bucket").key(key);
        let head = runtime.block_on(head.send()).expect("the object");
        assert_eq!(head.content_type(), Some("text/x-travels"), "{key}");
        assert_eq!(head.content_encoding(), Some("identity"), "{key}");
        assert_eq!(head.content_disposition(), Some("attachment"), "{key}");
        assert_eq!(head.content_language(), Some("de"), "{key}");
        assert_eq!(head.cache_control(), Some("no-cache"), "{key}");
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata.get("owner").map(String::as_str), Some("tests"), "{key}");
        let value = metadata.get("with-dash").map(String::as_str);
        assert_eq!(value, Some("=?UTF-8?B?Wm/Dqw==?="), "{key}");
    }
}
