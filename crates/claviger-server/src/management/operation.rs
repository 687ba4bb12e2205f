//! Operations: what can be done, by whom, and where it is in the management API. Each is one function, whoever asks.

use std::sync::Arc;

use claviger_store::Actor;
use claviger_store::operator::Operator;
use claviger_store::tenant_store::TenantStore;
use claviger_store::wrote::Wrote;
use futures_util::future::BoxFuture;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::caller::{Caller, PersonRole, Reach, Role, Standing};
use super::{ManagedApi, Management};
use crate::failure::{Failure, FailureKind};

/// What changes nothing, though it is asked for with `POST`.
const READS_WITH_A_BODY: [&str; 3] = ["explain.request", "key.find", "key.verify"];

/// Something that can be done.
#[derive(Clone)]
pub struct Operation {
    /// Its name: a noun and a verb, as the command line has them.
    pub id: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its method in the management API.
    pub method: Method,
    /// Its path there, with the names of what stands in it in braces.
    pub path: &'static str,
    /// The least role of an operator that may do it.
    pub least: Role,
    /// The least that somebody has to be who may do it as a person, within their organization or tenant; nobody may if there is none.
    pub person: Option<PersonRole>,
    /// What it is given.
    pub input: fn() -> RefOr<Schema>,
    /// What it answers.
    pub output: fn() -> RefOr<Schema>,
    /// The schemas that the other two refer to, by their names.
    pub parts: fn() -> Vec<(String, RefOr<Schema>)>,
    pub(super) run: fn(Call, Value) -> BoxFuture<'static, Result<Value, Failure>>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.id, self.method, self.path)
    }
}

impl Operation {
    /// Whether what it is given, beside what stands in the path, is a query and not a body.
    pub fn takes_a_query(&self) -> bool {
        matches!(self.method, Method::GET | Method::DELETE)
    }

    /// Whether it is given something of that name.
    pub fn takes(&self, name: &str) -> bool {
        let schema = serde_json::to_value((self.input)()).unwrap_or_default();
        schema.get("properties").is_some_and(|properties| properties.get(name).is_some())
    }

    /// Whether it changes something. (What is sent in a body because it is too long, or too secret, for an address is read all the same.)
    pub fn changes(&self) -> bool {
        self.method != Method::GET && !READS_WITH_A_BODY.contains(&self.id)
    }

    /// Whether nobody is asked who they are: it makes somebody of them.
    pub fn is_open(&self) -> bool {
        self.person == Some(PersonRole::Stranger)
    }

    /// Whether it makes something that was not there, which is answered with 201.
    pub fn makes_something(&self) -> bool {
        ["create", "add", "issue"].iter().any(|verb| self.id.ends_with(&format!(".{verb}")))
    }
}

/// An operation under way: with what it is carried out, and for whom.
#[derive(Debug, Clone)]
pub struct Call {
    /// With what.
    pub(crate) management: Management,
    /// For whom.
    pub(crate) caller: Caller,
    /// Told of what it has written.
    pub(super) wrote: Wrote,
}

impl Call {
    /// As the audit names the caller.
    pub(super) fn actor(&self) -> Actor {
        let actor = match &self.caller.standing {
            Standing::Operator(_) => Actor::operator(&self.caller.name),
            Standing::Person(person) => Actor::account(person.account),
            Standing::Stranger => Actor::visitor(),
        };
        let actor = match self.caller.address {
            Some(address) => actor.from(address),
            None => actor,
        };
        match &self.caller.credential {
            Some(credential) => actor.with_credential(credential),
            None => actor,
        }
    }

    /// The operator's part of the store, under the caller's name. What is done with it is not held to the caller's reach:
    /// whoever takes it has asked about that.
    pub(super) fn operator(&self) -> Operator {
        self.management.operator().by(self.actor()).telling(&self.wrote)
    }

    /// Whether there is an API of that name, before anything else is looked at. To somebody bound it is not told: what they hear is of
    /// their tenant's realm alone.
    pub(super) fn api_is_there(&self, name: &str) -> Result<(), Failure> {
        match self.caller.reach {
            Reach::Everything => self.management.api(name).map(drop),
            Reach::Realms(_) | Reach::Tenants(_) => Ok(()),
        }
    }

    /// The API of that name, for somebody of the tenant's realm.
    pub(super) async fn api_for(&self, store: &TenantStore, name: &str) -> Result<Arc<ManagedApi>, Failure> {
        let realm = store.tenant_view().await?.realm;
        match (&self.caller.reach, self.management.api_in(&realm, name)) {
            (Reach::Everything, answer) => answer,
            (_, Ok(api)) => Ok(api),
            (_, Err(_)) => Err(Failure::new(format!("realm `{realm}` has no API of that name"))),
        }
    }
}

/// What is taken of a text is not left in memory: it may hold a credential.
fn forget(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Object(members) => members.values_mut().for_each(forget),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads what an operation is given.
pub(super) fn read<T: DeserializeOwned>(mut input: Value) -> Result<T, Failure> {
    let read = serde_path_to_error::deserialize(&input).map_err(|error| {
        let path = error.path().to_string();
        let said = error.into_inner().to_string();
        if path == "." { Failure::new(said) } else { Failure::new(format!("`{path}`: {said}")) }
    });
    forget(&mut input);
    read
}

/// Spells what it answers.
pub(super) fn written<T: Serialize>(output: &T) -> Result<Value, Failure> {
    serde_json::to_value(output).map_err(|error| Failure::of(FailureKind::Broken, error.to_string()))
}

/// The schemas that two types refer to, by their names.
pub(super) fn parts<I: ToSchema, O: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut parts = Vec::new();
    I::schemas(&mut parts);
    O::schemas(&mut parts);
    parts
}

/// The schema of a type.
pub(super) fn schema<T: PartialSchema>() -> RefOr<Schema> {
    T::schema()
}

/// Declares the operations of a noun: each with its name, method, path, least role and the function that carries it out.
macro_rules! operations {
    ($($(#[doc = $about:literal])+ $id:literal: $method:ident $path:literal for $least:ident $(and $person:ident)? = $function:ident($input:ty) -> $output:ty;)+) => {
        /// What can be done here.
        pub(super) fn operations() -> Vec<$crate::management::operation::Operation> {
            use $crate::management::operation as of;
            vec![$(of::Operation {
                id: $id,
                about: concat!($($about),+).trim_ascii(),
                method: http::Method::$method,
                path: $path,
                least: $crate::management::Role::$least,
                person: of::person!($($person)?),
                input: of::schema::<$input>,
                output: of::schema::<$output>,
                parts: of::parts::<$input, $output>,
                run: |call, input| {
                    Box::pin(async move {
                        let output: $output = $function(&call, of::read::<$input>(input)?).await?;
                        of::written(&output)
                    })
                },
            }),+]
        }
    };
}
pub(super) use operations;

/// The least person that may do it, if one may.
macro_rules! person {
    () => {
        None
    };
    ($least:ident) => {
        Some($crate::management::PersonRole::$least)
    };
}
pub(super) use person;
