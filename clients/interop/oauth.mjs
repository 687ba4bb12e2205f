// Speaks OAuth with an API's sign-in through oauth4webapi, which knows nothing of Claviger: finds the endpoints (RFC
// 8414), refreshes (RFC 6749, section 6), asks about the token if that is offered (RFC 7662), revokes (RFC 7009), and
// shows that what was revoked is no grant any more.
//
//   ISSUER                 the issuer, as https://api.synq.io
//   REFRESH_TOKEN          a refresh token of its, which is used up
//   CONNECT_TO             where the issuer is to be reached from here, if not at its own address, as
//                          http://127.0.0.1:8081; without TLS only on this machine
//   CLIENT_ID              sent as `client_id`, if it is set
//   INTROSPECTION_TOKEN    the bearer token that may ask about tokens, if there is an introspection endpoint
//
// Prints one line for each step. Gives 1 and the reason if one of them is not as the RFCs have it.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import * as oauth from "oauth4webapi";

// Node 18 has it under another name.
globalThis.crypto ??= webcrypto;

const { ISSUER, REFRESH_TOKEN, CONNECT_TO, CLIENT_ID, INTROSPECTION_TOKEN } = process.env;
for (const name of ["ISSUER", "REFRESH_TOKEN"]) {
  if (!process.env[name]) {
    console.error(`error: \`${name}\` is not set`);
    process.exit(2);
  }
}

const issuer = new URL(ISSUER);

// The library sees the issuer's own address, so that all it checks is checked.
const options = {
  [oauth.customFetch]: (url, init) => {
    const there = new URL(url);
    if (CONNECT_TO && there.origin === issuer.origin) {
      const { protocol, host } = new URL(CONNECT_TO);
      Object.assign(there, { protocol, host });
      assert.equal(there.host, host, `\`CONNECT_TO\` cannot stand in for \`${issuer.origin}\``);
    }
    return fetch(there, init);
  },
};

// A public client has no secret; its name may be sent (RFC 6749, section 3.2.1).
const client = { client_id: CLIENT_ID || "unnamed" };
const asNobody = CLIENT_ID ? oauth.None() : () => {};

async function discover() {
  const response = await oauth.discoveryRequest(issuer, { ...options, algorithm: "oauth2" });
  const server = await oauth.processDiscoveryResponse(issuer, response);
  assert.ok(server.token_endpoint_auth_methods_supported.includes("none"), "public clients are not taken");
  assert.ok(server.grant_types_supported.includes("refresh_token"), "there is no refresh");
  return server;
}

async function refresh(server, refreshToken) {
  const response = await oauth.refreshTokenGrantRequest(server, client, asNobody, refreshToken, options);
  return oauth.processRefreshTokenResponse(server, client, response);
}

async function revoke(server, token, hint) {
  const additionalParameters = { token_type_hint: hint };
  const response = await oauth.revocationRequest(server, client, asNobody, token, { ...options, additionalParameters });
  await oauth.processRevocationResponse(response);
}

// What the server says of a token. Whoever asks shows a bearer token of their own (RFC 7662, section 2.1).
async function introspect(server, token) {
  assert.ok(INTROSPECTION_TOKEN, "there is an introspection endpoint, and `INTROSPECTION_TOKEN` is not set");
  const asBearer = (_server, _client, _body, headers) => headers.set("Authorization", `Bearer ${INTROSPECTION_TOKEN}`);
  const response = await oauth.introspectionRequest(server, client, asBearer, token, options);
  return oauth.processIntrospectionResponse(server, client, response);
}

// The error that the server answers, by its name.
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) return error.error;
    throw error;
  }
  return undefined;
}

try {
  const server = await discover();
  console.log(`discovered: ${server.issuer}, tokens at ${server.token_endpoint}`);

  const tokens = await refresh(server, REFRESH_TOKEN);
  assert.ok(tokens.expires_in > 0 && tokens.refresh_token !== REFRESH_TOKEN, "a refresh token is for one use");
  console.log(`refreshed: a ${tokens.token_type} token for ${tokens.expires_in} s and another refresh token`);

  if (server.introspection_endpoint !== undefined) {
    const { active } = await introspect(server, tokens.access_token);
    assert.equal(active, true, "a token that was just made is not active");
    console.log("introspected: the access token is active");
  }

  await revoke(server, tokens.refresh_token, "refresh_token");
  console.log("revoked: the refresh token");

  assert.equal(
    await refusal(refresh(server, tokens.refresh_token)),
    "invalid_grant",
    "a token that was revoked is good",
  );
  console.log("refused: `invalid_grant` for the token that was revoked");

  if (server.introspection_endpoint !== undefined) {
    const { active } = await introspect(server, tokens.access_token);
    assert.equal(active, false, "the session is over, and its token is active");
    console.log("introspected: the access token is not active any more");
  }

  // Of a token that is nobody's, nothing is said (RFC 7009, section 2.2).
  await revoke(server, "nobody's", "refresh_token");
  console.log("revoked: a token that is nobody's, which is no error");
} catch (error) {
  // A token stands in no message, but it may in the request or the answer that an error holds.
  const what = error instanceof oauth.ResponseBodyError ? `${error.status} \`${error.error}\`` : error.message;
  console.error(`error: ${what}`);
  process.exit(1);
}
