import assert from "node:assert/strict";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import { inspect } from "node:util";
import { Claviger, ClavigerError, Credential, SignInRefused, TooManyTries, Unavailable } from "../dist/index.js";
import { EMAIL, FakeServer, PASSWORD } from "./server.mjs";

const PRODUCTS = "/api/v1/products";

let server, other, clock;

beforeEach(async () => {
  [server, other] = [await FakeServer.start(), await FakeServer.start()];
  clock = 5_000;
});

afterEach(async () => {
  await server.stop();
  await other.stop();
});

function make(parts, options = {}) {
  return new Claviger({ baseUrl: server.url, credential: new Credential(parts), now: () => clock, ...options });
}

const withPassword = (options) => make({ email: EMAIL, password: PASSWORD }, options);
const withRefreshToken = (options) => make({ refreshToken: server.begin() }, options);
const breakOff = (request, response) => response.socket.destroy();
const refuse = (status, headers) => (request, response) => server.refuse(response, status, headers);

// An answer that comes when told to.
function later() {
  const gate = {};
  gate.arrived = new Promise((resolve) => {
    gate.instead = (request, response) => {
      resolve(request);
      gate.open.then(() => gate.answer(request, response));
    };
  });
  gate.open = new Promise((resolve) => (gate.release = resolve));
  gate.answer = (request, response) => server.answer(request, response);
  return gate;
}

async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("there was no error");
}

describe("a credential", () => {
  it("of address and password signs in once, and is sent as a bearer token from then on", async () => {
    const client = make({ email: EMAIL, password: PASSWORD, orgId: "south" });
    for (let i = 0; i < 3; i += 1) assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.deepEqual(server.asked[0].body, { email: EMAIL, password: PASSWORD, org_id: "south" });
    assert.equal(server.asked.length, 4);
    assert.match(server.requests[2].headers.authorization, /^Bearer at_[0-9]+$/);
    assert.deepEqual(client.place, { tenantId: "acme", orgId: "south", role: "ADMIN" });
  });

  it("may be a refresh token", async () => {
    assert.equal((await withRefreshToken().fetch(PRODUCTS)).status, 200);
    assert.deepEqual(server.asked[0].body, { refresh_token: "rt_1" });
  });

  it("may be a token, whose 401 is the caller's", async () => {
    server.tokens.add("sk_live_1");
    const client = make({ token: "sk_live_1" });
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    server.revokeAll();
    assert.equal((await client.fetch(PRODUCTS)).status, 401);
    assert.equal((await client.fetch(PRODUCTS)).status, 401);
    assert.equal(server.asked.length, 3);
  });

  it("comes from variables of the caller's prefix", async () => {
    const use = async (environment) => {
      const credential = Credential.fromEnvironment("SHOP", environment);
      await new Claviger({ baseUrl: server.url, credential }).fetch(PRODUCTS);
      const [first] = server.asked.splice(0);
      return first.body || first.headers.authorization;
    };
    const person = { SHOP_EMAIL: EMAIL, SHOP_PASSWORD: PASSWORD };
    assert.deepEqual(await use({ ...person, SHOP_TOKEN: "t" }), { email: EMAIL, password: PASSWORD });
    assert.deepEqual(await use({ ...person, SHOP_ORG_ID: "south" }), {
      email: EMAIL,
      password: PASSWORD,
      org_id: "south",
    });
    const refreshToken = server.begin();
    assert.deepEqual(await use({ ...person, SHOP_REFRESH_TOKEN: refreshToken }), { refresh_token: refreshToken });
    assert.equal(await use({ SHOP_TOKEN: "t", SHOP_EMAIL: "" }), "Bearer t");
  });

  it("that is in no variable is an error that names them", () => {
    const text = "there is no credential: set `SHOP_TOKEN`, `SHOP_REFRESH_TOKEN`, or `SHOP_EMAIL` and `SHOP_PASSWORD`";
    assert.throws(() => Credential.fromEnvironment("SHOP", { EMAIL, OTHER_TOKEN: "t" }), {
      name: "TypeError",
      message: text,
    });
    const half = { message: "`SHOP_EMAIL` is set without `SHOP_PASSWORD`" };
    assert.throws(() => Credential.fromEnvironment("SHOP", { SHOP_EMAIL: EMAIL, SHOP_TOKEN: "t" }), half);
  });

  it("is one thing, and one that fits into a header", () => {
    for (const parts of [
      {},
      { email: EMAIL },
      { password: PASSWORD },
      { token: "t", refreshToken: "rt" },
      { token: "t\n" },
    ]) {
      assert.throws(() => new Credential(parts), TypeError, Object.keys(parts).join());
    }
  });
});

