//! What stands between the protocol and the files: which key is kept under which file name, and
//! what `s3s-fs` leaves out (ETags and url encoding in listings, `If-Match`, listing uploads).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
    CopyObjectResult, CopyPartResult, CopySource, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, EncodingType,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, MultipartUpload, Object, Part,
    PutObjectInput, PutObjectOutput, Range, Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use super::listings::{Answered, Listings};
use super::sums;

/// An S3 service that keeps every key.
#[derive(Clone)]
pub(super) struct Ledger {
    files: Arc<FileSystem>,
    root: PathBuf,
    books: Arc<Mutex<Books>>,
    /// Requests for the bytes of an object.
    gets: Arc<AtomicU64>,
    /// Held while an upload ends: who asks for the same end meanwhile finds it ended.
    ending: Arc<tokio::sync::Mutex<()>>,
    /// The header in which the CRC64-XZ of an object is said.
    crc64_header: Arc<OnceLock<&'static str>>,
    damages: Arc<AtomicBool>,
    spoils: Arc<AtomicBool>,
    pub(super) listings: Listings,
}

#[derive(Debug, Default)]
struct Books {
    buckets: BTreeMap<String, BTreeMap<String, Kept>>,
    uploads: BTreeMap<String, Begun>,
    names_given: u64,
}

/// An object: the name of its file, and its description as of the write.
#[derive(Clone, Debug)]
struct Kept {
    name: String,
    size: Option<i64>,
    etag: Option<ETag>,
    last_modified: Option<Timestamp>,
    /// Bytes of its first part, when it was put together.
    first_part: Option<i64>,
    /// Its CRC64-NVME, when it was uploaded in parts with one.
    crc64: Option<String>,
}

/// An upload that is not committed.
#[derive(Clone, Debug)]
struct Begun {
    bucket: String,
    key: String,
    name: String,
    initiated: Timestamp,
    parts: BTreeMap<i32, HeldPart>,
    /// Whether it is to have a CRC64-NVME of all bytes.
    has_crc64: bool,
}

/// A part of an upload.
#[derive(Clone, Debug)]
struct HeldPart {
    size: Option<i64>,
    etag: Option<ETag>,
    crc64: Option<String>,
}

