/** What a {@link Credential} is made of: a token alone, or a refresh token, or address and password, or both of these. */
export interface CredentialParts {
  /** An API key, a user token, or an identity token that nobody prolongs. */
  token?: string | undefined;
  /** A refresh token, which is for one use: store what `onRefreshToken` gives. */
  refreshToken?: string | undefined;
  /** The e-mail address of an account. */
  email?: string | undefined;
  /** Its password. With a refresh token it is used when that one is refused. */
  password?: string | undefined;
  /** The tenant to sign in at; without it the server takes the first where the person is active. */
  tenantId?: string | undefined;
  /** The organization to sign in at. */
  orgId?: string | undefined;
}

/** Variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What opens a credential: for this package alone. */
export let open: (credential: Credential) => Readonly<CredentialParts>;

/** What somebody signs in with. It cannot be printed. */
export class Credential {
  readonly #parts: Readonly<CredentialParts>;

  static {
    open = (credential) => credential.#parts;
  }

  /** @throws TypeError if the parts are no credential. */
  constructor(parts: CredentialParts) {
    const has = (name: keyof CredentialParts) => parts[name] !== undefined && parts[name] !== "";
    if (has("email") !== has("password")) {
      throw new TypeError(`there is \`${has("email") ? "email" : "password"}\` without the other one`);
    }
    if (!has("token") && !has("refreshToken") && !has("email")) {
      throw new TypeError("a credential is a `token`, a `refreshToken`, or `email` and `password`");
    }
    if (has("token") && (has("refreshToken") || has("email"))) {
      throw new TypeError("a `token` stands alone: nobody could say which is meant");
    }
    // What cannot stand in a header would be named, with its text, by the error of whoever tries.
    if (has("token") && !/^[\x21-\x7e]+$/.test(parts.token ?? "")) {
      throw new TypeError("the `token` has characters that no token has, such as a line break");
    }
    this.#parts = Object.freeze({ ...parts });
  }

  /**
   * Reads the variables `<prefix>_REFRESH_TOKEN`, `<prefix>_EMAIL` and `<prefix>_PASSWORD`, or if none of these is set
   * `<prefix>_TOKEN`; and `<prefix>_TENANT_ID` and `<prefix>_ORG_ID`, if the place matters. A token does not come
   * first, as nobody prolongs it.
   *
   * @throws TypeError naming the variables, if they are no credential.
   */
  static fromEnvironment(prefix: string, environment: Environment = ownEnvironment()): Credential {
    const read = (name: string) => environment[`${prefix}_${name}`] || undefined;
    const [email, password] = [read("EMAIL"), read("PASSWORD")];
    const place = { tenantId: read("TENANT_ID"), orgId: read("ORG_ID") };
    if ((email === undefined) !== (password === undefined)) {
      const [there, missing] = email === undefined ? ["PASSWORD", "EMAIL"] : ["EMAIL", "PASSWORD"];
      throw new TypeError(`\`${prefix}_${there}\` is set without \`${prefix}_${missing}\``);
    }
    const refreshToken = read("REFRESH_TOKEN");
    if (refreshToken !== undefined || email !== undefined) {
      return new Credential({ refreshToken, email, password, ...place });
    }
    const token = read("TOKEN");
    if (token !== undefined) return new Credential({ token, ...place });
    throw new TypeError(
      `there is no credential: set \`${prefix}_TOKEN\`, \`${prefix}_REFRESH_TOKEN\`, ` +
        `or \`${prefix}_EMAIL\` and \`${prefix}_PASSWORD\``,
    );
  }

  /** Says nothing of what is in it. */
  toString(): string {
    return "Credential(..)";
  }

  /** Says nothing of what is in it. */
  toJSON(): string {
    return this.toString();
  }
}

// A browser has none.
function ownEnvironment(): Environment {
  return (globalThis as { process?: { env?: Environment } }).process?.env ?? {};
}
