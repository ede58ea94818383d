//! What a storm does, and to which requests.

use std::time::Duration;

use hyper::Method;

/// What a request of S3 is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A page of a listing.
    List,
    /// A page of the listing of uploads.
    ListUploads,
    /// A page of the listing of parts.
    ListParts,
    /// A description.
    Head,
    /// An object, or a range of it.
    Get,
    /// An object is put.
    Put,
    /// An object is copied by the server.
    Copy,
    /// An upload begins.
    Begin,
    /// A part is put.
    PutPart,
    /// An upload becomes an object.
    Complete,
    /// An upload is dropped.
    Abort,
    /// An object is deleted.
    Delete,
    /// Anything else.
    Other,
}

impl Operation {
    /// What a request with this method, this path with its query, and perhaps a source to copy is for.
    pub(super) fn of(method: &Method, target: &str, is_copy: bool) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let is_bucket =
            path.trim_start_matches('/').split_once('/').is_none_or(|it| it.1.is_empty());
        match *method {
            Method::GET if is_bucket && has("uploads") => Self::ListUploads,
            Method::GET if is_bucket && has("list-type") => Self::List,
            Method::GET if has("uploadId") => Self::ListParts,
            Method::GET if !is_bucket && !has("tagging") => Self::Get,
            Method::HEAD if !is_bucket => Self::Head,
            Method::PUT if is_bucket || has("tagging") => Self::Other,
            Method::PUT if is_copy => Self::Copy,
            Method::PUT if has("uploadId") => Self::PutPart,
            Method::PUT => Self::Put,
            Method::POST if has("uploads") => Self::Begin,
            Method::POST if has("uploadId") => Self::Complete,
            Method::DELETE if has("uploadId") => Self::Abort,
            Method::DELETE if !is_bucket => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown, with the seconds of `Retry-After` if any; the server never sees the request.
    SlowDown {
        /// Seconds.
        retry_after: Option<u32>,
    },
    /// 429, without a word more.
    TooMany,
    /// A status, and the code of S3 for it; the server never sees the request.
    Refuse(u16, &'static str),
    /// The connection is reset before the server has seen the request.
    ResetBefore,
    /// The server carries the request out, and the connection is reset before it is answered.
    ResetAfter,
    /// The answer comes so much later.
    Slow(Duration),
    /// The answer breaks off in the middle of its body.
    BreakOff,
    /// The answer has half of its body, and says that this is all.
    CutShort,
    /// Status 200, and the document of an error as body.
    ErrorInSuccess {
        /// The code of S3.
        code: &'static str,
        /// Whether the server has carried the request out.
        is_applied: bool,
    },
    /// The answer that the same question had the first time.
    Stale,
    /// A listing of nothing, which is said to be all.
    Nothing,
    /// A first page with nothing on it, and where the listing goes on.
    EmptyFirst,
    /// Sums of the answer are other ones.
    WrongSum,
    /// The body is compressed on the way, and the answer says so.
    Gzip,
}

/// Which of the requests that a rule is about it strikes.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// The first so many.
    First(u64),
    /// This one alone, counted from 1.
    Nth(u64),
    /// So many of a hundred, as a seed says.
    Chance(u64, u64),
}

/// A fault, and which requests it strikes.
#[derive(Clone, Debug)]
pub struct Rule {
    operations: Vec<Operation>,
    within: Vec<String>,
    when: When,
    pub(super) fault: Fault,
    /// Requests that it is about, so far.
    count: u64,
}

impl Rule {
    /// Strikes every request for any of these.
    pub fn on(operations: &[Operation], fault: Fault) -> Self {
        Self {
            operations: operations.to_vec(),
            within: Vec::new(),
            when: When::Always,
            fault,
            count: 0,
        }
    }

    /// Strikes every request.
    pub fn on_all(fault: Fault) -> Self {
        Self::on(&[], fault)
    }

