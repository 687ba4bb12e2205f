import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { EMAIL, FakeServer, PASSWORD } from "./server.mjs";

const FOLDER = new URL("..", import.meta.url);

it("the README's example runs as it stands", async (t) => {
  const server = await FakeServer.start();
  t.after(() => server.stop());
  const [, example] = /^```js\n(.*?)^```$/ms.exec(readFileSync(new URL("README.md", FOLDER), "utf8"));

  const run = async (password) => {
    // Of the caller's own variables none, as they may name another place.
    const { PATH } = process.env;
    const env = { PATH, SYNQ_URL: server.url, SYNQ_EMAIL: EMAIL, SYNQ_PASSWORD: password };
    // In this folder, `claviger` is this package.
    const child = spawn(process.execPath, ["--input-type=module"], { cwd: fileURLToPath(FOLDER), env });
    child.stdin.end(example);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
    const code = await new Promise((resolve) => child.on("close", resolve));
    return [code, said];
  };

  assert.deepEqual(await run(PASSWORD), [0, "200 ADMIN\n"]);
  assert.equal(server.sessions.size, 0);
  assert.deepEqual(await run("wrong"), [0, "nobody is signed in: sign-in: 401: this is refused\n"]);
});