describe("the place", () => {
  it("is sent in headers if wanted, and as the server said it", async () => {
    await withPassword().fetch(PRODUCTS);
    await withPassword({ sendsPlace: true }).fetch(PRODUCTS, { headers: { "X-Other": "1" } });
    const [without, with_] = server.requests.map(({ headers }) => headers);
    assert.equal("x-tenant-id" in without || "x-org-id" in without, false);
    assert.deepEqual([with_["x-tenant-id"], with_["x-org-id"], with_["x-other"]], ["acme", "north", "1"]);
  });
});

describe("a token", () => {
  it("is refreshed 60 s before its end", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    clock += 3_539_000;
    await client.fetch(PRODUCTS);
    assert.equal(server.count("refresh"), 0);
    clock += 1_000;
    await client.fetch(PRODUCTS);
    assert.equal(server.count("refresh"), 1);
    assert.equal(
      server.requests.every(({ headers }) => headers.authorization !== undefined),
      true,
    );
  });

  it("of a short life is refreshed after half of it, and not with every request", async () => {
    server.lifetime = 60;
    const client = withPassword();
    await client.fetch(PRODUCTS);
    clock += 29_000;
    await client.fetch(PRODUCTS);
    assert.equal(server.count("refresh"), 0);
    clock += 1_000;
    await client.fetch(PRODUCTS);
    assert.equal(server.count("refresh"), 1);
  });

  it("does not hang on the time of day", async (t) => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    const real = Date.now;
    t.after(() => (Date.now = real));
    Date.now = () => real() + 86_400_000;
    await client.fetch(PRODUCTS);
    assert.equal(server.count("refresh"), 0);
  });

  it("that is refused is replaced once, and the request sent once more", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    server.revokeAll();
    const response = await client.fetch(PRODUCTS, { method: "POST", body: "a body" });
    assert.equal(response.status, 200);
    assert.equal(server.count("refresh"), 1);
    const [, first, second] = server.requests;
    assert.deepEqual([first.body, second.body], ["a body", "a body"]);
    assert.notEqual(first.headers.authorization, second.headers.authorization);
  });

  it("that is refused a second time leaves the 401 to the caller", async () => {
    const client = withPassword();
    server.next(PRODUCTS, refuse(401), refuse(401), refuse(401));
    const response = await client.fetch(PRODUCTS);
    assert.equal(response.status, 401);
    assert.deepEqual(await response.json(), { error: "this is refused" });
    assert.equal(server.requests.length, 2);
    assert.equal(server.count("refresh"), 1);
  });

  it("is got by the password where the refresh token is refused, for the same place", async () => {
    const client = withPassword();
    await client.switchTo({ orgId: "south" });
    server.sessions.clear();
    server.revokeAll();
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.count("refresh"), 1);
    assert.equal(server.count("sign-in"), 2);
    const { body } = server.asked.findLast(({ path }) => path === "/auth/v1/sign-in");
    assert.deepEqual(body, { email: EMAIL, password: PASSWORD, tenant_id: "acme", org_id: "south" });
  });

  it("is not to be had any more without a password, and the server is not asked again", async () => {
    const client = withRefreshToken();
    server.sessions.clear();
    const first = await caught(client.fetch(PRODUCTS));
    const second = await caught(client.fetch(PRODUCTS));
    for (const error of [first, second]) {
      assert.ok(error instanceof SignInRefused);
      assert.equal(error.status, 401);
      assert.equal(error.message, "refresh: 401: this is refused");
    }
    assert.equal(server.asked.length, 1);
  });

  it("is not asked for again with a password that is wrong", async () => {
    const client = make({ email: EMAIL, password: "wrong" });
    for (let i = 0; i < 3; i += 1) assert.ok((await caught(client.fetch(PRODUCTS))) instanceof SignInRefused);
    assert.equal(server.asked.length, 1);
  });

  it("is not got by the password for somebody who is suspended", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    server.members = [];
    server.revokeAll();
    assert.equal((await caught(client.fetch(PRODUCTS))).status, 403);
    assert.equal(server.count("sign-in"), 1);
    server.members = ["north"];
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
  });

  it("without a refresh token beside it keeps the one that is known", async () => {
    const client = withRefreshToken();
    server.next("/auth/v1/refresh", (request, response) => {
      server.json(response, 200, { access_token: "at_x", expires_in: 3600, tenant_id: "acme", org_id: "north" });
    });
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.count("refresh"), 2);
  });
});

