/** What may be known of a failure beside its text. */
export interface Particulars {
  /** The status that was answered. */
  status?: number | undefined;
  /** After how many seconds to ask again. */
  retryAfter?: number | undefined;
  /** What went wrong below, such as a connection that broke. */
  cause?: unknown;
}

/** Signing in, refreshing, switching or signing out did not work. None of these errors holds a secret. */
export class ClavigerError extends Error {
  /** The status that was answered; `undefined` if there was no answer. */
  readonly status: number | undefined;
  /** After how many seconds to ask again, if the server said so. */
  readonly retryAfter: number | undefined;

  constructor(message: string, { status, retryAfter, cause }: Particulars = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Nobody is signed in: 401 if the password or the refresh token is not good (any more), 403 if the account, the
 * membership, the organization or the tenant is suspended or of somebody else.
 */
export class SignInRefused extends ClavigerError {}

/** 429: too many tries without success. `retryAfter` says when the next is looked at. */
export class TooManyTries extends ClavigerError {}

/** The server cannot say: it answered 5xx, nothing readable or not at all. Nothing is known about the credential. */
export class Unavailable extends ClavigerError {}

/** The error for a status that is no success. */
export function failure(message: string, status: number, retryAfter: number | undefined): ClavigerError {
  const particulars = { status, retryAfter };
  if (status === 401 || status === 403) return new SignInRefused(message, particulars);
  if (status === 429) return new TooManyTries(message, particulars);
  if (status >= 500) return new Unavailable(message, particulars);
  return new ClavigerError(message, particulars);
}

/** The same error once more, for somebody who hears of it later. */
export function again(error: ClavigerError, retryAfter = error.retryAfter): ClavigerError {
  const Kind = error.constructor as typeof ClavigerError;
  return new Kind(error.message, { status: error.status, retryAfter, cause: error.cause });
}

/** The API's own text in the body of a refusal, if there is one. Each API has its errors in a form of its own. */
export function textOf(body: unknown): string | undefined {
  if (!isObject(body)) return undefined;
  const { error, error_description, title } = body;
  const inner = isObject(error) ? (error["message"] ?? error["code"]) : error;
  const text = [error_description, inner, title].find((one) => typeof one === "string" && one !== "");
  // It goes to logs, where a line is one entry.
  return text === undefined ? undefined : String(text).replace(/\s+/g, " ").slice(0, 300);
}

/** Whether a value of JSON has members. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
