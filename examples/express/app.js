// A small API behind Claviger: the orders of each tenant, and a status for everybody.
//
//   CLAVIGER_JWKS_URL      where Claviger publishes its keys, as http://127.0.0.1:8010/.well-known/jwks.json
//   CLAVIGER_BINDING_KEYS  each audience and the file with its binding key, as shop=shop.key, with spaces between them
//   HOST, PORT             where to listen: 127.0.0.1 and 3000

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import express from "express";
import { guard, readBindingKey } from "./guard.js";

const { CLAVIGER_JWKS_URL: jwksUrl, CLAVIGER_BINDING_KEYS: bindingKeys = "" } = process.env;
const { HOST: host = "127.0.0.1", PORT: port = "3000" } = process.env;

const audiences = new Map(
  bindingKeys
    .split(" ")
    .filter((word) => word !== "")
    .map((word) => {
      const at = word.indexOf("=");
      return [word.slice(0, at), readBindingKey(readFileSync(word.slice(at + 1), "utf8"))];
    }),
);

const app = express();
app.disable("x-powered-by");
app.use(guard({ audiences, jwksUrl }));
app.use(express.json());

function problem(response, status, title) {
  response.status(status).type("application/problem+json").send(JSON.stringify({ type: "about:blank", title, status }));
}

// Orders by reference. They live in memory and end with the server.
const all = new Map();

// The caller's own. Whose they are is in the verified claims alone: no header, path, query or body names others.
function ownOrders({ realm, tenant_id, org_id, environment }) {
  const place = JSON.stringify([realm, tenant_id, org_id, environment]);
  if (!all.has(place)) all.set(place, new Map());
  return all.get(place);
}

app.get("/status", (request, response) => {
  response.json({ status: "ok" });
});

// What follows is about somebody, and has nothing for nobody, whatever the settings of Claviger say.
app.use((request, response, next) => {
  if (request.visitor.kind === "public") return problem(response, 404, "Not Found");
  request.own = ownOrders(request.visitor);
  next();
});

app.get("/orders", (request, response) => {
  const wanted = typeof request.query.q === "string" ? request.query.q : "";
  response.json({ data: [...request.own.values()].filter((order) => order.reference.includes(wanted)) });
});

app.post("/orders", (request, response) => {
  const { reference, total } = request.body ?? {};
  if (typeof reference !== "string" || !/^.{1,100}$/s.test(reference) || !(total >= 0)) {
    return problem(response, 422, "An order has a reference of at most 100 characters and a total");
  }
  if (request.own.has(reference)) return problem(response, 409, "There is an order of this reference");
  const order = { reference, total };
  request.own.set(reference, order);
  response.status(201).json(order);
});

app.get("/orders/:reference", (request, response) => {
  const order = request.own.get(request.params.reference);
  if (order === undefined) return problem(response, 404, "Not Found");
  response.json(order);
});

app.use((request, response) => problem(response, 404, "Not Found"));

// Express would show a stack. What is wrong with a body is its client's to know.
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error);
  const status = error.status ?? 500;
  if (status >= 500) console.error(error);
  problem(response, status, status >= 500 ? "Internal Server Error" : error.message);
});

// Claviger lets heads of 32 KiB through unless told otherwise, and adds its own headers; Node takes 16 KiB.
const server = createServer({ maxHeaderSize: 64 * 1024 }, app);
// Longer than the 4 s for which Claviger keeps an idle connection.
server.keepAliveTimeout = 30_000;
server.listen(Number(port), host, () => {
  console.error(`listening on http://${host}:${server.address().port}`);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close();
    server.closeIdleConnections();
  });
}
