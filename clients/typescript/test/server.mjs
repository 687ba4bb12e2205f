// An API with sign-in, as small as the tests need it: it counts what it is asked, and does what it is told to.

import { createServer } from "node:http";

export const EMAIL = "ada@acme.example";
export const PASSWORD = "correct-horse-battery";

export class FakeServer {
  // All that was asked: { method, path, headers, body }.
  asked = [];
  // What to do instead of answering, once each, by path: `(request, response) => ...`.
  instead = {};
  lifetime = 3600;
  tokens = new Set();
  // The good refresh token of each session, and the one before it.
  sessions = new Map();
  members = ["north", "south"];
  #made = 0;

  static async start(options = {}) {
    const server = Object.assign(new FakeServer(), options);
    server.http = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const { method, url: path, headers } = request;
      const isJson = headers["content-type"] === "application/json";
      const one = { method, path, headers, body: isJson && text !== "" ? JSON.parse(text) : text };
      server.asked.push(one);
      const instead = server.instead[path]?.shift();
      if (instead !== undefined) return instead(one, response);
      server.answer(one, response);
    });
    await new Promise((resolve) => server.http.listen(0, "127.0.0.1", resolve));
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  async stop() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  count(what) {
    return this.asked.filter(({ path }) => path === `/auth/v1/${what}`).length;
  }

  // Everything that was asked at paths of the API.
  get requests() {
    return this.asked.filter(({ path }) => !path.startsWith("/auth/"));
  }

  // Does so with the next request for `path`, or with the next ones.
  next(path, ...instead) {
    this.instead[path] = [...(this.instead[path] ?? []), ...instead];
  }

  begin(org = "north") {
    const refreshToken = `rt_${++this.#made}`;
    this.sessions.set(`session-${this.#made}`, { good: refreshToken, used: undefined, org });
    return refreshToken;
  }

  revokeAll() {
    this.tokens.clear();
  }

  answer({ path, headers, body }, response) {
    const bearer = headers.authorization?.replace(/^Bearer /, "");
    if (path === "/auth/v1/sign-in") {
      if (body.email !== EMAIL || body.password !== PASSWORD) return this.refuse(response, 401);
      if (!this.members.includes(body.org_id ?? "north")) return this.refuse(response, 403);
      this.begin(body.org_id);
      return this.signedIn(response, [...this.sessions.values()].at(-1));
    }
    if (path === "/auth/v1/refresh") {
      const shown = body.refresh_token;
      const found = [...this.sessions].find(([, { good, used }]) => good === shown || used === shown);
      if (found === undefined) return this.refuse(response, 401);
      const [, session] = found;
      if (!this.members.includes(body.org_id ?? session.org)) return this.refuse(response, 403);
      if (session.good === shown) Object.assign(session, { used: shown, good: `rt_${++this.#made}` });
      if (body.org_id === undefined || body.org_id === session.org) return this.signedIn(response, session);
      this.begin(body.org_id);
      return this.signedIn(response, [...this.sessions.values()].at(-1));
    }
    if (path === "/auth/v1/revoke") {
      this.tokens.delete(body.token);
      for (const [name, { good, used }] of this.sessions) {
        if (good === body.token || used === body.token) this.sessions.delete(name);
      }
      return this.json(response, 200, {});
    }
    if (!this.tokens.has(bearer)) return this.refuse(response, 401);
    if (path === "/auth/v1/sign-out") {
      this.tokens.delete(bearer);
      return response.writeHead(204).end();
    }
    this.json(response, 200, { data: [] });
  }

  signedIn(response, { good, org }) {
    const accessToken = `at_${++this.#made}`;
    this.tokens.add(accessToken);
    this.json(response, 200, {
      access_token: accessToken,
      token_type: "Bearer",
      expires_in: this.lifetime,
      refresh_token: good,
      tenant_id: "acme",
      org_id: org,
      role: "ADMIN",
    });
  }

  refuse(response, status, headers = {}) {
    this.json(response, status, { error: "this is refused" }, headers);
  }

  json(response, status, value, headers = {}) {
    response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(value));
  }
}