describe("many requests at once", () => {
  const fifty = (client) => Promise.all(Array.from({ length: 50 }, () => client.fetch(PRODUCTS)));

  it("make one sign-in", async () => {
    const responses = await fifty(withPassword());
    assert.equal(responses.filter(({ status }) => status === 200).length, 50);
    assert.equal(server.count("sign-in"), 1);
  });

  it("at a stale token make one refresh", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    clock += 3_600_000;
    const responses = await fifty(client);
    assert.equal(responses.filter(({ status }) => status === 200).length, 50);
    assert.equal(server.count("refresh"), 1);
  });

  it("at a token that was revoked make one refresh", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    server.revokeAll();
    const responses = await fifty(client);
    assert.equal(responses.filter(({ status }) => status === 200).length, 50);
    assert.equal(server.count("refresh"), 1);
  });

  it("share one failure", async () => {
    const client = withPassword();
    server.next("/auth/v1/sign-in", refuse(500));
    const errors = await Promise.all(Array.from({ length: 50 }, () => caught(client.fetch(PRODUCTS))));
    assert.equal(errors.filter((error) => error instanceof Unavailable).length, 50);
    assert.equal(server.count("sign-in"), 1);
  });

  it("do not refresh for a 401 that belongs to a token which was replaced meanwhile", async () => {
    const client = withPassword();
    const gate = later();
    gate.answer = refuse(401);
    server.next("/slow", gate.instead);
    const slow = client.fetch("/slow");
    await gate.arrived;
    server.revokeAll();
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    gate.release();
    assert.equal((await slow).status, 200);
    assert.equal(server.count("refresh"), 1);
  });

  it("do not lose the refresh because one of them is not waited for any longer", async () => {
    const client = withRefreshToken();
    const gate = later();
    server.next("/auth/v1/refresh", gate.instead);
    const leaving = new AbortController();
    const first = caught(client.fetch(PRODUCTS, { signal: leaving.signal }));
    await gate.arrived;
    const second = client.fetch(PRODUCTS);
    leaving.abort();
    assert.equal((await first).name, "AbortError");
    gate.release();
    assert.equal((await second).status, 200);
    assert.equal(server.count("refresh"), 1);
  });
});

describe("the answer of a refresh", () => {
  it("that is lost is asked for once more, with the same token", async () => {
    const client = withRefreshToken();
    server.next("/auth/v1/refresh", (request, response) => {
      server.answer(request, { writeHead: () => ({ end: () => breakOff(request, response) }) });
    });
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.deepEqual(
      server.asked.slice(0, 2).map(({ body }) => body.refresh_token),
      ["rt_1", "rt_1"],
    );
    clock += 3_600_000;
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
  });

  it("that is lost twice is an error, and no third try", async () => {
    const client = withRefreshToken();
    server.next("/auth/v1/refresh", breakOff, breakOff);
    const error = await caught(client.fetch(PRODUCTS));
    assert.ok(error instanceof Unavailable);
    assert.equal(error.status, undefined);
    assert.equal(server.count("refresh"), 2);
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
  });

  it("that never comes is waited for twice, and within the 20 s in which that works", async (t) => {
    const waits = [];
    const real = AbortSignal.timeout;
    t.after(() => (AbortSignal.timeout = real));
    AbortSignal.timeout = (ms) => {
      waits.push(ms);
      return AbortSignal.abort(new DOMException("timeout", "TimeoutError"));
    };
    assert.ok((await caught(withRefreshToken().fetch(PRODUCTS))) instanceof Unavailable);
    assert.equal(waits.length, 2);
    assert.ok(waits[0] + waits[1] < 20_000);
  });

  it("that is none says nothing about the credential", async () => {
    const client = withRefreshToken();
    for (const body of ["<html>", "[]", "{}", '{"access_token":"a"}', '{"access_token":"a\\nb","expires_in":9}']) {
      server.next("/auth/v1/refresh", (request, response) => response.writeHead(200).end(body));
      assert.ok((await caught(client.fetch(PRODUCTS))) instanceof Unavailable, body);
    }
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
  });
});

