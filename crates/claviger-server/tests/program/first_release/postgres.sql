-- PostgreSQL database dump
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
-- Name: claviger; Type: SCHEMA; Schema: -; Owner: claviger_owner
CREATE SCHEMA claviger;
ALTER SCHEMA claviger OWNER TO claviger_owner;
-- Name: note_change(); Type: FUNCTION; Schema: claviger; Owner: claviger_owner
CREATE FUNCTION claviger.note_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'claviger', 'pg_temp'
    AS $$
DECLARE
    subject_kind text;
    subject_id text;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'account' THEN
            subject_kind := 'account'; subject_id := NEW.account_id::text;
        WHEN 'tenant' THEN
            subject_kind := 'tenant'; subject_id := NEW.tenant_id::text;
        WHEN 'organization' THEN
            subject_kind := 'org'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text;
        WHEN 'member' THEN
            subject_kind := 'member'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text || E'\n' || NEW.account_id::text;
        WHEN 'session' THEN
            subject_kind := 'session'; subject_id := NEW.tenant_id::text || E'\n' || NEW.session_id::text;
        WHEN 'key_secret' THEN
            subject_kind := 'key'; subject_id := encode(NEW.digest, 'hex');
        WHEN 'user_secret' THEN
            subject_kind := 'user_secret'; subject_id := NEW.kid;
        WHEN 'foreign_identity' THEN
            subject_kind := 'foreign_identity'; subject_id := NEW.tenant_id::text || E'\n' || NEW.issuer || E'\n' || NEW.subject;
        WHEN 'signing_key' THEN
            subject_kind := 'identity_key'; subject_id := NEW.realm || E'\n' || NEW.kid;
        WHEN 'revoked_token' THEN
            subject_kind := 'revoked_token'; subject_id := NEW.tenant_id::text || E'\n' || NEW.token_id::text;
    END CASE;
    INSERT INTO change (kind, id, row_version) VALUES (subject_kind, subject_id, NEW.row_version);
    RETURN NULL;
END $$;
ALTER FUNCTION claviger.note_change() OWNER TO claviger_owner;
-- Name: raise_secret_versions(); Type: FUNCTION; Schema: claviger; Owner: claviger_owner
CREATE FUNCTION claviger.raise_secret_versions() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'claviger', 'pg_temp'
    AS $$
BEGIN
    UPDATE key_secret SET row_version = row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
    RETURN NULL;
END $$;
ALTER FUNCTION claviger.raise_secret_versions() OWNER TO claviger_owner;
-- Name: raise_version(); Type: FUNCTION; Schema: claviger; Owner: claviger_owner
CREATE FUNCTION claviger.raise_version() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'claviger', 'pg_temp'
    AS $$
BEGIN
    IF NEW.row_version = OLD.row_version THEN
        NEW.row_version := OLD.row_version + 1;
    END IF;
    RETURN NEW;
END $$;
ALTER FUNCTION claviger.raise_version() OWNER TO claviger_owner;
-- Name: refuse_audit_change(); Type: FUNCTION; Schema: claviger; Owner: claviger_owner
CREATE FUNCTION claviger.refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'claviger', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL
        AND to_jsonb(OLD) - 'seq' - 'batch' = to_jsonb(NEW) - 'seq' - 'batch' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entries are immutable' USING ERRCODE = 'restrict_violation';
