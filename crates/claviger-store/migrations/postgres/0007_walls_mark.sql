-- Another number whenever somebody changed anything of what the walls are made of: a trigger, a function, a policy, a grant, a
-- table, a role. It is no proof, and says only when to look: the rows of the catalogue have new versions where they were
-- changed, even where they were changed back. In plpgsql, which plans it once in a connection.
CREATE FUNCTION walls_mark() RETURNS text LANGUAGE plpgsql STABLE SET search_path = claviger, pg_temp AS $$
BEGIN
    RETURN (SELECT sum(hashed) FROM (
        SELECT hashtextextended(t.tgrelid::text || t.oid || ' ' || t.xmin || t.tgenabled::text, 1) AS hashed
        FROM pg_class AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid WHERE c.relnamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(p.oid || ' ' || p.xmin, 2) FROM pg_proc AS p WHERE p.pronamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(p.oid || ' ' || p.xmin, 3)
        FROM pg_class AS c JOIN pg_policy AS p ON p.polrelid = c.oid WHERE c.relnamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(c.oid || ' ' || a.attnum || ' ' || a.xmin, 4)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(c.oid || ' ' || c.xmin, 5) FROM pg_class AS c WHERE c.relnamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(r.oid || ' ' || r.xmin, 10)
        FROM pg_class AS c JOIN pg_rewrite AS r ON r.ev_class = c.oid WHERE c.relnamespace = 'claviger'::regnamespace
        UNION ALL
        SELECT hashtextextended(d.oid || ' ' || d.xmin, 11) FROM pg_default_acl AS d
        UNION ALL
        SELECT hashtextextended(n.oid || ' ' || n.xmin, 6) FROM pg_namespace AS n WHERE n.nspname = 'claviger'
        UNION ALL
        SELECT hashtextextended(m::text, 7) FROM pg_auth_members AS m
        WHERE pg_get_userbyid(m.member) IN ('claviger_owner', 'claviger_rt', 'claviger_system')
        UNION ALL
        SELECT hashtextextended(s::text, 8) FROM pg_db_role_setting AS s
        WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
            AND pg_get_userbyid(s.setrole) IN ('claviger_owner', 'claviger_rt', 'claviger_system')
        UNION ALL
        SELECT hashtextextended(r::text, 9) FROM pg_roles AS r
        WHERE r.rolname IN ('claviger_owner', 'claviger_rt', 'claviger_system')
    ) AS found)::text;
END $$;
REVOKE ALL ON FUNCTION walls_mark() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION walls_mark() TO claviger_system;

-- A server looks at the walls again while it runs, and at which schema they belong to.
GRANT SELECT ON migration TO claviger_system;