describe("a new refresh token", () => {
  it("is stored before the access token is used, each time", async () => {
    const done = [];
    const onRefreshToken = async (token) => {
      await new Promise((resolve) => setImmediate(resolve));
      done.push(token);
    };
    const noting = (input, init) => (done.push(new URL(input).pathname), fetch(input, init));
    const client = withRefreshToken({ onRefreshToken, fetch: noting });
    await client.fetch(PRODUCTS);
    clock += 3_600_000;
    await client.fetch(PRODUCTS);
    const [ask, use] = ["/auth/v1/refresh", PRODUCTS];
    assert.deepEqual(done, [ask, "rt_2", use, ask, "rt_4", use]);
  });

  it("that cannot be stored is stored before the next request, and is not lost", async () => {
    const stored = [];
    let isFull = true;
    const onRefreshToken = (token) => {
      if (isFull) throw new Error("the disk is full");
      stored.push(token);
    };
    const client = withRefreshToken({ onRefreshToken });
    assert.equal((await caught(client.fetch(PRODUCTS))).message, "the disk is full");
    assert.equal(server.requests.length, 0);
    isFull = false;
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.deepEqual(stored, ["rt_2"]);
    assert.equal(server.count("refresh"), 1);
  });
});

describe("a server that has no time", () => {
  for (const [status, kind] of [
    [429, TooManyTries],
    [503, Unavailable],
  ]) {
    it(`with ${status} says for how many seconds, and is not asked until then`, async () => {
      const client = withPassword();
      server.next("/auth/v1/sign-in", refuse(status, { "Retry-After": "30" }));
      const first = await caught(client.fetch(PRODUCTS));
      clock += 20_000;
      const second = await caught(client.fetch(PRODUCTS));
      for (const error of [first, second]) assert.ok(error instanceof kind && error.status === status);
      assert.deepEqual([first.retryAfter, second.retryAfter], [30, 10]);
      assert.equal(server.asked.length, 1);
      clock += 10_000;
      assert.equal((await client.fetch(PRODUCTS)).status, 200);
    });
  }

  it("is not needed while the token is good, and not asked with every request", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    clock += 3_545_000;
    server.next("/auth/v1/refresh", breakOff, breakOff, refuse(503), refuse(503, { "Retry-After": "100" }));
    for (let i = 0; i < 3; i += 1) assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.count("refresh"), 2);
    clock += 5_000;
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.count("refresh"), 3);
    clock += 50_000;
    assert.equal((await caught(client.fetch(PRODUCTS))).retryAfter, 100);
  });
});

