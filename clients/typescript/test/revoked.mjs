// A run against a server: requests go on while their token is revoked and their session is ended under them.
//
//   SYNQ_URL                     the API, as http://127.0.0.1:8081
//   SYNQ_EMAIL, SYNQ_PASSWORD    somebody who may read its products
//   REVOCATIONS                  how often to revoke: 3
//
// `npm run build` comes first. All requests have to be answered with 200, and each revocation has to cost one refresh.

import { Claviger, Credential } from "../dist/index.js";

const WORKERS = 8;
// How many requests each of them makes between two events.
const BETWEEN = 12;

const { SYNQ_URL: baseUrl, SYNQ_EMAIL: email, SYNQ_PASSWORD: password, REVOCATIONS: revocations = "3" } = process.env;
for (const name of ["SYNQ_URL", "SYNQ_EMAIL", "SYNQ_PASSWORD"]) {
  if (!process.env[name]) {
    console.error(`error: \`${name}\` is not set`);
    process.exit(2);
  }
}

// What the client sent, by path and status.
const seen = new Map();
const count = (path, status) => seen.get(`${path} ${status}`) ?? 0;

const client = new Claviger({
  baseUrl,
  credential: new Credential({ email, password }),
  fetch: async (input, init) => {
    const response = await fetch(input, init);
    const what = `${new URL(input instanceof Request ? input.url : input).pathname} ${response.status}`;
    seen.set(what, (seen.get(what) ?? 0) + 1);
    return response;
  },
});

// Somebody else, who has the token as well.
async function elsewhere(path, init) {
  const response = await fetch(new URL(path, baseUrl), { method: "POST", ...init });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${path} elsewhere: ${response.status}`);
}

const revoke = async () => {
  const token = await client.accessToken();
  const headers = { "Content-Type": "application/json" };
  await elsewhere("/auth/v1/revoke", { headers, body: JSON.stringify({ token }) });
};

const signOut = async () => {
  const headers = { Authorization: `Bearer ${await client.accessToken()}` };
  await elsewhere("/auth/v1/sign-out", { headers });
};

const statuses = new Map();
const answered = Array(WORKERS).fill(0);
let isOver = false;

async function work(worker) {
  while (!isOver) {
    const response = await client.fetch("/api/v1/products");
    await response.arrayBuffer();
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    answered[worker] += 1;
  }
}

const workers = Promise.all(answered.map((_, worker) => work(worker)));
// Whoever waits hears of a failure; between two waits nobody does.
workers.catch(() => {});

// Until each worker has had that many more answers: then whatever was under way before is over.
async function more() {
  const goals = answered.map((already) => already + BETWEEN);
  while (answered.some((already, worker) => already < goals[worker])) {
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 5)), workers]);
  }
}

const wrong = [];
const expect = (what, found, wanted) => found === wanted || wrong.push(`${what}: ${found} and not ${wanted}`);

try {
  await more();
  for (let done = 1; done <= Number(revocations); done += 1) {
    await revoke();
    await more();
    expect(`refreshes after ${done} revocations`, count("/auth/v1/refresh", 200), done);
  }
  expect("refreshes that were refused", count("/auth/v1/refresh", 401), 0);
  expect("sign-ins", count("/auth/v1/sign-in", 200), 1);

  await signOut();
  await more();
  expect("refreshes that were refused, after the sign-out", count("/auth/v1/refresh", 401), 1);
  expect("sign-ins, after the sign-out", count("/auth/v1/sign-in", 200), 2);
  expect("refreshes in all", count("/auth/v1/refresh", 200), Number(revocations));

  isOver = true;
  await workers;
  await client.signOut();
} catch (error) {
  wrong.push(error.message);
  isOver = true;
}

const refused = count("/api/v1/products", 401);
if (refused === 0) wrong.push("no token was refused, so nothing was tried");
if (statuses.size !== 1 || !statuses.has(200)) wrong.push(`statuses: ${JSON.stringify([...statuses])}`);
const all = [...statuses.values()].reduce((sum, one) => sum + one, 0);
console.log(
  `${wrong.length === 0 ? "ok" : "NOT OK"}: ${all} requests by ${WORKERS} at once, ${statuses.get(200) ?? 0} with 200, ` +
    `${revocations} revocations, ${count("/auth/v1/refresh", 200)} refreshes, ` +
    `1 sign-out, ${count("/auth/v1/sign-in", 200) - 1} new sign-in, ${refused} tokens refused on the way`,
);
for (const line of wrong) console.error(`error: ${line}`);
process.exit(wrong.length === 0 ? 0 : 1);
