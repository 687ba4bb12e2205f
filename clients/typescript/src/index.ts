/**
 * Requests to an API behind Claviger.
 *
 * A {@link Claviger} signs in with a {@link Credential}, keeps the token fresh, and when a token is refused all the
 * same gets one more and sends the request once more.
 *
 * @packageDocumentation
 */

export { Claviger } from "./client.js";
export type { ClavigerOptions } from "./client.js";
export { Credential } from "./credential.js";
export type { CredentialParts, Environment } from "./credential.js";
export { ClavigerError, SignInRefused, TooManyTries, Unavailable } from "./errors.js";
export type { Place, RefreshTokenStore, SignedInPlace } from "./session.js";
