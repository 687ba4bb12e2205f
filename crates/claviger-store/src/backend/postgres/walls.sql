-- What keeps the tenants apart and tells the nodes of changes, as the catalogue has it: one line each. A database that
-- `claviger store prepare` has made gives the lines of `walls.txt`, whichever server it is on.
WITH ours AS (
    SELECT c.oid, c.relname::text AS name, c.relkind AS kind, c.relacl AS acl, c.reloptions AS options,
           pg_get_userbyid(c.relowner)::text AS owner, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced,
           c.relpersistence AS persistence
    FROM pg_class AS c WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), role(name) AS (VALUES ('claviger_owner'), ('claviger_rt'), ('claviger_system'))
SELECT line FROM (
    SELECT 'schema claviger of ' || pg_get_userbyid(n.nspowner)::text AS line
    FROM pg_namespace AS n WHERE n.nspname = 'claviger'
    UNION ALL
    SELECT 'grant ' || a.privilege_type || ' on schema claviger to ' || coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'PUBLIC')
    FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'claviger' AND a.grantee <> n.nspowner
    UNION ALL
    SELECT 'table ' || o.name || ' of ' || o.owner || ', kind ' || o.kind::text || ', ' || o.persistence::text
        || CASE WHEN o.secured THEN ', row security' ELSE '' END || CASE WHEN o.forced THEN ', forced' ELSE '' END
        || coalesce(', ' || array_to_string(o.options, ' '), '')
    FROM ours AS o
    UNION ALL
    SELECT 'column ' || o.name || '.' || t.attname || ' ' || format_type(t.atttypid, t.atttypmod)
        || CASE WHEN t.attnotnull THEN ' not null' ELSE '' END
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM ours AS o JOIN pg_attribute AS t ON t.attrelid = o.oid AND t.attnum > 0 AND NOT t.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = o.oid AND d.adnum = t.attnum
    UNION ALL
    SELECT 'constraint ' || o.name || '.' || c.conname || ' ' || pg_get_constraintdef(c.oid)
    FROM ours AS o JOIN pg_constraint AS c ON c.conrelid = o.oid AND c.contype IN ('p', 'u', 'f', 'c', 'x')
    UNION ALL
    SELECT 'unique ' || pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    FROM ours AS o JOIN pg_index AS i ON i.indrelid = o.oid AND i.indisunique
    UNION ALL
    SELECT 'grant ' || a.privilege_type || ' on ' || o.name || ' to ' || coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'PUBLIC')
        || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END
    FROM ours AS o, aclexplode(o.acl) AS a WHERE pg_get_userbyid(a.grantee) <> o.owner
    UNION ALL
    SELECT 'grant ' || a.privilege_type || ' on ' || o.name || '.' || t.attname || ' to '
        || coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'PUBLIC')
        || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END
    FROM ours AS o JOIN pg_attribute AS t ON t.attrelid = o.oid AND t.attnum > 0 AND NOT t.attisdropped,
        aclexplode(t.attacl) AS a WHERE pg_get_userbyid(a.grantee) <> o.owner
    UNION ALL
    SELECT 'policy ' || p.tablename || '.' || p.policyname || ' ' || p.permissive || ' for ' || p.cmd || ' to '
        || array_to_string(p.roles, ', ') || coalesce(' using ' || p.qual, '') || coalesce(' with check ' || p.with_check, '')
    FROM pg_policies AS p WHERE p.schemaname = 'claviger'
    UNION ALL
    SELECT 'trigger ' || o.name || '.' || t.tgname || ' ' || CASE t.tgenabled WHEN 'O' THEN 'enabled' ELSE 'DISABLED' END || ' '
        || pg_get_triggerdef(t.oid)
    FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid AND NOT t.tgisinternal
    UNION ALL
    -- Those behind foreign keys have names with numbers in them.
    SELECT 'trigger of a foreign key on ' || o.name || ' is DISABLED'
    FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid AND t.tgisinternal AND t.tgenabled <> 'O'
    UNION ALL
    SELECT 'rule ' || r.tablename || '.' || r.rulename || ' ' || r.definition
    FROM pg_rules AS r WHERE r.schemaname = 'claviger'
    UNION ALL
    SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') of ' || pg_get_userbyid(p.proowner)
        || ', ' || l.lanname || CASE WHEN p.prosecdef THEN ', as its owner' ELSE '' END || ', '
        || coalesce(array_to_string(p.proconfig, ' '), 'no settings') || ', body ' || md5(p.prosrc)
    FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang WHERE p.pronamespace = 'claviger'::regnamespace
    UNION ALL
    SELECT 'grant ' || a.privilege_type || ' on function ' || p.proname || ' to '
        || coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'PUBLIC')
    FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = 'claviger'::regnamespace AND a.grantee <> p.proowner
    UNION ALL
    SELECT 'default privileges in claviger: ' || d.defaclobjtype::text || ' ' || d.defaclacl::text
    FROM pg_default_acl AS d WHERE d.defaclnamespace = 'claviger'::regnamespace
    UNION ALL
    SELECT 'inheritance: ' || i.inhrelid::regclass || ' of ' || i.inhparent::regclass
    FROM pg_inherits AS i JOIN ours AS o ON o.oid IN (i.inhrelid, i.inhparent)
    UNION ALL
    SELECT 'role ' || r.rolname || CASE WHEN r.rolcanlogin THEN ' login' ELSE '' END
        || CASE WHEN r.rolsuper THEN ' SUPERUSER' ELSE '' END || CASE WHEN r.rolbypassrls THEN ' BYPASSRLS' ELSE '' END
        || CASE WHEN r.rolcreaterole THEN ' CREATEROLE' ELSE '' END || CASE WHEN r.rolcreatedb THEN ' CREATEDB' ELSE '' END
        || CASE WHEN r.rolreplication THEN ' REPLICATION' ELSE '' END
    FROM pg_roles AS r JOIN role ON role.name = r.rolname
    UNION ALL
    -- By the word of the server, which knows of roles within roles; `INHERIT` is asked of each pair, as it is spelt differently
    -- from release to release.
    SELECT 'role ' || role.name || ' can become ' || r.rolname
        || CASE WHEN pg_has_role(role.name, r.oid, 'USAGE') THEN ', and has its rights by itself' ELSE '' END
    FROM role JOIN pg_roles AS r ON r.rolname <> role.name AND pg_has_role(role.name, r.oid, 'MEMBER')
    WHERE NOT (SELECT s.rolsuper FROM pg_roles AS s WHERE s.rolname = role.name)
    UNION ALL
    SELECT 'setting of ' || pg_get_userbyid(s.setrole) || ': ' || c.setting
    FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c(setting)
    WHERE s.setrole IN (SELECT r.oid FROM pg_roles AS r JOIN role ON role.name = r.rolname)
      AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
) AS found
ORDER BY line COLLATE "C"
