-- Who gave their address themselves, and so far has not proved to have it: whoever has a password today and no proof.
ALTER TABLE account ADD COLUMN self_registered INTEGER NOT NULL DEFAULT 0 CHECK (self_registered IN (0, 1));
UPDATE account SET self_registered = 1 WHERE password_hash IS NOT NULL AND email_verified = 0;

-- Whether people come in by signing in there, and not by switching from another tenant.
ALTER TABLE tenant ADD COLUMN requires_direct_sign_in INTEGER NOT NULL DEFAULT 0 CHECK (requires_direct_sign_in IN (0, 1));
