// The three checks that let a request in, for Express or any other server on Node's `http`. Copy this file.
//
// 1. The principal token is signed by a key that Claviger publishes, is of the right type and has not expired.
// 2. It was made for an audience of this API.
// 3. The binding ties it to this very request, so a token that leaked from one request opens no other.
//
// Headers such as `X-Tenant-ID` are not looked at: anybody who reaches this port can write them.
//
// Put it before everything else, so that no route can be forgotten, and nothing has rewritten the request. Behind it,
// `request.visitor` is what those checks have found: somebody of a tenant, or anybody (`kind` is "public").

import { createHash, createHmac, timingSafeEqual, webcrypto } from "node:crypto";
import { decodeProtectedHeader, importJWK, jwtVerify } from "jose";

// Node 18 has it under another name.
globalThis.crypto ??= webcrypto;

// How far the clocks of Claviger and this server may differ, in seconds.
const LEEWAY = 5;
// The longest life of a principal token, in seconds.
const LONGEST_LIFE = 30;
// How far the time in a binding may be from this server's, in seconds.
const BINDING_AGE = 30;

// How long a fetch of the public keys may take, in milliseconds.
const FETCH_TIME = 2_000;
// Between two fetches, in milliseconds, so that made-up key ids cost Claviger little.
const FETCH_PAUSE = 1_000;
// From what age on the keys are fetched anew, in milliseconds: one that was taken back is to be forgotten.
const KEPT = 300_000;
// Up to what age they are believed while Claviger cannot be asked, in milliseconds.
const BELIEVED = 3_600_000;

// One `.` between the parts, and a time that has one spelling.
const BINDING = /^v1\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})$/;

// The request did not come through Claviger, or not as it left it. Why is for the log alone.
class Refused extends Error {}

// The public keys could not be fetched, so nobody can say whether the token is good.
class Unavailable extends Error {}

// Claviger's public keys: fetched when first needed, when a token names an unknown one, and now and then.
class Keys {
  #url;
  #known = new Map();
  #fetchedAt = -Infinity;
  #askedAt = -Infinity;
  // The fetch under way or the last one, whose outcome holds until there may be another.
  #fetch = null;
  #isFetching = false;

