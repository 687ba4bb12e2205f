//! How people come in at the console: what they do at an API's own host, by the same functions; what they are given is good here alone.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::asked::{Asked, Entrance};
use super::operation::{Call, operations};
use super::people::{self, ConsoleSession, Entered, SignIn, SignUp};
use super::proofs::{self, Accept, Mailed, Reset, Verify};
use crate::failure::{Failure, FailureKind};

/// How long somebody is signed in at the console at most, in seconds.
const LONGEST_SECONDS: i64 = 12 * 3600;

/// What somebody sends, and whose people they are.
#[derive(Debug)]
struct At<T> {
    api: String,
    sent: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut members: Map<String, Value> = Map::deserialize(from)?;
        let Some(Value::String(api)) = members.remove("api") else {
            return Err(D::Error::custom("`api` is missing: the API whose people sign in, by its name"));
        };
        // Of what stood where something else was expected nothing is repeated: it may be a password.
        let sent = T::deserialize(Value::Object(members)).map_err(|error| {
            let said = error.to_string();
            let is_harmless = ["missing field", "unknown field"].iter().any(|begin| said.starts_with(begin));
            D::Error::custom(if is_harmless {
                said
            } else {
                "a field is of another type than it has to be".to_owned()
            })
        })?;
        Ok(Self { api, sent })
    }
}

impl<T: PartialSchema> PartialSchema for At<T> {
    fn schema() -> RefOr<Schema> {
        let api = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The API whose people sign in, by its name in the settings"));
        match T::schema() {
            RefOr::T(Schema::Object(mut object)) => {
                object.properties.insert("api".to_owned(), api.into());
                object.required.push("api".to_owned());
                RefOr::T(Schema::Object(object))
            }
            other => other,
        }
    }
}

impl<T: ToSchema> ToSchema for At<T> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// Nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What is under way.
#[derive(Debug, Serialize, ToSchema)]
struct UnderWay {
    /// `mailed`: the rest follows of what is in the mail, if there is one.
    state: &'static str,
}

/// What came of a sign-up.
#[derive(Serialize, ToSchema)]
struct SignedUp {
    /// `signed-in`, or `mailed` where the address has to be proven first.
    state: &'static str,
    /// The session, if there is one.
    session: Option<ConsoleSession>,
}

/// A password that is another one.
#[derive(Debug, Serialize, ToSchema)]
struct WasReset {
    /// `reset`: every session of the person is over.
    state: &'static str,
}

/// A session that is over.
#[derive(Debug, Serialize, ToSchema)]
struct SignedOut {
    /// Its id.
    session_id: String,
    /// `ended`.
    state: &'static str,
}

operations! {
    /// Sign in at the console, as somebody of an API's realm
    "person.sign-in": POST "/v1/people/sign-in" for Reader and Stranger = sign_in(At<SignIn>) -> ConsoleSession;
    /// Make an account, a tenant and its first organization, and sign in at the console
    "person.sign-up": POST "/v1/people/sign-up" for Reader and Stranger = sign_up(At<SignUp>) -> SignedUp;
    /// Prove an address by the link in a mail, and sign in at the console
    "person.verify": POST "/v1/people/verify" for Reader and Stranger = verify(At<Verify>) -> ConsoleSession;
    /// Have that link mailed again
    "person.verify-resend": POST "/v1/people/verify/resend" for Reader and Stranger = resend(At<Mailed>) -> UnderWay;
    /// Have a link for another password mailed
    "person.password-forgot": POST "/v1/people/password/forgot" for Reader and Stranger = forgot(At<Mailed>) -> UnderWay;
    /// Choose another password by that link
    "person.password-reset": POST "/v1/people/password/reset" for Reader and Stranger = reset(At<Reset>) -> WasReset;
    /// Accept an invitation, and sign in at the console
    "person.invitation-accept": POST "/v1/people/invitations/accept" for Reader and Stranger = accept(At<Accept>) -> ConsoleSession;
    /// Sign out of the console
    "person.sign-out": POST "/v1/people/sign-out" for Reader and Member = sign_out(Nothing) -> SignedOut;
}

/// Where somebody asks.
fn asked(call: &Call, api: &str) -> Result<Asked, Failure> {
    // Which APIs there are is not told to everybody.
    let nowhere = || Failure::of(FailureKind::NotFound, "`api`: nobody signs in there");
    let managed = call.management.api(api).map_err(|_| nowhere())?;
    let mut rules = managed.sign_in.clone().ok_or_else(nowhere)?;
    rules.session_seconds = rules.session_seconds.min(LONGEST_SECONDS);
    let client = call.caller.client();
    Ok(Asked { api: managed.api.clone(), entrance: Entrance::Console, rules, client })
}

fn session(entered: Entered) -> Result<ConsoleSession, Failure> {
    match entered {
        Entered::Console(session) => Ok(session),
        Entered::Api(_) => Err(Failure::of(FailureKind::Broken, "the console was given an API's token")),
    }
}

async fn sign_in(call: &Call, input: At<SignIn>) -> Result<ConsoleSession, Failure> {
    let asked = asked(call, &input.api)?;
    session(people::sign_in(&call.management, &asked, input.sent).await?)
}

async fn sign_up(call: &Call, input: At<SignUp>) -> Result<SignedUp, Failure> {
    let asked = asked(call, &input.api)?;
    if proofs::is_proven_first(&asked)? {
        proofs::sign_up(&call.management, &asked, input.sent).await?;
        return Ok(SignedUp { state: "mailed", session: None });
    }
    let entered = people::sign_up(&call.management, &asked, input.sent).await?;
    Ok(SignedUp { state: "signed-in", session: Some(session(entered)?) })
}

async fn verify(call: &Call, input: At<Verify>) -> Result<ConsoleSession, Failure> {
    let asked = asked(call, &input.api)?;
    session(proofs::verify(&call.management, &asked, None, input.sent).await?)
}

async fn resend(call: &Call, input: At<Mailed>) -> Result<UnderWay, Failure> {
    proofs::resend(&call.management, &asked(call, &input.api)?, input.sent).await?;
    Ok(UnderWay { state: "mailed" })
}

async fn forgot(call: &Call, input: At<Mailed>) -> Result<UnderWay, Failure> {
    proofs::forgot(&call.management, &asked(call, &input.api)?, input.sent).await?;
    Ok(UnderWay { state: "mailed" })
}

async fn reset(call: &Call, input: At<Reset>) -> Result<WasReset, Failure> {
    proofs::reset(&call.management, &asked(call, &input.api)?, input.sent).await?;
    Ok(WasReset { state: "reset" })
}

async fn accept(call: &Call, input: At<Accept>) -> Result<ConsoleSession, Failure> {
    let asked = asked(call, &input.api)?;
    session(proofs::accept(&call.management, &asked, input.sent).await?)
}

async fn sign_out(call: &Call, _: Nothing) -> Result<SignedOut, Failure> {
    let nobody =
        || Failure::of(FailureKind::Forbidden, "this is for people who are signed in at the console");
    let person = call.caller.person().ok_or_else(nobody)?;
    call.operator().tenant(person.tenant).session_end(person.session).await?;
    Ok(SignedOut { session_id: person.session.to_string(), state: "ended" })
}
