import { Credential } from "./credential.js";
import { Session, type Place, type RefreshTokenStore, type SignedInPlace, type Tokens } from "./session.js";

/** How a {@link Claviger} is made. */
export interface ClavigerOptions {
  /** Scheme, host and port of the API, as `https://api.example.com`. The credential is sent nowhere else. */
  baseUrl: string | URL;
  /** What to sign in with. */
  credential: Credential;
  /** Stores each new refresh token, before the access token that came with it is used. It must not use the client. */
  onRefreshToken?: RefreshTokenStore | undefined;
  /** Whether to send `X-Tenant-ID` and `X-Org-ID`, for APIs that ask for them. They are not sent otherwise. */
  sendsPlace?: boolean | undefined;
  /** What sends the requests: the global `fetch` by default. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Milliseconds that only ever grow: `performance.now` by default, as the time of day may be wrong. */
  now?: (() => number) | undefined;
}

const REDIRECTS = [301, 302, 303, 307, 308];
// As many as browsers follow.
const MOST_REDIRECTS = 20;

/** Requests to one API in the name of one credential. */
export class Claviger {
  readonly #origin: string;
  readonly #sendsPlace: boolean;
  readonly #fetch: typeof globalThis.fetch;
  readonly #session: Session;

  /** @throws TypeError if the base URL is none that a credential may be sent to. */
  constructor(options: ClavigerOptions) {
    const { baseUrl, credential, onRefreshToken, sendsPlace = false } = options;
    this.#origin = originOf(baseUrl);
    this.#sendsPlace = sendsPlace;
    // Called by itself: browsers refuse a `fetch` that is called as somebody's method.
    const own = options.fetch;
    this.#fetch =
      own === undefined ? (input, init) => globalThis.fetch(input, init) : (input, init) => own(input, init);
    this.#session = new Session({
      origin: this.#origin,
      credential,
      fetch: this.#fetch,
      now: options.now ?? (() => performance.now()),
      onRefreshToken,
    });
    this.fetch = this.fetch.bind(this);
  }

  /**
   * `fetch`, with the credential. A path is one at the base URL; a URL elsewhere is a TypeError.
   *
   * A 401 makes the client get one new token and send the request once more; a second 401 is the caller's. So is the
   * first one if the body cannot be sent again (a stream, or a `Request` with a body), or if the client has switched
   * to another place meanwhile. A redirect to another origin is given to the caller and not followed. Browsers do not
   * say where a redirect leads: there it is a TypeError, unless `redirect` is "manual".
   *
   * It may be given to others as their `fetch`.
   *
   * @throws ClavigerError if there is no token to be had.
   */
  async fetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    const url = this.#own(input instanceof Request ? input.url : input);
    const signal = init.signal ?? (input instanceof Request ? input.signal : undefined);
    const tokens = await unlessAborted(signal, () => this.#session.fresh());
    const response = await this.#follow(url, input, init, tokens);
    if (response.status !== 401 || !this.#session.isRenewable) return response;
    this.#session.refused(tokens);
    if (!isRepeatable(input, init)) return response;
    const next = await unlessAborted(signal, () => this.#session.fresh());
    if (next.era !== tokens.era) return response;
    // Else its connection stays taken.
    await response.body?.cancel();
    return this.#follow(url, input, init, next);
  }

  /** Signs in now and not only with the first request. Says where. */
  async signIn(): Promise<SignedInPlace> {
    return { ...(await this.#session.fresh()).place };
  }

  /**
   * Goes on in another organization or tenant of the same person, and says where it is.
   *
   * @throws SignInRefused if they may not act there. The client then stays where it is.
   */
  switchTo(place: Place): Promise<SignedInPlace> {
    return this.#session.switchTo(place);
  }

  /** Ends the session, and those from which it was switched. The client is of no more use. */
  signOut(): Promise<void> {
    return this.#session.signOut();
  }

  /** Makes a token worthless: the one given, or the access token at hand. The session goes on. */
  revoke(token?: string): Promise<void> {
    return this.#session.revoke(token);
  }

  /** A fresh access token, for what does not go through `fetch`, such as a WebSocket. Keep it nowhere. */
  async accessToken(): Promise<string> {
    return (await this.#session.fresh()).access;
  }

  /** Where the client is signed in; `undefined` before it is. */
  get place(): SignedInPlace | undefined {
    return this.#session.place;
  }

  /** Says nothing of the credential. */
  toString(): string {
    return `Claviger(${this.#origin})`;
  }

  /** Says nothing of the credential. */
  toJSON(): string {
    return this.toString();
  }

  #own(input: string | URL): URL {
    const url = new URL(input, `${this.#origin}/`);
    if (url.origin !== this.#origin)
      throw new TypeError(`\`${url.origin}\` is not \`${this.#origin}\`, for which the credential is`);
    return url;
  }

  // Sends it, and follows redirects within the origin as `fetch` does.
  async #follow(first: URL, input: string | URL | Request, init: RequestInit, tokens: Tokens): Promise<Response> {
    const request = input instanceof Request ? input : undefined;
    const mode = init.redirect ?? request?.redirect ?? "follow";
    const headers = new Headers(init.headers ?? request?.headers);
    headers.set("Authorization", `Bearer ${tokens.access}`);
    if (this.#sendsPlace) {
      const { tenantId, orgId } = tokens.place;
      if (tenantId) headers.set("X-Tenant-ID", tenantId);
      if (orgId) headers.set("X-Org-ID", orgId);
    }
    let url = first;
    let sent: RequestInit = { ...init, headers, redirect: "manual" };
    let response = await this.#fetch(request ?? url, sent);
    for (let redirects = 0; mode !== "manual"; redirects += 1) {
      if (response.type === "opaqueredirect") throw new TypeError(`\`${url}\` redirects, and it is not known where to`);
      const location = response.headers.get("Location");
      if (!REDIRECTS.includes(response.status) || location === null) break;
      if (mode === "error") throw new TypeError(`\`${url}\` redirects`);
      if (redirects === MOST_REDIRECTS) throw new TypeError(`\`${first}\` redirects too often`);
      const next = new URL(location, url);
      if (next.origin !== this.#origin) break;
      const method = sent.method ?? request?.method ?? "GET";
      const { status } = response;
      const is = (other: string) => method.toUpperCase() === other;
      const becomesGet = (status === 303 && !is("HEAD")) || (status <= 302 && is("POST"));
      if (!becomesGet && !isRepeatable(input, init)) break;
      await response.body?.cancel();
      sent = { ...(request === undefined ? {} : traits(request)), ...sent, method };
      if (becomesGet) {
        sent = { ...sent, method: "GET", body: null };
        for (const name of ["Content-Encoding", "Content-Language", "Content-Location", "Content-Type"])
          headers.delete(name);
      }
      url = next;
      response = await this.#fetch(url, sent);
    }
    return response;
  }
}

// What of a request without a body holds for the next one, too.
function traits(request: Request): RequestInit {
  const { signal, cache, credentials, integrity, keepalive, mode } = request;
  return { signal, cache, credentials, integrity, keepalive, mode };
}

// Whether the body, if there is one, is still there once it was sent.
function isRepeatable(input: string | URL | Request, init: RequestInit): boolean {
  const body = init.body ?? null;
  if (body === null) {
    // Not every browser shows a request's body, but these methods have none.
    return !(input instanceof Request) || ["GET", "HEAD"].includes(input.method) || input.body === null;
  }
  return (
    typeof body === "string" ||
    body instanceof URLSearchParams ||
    body instanceof FormData ||
    body instanceof Blob ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body)
  );
}

// What somebody waits for may be others' too, so it goes on when they do not wait any longer.
async function unlessAborted<T>(signal: AbortSignal | null | undefined, begin: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  const promise = begin();
  if (!signal) return promise;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function originOf(baseUrl: string | URL): string {
  // The text is not repeated: it may have a password in it.
  let url: URL;
  try {
    url = new URL(baseUrl);
  } catch {
    throw new TypeError("the base URL is none");
  }
  if (url.username !== "" || url.password !== "") throw new TypeError("the base URL has a user or a password in it");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new TypeError(`the base URL has more than scheme, host and port; write \`${url.origin}\``);
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname))) {
    throw new TypeError(
      `\`${url.protocol}//${url.host}\` is not https, and the credential would be sent for all to read`,
    );
  }
  return url.origin;
}

// `URL` has brought addresses into their one form.
function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    host === "[::1]" ||
    /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host)
  );
}
