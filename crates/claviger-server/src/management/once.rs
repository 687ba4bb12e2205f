//! Done once, however often it is asked for: what was asked for under an idempotency key is not done again.

use aws_lc_rs::digest::{SHA256, digest};
use claviger_store::idempotency::{Known, Once};
use claviger_store::operator::Operator;
use claviger_store::wrote::Wrote;
use serde_json::Value;

use super::caller::Caller;
use crate::failure::{Failure, FailureKind};

/// The longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// What is shown once, and kept nowhere: what was made is shown again without it.
const SHOWN_ONCE: [&str; 3] = ["key", "token", "access_token"];

/// A request under a key, and where it is written down.
pub(super) struct Request {
    operator: Operator,
    once: Once,
}

fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut all = Vec::new();
    for part in parts {
        all.extend((part.len() as u64).to_be_bytes());
        all.extend(*part);
    }
    let all = zeroize::Zeroizing::new(all);
    let found = digest(&SHA256, &all);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(found.as_ref()) {
        *to = *from;
    }
    bytes
}

impl Request {
    /// Of this caller for this.
    ///
    /// # Errors
    /// If the key is none.
    pub(super) fn new(
        operator: Operator,
        caller: &Caller,
        key: &str,
        id: &str,
        input: &Value,
    ) -> Result<Self, Failure> {
        // Whoever gets the name of an operator who was ended is not the same one.
        let owner = format!("{} {}", caller.name, caller.credential.as_deref().unwrap_or_default());
        Self::of(operator, owner, key, (id, input))
    }

    /// Of whoever goes by `owner`, for this.
    ///
    /// # Errors
    /// If the key is none.
    pub(super) fn of(
        operator: Operator,
        owner: String,
        key: &str,
        (id, input): (&str, &Value),
    ) -> Result<Self, Failure> {
        if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("an idempotency key has 1 to {LONGEST_KEY} visible characters of ASCII");
            return Err(Failure::new(what).hint("a new UUID for each thing that is to be done once"));
        }
        let input = zeroize::Zeroizing::new(input.to_string());
        let once = Once {
            owner,
            key_digest: digest_of(&[key.as_bytes()]),
            request_digest: digest_of(&[id.as_bytes(), input.as_bytes()]),
        };
        Ok(Self { operator, once })
    }

    /// Begins it. Gives what was answered, if it was done before.
    ///
    /// # Errors
    /// If it is under way, if nobody knows what became of it, or if something else was asked for under its key.
    pub(super) async fn begin(&self) -> Result<Option<Value>, Failure> {
        let conflict = |what: &str, hint: &str| Err(Failure::of(FailureKind::Conflict, what).hint(hint));
        match self.operator.once_begin(self.once.clone()).await? {
            Known::New => Ok(None),
            Known::Done(answer) => serde_json::from_str(&answer)
                .map(Some)
                .map_err(|_| Failure::of(FailureKind::Broken, "the answer that was kept cannot be read")),
            Known::UnderWay => conflict(
                "what was asked for under this idempotency key is under way",
                "ask again in a moment",
            ),
            Known::Unknown => conflict(
                "nobody knows whether what was asked for under this idempotency key was done",
                "look whether it was, and if not, ask with another key",
            ),
            Known::Other => {
                let what = "something else was asked for under this idempotency key";
                Err(Failure::of(FailureKind::Reused, what).hint("take a new key for each thing"))
            }
        }
    }

    /// Keeps what came of it: the answer without what is shown once; or nothing, if nothing was done.
    pub(super) async fn end(self, outcome: &Result<Value, Failure>, wrote: &Wrote) {
        let kept = match outcome {
            Ok(value) => self.operator.once_end(self.once, without_secrets(value.clone()).to_string()).await,
            // How much of it was done is not known, and stays so.
            Err(failure) if failure.kind == FailureKind::Broken || wrote.anything() => Ok(()),
            Err(_) => self.operator.once_forget(self.once).await,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "what became of a request with an idempotency key is not written down");
        }
    }
}

fn without_secrets(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        let mut was_shown = false;
        for name in SHOWN_ONCE {
            if let Some(Value::String(text)) = members.get_mut(name) {
                zeroize::Zeroize::zeroize(text);
                members.insert(name.to_owned(), Value::Null);
                was_shown = true;
            }
        }
        if was_shown {
            members.insert("code".to_owned(), "secret_already_shown".into());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_has_no_secret() {
        let made = json!({ "key": "sk_live_x", "key_id": "key_1", "name": "token", "access_token": "x" });
        let kept = json!({
            "key": null, "key_id": "key_1", "name": "token", "access_token": null, "code": "secret_already_shown",
        });
        assert_eq!(without_secrets(made), kept);
        let plain = json!({ "org_id": "1", "key": null });
        assert_eq!(without_secrets(plain.clone()), plain);
        assert_eq!(without_secrets(json!([1])), json!([1]));
    }

    #[test]
    fn every_answer_with_a_secret_calls_it_by_a_name_that_is_struck_out() {
        // What an operation that makes a credential answers has one of the names, and what is called so is one.
        let makes = [
            "key.create",
            "key.rotate",
            "token.issue",
            "user-token.issue",
            "user-token.regenerate",
            "operator.create",
        ];
        // Of what strangers ask nothing is kept.
        for operation in super::super::operations().into_iter().filter(|operation| !operation.is_open()) {
            let schema = serde_json::to_string(&(operation.output)()).unwrap();
            let shows = schema.contains("shown this once")
                || schema.contains("The token itself")
                || schema.contains("The key itself");
            assert_eq!(shows, makes.contains(&operation.id), "{}: {schema}", operation.id);
        }
    }
}
