//! What the source has of keys that an inventory only names. They are asked for many at once, which may be more
//! than a store grants, and stores do not ask again: so what was not answered is asked for once more here, by the
//! rule that orders go by. An order that failed for it would read and sort the whole inventory anew.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_coordinator::agent::retry::{Decision, Retry};
use airlift_protocol::error::{Class, Failure, Scope};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;

use crate::runtime::clock;
use crate::store::StoreError;

/// Looks up `keys` by questions to the source, until each has an answer of its own: an entry, or that there is
/// none, or why this one object cannot be looked at.
///
/// # Errors
/// What reaches further than one object, and what does not pass.
pub(super) async fn look_up<F>(
    mut keys: Vec<Key>,
    ask: impl Fn(Vec<Key>) -> F,
) -> Result<BTreeMap<Key, Result<Option<Entry>, StoreError>>, StoreError>
where
    F: Future<Output = Vec<Result<Option<Entry>, StoreError>>>,
{
    let mut answers = BTreeMap::new();
    let begun = || Retry::new(clock::wall().0);
    let mut retry = begun();
    while !keys.is_empty() {
        let found = ask(keys.clone()).await;
        let asked = keys.len();
        let (mut open, mut trouble) = (Vec::new(), None);
        for (key, answer) in std::mem::take(&mut keys).into_iter().zip(found) {
            match answer {
                Err(error) if !is_about_one_object(&error) => {
                    open.push(key);
                    trouble = Some(graver(trouble, error));
                }
                answer => {
                    answers.insert(key, answer);
                }
            }
        }
        let Some(error) = trouble else { break };
        // Answers that came have not been in vain: as long as there are some, this is no second failure.
        if open.len() < asked {
            retry = begun();
        }
        wait(&mut retry, error).await?;
        keys = open;
    }
    Ok(answers)
}

/// Whether asking again would say the same, and of this object only.
fn is_about_one_object(error: &StoreError) -> bool {
    error.code.scope() == Scope::Object && error.code.class() == Class::Permanent
}

/// The one of two errors that says more about what to do.
fn graver(one: Option<StoreError>, other: StoreError) -> StoreError {
    let weight = |error: &StoreError| match (error.code.scope(), error.code.class()) {
        (Scope::Job | Scope::Route, _) => 2,
        (Scope::Object, Class::Throttled) => 1,
        (Scope::Object, _) => 0,
    };
    match one {
        Some(one) if weight(&one) >= weight(&other) => one,
        _ => other,
    }
}

/// Waits before the next question, if there is to be one.
async fn wait(retry: &mut Retry, error: StoreError) -> Result<(), StoreError> {
    let failure = Failure::new(error.code, error.detail());
    match retry.decide(&failure) {
        Decision::Again { after_ms } if error.code.scope() == Scope::Object => {
            tracing::debug!(%error, after_ms, "keys of an inventory are asked for again");
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            Ok(())
        }
        Decision::Again { .. } | Decision::GiveUp => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use airlift_protocol::error::ErrorCode;
    use airlift_protocol::limits::ATTEMPTS_MAX;

    use super::*;

    const KEYS: usize = 10;

    /// Looks up keys at a source that refuses some: which, depends on the number of the key and of the question.
    /// Says how many keys each question was about, and what came of it.
    async fn looked_up(
        refuses: impl Fn(usize, usize) -> Option<ErrorCode>,
    ) -> (Vec<usize>, Result<Vec<Option<ErrorCode>>, ErrorCode>) {
        let keys: Vec<Key> = (0..KEYS).map(|it| Key::from(it.to_string().as_str())).collect();
        let questions = RefCell::new(Vec::new());
        let ask = |asked: Vec<Key>| {
            let question = questions.borrow().len();
            questions.borrow_mut().push(asked.len());
            let answer = |key: &Key| {
                let number = keys.iter().position(|it| it == key).unwrap();
                match refuses(number, question) {
                    Some(code) => Err(StoreError::new(code, "no")),
                    None => Ok(None),
                }
            };
            std::future::ready(asked.iter().map(answer).collect())
        };
        let found = look_up(keys.clone(), ask).await;
        let codes = found.map_err(|error| error.code).map(|answers| {
            assert_eq!(answers.len(), KEYS);
            answers.into_values().map(|answer| answer.err().map(|error| error.code)).collect()
        });
        (questions.into_inner(), codes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_refused_costs_no_key() {
        for code in [ErrorCode::Throttled, ErrorCode::Unavailable, ErrorCode::TimedOut] {
            let (questions, answers) =
                looked_up(|key, question| (key > question).then_some(code)).await;
            assert_eq!(answers, Ok(vec![None; KEYS]));
            // Only what has no answer is asked for again, more often than an order would be tried.
            assert_eq!(questions, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_one_object_stays_with_it() {
        let refuses = |key, question| match (key, question) {
            (3, _) => Some(ErrorCode::PermissionDenied),
            (5, 0) => Some(ErrorCode::Throttled),
            _ => None,
        };
        let (questions, answers) = looked_up(refuses).await;
        let expected = |key| (key == 3).then_some(ErrorCode::PermissionDenied);
        assert_eq!(answers, Ok((0..KEYS).map(expected).collect()));
        assert_eq!(questions, [10, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_reaches_further_than_one_object_is_said_at_once() {
        for code in [ErrorCode::Unauthorized, ErrorCode::Unreachable, ErrorCode::NodeLost] {
            let refuses = |key, _| Some(if key == 7 { code } else { ErrorCode::Unavailable });
            assert_eq!(looked_up(refuses).await, (vec![10], Err(code)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_is_given_up() {
        let (questions, answers) =
            looked_up(|key, _| (key == 4).then_some(ErrorCode::Unavailable)).await;
        assert_eq!(answers, Err(ErrorCode::Unavailable));
        assert_eq!(questions.len(), ATTEMPTS_MAX as usize);
    }
}
