//! Ways round the door. Each use has to say why, and clippy asks for it.

/// Lets a named job act on every tenant, without any request.
#[derive(Debug)]
pub struct SystemPermit {
    job: &'static str,
}

impl SystemPermit {
    /// For the job called `job`, which stands in what it writes and logs.
    pub fn for_job(job: &'static str) -> Self {
        Self { job }
    }

    /// The job.
    pub fn job(&self) -> &'static str {
        self.job
    }
}

/// Lets the operator of this server act on any one tenant. Everything done under it is audited.
#[derive(Debug)]
pub struct OperatorPermit {
    actor: String,
}

impl OperatorPermit {
    /// For a command of the operator's; `actor` stands in the audit.
    pub fn for_command(actor: &str) -> Self {
        Self { actor: actor.to_owned() }
    }

    /// Who acts.
    pub fn actor(&self) -> &str {
        &self.actor
    }
}
