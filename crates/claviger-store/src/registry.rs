//! All statements there are.

use crate::backend::postgres::{check, ran, withdrawn};
use crate::backend::tx;
use crate::credentials::{held_keys, key_authority, key_uses, sealed_keys};
use crate::feed::{loads, make_good, nodes, open_transaction, sweep};
use crate::people::{addresses, console_sessions, passwords};
use crate::statement::Statement;
use crate::withdrawals::repeat;
use crate::{audit, facts, feed, keyring_check, nouns, retirement, versions};

/// Every statement, once: the nouns', and those that hold the store together.
pub(crate) fn statements() -> impl Iterator<Item = &'static Statement> {
    let others = [
        addresses::STATEMENTS,
        audit::STATEMENTS,
        check::STATEMENTS,
        console_sessions::STATEMENTS,
        facts::STATEMENTS,
        feed::STATEMENTS,
        held_keys::STATEMENTS,
        key_authority::STATEMENTS,
        key_uses::STATEMENTS,
        keyring_check::STATEMENTS,
        make_good::STATEMENTS,
        nodes::STATEMENTS,
        open_transaction::STATEMENTS,
        passwords::STATEMENTS,
        ran::STATEMENTS,
        repeat::STATEMENTS,
        sealed_keys::STATEMENTS,
        sweep::STATEMENTS,
        tx::STATEMENTS,
        versions::STATEMENTS,
        withdrawn::STATEMENTS,
    ];
    nouns::STATEMENTS
        .iter()
        .copied()
        .chain(others)
        .flatten()
        .copied()
        .chain(loads::statements())
        .chain(retirement::statements())
}

#[cfg(test)]
mod tests {
    use tokio_postgres::NoTls;
    use tokio_postgres::types::Type;

    use super::*;
    use crate::backend::postgres::transaction::type_of;
    use crate::backend::sqlite::connect;
    use crate::nouns::NOUNS;
    use crate::statement::Reach;
    use crate::testing::{Folder, cluster};

    #[test]
    fn sqlite_prepares_every_statement_behind_its_walls() {
        let folder = Folder::make();
        let path = folder.path().join("claviger.db");
        let (writer, _) = connect::writer(&path, NOUNS).unwrap();
        let (scoped, _) = connect::scoped_reader(&path, NOUNS).unwrap();
        let system = connect::system_reader(&path).unwrap();
        for statement in statements() {
            let (name, sql) = (statement.name, statement.for_sqlite());
            let reads = sql.trim_start().starts_with("SELECT");
            let connections: &[_] = match statement.reach {
                Reach::Tenant if reads => &[&writer, &scoped],
                Reach::Shared if reads => &[&writer, &scoped, &system],
                Reach::System if reads => &[&system],
                Reach::Tenant | Reach::Shared | Reach::System => &[&writer],
            };
            for connection in connections {
                let prepared = connection.prepare(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(prepared.parameter_count(), statement.params.len(), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn postgres_prepares_every_statement_with_its_kinds() {
        let database = cluster::database().await.unwrap();
        let (client, connection) = tokio_postgres::connect(&database.runtime_url, NoTls).await.unwrap();
        tokio::spawn(connection);
        for statement in statements() {
            let name = statement.name;
            let kinds: Vec<Type> = statement.params.iter().map(|kind| type_of(*kind)).collect();
            let prepared = client.prepare_typed(statement.for_postgres(), &kinds).await;
            let prepared = prepared.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(prepared.params(), kinds, "{name}");
            for column in prepared.columns() {
                let known = [Type::INT8, Type::TEXT, Type::BYTEA, Type::UUID].contains(column.type_());
                assert!(known, "{name}: column `{}` is {}", column.name(), column.type_());
            }
        }
    }
}