/// Flips a bit of a file.
pub(super) fn flip(path: &Path) -> std::io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    std::fs::write(path, bytes)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Ledger {
    pub(super) fn new(root: &Path) -> Self {
        let files = FileSystem::new(root).expect("a directory that exists");
        Self {
            files: Arc::new(files),
            root: root.to_owned(),
            books: Arc::default(),
            gets: Arc::default(),
            ending: Arc::default(),
            crc64_header: Arc::default(),
            damages: Arc::default(),
            spoils: Arc::default(),
            listings: Listings::default(),
        }
    }

    pub(super) fn say_crc64(&self, header: &'static str) {
        self.crc64_header.set(header).expect("one header");
    }

    pub(super) fn damage_what_is_assembled(&self) {
        self.damages.store(true, Ordering::Relaxed);
    }

    pub(super) fn spoil_what_is_assembled(&self) {
        self.spoils.store(true, Ordering::Relaxed);
    }

    /// Has a bucket name objects of one byte of which there is nothing else: enough to be listed.
    pub(super) fn name(&self, bucket: &str, keys: impl IntoIterator<Item = String>) {
        let now = Timestamp::from(SystemTime::now());
        let etag = Some(ETag::Strong("0cc175b9c0f1b6a831c399e269772661".to_owned()));
        let kept = Kept {
            name: String::new(),
            size: Some(1),
            etag,
            last_modified: Some(now),
            first_part: None,
            crc64: None,
        };
        let named = keys.into_iter().map(|key| (key, kept.clone()));
        self.books().buckets.entry(bucket.to_owned()).or_default().extend(named);
    }

    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        let books = self.books();
        books.buckets.get(bucket).map(|kept| kept.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn content(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(bucket, key)?).ok()
    }

    /// The file that holds an object.
    pub(super) fn path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let name = self.books().buckets.get(bucket)?.get(key)?.name.clone();
        Some(self.root.join(bucket).join(name))
    }

    pub(super) fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }

    pub(super) fn uploads(&self, bucket: &str) -> Vec<String> {
        let books = self.books();
        let uploads = books.uploads.values().filter(|upload| upload.bucket == bucket);
        uploads.map(|upload| upload.key.clone()).collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_name(&self) -> String {
        let mut books = self.books();
        books.names_given += 1;
        format!("object-{:08}", books.names_given)
    }

    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        match self.root.join(bucket).is_dir() {
            true => Ok(()),
            false => Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")),
        }
    }

    fn kept(&self, bucket: &str, key: &str) -> S3Result<Kept> {
        self.check_bucket(bucket)?;
        let books = self.books();
        let kept = books.buckets.get(bucket).and_then(|keys| keys.get(key)).cloned();
        kept.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    fn begun(&self, bucket: &str, key: &str, id: &str) -> S3Result<Begun> {
        let begun = self.books().uploads.get(id).cloned();
        begun
            .filter(|upload| upload.bucket == bucket && upload.key == key)
            .ok_or_else(|| s3_error!(NoSuchUpload, "The specified upload does not exist."))
    }

    /// Enters an object that was written under `name`, and forgets the one before.
    async fn enter<T>(
        &self,
        request: &S3Request<T>,
        bucket: &str,
        key: &str,
        name: String,
    ) -> S3Result<()> {
        let input = HeadObjectInput {
            bucket: bucket.to_owned(),
            key: name.clone(),
            ..HeadObjectInput::default()
        };
        let head = self.files.head_object(with_input(request, input)).await?.output;
        let kept = Kept {
            name,
            size: head.content_length,
            etag: head.e_tag,
            last_modified: head.last_modified,
            first_part: None,
            crc64: None,
        };
        let before =
            self.books().buckets.entry(bucket.to_owned()).or_default().insert(key.to_owned(), kept);
        match before {
            Some(before) => self.forget(request, bucket, before.name).await,
            None => Ok(()),
        }
    }

    /// Removes a file. A reader that has it open reads on.
    async fn forget<T>(&self, request: &S3Request<T>, bucket: &str, name: String) -> S3Result<()> {
        let input = DeleteObjectInput {
            bucket: bucket.to_owned(),
            key: name,
            ..DeleteObjectInput::default()
        };
        self.files.delete_object(with_input(request, input)).await.map(drop)
    }
}

/// A request of the same client for something else.
fn with_input<T, U>(request: &S3Request<T>, input: U) -> S3Request<U> {
    S3Request {
        input,
        method: request.method.clone(),
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        extensions: Default::default(),
        credentials: request.credentials.clone(),
        region: request.region.clone(),
        service: request.service.clone(),
        trailing_headers: None,
    }
}

/// A key as a listing gives it: blanks as `+`, as Amazon does.
fn encoded(key: &str, encoding: Option<&EncodingType>) -> String {
    if encoding.is_none_or(|encoding| encoding.as_str() != EncodingType::URL) {
        return key.to_owned();
    }
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'-' | b'_' | b'.' | b'/' | b'*' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    key.bytes().map(encode).collect()
}

