//! Why a request would be let in or refused, step by step.

use std::fmt;

use crate::authenticate::Caller;
use crate::directory::{Annotated, DirectoryError};
use crate::limit_rule::LimitState;
use crate::need::Need;
use crate::refusal::{Reason, Refusal};

/// A step of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Whether the request came by a transport that the API takes.
    Transport,
    /// Method and path to a need.
    Route,
    /// Headers to a credential.
    Identify,
    /// Whether the directory's memory may be believed.
    Freshness,
    /// Credential to principal.
    Authenticate,
    /// Principal and need to grant.
    Authorize,
    /// Grant to permit.
    Limit,
}

impl Step {
    /// The step's name, a verb where it is not its object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Route => "route",
            Self::Identify => "identify",
            Self::Freshness => "trust the directory",
            Self::Authenticate => "authenticate",
            Self::Authorize => "authorize",
            Self::Limit => "limit",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the steps said. Meant for the owner of the credential: it says what a refusal does not.
#[derive(Debug, Clone, Default)]
pub struct Explanation {
    steps: Vec<(Step, String)>,
    refusal: Option<Refusal>,
}

impl Explanation {
    /// Of a request that is refused before the door is asked, as its target cannot be read.
    pub fn of_target(reason: Reason) -> Self {
        let mut told = Self::default();
        let _ = told.step(Step::Route, Err::<(), _>(reason));
        told
    }

    /// The steps taken, in order, with what each found.
    pub fn steps(&self) -> &[(Step, String)] {
        &self.steps
    }

    /// What the last step refused with; `None` if the request would be let in.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Notes the outcome of a step and hands its value on.
    pub(crate) fn step<T>(&mut self, step: Step, outcome: Result<T, impl Into<Refusal>>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.steps.push((step, "ok".into()));
                Some(value)
            }
            Err(refusal) => {
                let refusal = refusal.into();
                self.steps.push((step, refusal.to_string()));
                self.refusal = Some(refusal);
                None
            }
        }
    }

    /// Adds words to the last step.
    fn add(&mut self, words: &str) {
        if let Some((_, said)) = self.steps.last_mut() {
            said.push_str(": ");
            said.push_str(words);
        }
    }

    pub(crate) fn need(&mut self, api: &str, need: &Need) {
        let demands: Vec<String> = need
            .demands()
            .iter()
            .map(|demand| {
                let on = demand.resource.as_ref().map_or("everything", |resource| resource.as_str());
                format!("{} on {on}", demand.access)
            })
            .collect();
        let demands =
            if need.is_public() { "nothing: it is public".to_owned() } else { demands.join(" and ") };
        self.add(&format!("API `{api}`, needs {demands}"));
    }

    pub(crate) fn caller(&mut self, caller: &Caller<'_>) {
        let principal = caller.principal();
        let (tenant, org) = principal.ids();
        let grants = principal.grants().map_or_else(|| "nothing (unknown role)".into(), ToString::to_string);
        let alone = if principal.can_be_revoked_alone() {
            ""
        } else {
            "; has no `jti`, so it cannot be revoked alone"
        };
        self.add(&format!(
            "{} of tenant {tenant}, organization {org}, {}, allows {grants}{alone}",
            principal.kind().as_str(),
            principal.environment(),
        ));
    }

    /// Adds what others call those whom the request is from.
    pub(crate) fn known_as(&mut self, known: Result<Vec<(Annotated, String)>, DirectoryError>) {
        match known {
            Ok(known) => {
                for (about, called) in known {
                    self.add(&format!("the {} is `{called}` to others", about.kind()));
                }
            }
            Err(error) => self.add(&format!("what others call them is not known, as {error}")),
        }
    }

    pub(crate) fn limits(&mut self, outcome: Result<Vec<LimitState>, Reason>) {
        if let Some(states) = self.step(Step::Limit, outcome) {
            let words: Vec<String> = states
                .iter()
                .map(|state| format!("`{}` {} of {} left", state.name, state.remaining, state.limit))
                .collect();
            self.add(&if words.is_empty() { "nothing is limited".to_owned() } else { words.join(", ") });
        }
    }
}
