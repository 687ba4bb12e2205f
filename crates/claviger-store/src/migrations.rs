//! Brings a database to the schema this program knows, and refuses one that somebody changed.
//!
//! Migrations have the same numbers and names on both engines. What ran is recorded with its hash, and with the oldest
//! schema whose programs go on working: so a schema goes ahead of its programs, each of them is replaced in its own
//! time, and may be put back. What such a program must find of the walls is recorded beside it, by whoever made them.

use crate::error::StoreError;

/// One step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    /// The last step that a program must know to work with the schema after this one: a step that only adds names an older one,
    /// and one that changes or takes away names itself.
    pub(crate) works_with: &'static str,
    /// What is done on PostgreSQL once the tables stand, in this order, before the next step.
    pub(crate) later: &'static [Later],
}

/// What takes its time, while everybody serves. Begun again it does no harm.
#[derive(Debug)]
pub(crate) enum Later {
    /// An index, made `CONCURRENTLY`: nobody is kept from the table.
    Index { name: &'static str, sql: &'static str },
    /// Gives a value to some rows that lack one, in a transaction of its own, until there are none. The feed does not tell of it.
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "the first step that needs one is still to come")
    )]
    Backfill(&'static str),
}

macro_rules! migrations {
    ($engine:tt: $($name:literal works with $with:literal $(later $later:ident)?),* $(,)?) => {
        &[$(Migration {
            name: $name,
            sql: include_str!(concat!("../migrations/", $engine, "/", $name, ".sql")),
            works_with: $with,
            later: migrations!(@later $engine $($later)?),
        }),*]
    };
    (@later "postgres" $later:ident) => { $later };
    (@later $engine:tt $($later:ident)?) => { &[] };
}

/// The index by which old entries of the audit are found. (SQLite makes it in the step itself: it has no others to hold up.)
const AUDIT_BY_AGE: &[Later] = &[Later::Index {
    name: "audit_by_age",
    sql: "CREATE INDEX CONCURRENTLY audit_by_age ON audit (created_at)",
}];

/// The index by which the entries of an organization are found.
const AUDIT_BY_ORG: &[Later] = &[Later::Index {
    name: "audit_by_org",
    sql: "CREATE INDEX CONCURRENTLY audit_by_org ON audit (tenant_id, org_id, created_at, audit_id)",
}];

/// The indices by which tenants, organizations and keys are found by their names, keys by the end of a secret, and the keys of a tenant
/// listed. (SQLite makes them in the step itself.)
const BY_WHAT_PEOPLE_FIND_THINGS: &[Later] = &[
    Later::Index {
        name: "tenant_by_name",
        sql: "CREATE INDEX CONCURRENTLY tenant_by_name ON tenant (realm, name)",
    },
    Later::Index {
        name: "organization_by_name",
        sql: "CREATE INDEX CONCURRENTLY organization_by_name ON organization (tenant_id, name)",
    },
    Later::Index {
        name: "api_key_by_time",
        sql: "CREATE INDEX CONCURRENTLY api_key_by_time ON api_key (tenant_id, created_at, key_id)",
    },
    Later::Index {
        name: "api_key_by_name",
        sql: "CREATE INDEX CONCURRENTLY api_key_by_name ON api_key (tenant_id, name)",
    },
    Later::Index {
        name: "key_secret_by_end",
        sql: "CREATE INDEX CONCURRENTLY key_secret_by_end ON key_secret (last_four)",
    },
];

