//! Realms, each a population of its own, and their plans.

use claviger::id::{PlanName, RealmName};

use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Noun, Rights, int, text};
use crate::parts::operator::Operator;
use crate::statement::statements;
use crate::value::values;

/// The rows of realms.
pub(crate) static REALM_ROWS: Noun = Noun {
    table: "realm",
    about: "A population of tenants and accounts, and what they sign in to.",
    columns: &[text("name"), int("created_at")],
    key: &["name"],
    references: &[],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::ADD,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

/// The rows of plans.
pub(crate) static PLAN_ROWS: Noun = Noun {
    table: "plan",
    about: "A realm's tariffs.",
    columns: &[text("realm"), text("name"), int("created_at")],
    key: &["realm", "name"],
    references: &[(&["realm"], "realm (name)")],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::ADD,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "realm or plan";
    REALM_ADD: System [Text, Int]
        "INSERT INTO realm (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING name";
    REALM_LIST: System [] "SELECT name FROM realm ORDER BY name";
    PLAN_ADD: System [Text, Text, Int]
        "INSERT INTO plan (realm, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (realm, name) DO NOTHING
         RETURNING name";
    PLAN_LIST: System [Text] "SELECT name FROM plan WHERE realm = $1 ORDER BY name";
}

impl Operator {
    /// Makes the realm if there is none of the name. Gives whether there was none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn realm_ensure(&self, realm: &RealmName) -> Result<bool, StoreError> {
        let (entry, realm) = (self.entry("REALM_CREATED", ("realm", realm.to_string())), realm.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let made = tx.run_one(&REALM_ADD, values![realm.as_str(), now]).await?.is_some();
            if made {
                entry.write(tx).await?;
            }
            Ok(made)
        })
        .await
    }

    /// The realms, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn realm_list(&self) -> Result<Vec<RealmName>, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            tx.run(&REALM_LIST, &[]).await?.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
    }

    /// Makes the plan if the realm has none of the name. Gives whether there was none.
    ///
    /// # Errors
    /// If there is no such realm, or the store does not answer.
    pub async fn plan_ensure(&self, realm: &RealmName, plan: &PlanName) -> Result<bool, StoreError> {
        let entry = self.entry("PLAN_CREATED", ("plan", format!("{realm}/{plan}")));
        let (realm, plan) = (realm.clone(), plan.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let made = tx.run_one(&PLAN_ADD, values![realm.as_str(), plan.as_str(), now]).await?.is_some();
            if made {
                entry.write(tx).await?;
            }
            Ok(made)
        })
        .await
    }

    /// The realm's plans, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn plan_list(&self, realm: &RealmName) -> Result<Vec<PlanName>, StoreError> {
        let realm = realm.clone();
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&PLAN_LIST, values![realm.as_str()]).await?;
            rows.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
    }
}
