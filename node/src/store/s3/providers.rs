//! The profiles: one entry a service, each fact with the page of the service that it is taken from.
//!
//! What an entry does not name is as at AWS, the first one. Where documents of a service do not say
//! whether it takes the newer checksum headers, `Content-MD5` stands, which all take and check. None
//! of this was tried against the services themselves.

use super::Checksums;
use super::provider::{
    Counts, Credentials, Endpoint, KeyRules, Limits, Preferred, Provider, Region, Styles,
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html: parts of 5 MiB to 5 GiB, 10,000 of them,
/// objects of 48.8 TiB.
const LIMITS: Limits = Limits {
    part_bytes_min: 5 * MIB,
    part_bytes_max: 5 * GIB,
    parts_max: 10_000,
    object_bytes_max: 10_000 * 5 * GIB,
};

/// docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: 1,024 bytes of UTF-8.
const KEYS: KeyRules = KeyRules {
    bytes_max: 1024,
    not_first: &[],
    not_within: &[],
    not_characters: &[],
    not_whole: &[],
    not_segments: &[],
    is_composed: false,
};

const S3: Provider = Provider {
    scheme: "s3",
    name: "Amazon S3",
    endpoint: Endpoint::Aws,
    region: Region::Aws,
    // docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    addressing: Styles::Auto,
    // docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    // It adds there that CRC64-NVME is of the full object, in parts too; what a server behind another
    // endpoint has is not known, and CRC32C is the older one.
    checksums: Preferred::ByEndpoint(Checksums::Crc64Nvme, Checksums::Crc32c),
    crc64_header: None,
    limits: LIMITS,
    keys: KEYS,
    // docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html: at least 3,500 writes and
    // 5,500 reads a second for each partitioned prefix.
    counts: Counts::ByPrefix,
    // The chain of the AWS tools, which is asked in any case.
    credentials: &[],
    notes: "also any server that speaks S3, with `AWS_ENDPOINT_URL`",
};

/// Every profile, that of AWS first.
pub const PROVIDERS: &[Provider] = &[
    S3,
    Provider {
        scheme: "oss",
        name: "Alibaba Cloud OSS",
        // help.aliyun.com/en/oss/developer-reference/use-aws-sdks-to-access-oss
        endpoint: Endpoint::Pattern("https://s3.oss-{region}.aliyuncs.com"),
        region: Region::Variables(&["OSS_REGION", "ALIBABA_CLOUD_REGION_ID"]),
        // www.alibabacloud.com/help/en/oss/developer-reference/compatibility-with-amazon-s3: requests
        // with the bucket in the path are denied.
        addressing: Styles::Virtual,
        // The same page names no checksum header of S3.
        checksums: Preferred::Always(Checksums::Md5),
        // alibabacloud.com/help/doc-detail/43394.htm: a CRC-64/XZ of each object, whole or in parts, as
        // an attribute of its own; that requests of S3 are answered with it too is not said, and where
        // it is not there, an object in parts is read back.
        crc64_header: Some("x-oss-hash-crc64ecma"),
        // www.alibabacloud.com/help/doc-detail/54464.htm: objects of 48.8 TB, in parts of at most 5 GB
        // (doc-detail/31850.htm: at least 100 KB).
        limits: Limits { part_bytes_min: 100 << 10, ..LIMITS },
        // www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions
        keys: KeyRules { bytes_max: 1023, not_first: &["/", "\\"], ..KEYS },
        counts: Counts::ByBucket,
        // alibabacloud.com/help/en/oss/developer-reference/oss-java-configure-access-credentials;
        // the second set is that of the general SDKs of the service.
        credentials: &[
            Credentials {
                id: "OSS_ACCESS_KEY_ID",
                secret: "OSS_ACCESS_KEY_SECRET",
                token: Some("OSS_SESSION_TOKEN"),
            },
            Credentials {
                id: "ALIBABA_CLOUD_ACCESS_KEY_ID",
                secret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                token: Some("ALIBABA_CLOUD_SECURITY_TOKEN"),
            },
        ],
        notes: "an object in parts is held to its CRC64, or read back where the service does not say it",
    },
    Provider {
        scheme: "cos",
        name: "Tencent COS",
        // www.tencentcloud.com/document/product/436/34688 (the AWS S3 SDK with COS)
        endpoint: Endpoint::Pattern("https://cos.{region}.myqcloud.com"),
        region: Region::Variables(&["COS_REGION", "TENCENTCLOUD_REGION"]),
        // The same page: buckets are named in the host.
        addressing: Styles::Virtual,
        checksums: Preferred::Always(Checksums::Md5),
        // www.tencentcloud.com/document/product/436/45260: of each object, whole or in parts, by the
        // polynomial of ECMA-182; cloud.tencent.com/document/product/436/40334 computes it reflected and
        // inverted, which is CRC-64/XZ.
        crc64_header: Some("x-cos-hash-crc64ecma"),
        // intl.cloud.tencent.com/document/product/436/13324: 10,000 parts of less than 5 GB, 48.82 TB;
        // www.tencentcloud.com/document/product/436/14518: parts of 1 MB and more.
        limits: Limits { part_bytes_min: MIB, part_bytes_max: 4 * GIB, ..LIMITS },
        // www.tencentcloud.com/document/product/436/13324: 850 bytes, not beginning with `/` or `\`,
        // no CAN, EM, SUB and ESC.
        keys: KeyRules {
            bytes_max: 850,
            not_first: &["/", "\\"],
            not_characters: &[('\u{18}', '\u{1b}')],
            ..KEYS
        },
        counts: Counts::ByBucket,
        credentials: &[
            Credentials {
                id: "COS_SECRET_ID",
                secret: "COS_SECRET_KEY",
                token: Some("COS_SESSION_TOKEN"),
            },
            Credentials {
                id: "TENCENTCLOUD_SECRET_ID",
                secret: "TENCENTCLOUD_SECRET_KEY",
                token: Some("TENCENTCLOUD_SESSION_TOKEN"),
            },
        ],
        notes: "bucket names end in the number of the account (`name-1250000000`); CRC64 as at OSS",
    },
    Provider {
        scheme: "obs",
        name: "Huawei Cloud OBS",
        // developer.huaweicloud.com/intl/en-us/endpoint (OBS)
        endpoint: Endpoint::Pattern("https://obs.{region}.myhuaweicloud.com"),
        region: Region::Variables(&["OBS_REGION", "HUAWEICLOUD_REGION"]),
        addressing: Styles::Virtual,
        checksums: Preferred::Always(Checksums::Md5),
        // support.huaweicloud.com/intl/en-us/productdesc-obs/obs_03_0360.html: 48.8 TB in parts;
        // .../api-obs/obs_04_0099.html: parts of 100 KB to 5 GB, 10,000 of them.
        limits: Limits { part_bytes_min: 100 << 10, ..LIMITS },
        counts: Counts::ByBucket,
        credentials: &[
            Credentials {
                id: "OBS_ACCESS_KEY_ID",
                secret: "OBS_SECRET_ACCESS_KEY",
                token: Some("OBS_SECURITY_TOKEN"),
            },
            Credentials {
                id: "HUAWEICLOUD_SDK_AK",
                secret: "HUAWEICLOUD_SDK_SK",
                token: Some("HUAWEICLOUD_SDK_SECURITY_TOKEN"),
            },
        ],
        notes: "",
        ..S3
    },
    Provider {
        scheme: "r2",
        name: "Cloudflare R2",
        // developers.cloudflare.com/r2/api/s3/api: the URL, the region, and which checksums it takes
        // (CRC32C, composed of the parts).
        endpoint: Endpoint::Pattern("https://{account}.r2.cloudflarestorage.com"),
        region: Region::Fixed("auto"),
        addressing: Styles::Path,
        checksums: Preferred::Always(Checksums::Crc32c),
        crc64_header: None,
        // developers.cloudflare.com/r2/platform/limits: 10,000 parts, 4.995 TiB in all.
        limits: Limits { object_bytes_max: 5 * TIB - 5 * GIB, ..LIMITS },
        // The same page: 1,024 bytes; developers.cloudflare.com/r2/reference/unicode-interoperability:
        // keys are stored in NFC.
        keys: KeyRules { is_composed: true, ..KEYS },
        counts: Counts::ByBucket,
        credentials: &[Credentials {
            id: "R2_ACCESS_KEY_ID",
            secret: "R2_SECRET_ACCESS_KEY",
            token: None,
        }],
        notes: "`CLOUDFLARE_ACCOUNT_ID` or `account` names the account",
    },
    Provider {
        scheme: "minio",
        name: "MinIO",
        endpoint: Endpoint::Own,
        addressing: Styles::Path,
        // Only releases of 2025 and later have CRC64-NVME.
        checksums: Preferred::Always(Checksums::Crc32c),
        // min.io/docs/minio/linux/operations/concepts/thresholds.html: 10,000 parts of 5 MiB to 5 GiB.
        // Keys are paths there: the server refuses those that cannot be one.
        keys: KeyRules {
            not_first: &["/"],
            not_within: &["//"],
            not_segments: &[".", ".."],
            ..KEYS
        },
        counts: Counts::ByBucket,
        credentials: &[
            Credentials { id: "MINIO_ACCESS_KEY", secret: "MINIO_SECRET_KEY", token: None },
            Credentials { id: "MINIO_ROOT_USER", secret: "MINIO_ROOT_PASSWORD", token: None },
        ],
        notes: "keys that cannot be paths (`a//b`, `/a`, `a/../b`) are refused",
        ..S3
    },
    Provider {
        scheme: "ceph",
        name: "Ceph Object Gateway",
        // docs.ceph.com/en/latest/radosgw/s3: a gateway of one's own, and no checksum header named.
        endpoint: Endpoint::Own,
        addressing: Styles::Path,
        checksums: Preferred::Always(Checksums::Md5),
        // docs.ceph.com/en/latest/radosgw/config-ref (rgw_max_put_size, rgw_multipart_part_upload_limit):
        // 5 GiB a part, 10,000 parts.
        counts: Counts::ByBucket,
        notes: "",
        ..S3
    },
    Provider {
        scheme: "b2",
        name: "Backblaze B2",
        // www.backblaze.com/apidocs/introduction-to-the-s3-compatible-api
        endpoint: Endpoint::Pattern("https://s3.{region}.backblazeb2.com"),
        region: Region::Variables(&["B2_REGION"]),
        addressing: Styles::Path,
        checksums: Preferred::Always(Checksums::Md5),
        crc64_header: None,
        // www.backblaze.com/docs/cloud-storage-large-files: 10,000 parts of 5 MB to 5 GB, 10 TB in all.
        limits: Limits { part_bytes_max: 4 * GIB, object_bytes_max: 10_000_000_000_000, ..LIMITS },
        // www.backblaze.com/docs/cloud-storage-files: no character below 32, no DEL, no backslash, no
        // `//`, no `/` at the begin. That names cannot end in `/` either is said of its other API.
        keys: KeyRules {
            not_first: &["/"],
            not_within: &["//", "\\"],
            not_characters: &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
            ..KEYS
        },
        counts: Counts::ByBucket,
        // www.backblaze.com/docs/cloud-storage-command-line-tools
        credentials: &[Credentials {
            id: "B2_APPLICATION_KEY_ID",
            secret: "B2_APPLICATION_KEY",
            token: None,
        }],
        notes: "the region is part of the endpoint that the console shows for the bucket",
    },
    Provider {
        scheme: "wasabi",
        name: "Wasabi",
        // docs.wasabi.com/docs/what-are-the-service-urls-for-wasabi-s-different-storage-regions
        endpoint: Endpoint::Pattern("https://s3.{region}.wasabisys.com"),
        region: Region::Variables(&["WASABI_REGION"]),
        // docs.wasabi.com/docs/rest-api-introduction: the path is recommended.
        addressing: Styles::Path,
        // The same page names `Content-MD5` and no other.
        checksums: Preferred::Always(Checksums::Md5),
        // The same guide: objects of at most 5 TB.
        limits: Limits { object_bytes_max: 5_000_000_000_000, ..LIMITS },
        counts: Counts::ByBucket,
        credentials: &[Credentials {
            id: "WASABI_ACCESS_KEY_ID",
            secret: "WASABI_SECRET_ACCESS_KEY",
            token: None,
        }],
        notes: "",
        ..S3
    },
    Provider {
        scheme: "gcs-s3",
        name: "Google Cloud Storage (XML API)",
        // cloud.google.com/storage/docs/interoperability
        endpoint: Endpoint::Pattern("https://storage.googleapis.com"),
        region: Region::Fixed("auto"),
        addressing: Styles::Path,
        // cloud.google.com/storage/docs/xml-api/reference-headers: `Content-MD5`.
        checksums: Preferred::Always(Checksums::Md5),
        crc64_header: None,
        // cloud.google.com/storage/quotas: 10,000 parts of 5 MiB to 5 GiB, objects of 5 TiB.
        limits: Limits { object_bytes_max: 5 * TIB, ..LIMITS },
        // cloud.google.com/storage/docs/objects#naming
        keys: KeyRules {
            not_first: &[".well-known/acme-challenge/"],
            not_characters: &[('\n', '\n'), ('\r', '\r')],
            not_whole: &[".", ".."],
            ..KEYS
        },
        counts: Counts::ByBucket,
        credentials: &[Credentials {
            id: "GS_ACCESS_KEY_ID",
            secret: "GS_SECRET_ACCESS_KEY",
            token: None,
        }],
        notes: "needs an HMAC key of a service account; an object in parts is read back",
    },
];