describe("the credential goes nowhere else", () => {
  const redirect = (status, location) => (request, response) =>
    response.writeHead(status, { Location: location }).end();

  it("by a redirect to another origin, which is the caller's to follow", async () => {
    const client = withPassword({ sendsPlace: true });
    for (const status of [301, 302, 303, 307, 308]) {
      server.next(PRODUCTS, redirect(status, `${other.url}/elsewhere`));
      const response = await client.fetch(PRODUCTS, { method: "POST", body: "b" });
      assert.deepEqual([response.status, response.headers.get("Location")], [status, `${other.url}/elsewhere`]);
    }
    assert.equal(other.asked.length, 0);
  });

  it("by a redirect of the sign-in", async () => {
    server.next("/auth/v1/sign-in", redirect(307, `${other.url}/auth/v1/sign-in`));
    const error = await caught(withPassword().fetch(PRODUCTS));
    assert.ok(error instanceof ClavigerError);
    assert.equal(error.status, 307);
    assert.equal(other.asked.length, 0);
  });

  it("by the caller's own URL", async () => {
    const client = withPassword();
    for (const input of [
      `${other.url}/x`,
      new URL(`${other.url}/x`),
      new Request(`${other.url}/x`),
      "//evil.example/x",
    ]) {
      assert.equal((await caught(client.fetch(input))).name, "TypeError");
    }
    assert.equal(server.asked.length + other.asked.length, 0);
  });

  it("but a redirect within the origin is followed as `fetch` does", async () => {
    const client = withPassword();
    server.next(PRODUCTS, redirect(308, "/moved"), redirect(302, "/seen"), redirect(307, "/"), redirect(302, "/"));
    const post = { method: "POST", headers: { "Content-Type": "text/plain" }, body: "b" };
    await client.fetch(PRODUCTS, post);
    await client.fetch(PRODUCTS, post);
    const seen = server.requests.map(({ method, path, body, headers }) => [
      method,
      path,
      body,
      headers["content-type"],
    ]);
    const sent = ["POST", PRODUCTS, "b", "text/plain"];
    assert.deepEqual(seen, [sent, ["POST", "/moved", "b", "text/plain"], sent, ["GET", "/seen", "", undefined]]);
    assert.ok(server.requests.every(({ headers }) => /^Bearer at_/.test(headers.authorization)));
    assert.equal((await client.fetch(PRODUCTS, { redirect: "manual" })).status, 307);
    assert.equal((await caught(client.fetch(PRODUCTS, { redirect: "error" }))).name, "TypeError");
  });

  it("but a redirect without end has one", async () => {
    const client = withPassword();
    server.instead["/loop"] = Array.from({ length: 50 }, () => redirect(302, "/loop"));
    assert.match((await caught(client.fetch("/loop"))).message, /redirects too often/);
    assert.equal(server.requests.length, 21);
  });

  it("and not where a redirect is hidden, as browsers do", async () => {
    const hidden = { type: "opaqueredirect", status: 0, headers: new Headers() };
    server.tokens.add("t");
    const client = make({ token: "t" }, { fetch: async () => hidden });
    assert.match((await caught(client.fetch(PRODUCTS))).message, /it is not known where to/);
    assert.equal(await client.fetch(PRODUCTS, { redirect: "manual" }), hidden);
  });

  it("unencrypted, but for this machine", () => {
    const at = (baseUrl) => new Claviger({ baseUrl, credential: new Credential({ token: "t" }) });
    for (const good of [
      "https://api.example",
      "https://api.example:8443/",
      "http://localhost:1",
      "http://api.localhost",
      "http://127.1.2.3",
      "http://[::1]:8080",
    ]) {
      at(good);
    }
    for (const bad of [
      "http://api.example",
      "http://127.0.0.1.example",
      "http://localhost.example",
      "http://10.0.0.1",
      "http://[::2]",
      "ftp://localhost",
      "api.example",
      "https://u:geheim@api.example",
      "https://api.example/v1",
      "https://api.example?x",
    ]) {
      assert.throws(
        () => at(bad),
        (error) => error instanceof TypeError && !error.message.includes("geheim"),
        bad,
      );
    }
  });
});

