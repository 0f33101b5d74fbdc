#!/usr/bin/env node
// An app that receives webhooks through hookward: Node.js without any package.
//
//     node examples/receiver.mjs 3000
//
// The app listens on loopback only, so every request has come through hookward, and the app may trust the Hookward-*
// headers: hookward removes those that a sender sets. The app processes each delivery once, however many attempts arrive:
//
// - It deduplicates on Hookward-Source and Hookward-Delivery together.
// - Hookward-Redelivery: true. An operator ran `hookward forget`, so the app processes a known delivery once more.
// - Hookward-Repeat: true or unknown. The content was delivered before, as an honest repeat or as a replay of a captured
//   request. The app reads the current state from the provider instead of acting on the body, so a replay changes nothing.

import { createServer } from "node:http";

// A real app keeps this in its database, in the transaction that does the work.
const done = new Set();

const server = createServer(async (request, response) => {
  const answer = (status, fields) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(fields));
  };
  const frames = [];
  for await (const frame of request) frames.push(frame);
  const body = Buffer.concat(frames);
  const header = (name) => request.headers[`hookward-${name}`];
  const [source, delivery] = [header("source"), header("delivery")];
  if (source === undefined || delivery === undefined) {
    // A process on this machine sent it past hookward.
    return answer(403, { error: "not through hookward" });
  }
  const key = JSON.stringify([source, delivery]);
  const known = done.has(key);
  done.add(key);
  const redelivery = header("redelivery") === "true";
  let result = redelivery ? "done again" : "done";
  if (header("repeat") !== undefined) result = "state read from the provider";
  if (known && !redelivery) result = "seen before";
  console.log(
    `${source} ${header("event") ?? "?"} ${delivery} attempt=${header("attempt") ?? "?"} ` +
      `verified=${header("verified") ?? "?"} bytes=${body.length} ${result}`,
  );
  answer(200, { delivery, result });
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
