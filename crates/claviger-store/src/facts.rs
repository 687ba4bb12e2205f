//! Facts about the store itself, by name.

use crate::statement::statements;

statements! { "fact";
    META: System [Text] "SELECT value FROM store_meta WHERE name = $1";
    META_ADD: System [Text, Text] "INSERT INTO store_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    META_SET: System [Text, Text]
        "INSERT INTO store_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}