/// Spells the list once for an engine.
macro_rules! all_for {
    ($engine:tt) => {
        migrations!($engine:
            "0001_start" works with "0001_start",
            "0002_foreign_by_account" works with "0002_foreign_by_account",
            "0003_origin" works with "0003_origin",
            "0004_floors" works with "0004_floors",
            "0005_withdrawals" works with "0005_withdrawals",
            "0006_nodes" works with "0006_nodes",
            "0007_walls_mark" works with "0007_walls_mark",
            "0008_repeated" works with "0007_walls_mark",
            "0009_backfill" works with "0007_walls_mark",
            "0010_held_keys" works with "0007_walls_mark",
            "0011_annotation" works with "0007_walls_mark",
            "0012_retirement" works with "0007_walls_mark" later AUDIT_BY_AGE,
            "0013_operator" works with "0007_walls_mark",
            "0014_idempotency" works with "0007_walls_mark" later BY_WHAT_PEOPLE_FIND_THINGS,
            "0015_sign_in" works with "0007_walls_mark",
            "0016_self_registered" works with "0007_walls_mark",
            "0017_mail" works with "0007_walls_mark",
            "0018_owner" works with "0007_walls_mark" later AUDIT_BY_ORG,
            "0019_user_secret_use" works with "0007_walls_mark",
            "0020_signing_key_turns" works with "0007_walls_mark",
            "0021_email_since" works with "0007_walls_mark",
            "0022_key_secret_use" works with "0007_walls_mark",
        )
    };
}

pub(crate) const SQLITE: &[Migration] = all_for!("sqlite");
const POSTGRES: &[Migration] = all_for!("postgres");

/// What `postgres/walls.txt` says of the walls, as this program's migrations put them up. A test makes a database and
/// compares, and writes this file anew where `UPDATE` is set.
const WALLS: &str = include_str!("../migrations/postgres/walls.txt");

/// The schema as a program knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    migrations: &'static [Migration],
    further: &'static [Migration],
    further_walls: &'static str,
}

/// SQLite's, as this program knows it.
pub(crate) fn of_sqlite() -> Schema {
    Schema { migrations: SQLITE, further: &[], further_walls: "" }
}

/// PostgreSQL's, as this program knows it.
pub(crate) fn of_postgres() -> Schema {
    #[cfg(feature = "testing")]
    if further::is_wanted() {
        return Schema { migrations: POSTGRES, further: further::MIGRATIONS, further_walls: further::WALLS };
    }
    Schema { migrations: POSTGRES, further: &[], further_walls: "" }
}

/// One more step, which no release has: with it this program is the next one, for the tests that roll from one to the other.
#[cfg(feature = "testing")]
mod further {
    use super::{Later, Migration};

    #[expect(clippy::disallowed_methods, reason = "no release has this, so it is no setting")]
    pub(super) fn is_wanted() -> bool {
        std::env::var_os("CLAVIGER_TEST_FURTHER").is_some()
    }

    pub(super) const MIGRATIONS: &[Migration] = &[Migration {
        name: "9000_further",
        sql: "ALTER TABLE tenant ADD COLUMN further text",
        works_with: "0010_held_keys",
        later: &[
            Later::Index {
                name: "tenant_further",
                sql: "CREATE INDEX CONCURRENTLY tenant_further ON tenant (further)",
            },
            Later::Backfill(
                "UPDATE tenant SET further = 'filled' WHERE tenant_id IN
                     (SELECT t.tenant_id FROM tenant AS t WHERE t.further IS NULL LIMIT 500)",
            ),
        ],
    }];
    pub(super) const WALLS: &str = "column tenant.further text\n";
}

/// A step as a database has recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) name: String,
    pub(crate) sha256: String,
    /// `None` of what an older program recorded: nobody older works with it.
    pub(crate) works_with: Option<String>,
    /// The walls that whoever ran it has put up, if it was the last one then.
    pub(crate) walls: Option<String>,
}

