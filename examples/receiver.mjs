#!/usr/bin/env node
// An app that receives webhooks through hookward: Node.js without any package.
//
//     node examples/receiver.mjs 3000
//
// It listens on loopback only, so whatever arrives has come through hookward, and it may believe the Hookward-* headers:
// hookward strips what a sender puts there. It does each delivery once, however often hookward has to ask.

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
    // Someone on this machine who has not asked hookward.
    return answer(403, { error: "not through hookward" });
  }
  const key = JSON.stringify([source, delivery]);
  const again = done.has(key);
  done.add(key);
  const what = again ? "seen before" : "done";
  console.log(
    `${source} ${header("event") ?? "?"} ${delivery} attempt=${header("attempt") ?? "?"} ` +
      `verified=${header("verified") ?? "?"} bytes=${body.length} ${what}`,
  );
  answer(200, { delivery, seen_before: again });
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