#[async_trait]
impl S3 for Ledger {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let bucket = request.input.bucket.clone();
        self.check_bucket(&bucket)?;
        let name = self.new_name();
        let key = std::mem::replace(&mut request.input.key, name.clone());
        let asker = with_input(&request, ());
        let answer = self.files.put_object(request).await?;
        self.enter(&asker, &bucket, &key, name).await?;
        Ok(answer)
    }

    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let kept = self.kept(&request.input.bucket, &request.input.key)?;
        let wanted = request.input.if_match.as_ref().and_then(|condition| condition.as_etag());
        if wanted.is_some() && wanted != kept.etag.as_ref() {
            return Err(s3_error!(PreconditionFailed, "The ETag does not match"));
        }
        request.input.key = kept.name;
        let mut answer = self.files.get_object(request).await?;
        answer.output.e_tag = kept.etag;
        Ok(answer)
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopySource::Bucket { bucket, key, .. } = &request.input.copy_source else {
            return Err(s3_error!(NotImplemented, "copies are from buckets"));
        };
        let kept = self.kept(bucket, key)?;
        let wanted = request.input.copy_source_if_match.as_ref();
        let wanted = wanted.and_then(|condition| condition.as_etag());
        if wanted.is_some() && wanted != kept.etag.as_ref() {
            return Err(s3_error!(PreconditionFailed, "The ETag does not match"));
        }
        let (bucket, key) = (bucket.to_string(), kept.name);
        let read = GetObjectInput { bucket, key, ..GetObjectInput::default() };
        let body = self.files.get_object(with_input(&request, read)).await?.output.body;
        let asker = with_input(&request, ());
        let (input, name) = (request.input, self.new_name());
        let write = PutObjectInput {
            bucket: input.bucket.clone(),
            key: name.clone(),
            body,
            content_length: kept.size,
            metadata: input.metadata,
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            ..PutObjectInput::default()
        };
        let answer = self.files.put_object(with_input(&asker, write)).await?;
        self.enter(&asker, &input.bucket, &input.key, name).await?;
        let e_tag = answer.output.e_tag;
        let copy_object_result = Some(CopyObjectResult { e_tag, ..CopyObjectResult::default() });
        Ok(S3Response::new(CopyObjectOutput { copy_object_result, ..CopyObjectOutput::default() }))
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let kept = self.kept(&request.input.bucket, &request.input.key)?;
        let is_of_part = request.input.part_number.take() == Some(1);
        let path = self.root.join(&request.input.bucket).join(&kept.name);
        request.input.key = kept.name;
        let mut answer = self.files.head_object(request).await?;
        answer.output.e_tag = kept.etag;
        if let Some(bytes) = kept.first_part.filter(|_| is_of_part) {
            answer.output.content_length = Some(bytes);
        }
        if let Some(crc64) = kept.crc64 {
            answer.output.checksum_crc64nvme = Some(crc64);
            answer.output.checksum_type = Some(ChecksumType::FULL_OBJECT.to_owned().into());
        }
        if let Some(header) = self.crc64_header.get() {
            let value = sums::crc64_xz(&path)?.parse().expect("digits");
            answer.headers.insert(*header, value);
        }
        Ok(answer)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (&request.input.bucket, &request.input.key);
        self.check_bucket(bucket)?;
        let kept = self.books().buckets.get_mut(bucket).and_then(|keys| keys.remove(key));
        if let Some(kept) = kept {
            self.forget(&request, bucket, kept.name).await?;
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.as_ref().or(input.start_after.as_ref());
        let from = match after {
            Some(after) if *after >= prefix => Bound::Excluded(after.clone()),
            _ => Bound::Included(prefix.clone()),
        };
        let page = self.listings.limit(input.max_keys);
        let books = self.books();
        let keys = books.buckets.get(&input.bucket);
        let mut found = keys
            .into_iter()
            .flat_map(|keys| keys.range((from.clone(), Bound::Unbounded)))
            .take_while(|(key, _)| key.starts_with(&prefix));
        let mut contents = Vec::new();
        let mut last = None;
        for (key, kept) in found.by_ref().take(page) {
            contents.push(Object {
                key: Some(encoded(key, input.encoding_type.as_ref())),
                size: kept.size,
                e_tag: kept.etag.clone(),
                last_modified: kept.last_modified.clone(),
                ..Object::default()
            });
            last = Some(key.clone());
        }
        let is_truncated = found.next().is_some();
        if input.max_keys.is_none() {
            let range = (from, last.clone().map_or(Bound::Unbounded, Bound::Included));
            let told = keys.into_iter().flat_map(|keys| keys.range(range.clone()));
            let told = told.map(|(key, _)| key.clone()).take(contents.len());
            self.listings.note(Answered {
                after: after.cloned().unwrap_or_default(),
                keys: told.collect(),
                is_next: input.continuation_token.is_some(),
            });
        }
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            contents: Some(contents),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let bucket = request.input.bucket.clone();
        self.check_bucket(&bucket)?;
        let name = self.new_name();
        let algorithm = request.input.checksum_algorithm.as_ref();
        let has_crc64 = algorithm.is_some_and(|it| it.as_str() == ChecksumAlgorithm::CRC64NVME);
        let key = std::mem::replace(&mut request.input.key, name.clone());
        let mut answer = self.files.create_multipart_upload(request).await?;
        answer.output.key = Some(key.clone());
        let initiated = Timestamp::from(SystemTime::now());
        let begun = Begun { bucket, key, name, initiated, parts: BTreeMap::new(), has_crc64 };
        let id = answer.output.upload_id.clone().unwrap_or_default();
        self.books().uploads.insert(id, begun);
        Ok(answer)
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = &mut request.input;
        let (id, number, size) = (input.upload_id.clone(), input.part_number, input.content_length);
        let upload = self.begun(&input.bucket, &input.key, &id)?;
        input.key = upload.name;
        let crc64 = match upload.has_crc64 {
            true => Some(sums::check_part(input).await?),
            false => None,
        };
        let mut answer = self.files.upload_part(request).await?;
        answer.output.checksum_crc64nvme.clone_from(&crc64);
        if let Some(upload) = self.books().uploads.get_mut(&id) {
            let etag = answer.output.e_tag.clone();
            upload.parts.insert(number, HeldPart { size, etag, crc64 });
        }
        Ok(answer)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = &request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "copies are from buckets"));
        };
        let kept = self.kept(bucket, key)?;
        let wanted = input.copy_source_if_match.as_ref();
        let wanted = wanted.and_then(|condition| condition.as_etag());
        if wanted.is_some() && wanted != kept.etag.as_ref() {
            return Err(s3_error!(PreconditionFailed, "The ETag does not match"));
        }
        let range = input.copy_source_range.as_deref().map(Range::parse).transpose();
        let range = range.map_err(|_| s3_error!(InvalidArgument, "a range that is none"))?;
        let (bucket, key) = (bucket.to_string(), kept.name);
        let read = GetObjectInput { bucket, key, range, ..GetObjectInput::default() };
        let read = self.files.get_object(with_input(&request, read)).await?.output;
        let write = UploadPartInput {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            upload_id: input.upload_id.clone(),
            part_number: input.part_number,
            body: read.body,
            content_length: read.content_length,
            ..UploadPartInput::default()
        };
        let e_tag = self.upload_part(with_input(&request, write)).await?.output.e_tag;
        let copy_part_result = Some(CopyPartResult { e_tag, ..CopyPartResult::default() });
        let output = UploadPartCopyOutput { copy_part_result, ..UploadPartCopyOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let upload = self.begun(&input.bucket, &input.key, &input.upload_id)?;
        let after = input.part_number_marker.unwrap_or(0);
        let page = usize::try_from(input.max_parts.unwrap_or(1000).clamp(0, 1000)).unwrap_or(0);
        let mut found = upload.parts.range((Bound::Excluded(after), Bound::Unbounded));
        let part = |(number, held): (&i32, &HeldPart)| Part {
            part_number: Some(*number),
            size: held.size,
            e_tag: held.etag.clone(),
            checksum_crc64nvme: held.crc64.clone(),
            ..Part::default()
        };
        let parts: Vec<Part> = found.by_ref().take(page).map(part).collect();
        let is_truncated = found.next().is_some();
        Ok(S3Response::new(ListPartsOutput {
            next_part_number_marker: parts.last().and_then(|p| p.part_number),
            parts: Some(parts),
            is_truncated: Some(is_truncated),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            ..ListPartsOutput::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let books = self.books();
        let mut uploads: Vec<(&String, &Begun)> = books
            .uploads
            .iter()
            .filter(|(_, begun)| begun.bucket == input.bucket && begun.key.starts_with(&prefix))
            .collect();
        uploads.sort_by_key(|(id, begun)| (&begun.key, *id));
        let upload = |(id, begun): (&String, &Begun)| MultipartUpload {
            key: Some(encoded(&begun.key, input.encoding_type.as_ref())),
            upload_id: Some(id.clone()),
            initiated: Some(begun.initiated.clone()),
            ..MultipartUpload::default()
        };
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.into_iter().map(upload).collect()),
            is_truncated: Some(false),
            encoding_type: input.encoding_type.clone(),
            bucket: Some(input.bucket.clone()),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _ending = self.ending.lock().await;
        let id = request.input.upload_id.clone();
        let upload = self.begun(&request.input.bucket, &request.input.key, &id)?;
        let named =
            request.input.multipart_upload.iter().flat_map(|all| all.parts.iter().flatten());
        for part in named {
            let number = part.part_number.unwrap_or(0);
            let held = upload.parts.get(&number).map(|held| &held.etag);
            if held != Some(&part.e_tag) {
                return Err(s3_error!(InvalidPart, "part {number} is not as named"));
            }
        }
        let parts = upload
            .parts
            .values()
            .filter_map(|held| Some((held.crc64.as_deref()?, u64::try_from(held.size?).ok()?)));
        let crc64 = sums::composed(parts).filter(|_| upload.has_crc64);
        let sent = &request.input.checksum_crc64nvme;
        if sent.is_some() && *sent != crc64 {
            return Err(s3_error!(BadDigest, "the checksum of the whole is another one"));
        }
        request.input.key.clone_from(&upload.name);
        let asker = with_input(&request, ());
        let mut answer = self.files.complete_multipart_upload(request).await?;
        self.books().uploads.remove(&id);
        if self.damages.load(Ordering::Relaxed) {
            let path = self.root.join(&upload.bucket).join(&upload.name);
            flip(&path).map_err(|_| s3_error!(InternalError, "no file"))?;
        }
        self.enter(&asker, &upload.bucket, &upload.key, upload.name.clone()).await?;
        if self.spoils.load(Ordering::Relaxed) {
            let path = self.root.join(&upload.bucket).join(&upload.name);
            flip(&path).map_err(|_| s3_error!(InternalError, "no file"))?;
        }
        let first_part = upload.parts.get(&1).and_then(|part| part.size);
        let mut books = self.books();
        let kept = books.buckets.get_mut(&upload.bucket).and_then(|all| all.get_mut(&upload.key));
        if let Some(kept) = kept {
            kept.crc64 = crc64;
            kept.first_part = first_part;
            if self.crc64_header.get().is_some() {
                // Of services with a sum of their own, the ETag is none of the parts'.
                kept.etag = Some(ETag::Strong(format!("{}-own", kept.name)));
            }
            // The answer itself comes when it is asked for.
            let e_tag = kept.etag.clone();
            let made = answer.output.future.take();
            answer.output.future = made.map(|made| {
                Box::pin(async { Ok(CompleteMultipartUploadOutput { e_tag, ..made.await? }) }) as _
            });
        }
        Ok(answer)
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let _ending = self.ending.lock().await;
        let input = &mut request.input;
        let id = input.upload_id.clone();
        input.key = self.begun(&input.bucket, &input.key, &id)?.name;
        self.books().uploads.remove(&id);
        self.files.abort_multipart_upload(request).await
    }
}