impl Schema {
    /// Every step, in their order.
    pub(crate) fn all(self) -> impl Iterator<Item = &'static Migration> + Clone {
        self.migrations.iter().chain(self.further)
    }

    /// Which steps are still to run after those that did.
    ///
    /// # Errors
    /// If one that ran is not the one this program knows, or one that it does not know leaves it behind.
    pub(crate) fn missing(self, ran: &[Ran]) -> Result<Vec<&'static Migration>, StoreError> {
        let mut known = self.all();
        let mut last = "";
        for step in ran {
            match known.next() {
                Some(migration) if migration.name == step.name && hash(migration) == step.sha256 => {
                    last = migration.name;
                }
                Some(_) => {
                    return Err(StoreError::Setup(format!(
                        "the migration `{}` is not the one that this program knows",
                        step.name
                    )));
                }
                // A newer program's. Its names are in the order of their numbers.
                None if step.works_with.as_deref().is_some_and(|needed| needed <= last) => {}
                None => {
                    return Err(StoreError::Setup(format!(
                        "the database was migrated by a newer program: since `{}` this one cannot work with it; update this one",
                        step.name
                    )));
                }
            }
        }
        Ok(known.collect())
    }

    /// Refuses a database that this program cannot work with, and gives the walls that have to stand in it.
    ///
    /// # Errors
    /// If a step is missing or changed, or one that it does not know leaves this program behind.
    pub(crate) fn walls(self, ran: &[Ran]) -> Result<String, StoreError> {
        if let [first, ..] = &*self.missing(ran)? {
            return Err(StoreError::Setup(format!(
                "the migration `{}` is missing; run `claviger store prepare`",
                first.name
            )));
        }
        let Some(newest) = ran.get(self.all().count()..).and_then(<[Ran]>::last) else {
            return Ok(format!("{WALLS}{}", self.further_walls));
        };
        newest.walls.clone().ok_or_else(|| {
            StoreError::Setup(format!("what walls `{}` has put up is not recorded", newest.name))
        })
    }
}

/// What a step is recorded by: SHA-256 of its text.
pub(crate) fn hash(migration: &Migration) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, migration.sql.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        let names = |list: &[Migration]| list.iter().map(|migration| migration.name).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        for engine in ["sqlite", "postgres"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .filter_map(|entry| {
                    Some(entry.unwrap().file_name().to_str()?.strip_suffix(".sql")?.to_owned())
                })
                .collect();
            files.sort();
            assert_eq!(files, names(SQLITE), "{engine}: each file is in the list");
        }
        for migration in SQLITE.iter().chain(POSTGRES) {
            assert!(migration.works_with <= migration.name, "{}", migration.name);
        }
    }

    fn recorded(migration: &Migration) -> Ran {
        Ran {
            name: migration.name.to_owned(),
            sha256: hash(migration),
            works_with: Some(migration.works_with.to_owned()),
            walls: None,
        }
    }

    #[test]
    fn a_changed_or_missing_migration_is_refused() {
        let schema = Schema { migrations: POSTGRES, further: &[], further_walls: "" };
        let all: Vec<Ran> = POSTGRES.iter().map(recorded).collect();
        let left = |ran: &[Ran]| schema.missing(ran).map(|missing| missing.len());
        for count in 0..=all.len() {
            assert_eq!(left(&all[..count]).unwrap(), all.len() - count);
            assert_eq!(schema.walls(&all[..count]).is_ok(), count == all.len());
        }
        let mut changed = all.clone();
        changed[1].sha256 = "0".repeat(64);
        assert!(left(&changed).is_err());
    }

    #[test]
    fn store_11_a_newer_schema_is_worked_with_as_far_as_it_says() {
        let schema = Schema { migrations: POSTGRES, further: &[], further_walls: "" };
        let all: Vec<Ran> = POSTGRES.iter().map(recorded).collect();
        let last = &all.last().unwrap().name;
        let later = |works_with: Option<&str>, walls: Option<&str>| Ran {
            name: "9999_later".into(),
            sha256: "0".repeat(64),
            works_with: works_with.map(str::to_owned),
            walls: walls.map(str::to_owned),
        };
        let with = |more: &[Ran]| [&all, more].concat();
        let added = later(Some(last), Some("its own"));
        assert_eq!(schema.walls(&with(std::slice::from_ref(&added))).unwrap(), "its own");
        let older = later(Some("0001_start"), Some("its own"));
        assert_eq!(schema.walls(&with(&[older])).unwrap(), "its own");
        for leaves_behind in [later(None, Some("x")), later(Some("9999_later"), Some("x"))] {
            let refused = schema.walls(&with(&[added.clone(), leaves_behind])).unwrap_err().to_string();
            assert!(refused.contains("newer program") && refused.contains("update this one"), "{refused}");
        }
        assert!(schema.walls(&with(&[later(Some(last), None)])).is_err(), "walls that nobody recorded");
    }
}