END $$;
ALTER FUNCTION claviger.refuse_audit_change() OWNER TO claviger_owner;
SET default_tablespace = '';
SET default_table_access_method = heap;
-- Name: account; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.account (
    account_id uuid NOT NULL,
    realm text NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    password_hash text,
    state text DEFAULT 'active'::text NOT NULL,
    email_verified bigint DEFAULT 0 NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT account_email_verified_check CHECK ((email_verified = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT account_state_check CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleted'::text])))
);
ALTER TABLE claviger.account OWNER TO claviger_owner;
-- Name: api_key; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.api_key (
    tenant_id uuid NOT NULL,
    key_id uuid NOT NULL,
    org_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    environment text NOT NULL,
    grants text NOT NULL,
    networks text,
    state text DEFAULT 'active'::text NOT NULL,
    expires_at bigint,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT api_key_environment_check CHECK ((environment = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT api_key_state_check CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleted'::text])))
);
ALTER TABLE ONLY claviger.api_key FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.api_key OWNER TO claviger_owner;
-- Name: audit; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.audit (
    tenant_id uuid NOT NULL,
    audit_id uuid NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    details text NOT NULL,
    address text,
    credential_id text,
    created_at bigint NOT NULL,
    seq bigint,
    batch text
);
ALTER TABLE ONLY claviger.audit FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.audit OWNER TO claviger_owner;
-- Name: change; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.change (
    kind text NOT NULL,
    id text NOT NULL,
    row_version bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at bigint DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint NOT NULL
);
ALTER TABLE claviger.change OWNER TO claviger_owner;
-- Name: foreign_identity; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.foreign_identity (
    tenant_id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id uuid NOT NULL,
    linked bigint DEFAULT 1 NOT NULL,
    not_before bigint DEFAULT 0 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT foreign_identity_linked_check CHECK ((linked = ANY (ARRAY[(0)::bigint, (1)::bigint])))
);
ALTER TABLE ONLY claviger.foreign_identity FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.foreign_identity OWNER TO claviger_owner;
-- Name: key_secret; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.key_secret (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    key_id uuid NOT NULL,
    slot text NOT NULL,
    pepper text NOT NULL,
    prefix text NOT NULL,
    last_four text NOT NULL,
    expires_at bigint,
    revoked bigint DEFAULT 0 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT key_secret_revoked_check CHECK ((revoked = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT key_secret_slot_check CHECK ((slot = ANY (ARRAY['current'::text, 'old'::text])))
);
ALTER TABLE ONLY claviger.key_secret FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.key_secret OWNER TO claviger_owner;
-- Name: keyring_check; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.keyring_check (
    kind text NOT NULL,
    key_id text NOT NULL,
    check_hash bytea NOT NULL,
    CONSTRAINT keyring_check_kind_check CHECK ((kind = ANY (ARRAY['pepper'::text, 'encryption'::text, 'derivation'::text])))
);
ALTER TABLE claviger.keyring_check OWNER TO claviger_owner;
-- Name: member; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.member (
    tenant_id uuid NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    role text NOT NULL,
    state text NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT member_state_check CHECK ((state = ANY (ARRAY['invited'::text, 'active'::text, 'suspended'::text, 'removed'::text])))
);
ALTER TABLE ONLY claviger.member FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.member OWNER TO claviger_owner;
-- Name: migration; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.migration (
    name text NOT NULL,
    sha256 text NOT NULL
);
ALTER TABLE claviger.migration OWNER TO claviger_owner;
-- Name: operator_audit; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.operator_audit (
    audit_id uuid NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    details text NOT NULL,
    address text,
    credential_id text,
    created_at bigint NOT NULL,
    seq bigint,
    batch text
);
ALTER TABLE claviger.operator_audit OWNER TO claviger_owner;
-- Name: organization; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.organization (
    tenant_id uuid NOT NULL,
    org_id uuid NOT NULL,
    name text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT organization_state_check CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleted'::text])))
);
ALTER TABLE ONLY claviger.organization FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.organization OWNER TO claviger_owner;
-- Name: plan; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.plan (
    realm text NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL
);
ALTER TABLE claviger.plan OWNER TO claviger_owner;
-- Name: realm; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.realm (
    name text NOT NULL,
    created_at bigint NOT NULL
);
ALTER TABLE claviger.realm OWNER TO claviger_owner;
-- Name: revoked_token; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.revoked_token (
    tenant_id uuid NOT NULL,
    token_id uuid NOT NULL,
    expires_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL
);
ALTER TABLE ONLY claviger.revoked_token FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.revoked_token OWNER TO claviger_owner;
-- Name: session; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.session (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    ended bigint DEFAULT 0 NOT NULL,
    expires_at bigint NOT NULL,
    tenant_generation bigint NOT NULL,
    org_generation bigint NOT NULL,
    account_generation bigint NOT NULL,
    member_generation bigint NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT session_ended_check CHECK ((ended = ANY (ARRAY[(0)::bigint, (1)::bigint])))
);
ALTER TABLE ONLY claviger.session FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.session OWNER TO claviger_owner;
-- Name: signing_key; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.signing_key (
    realm text NOT NULL,
    purpose text NOT NULL,
    kid text NOT NULL,
    algorithm text NOT NULL,
    sealed_key bytea,
    public_key bytea NOT NULL,
    state text NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT signing_key_purpose_check CHECK ((purpose = ANY (ARRAY['identity'::text, 'principal'::text]))),
    CONSTRAINT signing_key_state_check CHECK ((state = ANY (ARRAY['next'::text, 'active'::text, 'retired'::text, 'dropped'::text])))
);
ALTER TABLE claviger.signing_key OWNER TO claviger_owner;
-- Name: store_meta; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.store_meta (
    name text NOT NULL,
    value text NOT NULL
);
ALTER TABLE claviger.store_meta OWNER TO claviger_owner;
-- Name: tenant; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.tenant (
    tenant_id uuid NOT NULL,
    realm text NOT NULL,
    name text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    plan text NOT NULL,
    requires_identity_headers bigint DEFAULT 0 NOT NULL,
    data_key bytea NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT tenant_requires_identity_headers_check CHECK ((requires_identity_headers = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT tenant_state_check CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleted'::text])))
);
ALTER TABLE ONLY claviger.tenant FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.tenant OWNER TO claviger_owner;
-- Name: user_secret; Type: TABLE; Schema: claviger; Owner: claviger_owner
CREATE TABLE claviger.user_secret (
    tenant_id uuid NOT NULL,
    kid text NOT NULL,
    api text NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    sealed_secret bytea NOT NULL,
    version bigint NOT NULL,
    revoked bigint DEFAULT 0 NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT user_secret_revoked_check CHECK ((revoked = ANY (ARRAY[(0)::bigint, (1)::bigint])))
);
ALTER TABLE ONLY claviger.user_secret FORCE ROW LEVEL SECURITY;
ALTER TABLE claviger.user_secret OWNER TO claviger_owner;
-- Data for Name: account; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.account (account_id, realm, email, email_key, password_hash, state, email_verified, generation, created_at, row_version) FROM stdin;
a1bc3b87-94fb-493b-8dec-89c099b1d9e3	orders	owner@acme.example	owner@acme.example	\N	active	0	1	1795731155603	1
88ca2dbb-50b5-4f9f-b5e9-49194eaf4203	orders	owner@rival.example	owner@rival.example	\N	active	0	1	1795731155692	1
b415b796-1e68-4b7f-a0a5-0dae0a80ee37	orders	ann@acme.example	ann@acme.example	\N	active	0	1	1795731156795	1
d2811a31-048f-4611-af6c-aa3266187911	orders	gone@acme.example	gone@acme.example	\N	active	0	1	1795731156969	1
\.
-- Data for Name: api_key; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.api_key (tenant_id, key_id, org_id, name, prefix, environment, grants, networks, state, expires_at, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	3ec62c69-152d-4bc7-b07a-b16b0ba322fd	f9a46f89-bb4f-44bb-927b-def148abefe2	good	sk	live	admin	\N	active	\N	1795731155787	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	80c28f4f-6eb1-40ee-871c-18d065b1552a	f9a46f89-bb4f-44bb-927b-def148abefe2	rotated	sk	live	admin	\N	active	\N	1795731155938	1
66ed7975-e4a3-452f-86fe-840f0c6a2666	c05419ca-1e57-4765-9af9-9d7fe99343be	c126faf2-9644-43ad-9727-0385b0b17847	suspended	sk	live	admin	\N	active	\N	1795731156272	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	2045fe2e-744b-47d4-acd4-2ed252350184	f9a46f89-bb4f-44bb-927b-def148abefe2	disabled	sk	live	admin	\N	suspended	\N	1795731156059	2
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	0a334112-1b35-4783-b2e7-9b875b496436	f9a46f89-bb4f-44bb-927b-def148abefe2	revoked	sk	live	admin	\N	deleted	\N	1795731156169	2
\.
-- Data for Name: audit; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.audit (tenant_id, audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at, seq, batch) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ea93-7003-ac5a-b508de2ccc24	operator:operator	TENANT_CREATED	tenant	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	{"organization":"f9a46f89-bb4f-44bb-927b-def148abefe2","plan":"Standard","realm":"orders"}	\N	\N	1795731155603	\N	\N
66ed7975-e4a3-452f-86fe-840f0c6a2666	01a219ea-eaec-7003-b0eb-a78e08a9775f	operator:operator	TENANT_CREATED	tenant	66ed7975-e4a3-452f-86fe-840f0c6a2666	{"organization":"c126faf2-9644-43ad-9727-0385b0b17847","plan":"Standard","realm":"orders"}	\N	\N	1795731155692	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-eb4b-7003-9a1e-8f2944e0767e	operator:operator	KEY_CREATED	key	key_3ec62c69152d4bc7b07ab16b0ba322fd	{"environment":"live","grants":"admin","name":"good"}	\N	\N	1795731155787	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ebe2-7003-abe4-2ecae9d8e2e4	operator:operator	KEY_CREATED	key	key_80c28f4f6eb140ee871c18d065b1552a	{"environment":"live","grants":"admin","name":"rotated"}	\N	\N	1795731155938	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ec5b-7003-9d98-22dae1ef35f9	operator:operator	KEY_CREATED	key	key_2045fe2e744b47d4acd42ed252350184	{"environment":"live","grants":"admin","name":"disabled"}	\N	\N	1795731156059	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ecc9-7003-b9aa-e359b1603966	operator:operator	KEY_CREATED	key	key_0a3341121b354783b2e79b875b496436	{"environment":"live","grants":"admin","name":"revoked"}	\N	\N	1795731156169	\N	\N
66ed7975-e4a3-452f-86fe-840f0c6a2666	01a219ea-ed30-7003-9df8-721c133fa217	operator:operator	KEY_CREATED	key	key_c05419ca1e5747659af99d7fe99343be	{"environment":"live","grants":"admin","name":"suspended"}	\N	\N	1795731156272	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ed92-7003-b6a8-69f622bdf64e	operator:operator	KEY_ROTATED	key	key_80c28f4f6eb140ee871c18d065b1552a	{"grace_seconds":0}	\N	\N	1795731156370	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-edf3-7003-9d32-c2e4153d2adf	operator:operator	KEY_DISABLED	key	key_2045fe2e744b47d4acd42ed252350184	{}	\N	\N	1795731156467	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ee52-7003-8661-6172330e833e	operator:operator	KEY_REVOKED	key	key_0a3341121b354783b2e79b875b496436	{}	\N	\N	1795731156562	\N	\N
66ed7975-e4a3-452f-86fe-840f0c6a2666	01a219ea-eec8-7003-aaa3-893b93f97531	operator:operator	TENANT_SUSPENDED	tenant	66ed7975-e4a3-452f-86fe-840f0c6a2666	{}	\N	\N	1795731156680	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-ef3b-7003-8b91-a83138313326	operator:operator	USER_INVITED	member	b415b796-1e68-4b7f-a0a5-0dae0a80ee37	{"role":"EDITOR","state":"active"}	\N	\N	1795731156795	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-efe9-7003-bcec-f4adfe66a903	operator:operator	USER_INVITED	member	d2811a31-048f-4611-af6c-aa3266187911	{"role":"EDITOR","state":"active"}	\N	\N	1795731156969	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-f088-7003-82a7-f94bb48b2670	operator:operator	USER_REMOVED	member	d2811a31-048f-4611-af6c-aa3266187911	{"organization":"f9a46f89-bb4f-44bb-927b-def148abefe2"}	\N	\N	1795731157128	\N	\N
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	01a219ea-f119-7003-81d4-84005420807e	operator:operator	IDENTITY_LINKED	account	b415b796-1e68-4b7f-a0a5-0dae0a80ee37	{"issuer":"https://id.example"}	\N	\N	1795731157273	\N	\N
\.
-- Data for Name: change; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.change (kind, id, row_version, xid, at) FROM stdin;
tenant	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	1	732	1795731155605
org	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nf9a46f89-bb4f-44bb-927b-def148abefe2	1	732	1795731155606
account	a1bc3b87-94fb-493b-8dec-89c099b1d9e3	1	732	1795731155607
member	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nf9a46f89-bb4f-44bb-927b-def148abefe2\na1bc3b87-94fb-493b-8dec-89c099b1d9e3	1	732	1795731155608
tenant	66ed7975-e4a3-452f-86fe-840f0c6a2666	1	733	1795731155694
org	66ed7975-e4a3-452f-86fe-840f0c6a2666\nc126faf2-9644-43ad-9727-0385b0b17847	1	733	1795731155695
account	88ca2dbb-50b5-4f9f-b5e9-49194eaf4203	1	733	1795731155695
member	66ed7975-e4a3-452f-86fe-840f0c6a2666\nc126faf2-9644-43ad-9727-0385b0b17847\n88ca2dbb-50b5-4f9f-b5e9-49194eaf4203	1	733	1795731155697
key	4a3afa1be695af3db72222030531b30e8134eff4cfa55748d1bb1d29ea53b532	1	734	1795731155800
key	37085c316e87685977f18c6fd5a41163e4939d0d98268a70132edd01754bfb0c	1	735	1795731155941
key	32c41ec57db9e844bc7dea0575fc0ee20ae6ffc3a5139aff64ed70cafeaffa56	1	736	1795731156063
key	38c02254d6451f9723d734cbae198a4c3df144545e39a3e3ee9ff89ed5a83660	1	737	1795731156172
key	7d6094ea9fad2d45792a32750b91a4e7c95710e365f13ec4e97d811e7e57cad1	1	738	1795731156276
key	37085c316e87685977f18c6fd5a41163e4939d0d98268a70132edd01754bfb0c	2	739	1795731156374
key	d5a6b3e730d59ab51f2655cd2bf6e92fcb5ad45267c2bbb7df18f5aa721b4073	1	739	1795731156375
key	32c41ec57db9e844bc7dea0575fc0ee20ae6ffc3a5139aff64ed70cafeaffa56	2	740	1795731156471
key	38c02254d6451f9723d734cbae198a4c3df144545e39a3e3ee9ff89ed5a83660	2	741	1795731156565
key	38c02254d6451f9723d734cbae198a4c3df144545e39a3e3ee9ff89ed5a83660	3	741	1795731156567
tenant	66ed7975-e4a3-452f-86fe-840f0c6a2666	2	742	1795731156683
account	b415b796-1e68-4b7f-a0a5-0dae0a80ee37	1	743	1795731156802
member	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nf9a46f89-bb4f-44bb-927b-def148abefe2\nb415b796-1e68-4b7f-a0a5-0dae0a80ee37	1	743	1795731156805
account	d2811a31-048f-4611-af6c-aa3266187911	1	744	1795731156974
member	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nf9a46f89-bb4f-44bb-927b-def148abefe2\nd2811a31-048f-4611-af6c-aa3266187911	1	744	1795731156981
member	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nf9a46f89-bb4f-44bb-927b-def148abefe2\nd2811a31-048f-4611-af6c-aa3266187911	2	745	1795731157131
foreign_identity	a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01\nhttps://id.example\nann	1	746	1795731157276
\.
-- Data for Name: foreign_identity; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.foreign_identity (tenant_id, issuer, subject, account_id, linked, not_before, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	https://id.example	ann	b415b796-1e68-4b7f-a0a5-0dae0a80ee37	1	0	1795731157273	1
\.
-- Data for Name: key_secret; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.key_secret (tenant_id, digest, key_id, slot, pepper, prefix, last_four, expires_at, revoked, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	\\x4a3afa1be695af3db72222030531b30e8134eff4cfa55748d1bb1d29ea53b532	3ec62c69-152d-4bc7-b07a-b16b0ba322fd	current	k1	sk_live_	dbhY	\N	0	1795731155787	1
66ed7975-e4a3-452f-86fe-840f0c6a2666	\\x7d6094ea9fad2d45792a32750b91a4e7c95710e365f13ec4e97d811e7e57cad1	c05419ca-1e57-4765-9af9-9d7fe99343be	current	k1	sk_live_	qwoY	\N	0	1795731156272	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	\\x37085c316e87685977f18c6fd5a41163e4939d0d98268a70132edd01754bfb0c	80c28f4f-6eb1-40ee-871c-18d065b1552a	current	k1	sk_live_	QQsj	\N	1	1795731155938	2
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	\\xd5a6b3e730d59ab51f2655cd2bf6e92fcb5ad45267c2bbb7df18f5aa721b4073	80c28f4f-6eb1-40ee-871c-18d065b1552a	current	k1	sk_live_	95dJ	\N	0	1795731156370	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	\\x32c41ec57db9e844bc7dea0575fc0ee20ae6ffc3a5139aff64ed70cafeaffa56	2045fe2e-744b-47d4-acd4-2ed252350184	current	k1	sk_live_	kCy8	\N	0	1795731156059	2
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	\\x38c02254d6451f9723d734cbae198a4c3df144545e39a3e3ee9ff89ed5a83660	0a334112-1b35-4783-b2e7-9b875b496436	current	k1	sk_live_	C2ZL	\N	1	1795731156169	3
\.
-- Data for Name: keyring_check; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.keyring_check (kind, key_id, check_hash) FROM stdin;
pepper	k1	\\x14f5e1c2a4af28822e884853c1bdc08a3abb726985784e87bc35012c1d511651
encryption	e1	\\x2d42d92ec2eca1baa0a001b353cf5d82a6f66bb6d54ed9a24961afaab2ef126a
derivation	d1	\\xabe72c02af3cbbfa9bff20d9c6135a9122bb4fed93f9256bbb9cdccfb59ad8be
\.
-- Data for Name: member; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.member (tenant_id, org_id, account_id, role, state, generation, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	f9a46f89-bb4f-44bb-927b-def148abefe2	a1bc3b87-94fb-493b-8dec-89c099b1d9e3	ADMIN	active	1	1795731155603	1
66ed7975-e4a3-452f-86fe-840f0c6a2666	c126faf2-9644-43ad-9727-0385b0b17847	88ca2dbb-50b5-4f9f-b5e9-49194eaf4203	ADMIN	active	1	1795731155692	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	f9a46f89-bb4f-44bb-927b-def148abefe2	b415b796-1e68-4b7f-a0a5-0dae0a80ee37	EDITOR	active	1	1795731156795	1
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	f9a46f89-bb4f-44bb-927b-def148abefe2	d2811a31-048f-4611-af6c-aa3266187911	EDITOR	removed	1	1795731156969	2
\.
-- Data for Name: migration; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.migration (name, sha256) FROM stdin;
0001_start	49347eed4bf85305384fc234c7fe025d11dbd5457de6d5997e0e120af99b01aa
0002_foreign_by_account	857e7bd9e896663677f3460c96a70f840071781dc9399254fc75fd84c877a497
\.
-- Data for Name: operator_audit; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.operator_audit (audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at, seq, batch) FROM stdin;
01a219ea-ea8d-7000-93bc-c78df8838d7d	operator:server	REALM_CREATED	realm	orders	{}	\N	\N	1795731155597	\N	\N
01a219ea-ea8f-7001-ba1a-48e8247181a8	operator:server	PLAN_CREATED	plan	orders/Standard	{}	\N	\N	1795731155599	\N	\N
01a219ea-ea90-7002-b1bb-1f82a1235b46	job:signing-keys	SIGNING_KEY_CREATED	signing_key	pr_ZTTkFVzsZ0YrXFO5	{"line":"_principal"}	\N	\N	1795731155600	\N	\N
\.
-- Data for Name: organization; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.organization (tenant_id, org_id, name, state, generation, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	f9a46f89-bb4f-44bb-927b-def148abefe2	Acme	active	1	1795731155603	1
66ed7975-e4a3-452f-86fe-840f0c6a2666	c126faf2-9644-43ad-9727-0385b0b17847	Rival	active	1	1795731155692	1
\.
-- Data for Name: plan; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.plan (realm, name, created_at) FROM stdin;
orders	Standard	1795731155599
\.
-- Data for Name: realm; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.realm (name, created_at) FROM stdin;
orders	1795731155597
\.
-- Data for Name: revoked_token; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.revoked_token (tenant_id, token_id, expires_at, row_version) FROM stdin;
\.
-- Data for Name: session; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.session (tenant_id, session_id, org_id, account_id, ended, expires_at, tenant_generation, org_generation, account_generation, member_generation, created_at, row_version) FROM stdin;
\.
-- Data for Name: signing_key; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.signing_key (realm, purpose, kid, algorithm, sealed_key, public_key, state, created_at, row_version) FROM stdin;
_principal	principal	pr_ZTTkFVzsZ0YrXFO5	EdDSA	\\x0102653134b2bfec81fd684af73fa4fb301f4547aa12c98aaea258d35fd3cc6bdca1b12da568bd9eae601fc9fd02d05f2921a45a8050e56af1440d5427104bf436f37f9a5cae842e48e7cc2ecdbfeb1a	\\xd9025c70e148d5c2cc4cc5c7eed085b09293041b3559bd49a5ed5d594f962c3d	active	1795731155600	1
\.
-- Data for Name: store_meta; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.store_meta (name, value) FROM stdin;
store_id	4f5f7948-4257-4c81-b4ae-12748cddf643
\.
-- Data for Name: tenant; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.tenant (tenant_id, realm, name, state, generation, plan, requires_identity_headers, data_key, created_at, row_version) FROM stdin;
a8b9dcbe-15fb-4d7d-a758-8e1668a6ef01	orders	Acme	active	1	Standard	0	\\x010265315fe740f4b3574a9615d1801dd6da57f2e043bcc34a478a19d53a57fc5b24f6a58a0eae98250663a68d1a63c8a5387e163818e09686b086ee961a6ff5	1795731155603	1
66ed7975-e4a3-452f-86fe-840f0c6a2666	orders	Rival	suspended	1	Standard	0	\\x010265314527e562fea922dc7cfebd18474936e7d69dde06e179ff3cce55424b5ed60b9c93842c1b8e256521b4f24b55c9376f7eb3fbfd5d3f713d3a6ff2132c	1795731155692	2
\.
-- Data for Name: user_secret; Type: TABLE DATA; Schema: claviger; Owner: claviger_owner
COPY claviger.user_secret (tenant_id, kid, api, org_id, account_id, sealed_secret, version, revoked, created_at, row_version) FROM stdin;
\.
-- Name: account account_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (account_id);
-- Name: account account_realm_email_key_key; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.account
    ADD CONSTRAINT account_realm_email_key_key UNIQUE (realm, email_key);
-- Name: api_key api_key_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (tenant_id, key_id);
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (tenant_id, audit_id);
-- Name: foreign_identity foreign_identity_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.foreign_identity
    ADD CONSTRAINT foreign_identity_pkey PRIMARY KEY (tenant_id, issuer, subject);
-- Name: key_secret key_secret_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.key_secret
    ADD CONSTRAINT key_secret_pkey PRIMARY KEY (tenant_id, digest);
-- Name: keyring_check keyring_check_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.keyring_check
    ADD CONSTRAINT keyring_check_pkey PRIMARY KEY (kind, key_id);
-- Name: member member_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (tenant_id, org_id, account_id);
-- Name: migration migration_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (name);
-- Name: operator_audit operator_audit_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.operator_audit
    ADD CONSTRAINT operator_audit_pkey PRIMARY KEY (audit_id);
-- Name: organization organization_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.organization
    ADD CONSTRAINT organization_pkey PRIMARY KEY (tenant_id, org_id);
-- Name: plan plan_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.plan
    ADD CONSTRAINT plan_pkey PRIMARY KEY (realm, name);
-- Name: realm realm_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.realm
    ADD CONSTRAINT realm_pkey PRIMARY KEY (name);
-- Name: revoked_token revoked_token_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.revoked_token
    ADD CONSTRAINT revoked_token_pkey PRIMARY KEY (tenant_id, token_id);
-- Name: session session_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (tenant_id, session_id);
-- Name: signing_key signing_key_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (realm, purpose, kid);
-- Name: store_meta store_meta_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.store_meta
    ADD CONSTRAINT store_meta_pkey PRIMARY KEY (name);
-- Name: tenant tenant_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.tenant
    ADD CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id);
-- Name: user_secret user_secret_pkey; Type: CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.user_secret
    ADD CONSTRAINT user_secret_pkey PRIMARY KEY (tenant_id, kid);
-- Name: api_key_by_org; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX api_key_by_org ON claviger.api_key USING btree (tenant_id, org_id, created_at);
-- Name: audit_by_time; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX audit_by_time ON claviger.audit USING btree (tenant_id, created_at, audit_id);
-- Name: change_by_xid; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX change_by_xid ON claviger.change USING btree (xid);
-- Name: foreign_identity_by_account; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX foreign_identity_by_account ON claviger.foreign_identity USING btree (account_id);
-- Name: key_secret_by_digest; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX key_secret_by_digest ON claviger.key_secret USING btree (digest);
-- Name: key_secret_by_key; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX key_secret_by_key ON claviger.key_secret USING btree (tenant_id, key_id);
-- Name: key_secret_current; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE UNIQUE INDEX key_secret_current ON claviger.key_secret USING btree (tenant_id, key_id) WHERE ((slot = 'current'::text) AND (revoked = 0));
-- Name: member_by_account; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX member_by_account ON claviger.member USING btree (account_id);
-- Name: operator_audit_by_time; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX operator_audit_by_time ON claviger.operator_audit USING btree (created_at, audit_id);
-- Name: revoked_token_by_expiry; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX revoked_token_by_expiry ON claviger.revoked_token USING btree (expires_at);
-- Name: session_by_account; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX session_by_account ON claviger.session USING btree (tenant_id, account_id);
-- Name: signing_key_active; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE UNIQUE INDEX signing_key_active ON claviger.signing_key USING btree (realm, purpose) WHERE (state = 'active'::text);
-- Name: signing_key_next; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE UNIQUE INDEX signing_key_next ON claviger.signing_key USING btree (realm, purpose) WHERE (state = 'next'::text);
-- Name: tenant_by_realm; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX tenant_by_realm ON claviger.tenant USING btree (realm, created_at, tenant_id);
-- Name: user_secret_by_kid; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE INDEX user_secret_by_kid ON claviger.user_secret USING btree (kid);
-- Name: user_secret_live; Type: INDEX; Schema: claviger; Owner: claviger_owner
CREATE UNIQUE INDEX user_secret_live ON claviger.user_secret USING btree (tenant_id, api, account_id) WHERE (revoked = 0);
-- Name: account account_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER account_changed AFTER INSERT OR UPDATE ON claviger.account FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: account account_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER account_updated BEFORE UPDATE ON claviger.account FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: api_key api_key_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER api_key_changed AFTER UPDATE ON claviger.api_key FOR EACH ROW EXECUTE FUNCTION claviger.raise_secret_versions();
-- Name: api_key api_key_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER api_key_updated BEFORE UPDATE ON claviger.api_key FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: audit audit_fixed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER audit_fixed BEFORE DELETE OR UPDATE ON claviger.audit FOR EACH ROW EXECUTE FUNCTION claviger.refuse_audit_change();
-- Name: foreign_identity foreign_identity_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER foreign_identity_changed AFTER INSERT OR UPDATE ON claviger.foreign_identity FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: foreign_identity foreign_identity_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER foreign_identity_updated BEFORE UPDATE ON claviger.foreign_identity FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: key_secret key_secret_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER key_secret_changed AFTER INSERT OR UPDATE ON claviger.key_secret FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: key_secret key_secret_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER key_secret_updated BEFORE UPDATE ON claviger.key_secret FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: member member_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER member_changed AFTER INSERT OR UPDATE ON claviger.member FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: member member_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER member_updated BEFORE UPDATE ON claviger.member FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: operator_audit operator_audit_fixed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER operator_audit_fixed BEFORE DELETE OR UPDATE ON claviger.operator_audit FOR EACH ROW EXECUTE FUNCTION claviger.refuse_audit_change();
-- Name: organization organization_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER organization_changed AFTER INSERT OR UPDATE ON claviger.organization FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: organization organization_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER organization_updated BEFORE UPDATE ON claviger.organization FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: revoked_token revoked_token_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER revoked_token_changed AFTER INSERT OR UPDATE ON claviger.revoked_token FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: revoked_token revoked_token_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER revoked_token_updated BEFORE UPDATE ON claviger.revoked_token FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: session session_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER session_changed AFTER INSERT OR UPDATE ON claviger.session FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: session session_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER session_updated BEFORE UPDATE ON claviger.session FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: signing_key signing_key_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE ON claviger.signing_key FOR EACH ROW WHEN ((new.purpose = 'identity'::text)) EXECUTE FUNCTION claviger.note_change();
-- Name: signing_key signing_key_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER signing_key_updated BEFORE UPDATE ON claviger.signing_key FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: tenant tenant_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER tenant_changed AFTER INSERT OR UPDATE ON claviger.tenant FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: tenant tenant_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER tenant_updated BEFORE UPDATE ON claviger.tenant FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: user_secret user_secret_changed; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER user_secret_changed AFTER INSERT OR UPDATE ON claviger.user_secret FOR EACH ROW EXECUTE FUNCTION claviger.note_change();
-- Name: user_secret user_secret_updated; Type: TRIGGER; Schema: claviger; Owner: claviger_owner
CREATE TRIGGER user_secret_updated BEFORE UPDATE ON claviger.user_secret FOR EACH ROW EXECUTE FUNCTION claviger.raise_version();
-- Name: account account_realm_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.account
    ADD CONSTRAINT account_realm_fkey FOREIGN KEY (realm) REFERENCES claviger.realm(name);
-- Name: api_key api_key_tenant_id_org_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.api_key
    ADD CONSTRAINT api_key_tenant_id_org_id_fkey FOREIGN KEY (tenant_id, org_id) REFERENCES claviger.organization(tenant_id, org_id);
-- Name: audit audit_tenant_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.audit
    ADD CONSTRAINT audit_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES claviger.tenant(tenant_id);
-- Name: foreign_identity foreign_identity_account_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.foreign_identity
    ADD CONSTRAINT foreign_identity_account_id_fkey FOREIGN KEY (account_id) REFERENCES claviger.account(account_id);
-- Name: foreign_identity foreign_identity_tenant_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.foreign_identity
    ADD CONSTRAINT foreign_identity_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES claviger.tenant(tenant_id);
-- Name: key_secret key_secret_tenant_id_key_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.key_secret
    ADD CONSTRAINT key_secret_tenant_id_key_id_fkey FOREIGN KEY (tenant_id, key_id) REFERENCES claviger.api_key(tenant_id, key_id);
-- Name: member member_account_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.member
    ADD CONSTRAINT member_account_id_fkey FOREIGN KEY (account_id) REFERENCES claviger.account(account_id);
-- Name: member member_tenant_id_org_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.member
    ADD CONSTRAINT member_tenant_id_org_id_fkey FOREIGN KEY (tenant_id, org_id) REFERENCES claviger.organization(tenant_id, org_id);
-- Name: organization organization_tenant_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.organization
    ADD CONSTRAINT organization_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES claviger.tenant(tenant_id);
-- Name: plan plan_realm_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.plan
    ADD CONSTRAINT plan_realm_fkey FOREIGN KEY (realm) REFERENCES claviger.realm(name);
-- Name: revoked_token revoked_token_tenant_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.revoked_token
    ADD CONSTRAINT revoked_token_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES claviger.tenant(tenant_id);
-- Name: session session_tenant_id_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.session
    ADD CONSTRAINT session_tenant_id_org_id_account_id_fkey FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES claviger.member(tenant_id, org_id, account_id);
-- Name: tenant tenant_realm_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.tenant
    ADD CONSTRAINT tenant_realm_fkey FOREIGN KEY (realm) REFERENCES claviger.realm(name);
-- Name: tenant tenant_realm_plan_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.tenant
    ADD CONSTRAINT tenant_realm_plan_fkey FOREIGN KEY (realm, plan) REFERENCES claviger.plan(realm, name);
-- Name: user_secret user_secret_tenant_id_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: claviger; Owner: claviger_owner
ALTER TABLE ONLY claviger.user_secret
    ADD CONSTRAINT user_secret_tenant_id_org_id_account_id_fkey FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES claviger.member(tenant_id, org_id, account_id);
-- Name: api_key; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.api_key ENABLE ROW LEVEL SECURITY;
-- Name: audit; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.audit ENABLE ROW LEVEL SECURITY;
-- Name: api_key bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.api_key TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: audit bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.audit TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: foreign_identity bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.foreign_identity TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: key_secret bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.key_secret TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: member bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.member TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: organization bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.organization TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: revoked_token bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.revoked_token TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: session bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.session TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: tenant bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.tenant TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: user_secret bound_tenant; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY bound_tenant ON claviger.user_secret TO claviger_rt USING ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting))) WITH CHECK ((tenant_id = ( SELECT (current_setting('app.tenant'::text))::uuid AS current_setting)));
-- Name: change; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.change ENABLE ROW LEVEL SECURITY;
-- Name: foreign_identity; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.foreign_identity ENABLE ROW LEVEL SECURITY;
-- Name: key_secret; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.key_secret ENABLE ROW LEVEL SECURITY;
-- Name: member; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.member ENABLE ROW LEVEL SECURITY;
-- Name: api_key named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.api_key FOR SELECT TO claviger_system USING (true);
-- Name: change named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.change TO claviger_system USING (true);
-- Name: foreign_identity named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.foreign_identity TO claviger_system USING (true);
-- Name: key_secret named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.key_secret FOR SELECT TO claviger_system USING (true);
-- Name: member named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.member FOR SELECT TO claviger_system USING (true);
-- Name: organization named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.organization FOR SELECT TO claviger_system USING (true);
-- Name: revoked_token named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.revoked_token TO claviger_system USING (true);
-- Name: session named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.session FOR SELECT TO claviger_system USING (true);
-- Name: tenant named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.tenant FOR SELECT TO claviger_system USING (true);
-- Name: user_secret named_job; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY named_job ON claviger.user_secret FOR SELECT TO claviger_system USING (true);
-- Name: organization; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.organization ENABLE ROW LEVEL SECURITY;
-- Name: change own_transaction; Type: POLICY; Schema: claviger; Owner: claviger_owner
CREATE POLICY own_transaction ON claviger.change FOR SELECT TO claviger_rt USING ((xid = pg_current_xact_id_if_assigned()));
-- Name: revoked_token; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.revoked_token ENABLE ROW LEVEL SECURITY;
-- Name: session; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.session ENABLE ROW LEVEL SECURITY;
-- Name: tenant; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.tenant ENABLE ROW LEVEL SECURITY;
-- Name: user_secret; Type: ROW SECURITY; Schema: claviger; Owner: claviger_owner
ALTER TABLE claviger.user_secret ENABLE ROW LEVEL SECURITY;
-- Name: SCHEMA claviger; Type: ACL; Schema: -; Owner: claviger_owner
GRANT USAGE ON SCHEMA claviger TO claviger_rt;
GRANT USAGE ON SCHEMA claviger TO claviger_system;
-- Name: FUNCTION note_change(); Type: ACL; Schema: claviger; Owner: claviger_owner
REVOKE ALL ON FUNCTION claviger.note_change() FROM PUBLIC;
-- Name: FUNCTION raise_secret_versions(); Type: ACL; Schema: claviger; Owner: claviger_owner
REVOKE ALL ON FUNCTION claviger.raise_secret_versions() FROM PUBLIC;
-- Name: FUNCTION raise_version(); Type: ACL; Schema: claviger; Owner: claviger_owner
REVOKE ALL ON FUNCTION claviger.raise_version() FROM PUBLIC;
-- Name: FUNCTION refuse_audit_change(); Type: ACL; Schema: claviger; Owner: claviger_owner
REVOKE ALL ON FUNCTION claviger.refuse_audit_change() FROM PUBLIC;
-- Name: TABLE account; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.account TO claviger_system;
-- Name: COLUMN account.account_id; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(account_id),INSERT(account_id) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.realm; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(realm),INSERT(realm) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.email; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(email),INSERT(email) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.email_key; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(email_key),INSERT(email_key) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.password_hash; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT INSERT(password_hash) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.state; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(state) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.email_verified; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(email_verified) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.generation; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(generation) ON TABLE claviger.account TO claviger_rt;
-- Name: COLUMN account.created_at; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT(created_at),INSERT(created_at) ON TABLE claviger.account TO claviger_rt;
-- Name: TABLE api_key; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.api_key TO claviger_rt;
GRANT SELECT ON TABLE claviger.api_key TO claviger_system;
-- Name: TABLE audit; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT ON TABLE claviger.audit TO claviger_rt;
-- Name: TABLE change; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT ON TABLE claviger.change TO claviger_rt;
GRANT SELECT,DELETE ON TABLE claviger.change TO claviger_system;
-- Name: TABLE foreign_identity; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.foreign_identity TO claviger_rt;
GRANT SELECT ON TABLE claviger.foreign_identity TO claviger_system;
-- Name: COLUMN foreign_identity.not_before; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT UPDATE(not_before) ON TABLE claviger.foreign_identity TO claviger_system;
-- Name: TABLE key_secret; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.key_secret TO claviger_rt;
GRANT SELECT ON TABLE claviger.key_secret TO claviger_system;
-- Name: TABLE keyring_check; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT ON TABLE claviger.keyring_check TO claviger_system;
-- Name: TABLE member; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.member TO claviger_rt;
GRANT SELECT ON TABLE claviger.member TO claviger_system;
-- Name: TABLE migration; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT ON TABLE claviger.migration TO claviger_rt;
-- Name: TABLE operator_audit; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT ON TABLE claviger.operator_audit TO claviger_system;
-- Name: TABLE organization; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.organization TO claviger_rt;
GRANT SELECT ON TABLE claviger.organization TO claviger_system;
-- Name: TABLE plan; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT ON TABLE claviger.plan TO claviger_rt;
GRANT SELECT,INSERT ON TABLE claviger.plan TO claviger_system;
-- Name: TABLE realm; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT ON TABLE claviger.realm TO claviger_rt;
GRANT SELECT,INSERT ON TABLE claviger.realm TO claviger_system;
-- Name: TABLE revoked_token; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT ON TABLE claviger.revoked_token TO claviger_rt;
GRANT SELECT,DELETE ON TABLE claviger.revoked_token TO claviger_system;
-- Name: TABLE session; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.session TO claviger_rt;
GRANT SELECT ON TABLE claviger.session TO claviger_system;
-- Name: TABLE signing_key; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.signing_key TO claviger_system;
-- Name: TABLE store_meta; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.store_meta TO claviger_system;
-- Name: TABLE tenant; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.tenant TO claviger_rt;
GRANT SELECT ON TABLE claviger.tenant TO claviger_system;
-- Name: TABLE user_secret; Type: ACL; Schema: claviger; Owner: claviger_owner
GRANT SELECT,INSERT,UPDATE ON TABLE claviger.user_secret TO claviger_rt;
GRANT SELECT ON TABLE claviger.user_secret TO claviger_system;
-- PostgreSQL database dump complete
