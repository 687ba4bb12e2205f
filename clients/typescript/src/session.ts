// The tokens of one client: who gets them, when they are renewed, and that only one does so at a time.

import { open, type Credential } from "./credential.js";
import { again, ClavigerError, failure, isObject, SignInRefused, textOf, TooManyTries, Unavailable } from "./errors.js";

/** A tenant, an organization, or an organization of a tenant. */
export interface Place {
  /** The tenant. */
  tenantId?: string | undefined;
  /** The organization. */
  orgId?: string | undefined;
}

/** Where a client is signed in, as the server said. */
export interface SignedInPlace extends Place {
  /** The member's role there. */
  role?: string | undefined;
}

/** Stores a refresh token, the only one that is good from now on. */
export type RefreshTokenStore = (refreshToken: string) => void | Promise<void>;

/** What a session is made with. */
export interface SessionOptions {
  origin: string;
  credential: Credential;
  fetch: typeof globalThis.fetch;
  now: () => number;
  onRefreshToken: RefreshTokenStore | undefined;
}

/** An access token and what is known of it. */
export interface Tokens {
  readonly access: string;
  readonly place: SignedInPlace;
  /** How often the client had switched. What was meant for one place is never sent to another. */
  readonly era: number;
  /** When to get the next one, by the client's clock. */
  staleAt: number;
  /** Until when it is good, by the client's clock. */
  endsAt: number;
}

// How long before its end a token is renewed, in milliseconds; of a short one, half its life.
const AHEAD = 60_000;
// After a renewal ahead of time that did not work, in milliseconds: meanwhile the old token goes on.
const PAUSE = 5_000;
// How long an answer may take, in milliseconds. Asking twice has to end within the 20 s for which a used refresh token
// gives the same successor again.
const PATIENCE = 8_000;