describe("a body", () => {
  const stream = () =>
    new ReadableStream({
      start: (controller) => (controller.enqueue(new TextEncoder().encode("once")), controller.close()),
    });

  it("that is a stream is not sent again: the 401 is the caller's, and the next request has a new token", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    server.revokeAll();
    const response = await client.fetch(PRODUCTS, { method: "POST", body: stream(), duplex: "half" });
    assert.equal(response.status, 401);
    assert.equal(server.requests.length, 2);
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.requests.length, 3);
  });

  it("of a `Request` is a stream, too, but one without a body is sent again", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    server.revokeAll();
    assert.equal((await client.fetch(new Request(server.url + PRODUCTS, { method: "POST", body: "b" }))).status, 401);
    server.revokeAll();
    const request = new Request(server.url + PRODUCTS, { headers: { "X-Other": "1" } });
    server.next(PRODUCTS, refuse(401));
    assert.equal((await client.fetch(request)).status, 200);
    assert.deepEqual(
      server.requests.slice(-2).map(({ headers }) => headers["x-other"]),
      ["1", "1"],
    );
  });

  it("of any kind that can be read twice is sent twice", async () => {
    const client = withPassword();
    const form = new FormData();
    form.set("a", "b");
    const bodies = [
      "b",
      new URLSearchParams("a=b"),
      form,
      new Blob(["b"]),
      new TextEncoder().encode("b"),
      new ArrayBuffer(3),
    ];
    for (const body of bodies) {
      server.next(PRODUCTS, refuse(401));
      const response = await client.fetch(PRODUCTS, { method: "POST", body });
      assert.equal(response.status, 200, String(body));
      const [first, second] = server.requests.slice(-2);
      const without = ({ body }) => body.replaceAll(/-----*[^\r]*/g, "");
      assert.equal(without(first), without(second));
      assert.notEqual(second.body, "");
    }
  });
});

describe("a secret is in no text", () => {
  const texts = (value) => [
    inspect(value, { depth: Infinity, showHidden: true }),
    JSON.stringify(value),
    `${value}`,
    value.stack ?? "",
  ];

  function assertSecretFree(...values) {
    for (const text of values.flatMap(texts)) {
      for (const secret of [PASSWORD, "rt_", "at_", "sk_live"]) assert.equal(text.includes(secret), false, text);
    }
  }

  it("of a client or a credential", async () => {
    const credential = new Credential({ refreshToken: "rt_x", email: EMAIL, password: PASSWORD });
    const client = withPassword();
    await client.switchTo({ orgId: "south" });
    assertSecretFree(credential, client, make({ token: "sk_live_1" }), withRefreshToken(), await client.signIn());
    assert.equal(`${credential} ${client}`, `Credential(..) Claviger(${server.url})`);
  });

  it("of an error, whatever the server says", async () => {
    const echo = (request, response) => server.json(response, 400, { error: JSON.stringify(request.body) });
    const [client, session] = [withPassword(), withRefreshToken()];
    server.next("/auth/v1/sign-in", echo, breakOff, refuse(503, { "Retry-After": "1" }));
    server.next("/auth/v1/refresh", echo, breakOff, breakOff);
    const errors = [];
    for (let i = 0; i < 4; i += 1) errors.push(await caught(client.fetch(PRODUCTS)));
    for (let i = 0; i < 2; i += 1) errors.push(await caught(session.fetch(PRODUCTS)));
    errors.push(await caught(session.fetch(`${other.url}/x`)));
    assert.match(errors[0].message, /^sign-in: 400: .*\(\.\.\)/);
    assert.match(errors[4].message, /^refresh: 400: .*\(\.\.\)/);
    assertSecretFree(...errors);
  });
});

describe("an error", () => {
  it("has the API's own text, in whichever form the API has it", async () => {
    const client = withPassword();
    const bodies = [
      { error: "text" },
      { error: { code: "c", message: "text" } },
      { success: false, error: { code: "text" } },
      { title: "te\n xt" },
    ];
    const said = [];
    for (const body of [...bodies, null, { error: {} }]) {
      server.next("/auth/v1/sign-in", (request, response) => server.json(response, 409, body));
      said.push((await caught(client.fetch(PRODUCTS))).message);
    }
    assert.deepEqual(said, [
      ...Array(3).fill("sign-in: 409: text"),
      "sign-in: 409: te xt",
      "sign-in: 409",
      "sign-in: 409",
    ]);
  });

  it("says that nobody answers", async () => {
    const listener = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => listener.once("listening", resolve));
    const baseUrl = `http://127.0.0.1:${listener.address().port}`;
    await new Promise((resolve) => listener.close(resolve));
    const error = await caught(withPassword({ baseUrl }).fetch(PRODUCTS));
    assert.ok(error instanceof Unavailable && error instanceof ClavigerError);
    assert.equal(error.name, "Unavailable");
    assert.equal(error.message, `sign-in: no answer from ${baseUrl}`);
  });
});