  constructor(url) {
    this.#url = new URL(url);
    if (!["http:", "https:"].includes(this.#url.protocol)) throw new TypeError(`\`${url}\` is no http address`);
  }

  // The key of this name; `undefined` if Claviger publishes none.
  async find(kid) {
    const key = this.#known.get(kid);
    const age = performance.now() - this.#fetchedAt;
    if (key !== undefined && age < KEPT) return key;
    const fetched = this.#begin();
    // Nobody waits for news of a key that is known.
    if (key !== undefined && age < BELIEVED) return key;
    if (!(await fetched)) throw new Unavailable();
    return this.#known.get(kid);
  }

  #begin() {
    const now = performance.now();
    if (!this.#isFetching && now - this.#askedAt >= FETCH_PAUSE) {
      this.#askedAt = now;
      this.#isFetching = true;
      this.#fetch = this.#replace().finally(() => (this.#isFetching = false));
    }
    return this.#fetch;
  }

  async #replace() {
    try {
      const response = await fetch(this.#url, { redirect: "error", signal: AbortSignal.timeout(FETCH_TIME) });
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      const known = new Map();
      for (const jwk of (await response.json()).keys) {
        // Other keys may stand there; a principal token is always Ed25519's.
        if (jwk.kty === "OKP" && jwk.crv === "Ed25519" && typeof jwk.kid === "string") {
          known.set(jwk.kid, await importJWK(jwk, "EdDSA"));
        }
      }
      this.#known = known;
      this.#fetchedAt = performance.now();
      return true;
    } catch (error) {
      // Whatever it is, nobody knows the keys, and that is another answer than "the token is bad".
      console.error(`the public keys at ${this.#url} cannot be fetched:`, error.cause ?? error);
      return false;
    }
  }
}

// Middleware that makes the three checks. `audiences`: a Map of each audience of this API to the binding key of 32
// bytes that is shared with Claviger for it.
export function guard({ audiences, jwksUrl }) {
  if (audiences.size === 0 || [...audiences.values()].some((key) => key.length !== 32)) {
    throw new TypeError("there must be an audience, and a binding key of 32 bytes for each");
  }
  const keys = new Keys(jwksUrl);
  return async (request, response, next) => {
    try {
      request.visitor = await admit(request, audiences, keys);
    } catch (error) {
      if (error instanceof Refused) {
        console.warn("refused:", error.message);
        return problem(response, 401, "This server only answers requests that come through Claviger");
      }
      if (error instanceof Unavailable) {
        return problem(response, 503, "The public keys of Claviger cannot be fetched");
      }
      return next(error);
    }
    next();
  };
}

async function admit(request, audiences, keys) {
  const token = only(request, "x-claviger-principal");
  const visitor = await verified(token, audiences, keys);
  checkBinding(request, token, audiences.get(visitor.aud));
  return visitor;
}

// The first and the second check.
async function verified(token, audiences, keys) {
  const header = orRefused(() => decodeProtectedHeader(token), "the token cannot be read");
  // Other tokens of Claviger's are signed too: the type tells them apart. None of its own has conditions (`crit`).
  if (header.typ !== "principal+jwt" || "crit" in header) {
    throw new Refused("the token is of another type");
  }
  const key = typeof header.kid === "string" ? await keys.find(header.kid) : undefined;
  if (key === undefined) throw new Refused("the token names no key that Claviger publishes");
  let claims;
  try {
    const options = {
      algorithms: ["EdDSA"],
      issuer: "claviger",
      audience: [...audiences.keys()],
      clockTolerance: LEEWAY,
      requiredClaims: ["iss", "aud", "iat", "exp"],
    };
    claims = (await jwtVerify(token, key, options)).payload;
  } catch (error) {
    throw new Refused(`the token is not good: ${error.message}`);
  }
  return visitorOf(claims);
}

// The third check.
function checkBinding(request, token, key) {
  const [, seconds, mac] = BINDING.exec(only(request, "x-claviger-binding")) ?? [];
  if (mac === undefined) throw new Refused("the binding has another form");
  if (Math.abs(Date.now() / 1000 - Number(seconds)) > BINDING_AGE) {
    throw new Refused("the binding is of another time");
  }
  const tokenHash = createHash("sha256").update(token, "latin1").digest("base64url");
  // Path and query as they were received; `url` loses a part where a router is mounted, and `path` its query.
  const target = request.originalUrl ?? request.url;
  const [host, requestId] = [only(request, "host"), only(request, "x-request-id")];
  const text = ["v1", tokenHash, request.method, host, target, requestId, seconds].join("\n");
  // Node gives each byte of a request as one character.
  const expected = createHmac("sha256", key).update(text, "latin1").digest("base64url");
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(mac))) {
    throw new Refused("the binding is another request's");
  }
}

// What the claims of a verified token say: all of somebody, or nothing of anybody.
function visitorOf(claims) {
  const isText = (name) => typeof claims[name] === "string" && claims[name] !== "";
  if (!isText("aud") || !(claims.iat - LEEWAY <= Date.now() / 1000) || !(claims.exp - claims.iat <= LONGEST_LIFE)) {
    throw new Refused("the token has other times or audiences than Claviger's");
  }
  const { aud, sub, kind, realm, tenant_id, org_id, environment, role, access } = claims;
  if (kind === "public") return Object.freeze({ aud, kind });
  const isAccess = typeof access === "object" && access !== null && !Array.isArray(access);
  const isKnown =
    ["api-key", "identity-token", "user-token"].includes(kind) &&
    ["live", "test"].includes(environment) &&
    (role === undefined || typeof role === "string") &&
    isAccess &&
    Object.values(access).every((level) => ["read", "write", "admin"].includes(level));
  if (!isKnown || !["sub", "realm", "tenant_id", "org_id"].every(isText)) {
    throw new Refused("the token says what this guard does not know");
  }
  return Object.freeze({ aud, sub, kind, realm, tenant_id, org_id, environment, role, access });
}

// The value of a header that must be there exactly once.
function only(request, name) {
  const values = request.headersDistinct[name] ?? [];
  if (values.length !== 1) throw new Refused(`\`${name}\` is there ${values.length} times`);
  return values[0];
}

function orRefused(read, why) {
  try {
    return read();
  } catch {
    throw new Refused(why);
  }
}

// The 32 bytes of what `claviger keyring upstream-key` writes: base64url without padding.
export function readBindingKey(text) {
  if (!/^[A-Za-z0-9_-]{43}$/.test(text.trim())) {
    throw new TypeError("a binding key is 32 bytes in base64url without padding");
  }
  return Buffer.from(text.trim(), "base64url");
}

function problem(response, status, title) {
  response.statusCode = status;
  response.setHeader("Content-Type", "application/problem+json");
  if (status === 503) response.setHeader("Retry-After", "1");
  response.end(JSON.stringify({ type: "about:blank", title, status }));
}
