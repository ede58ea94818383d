//! Signatures with the account's key, as Microsoft documents "Authorize with Shared Key".
//!
//! The official library has none. What is signed is the request as it is sent: its method, the
//! headers that matter, all headers that begin with `x-ms-`, and the resource with its query.

use std::fmt;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Request;
use reqwest::header::{self, HeaderName};
use sha2::Sha256;

use super::container::VERSION;
use crate::store::http::path;

/// Headers whose values are signed, in this order.
const SIGNED: [HeaderName; 11] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    header::CONTENT_TYPE,
    header::DATE,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
];

/// An account and its key.
pub(super) struct SharedKey {
    account: String,
    key: Vec<u8>,
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").field("account", &self.account).finish_non_exhaustive()
    }
}

impl SharedKey {
    pub(super) fn new(account: &str, key: Vec<u8>) -> Self {
        Self { account: account.to_owned(), key }
    }

    /// The value of `Authorization` for `request`, which has all its other headers.
    pub(super) fn authorization(&self, request: &Request) -> String {
        format!("SharedKey {}:{}", self.account, self.signature(&self.string_to_sign(request)))
    }

    fn signature(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("invariant: a key of any length makes an HMAC");
        mac.update(text.as_bytes());
        BASE64.encode(&mac.finalize().into_bytes())
    }

    /// The pairs of a query by which anybody may read a blob until `end`, in seconds since 1970: as Microsoft
    /// documents "Create a service SAS", of the version that requests are made in.
    pub(super) fn right_to_read(
        &self,
        container: &str,
        blob: &str,
        end: i64,
    ) -> [(&'static str, String); 5] {
        let end = DateTime::from_secs(end).fmt(Format::DateTime).unwrap_or_default();
        let resource = format!("/blob/{}/{container}/{blob}", self.account);
        // Permissions, begin, end, resource, policy, address, protocol, version, kind; and what is left as it is.
        let text = format!("r\n\n{end}\n{resource}\n\n\n\n{VERSION}\nb\n\n\n\n\n\n\n");
        let signature = self.signature(&text);
        let pairs = [("sv", VERSION.to_owned()), ("sr", "b".to_owned()), ("sp", "r".to_owned())];
        let [version, kind, right] = pairs;
        [version, kind, right, ("se", end), ("sig", signature)]
    }

    fn string_to_sign(&self, request: &Request) -> String {
        let mut text = format!("{}\n", request.method());
        for name in &SIGNED {
            let value = request.headers().get(name).map_or("", |value| text_of(value.as_bytes()));
            // A length of zero is left out.
            let is_no_length = *name == header::CONTENT_LENGTH && value == "0";
            text.push_str(if is_no_length { "" } else { value });
            text.push('\n');
        }
        let mut own: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
            .map(|(name, value)| (name.as_str(), text_of(value.as_bytes()).trim()))
            .collect();
        // The service sorts as .NET does by culture: `_` comes before digits, and those before letters.
        own.sort_unstable_by_key(|(name, _)| name.replace('_', "/"));
        for (name, value) in own {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(&format!("/{}{}", self.account, request.url().path()));
        let mut query: Vec<(String, String)> = request
            .url()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, value)| {
                Some((path::decoded(name)?.to_lowercase(), path::decoded(value)?))
            })
            .collect();
        query.sort_unstable();
        for (name, value) in query {
            text.push_str(&format!("\n{name}:{value}"));
        }
        text
    }
}

/// Header values are ASCII: they were made from text that was checked to be.
fn text_of(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use reqwest::{Method, Url};

    use super::*;

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(method, Url::parse(url).unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn what_is_signed_is_as_documented() {
        let key = SharedKey::new("myaccount", b"key".to_vec());
        let list = request(
            Method::GET,
            "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=list&prefix=a%20b",
            &[("x-ms-version", "2021-12-02"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")],
        );
        let expected = "GET\n\n\n\n\n\n\n\n\n\n\n\n\
             x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2021-12-02\n\
             /myaccount/mycontainer\ncomp:list\nprefix:a b\nrestype:container";
        assert_eq!(key.string_to_sign(&list), expected);
        let put = request(
            Method::PUT,
            "http://127.0.0.1:1/myaccount/c/a%20b//c",
            &[
                ("content-length", "11"),
                ("content-md5", "bWQ1"),
                ("content-type", "text/plain"),
                ("if-none-match", "*"),
                ("x-ms-meta-b", "2"),
                ("x-ms-meta-b2", "4"),
                ("x-ms-meta-b_a", "3"),
                ("x-ms-meta-a", "1 x"),
            ],
        );
        let expected = "PUT\n\n\n11\nbWQ1\ntext/plain\n\n\n\n*\n\n\n\
             x-ms-meta-a:1 x\nx-ms-meta-b:2\nx-ms-meta-b_a:3\nx-ms-meta-b2:4\n/myaccount/myaccount/c/a%20b//c";
        assert_eq!(key.string_to_sign(&put), expected);
        let empty = request(Method::PUT, "http://h/c/b", &[("content-length", "0")]);
        assert!(key.string_to_sign(&empty).starts_with("PUT\n\n\n\n"));
    }

    #[test]
    fn a_right_to_read_is_signed_as_documented() {
        let key = SharedKey::new("devstoreaccount1", b"key".to_vec());
        let pairs = key.right_to_read("c", "a b/c", 1_700_000_000);
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        assert_eq!(pairs[..4], ["sv=2021-12-02", "sr=b", "sp=r", "se=2023-11-14T22:13:20Z"]);
        assert_eq!(pairs[4], "sig=0TFXEDO4hJCIOXv1kZAyPyZF4X765pV4O0bNL2TIZYY=");
    }

    #[test]
    fn the_signature_is_an_hmac_in_base64() {
        // RFC 4231, test case 2, told as a request that signs other bytes: the key decides.
        let one = SharedKey::new("a", b"Jefe".to_vec());
        let other = SharedKey::new("a", b"jefe".to_vec());
        let request = request(Method::GET, "http://h/c", &[]);
        let signed = one.authorization(&request);
        assert_eq!(signed.len(), "SharedKey a:".len() + 44);
        assert_ne!(signed, other.authorization(&request));
        assert!(!format!("{one:?}").contains("Jefe"));
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let hex = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        assert_eq!(hex, expected);
    }
}
