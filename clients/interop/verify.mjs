// Verifies an identity token with jose, which knows nothing of Claviger, and prints its claims as JSON.
//
//   ISSUER, AUDIENCE    what the token has to be of and for, as https://api.synq.io and synq
//   JWKS_URL            where the public keys are, as http://127.0.0.1:8081/.well-known/jwks.json
//   TOKEN               the token
//
// Gives 1 and the reason for a token that does not verify.

import { webcrypto } from "node:crypto";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

// Node 18 has it under another name.
globalThis.crypto ??= webcrypto;

const { ISSUER: issuer, AUDIENCE: audience, JWKS_URL: jwksUrl, TOKEN: token } = process.env;
const missing = ["ISSUER", "AUDIENCE", "JWKS_URL", "TOKEN"].filter((name) => !process.env[name]);
if (missing.length > 0) {
  console.error(`error: not set: ${missing.join(", ")}`);
  process.exit(2);
}

// Of jose's errors, those that say something about the token; the others are about the way to the keys.
const ABOUT_THE_TOKEN = [
  errors.JWKSNoMatchingKey,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWTClaimValidationFailed,
  errors.JWTExpired,
  errors.JWTInvalid,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
];

try {
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwksUrl)), {
    issuer,
    audience,
    // Never what the token itself says.
    algorithms: ["EdDSA"],
    // Tokens of other kinds may be signed with the same key.
    typ: "at+jwt",
    requiredClaims: ["iss", "aud", "sub", "iat", "exp", "jti"],
  });
  console.log(JSON.stringify(payload, null, 2));
} catch (error) {
  if (ABOUT_THE_TOKEN.some((kind) => error instanceof kind)) {
    console.error(`refused: ${error.code}: ${error.message}`);
    process.exit(1);
  }
  console.error(`error: no keys: ${error.message}`);
  process.exit(2);
}