    /// The same, where path and query have `text` in them as well, percent-encoded as they are sent.
    #[must_use]
    pub fn within(mut self, text: &str) -> Self {
        self.within.push(text.to_owned());
        self
    }

    /// The same for the first `count` of these requests only.
    #[must_use]
    pub fn first(self, count: u64) -> Self {
        Self { when: When::First(count), ..self }
    }

    /// The same for one of these requests only, counted from 1.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self { when: When::Nth(number), ..self }
    }

    /// The same for `percent` of these requests, by the throw of a die that `seed` decides.
    #[must_use]
    pub fn chance(self, seed: u64, percent: u64) -> Self {
        Self { when: When::Chance(seed, percent), ..self }
    }

    /// Whether it strikes a request; counts it if it is about that.
    pub(super) fn strikes(&mut self, operation: Operation, target: &str) -> bool {
        let is_about = (self.operations.is_empty() || self.operations.contains(&operation))
            && self.within.iter().all(|text| target.contains(text));
        if !is_about {
            return false;
        }
        self.count += 1;
        match self.when {
            When::Always => true,
            When::First(count) => self.count <= count,
            When::Nth(number) => self.count == number,
            When::Chance(seed, percent) => thrown(seed, self.count) % 100 < percent,
        }
    }
}

/// A number that follows from a seed and a count.
fn thrown(seed: u64, count: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&count.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (method, target, operation) in [
            (Method::GET, "/bucket?list-type=2&prefix=a%2F", Operation::List),
            (Method::GET, "/bucket/?list-type=2", Operation::List),
            (Method::GET, "/bucket/?uploads=&prefix=a", Operation::ListUploads),
            (Method::GET, "/bucket/a?uploadId=1", Operation::ListParts),
            (Method::GET, "/bucket/a?x-id=GetObject", Operation::Get),
            (Method::GET, "/bucket/a?tagging", Operation::Other),
            (Method::HEAD, "/bucket/a//b", Operation::Head),
            (Method::HEAD, "/bucket", Operation::Other),
            (Method::PUT, "/bucket/a?x-id=PutObject", Operation::Put),
            (Method::PUT, "/bucket/a?partNumber=1&uploadId=2", Operation::PutPart),
            (Method::PUT, "/bucket", Operation::Other),
            (Method::POST, "/bucket/a?uploads", Operation::Begin),
            (Method::POST, "/bucket/a?uploadId=1", Operation::Complete),
            (Method::DELETE, "/bucket/a?uploadId=1", Operation::Abort),
            (Method::DELETE, "/bucket/a", Operation::Delete),
        ] {
            assert_eq!(Operation::of(&method, target, false), operation, "{method} {target}");
        }
        assert_eq!(Operation::of(&Method::PUT, "/b/a", true), Operation::Copy);
    }

    #[test]
    fn a_rule_strikes_what_it_is_about_and_as_often_as_it_says() {
        let struck = |mut rule: Rule| {
            let strikes = |rule: &mut Rule, target| rule.strikes(Operation::Put, target);
            let four = ["/b/x", "/b/y", "/b/x", "/b/x"].map(|target| strikes(&mut rule, target));
            four.map(u8::from)
        };
        let rule = || Rule::on(&[Operation::Put], Fault::TooMany);
        assert_eq!(struck(rule()), [1, 1, 1, 1]);
        assert_eq!(struck(rule().within("x")), [1, 0, 1, 1]);
        assert_eq!(struck(rule().within("x").first(2)), [1, 0, 1, 0]);
        assert_eq!(struck(rule().nth(2)), [0, 1, 0, 0]);
        assert_eq!(struck(Rule::on(&[Operation::Get], Fault::TooMany)), [0; 4]);
        let mut chance = rule().chance(7, 20);
        let hits = (0..1000).filter(|_| chance.strikes(Operation::Put, "/b/x")).count();
        assert!((150..250).contains(&hits), "{hits}");
    }
}