export class Session {
  readonly #origin: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #now: () => number;
  readonly #store: RefreshTokenStore | undefined;
  readonly #email: string | undefined;
  readonly #password: string | undefined;
  /** Whether there is another token to be had when one is refused. */
  readonly isRenewable: boolean;
  // Where to sign in: as the caller said, and then where the client is.
  #place: Place;
  #refreshToken: string | undefined;
  // The tokens that were used up by switching. Each ends the session that it was of.
  #left: string[] = [];
  // What the caller has not stored yet.
  #unsaved: string | undefined;
  #tokens: Tokens | undefined;
  #era = 0;
  // Why there will be no more tokens.
  #over: ClavigerError | undefined;
  // Why there are none until then.
  #paused: { until: number; error: ClavigerError } | undefined;
  // The renewal under way: all who need it wait for this one.
  #renewal: Promise<Tokens> | undefined;
  // The last of those who use the refresh token, who take turns.
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ origin, credential, fetch, now, onRefreshToken }: SessionOptions) {
    const { token, refreshToken, email, password, tenantId, orgId } = open(credential);
    this.#origin = origin;
    this.#fetch = fetch;
    this.#now = now;
    this.#store = onRefreshToken;
    this.#email = email || undefined;
    this.#password = password || undefined;
    this.#refreshToken = refreshToken || undefined;
    this.#place = { tenantId, orgId };
    this.isRenewable = !token;
    if (token) this.#tokens = { access: token, place: this.#place, era: 0, staleAt: Infinity, endsAt: Infinity };
  }

  /** Tokens to send a request with, renewed if need be. */
  async fresh(): Promise<Tokens> {
    const tokens = this.#tokens;
    const isFresh = tokens !== undefined && this.#now() < tokens.staleAt && this.#unsaved === undefined;
    if (isFresh && this.#renewal === undefined) return tokens;
    if (this.#renewal === undefined) {
      this.#renewal = this.#inTurn(() => this.#renew()).finally(() => (this.#renewal = undefined));
      // Whoever waited may have gone away, and then nobody hears of it.
      this.#renewal.catch(() => {});
    }
    try {
      return await this.#renewal;
    } catch (error) {
      const isPassing = error instanceof Unavailable || error instanceof TooManyTries;
      // Renewed ahead of its end, the old one is still good. The next try is not made with every request.
      if (isPassing && tokens !== undefined && tokens === this.#tokens && this.#now() < tokens.endsAt) {
        tokens.staleAt = Math.min(tokens.endsAt, this.#now() + (error.retryAfter ?? PAUSE / 1000) * 1000);
        return tokens;
      }
      throw error;
    }
  }

  /** Notes that the server has refused these. If they were replaced meanwhile, that says nothing of the new ones. */
  refused(tokens: Tokens): void {
    if (this.isRenewable) tokens.staleAt = tokens.endsAt = -Infinity;
  }

  /** Goes on in another place, in a session of its own. */
  async switchTo(place: Place): Promise<SignedInPlace> {
    if (!this.isRenewable)
      throw new TypeError("only who is signed in can switch; this client has one token for one place");
    if (!place.tenantId && !place.orgId) throw new TypeError("neither `tenantId` nor `orgId` says where to switch to");
    return this.#inTurn(async () => {
      this.#mayAsk();
      const used = this.#refreshToken;
      const tokens = await this.#take(() => this.#ask(place, { isSwitch: true }));
      if (used !== undefined) this.#left.push(used);
      await this.#save();
      return tokens.place;
    });
  }

  /** Ends the session, and those from which it was switched. There are no more tokens. */
  async signOut(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#over !== undefined) return;
      const ended = [...this.#left, this.#refreshToken].filter((token) => token !== undefined);
      if (!this.isRenewable) await this.#post("sign-out", {}, this.#tokens?.access);
      for (const token of ended) await this.#post("revoke", { token, token_type_hint: "refresh_token" });
      this.#end(new SignInRefused("this client has signed out"));
    });
  }

  /** Makes a token worthless: the one given, or the access token at hand. */
  async revoke(token?: string): Promise<void> {
    const tokens = this.#tokens;
    const revoked = token ?? tokens?.access;
    if (revoked === undefined) return;
    await this.#post("revoke", { token: revoked });
    if (tokens !== undefined && revoked === tokens.access) this.refused(tokens);
  }

  /** Where the client is signed in, if it is. */
  get place(): SignedInPlace | undefined {
    return this.#tokens === undefined ? undefined : { ...this.#tokens.place };
  }

  // Runs after whatever else uses the refresh token: two that use it at once would look like theft.
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #renew(): Promise<Tokens> {
    if (this.#over !== undefined) throw again(this.#over);
    // What could not be stored the last time.
    await this.#save();
    // Whoever had the turn before may have renewed it.
    if (this.#tokens !== undefined && this.#now() < this.#tokens.staleAt) return this.#tokens;
    this.#mayAsk();
    const tokens = await this.#take(() => this.#ask({}, { isSwitch: false }));
    await this.#save();
    return tokens;
  }

  // A server that said when to ask again is not asked before.
  #mayAsk(): void {
    if (this.#over !== undefined) throw again(this.#over);
    if (this.#paused === undefined) return;
    const left = this.#paused.until - this.#now();
    if (left > 0) throw again(this.#paused.error, Math.ceil(left / 1000));
    this.#paused = undefined;
  }

  // New tokens, by the refresh token, or else by the password.
  async #ask(place: Place, { isSwitch }: { isSwitch: boolean }): Promise<Record<string, unknown>> {
    try {
      if (this.#refreshToken !== undefined) return await this.#refresh(this.#refreshToken, place);
    } catch (error) {
      const isGone = error instanceof SignInRefused && error.status === 401;
      if (!isGone) throw error;
      // It will not be good again, and showing it again would be a try more.
      this.#refreshToken = undefined;
      if (this.#password === undefined) throw this.#end(error);
    }
    try {
      return await this.#signIn(isSwitch ? place : this.#place);
    } catch (error) {
      // A wrong password stays wrong; ten tries would shut out whoever has the right one.
      if (error instanceof SignInRefused && error.status === 401) this.#end(error);
      throw error;
    }
  }

  async #refresh(refreshToken: string, place: Place): Promise<Record<string, unknown>> {
    const body = { refresh_token: refreshToken, tenant_id: place.tenantId, org_id: place.orgId };
    try {
      return await this.#post("refresh", body);
    } catch (error) {
      const isLost = error instanceof Unavailable && error.status === undefined;
      if (!isLost) throw error;
      // The server may have used the token up, and gives the same successor again for a short time.
      return await this.#post("refresh", body);
    }
  }

  async #signIn({ tenantId, orgId }: Place): Promise<Record<string, unknown>> {
    return this.#post("sign-in", { email: this.#email, password: this.#password, tenant_id: tenantId, org_id: orgId });
  }

  // Keeps the tokens that `ask` gets.
  async #take(ask: () => Promise<Record<string, unknown>>): Promise<Tokens> {
    // Before the request: the life of the token began some time after it.
    const asked = this.#now();
    const before = this.#tokens?.place;
    let answer: Record<string, unknown>;
    try {
      answer = await ask();
    } catch (error) {
      if (error instanceof ClavigerError && error.retryAfter !== undefined) {
        this.#paused = { until: this.#now() + error.retryAfter * 1000, error };
      }
      throw error;
    }
    const text = (name: string) => (typeof answer[name] === "string" ? String(answer[name]) : undefined);
    const [access, seconds] = [text("access_token"), answer["expires_in"]];
    if (!access || !/^[\x21-\x7e]+$/.test(access) || typeof seconds !== "number" || !(seconds > 0)) {
      throw new Unavailable("the server's answer has no tokens", { status: 200 });
    }
    const place = { tenantId: text("tenant_id"), orgId: text("org_id"), role: text("role") };
    if (before !== undefined && (before.tenantId !== place.tenantId || before.orgId !== place.orgId)) this.#era += 1;
    const life = seconds * 1000;
    const staleAt = asked + life - Math.min(AHEAD, life / 2);
    this.#tokens = { access, place, era: this.#era, staleAt, endsAt: asked + life };
    // Should it come to the password again, then for the same place.
    this.#place = { tenantId: place.tenantId, orgId: place.orgId };
    const refreshToken = text("refresh_token");
    if (refreshToken !== undefined) this.#refreshToken = this.#unsaved = refreshToken;
    return this.#tokens;
  }

  // Until the caller has the refresh token in a safe place, the access token is not used: a crash would lose both.
  async #save(): Promise<void> {
    if (this.#unsaved === undefined) return;
    await this.#store?.(this.#unsaved);
    this.#unsaved = undefined;
  }

  #end(error: ClavigerError): ClavigerError {
    this.#over = error;
    this.#tokens = this.#refreshToken = this.#unsaved = undefined;
    this.#left = [];
    return error;
  }

  async #post(what: string, body: object, bearer?: string): Promise<Record<string, unknown>> {
    const headers = new Headers({ Accept: "application/json", "Content-Type": "application/json" });
    if (bearer !== undefined) headers.set("Authorization", `Bearer ${bearer}`);
    let response: Response;
    let text: string;
    try {
      response = await this.#fetch(`${this.#origin}/auth/v1/${what}`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        // A redirect would carry password and token to wherever it points.
        redirect: "manual",
        credentials: "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      text = await response.text();
    } catch (cause) {
      throw new Unavailable(`${what}: no answer from ${this.#origin}`, { cause });
    }
    let answer: unknown;
    try {
      answer = text === "" ? {} : JSON.parse(text);
    } catch {
      answer = undefined;
    }
    if (!response.ok) {
      const said = this.#withoutSecrets(textOf(answer), body, bearer);
      const seconds = /^[0-9]{1,9}$/.exec(response.headers.get("Retry-After") ?? "")?.[0];
      const why = said === undefined ? "" : `: ${said}`;
      throw failure(
        `${what}: ${response.status}${why}`,
        response.status,
        seconds === undefined ? undefined : Number(seconds),
      );
    }
    if (!isObject(answer)) throw new Unavailable(`${what}: the answer is no JSON`, { status: response.status });
    return answer;
  }

  // Some servers repeat what they were sent.
  #withoutSecrets(text: string | undefined, body: object, bearer: string | undefined): string | undefined {
    const { password, refresh_token, token } = body as Record<string, string | undefined>;
    return [password, refresh_token, token, bearer].reduce((rest, secret) => {
      return secret === undefined ? rest : rest?.split(secret).join("(..)");
    }, text);
  }
}