describe("whoever switches", () => {
  it("is elsewhere from then on, and stores the new refresh token", async () => {
    const stored = [];
    const client = withPassword({ sendsPlace: true, onRefreshToken: (token) => void stored.push(token) });
    await client.fetch(PRODUCTS);
    const place = await client.switchTo({ orgId: "south" });
    await client.fetch(PRODUCTS);
    assert.deepEqual(place, { tenantId: "acme", orgId: "south", role: "ADMIN" });
    assert.deepEqual(
      server.requests.map(({ headers }) => headers["x-org-id"]),
      ["north", "south"],
    );
    assert.equal(stored.length, 2);
  });

  it("and is refused stays", async () => {
    const client = withPassword();
    await client.fetch(PRODUCTS);
    const error = await caught(client.switchTo({ orgId: "west" }));
    assert.ok(error instanceof SignInRefused && error.status === 403);
    assert.equal(client.place.orgId, "north");
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.ok((await caught(client.switchTo({}))) instanceof TypeError);
    assert.ok((await caught(make({ token: "t" }).switchTo({ orgId: "south" }))) instanceof TypeError);
  });

  it("never has a request that was meant for one place sent to the other", async () => {
    const client = withPassword();
    const gate = later();
    gate.answer = refuse(401);
    server.next("/slow", gate.instead);
    const slow = client.fetch("/slow", { method: "DELETE" });
    await gate.arrived;
    await client.switchTo({ orgId: "south" });
    gate.release();
    assert.equal((await slow).status, 401);
    assert.equal(server.requests.length, 1);
  });

  it("does not use the refresh token while a refresh does", async () => {
    const client = withRefreshToken();
    const gate = later();
    server.next("/auth/v1/refresh", gate.instead);
    const request = client.fetch(PRODUCTS);
    await gate.arrived;
    const switching = client.switchTo({ orgId: "south" });
    gate.release();
    await Promise.all([request, switching]);
    const used = server.asked.filter(({ path }) => path === "/auth/v1/refresh").map(({ body }) => body.refresh_token);
    assert.deepEqual(used, ["rt_1", "rt_2"]);
  });
});

describe("whoever signs out", () => {
  it("ends every session that the client had, and makes it useless", async () => {
    const client = withPassword();
    await client.switchTo({ orgId: "south" });
    await client.switchTo({ orgId: "north" });
    assert.equal(server.sessions.size, 2);
    await client.signOut();
    await client.signOut();
    assert.equal(server.sessions.size, 0);
    const asked = server.asked.length;
    const error = await caught(client.fetch(PRODUCTS));
    assert.ok(error instanceof SignInRefused);
    assert.equal(error.message, "this client has signed out");
    assert.equal(server.asked.length, asked);
  });

  it("with a token alone ends its session by it", async () => {
    server.tokens.add("t");
    await make({ token: "t" }).signOut();
    assert.equal(server.tokens.size, 0);
  });
});

describe("whoever revokes", () => {
  it("the token at hand gets another one with the next request, without a 401", async () => {
    const client = withPassword();
    const token = await client.accessToken();
    await client.revoke();
    assert.equal(server.tokens.has(token), false);
    assert.equal((await client.fetch(PRODUCTS)).status, 200);
    assert.equal(server.requests.length, 1);
    assert.notEqual(await client.accessToken(), token);
  });

  it("another token keeps their own", async () => {
    const client = withPassword();
    const token = await client.accessToken();
    await client.revoke("at_other");
    assert.deepEqual(server.asked.at(-1).body, { token: "at_other" });
    assert.equal(await client.accessToken(), token);
  });
});

describe("`fetch`", () => {
  it("may be given to others, and takes what `fetch` takes", async () => {
    const { fetch } = withPassword();
    assert.equal((await fetch(new URL(PRODUCTS, server.url))).status, 200);
    assert.equal(
      (await fetch(`${server.url}${PRODUCTS}?a=b`, { headers: new Headers({ "X-Other": "1" }) })).status,
      200,
    );
    const { path, headers } = server.requests[1];
    assert.deepEqual([path, headers["x-other"]], [`${PRODUCTS}?a=b`, "1"]);
    const aborted = AbortSignal.abort();
    assert.equal((await caught(fetch(PRODUCTS, { signal: aborted }))).name, "AbortError");
  });
});
