// A worker in Node (18 or later), with nothing but fetch: node worker.mjs QUEUE
// It runs handlers by the job's name, several at once, keeps their leases, and stops
// gracefully. PENSTOCK_URL is the server, PENSTOCK_TOKEN a token with role worker.
import { hostname } from "node:os";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const api = `${process.env.PENSTOCK_URL ?? "http://127.0.0.1:8080"}/api/v1/workers`;
const queue = process.argv[2];
const concurrency = 4;
const headers = { "Content-Type": "application/json" };
if (process.env.PENSTOCK_TOKEN) headers.Authorization = `Bearer ${process.env.PENSTOCK_TOKEN}`;

const handlers = {
  // What a handler returns is kept as the result; what it throws fails the job, which is
  // retried by policy. signal aborts when the job is cancelled or its lease is lost.
  async echo(data, { signal }) {
    await sleep((data.seconds ?? 0) * 1000, undefined, { signal });
    return data;
  },
};

// call repeats a call until it is answered, which is harmless for every call here.
async function call(method, path, body) {
  for (;;) {
    const answer = await fetch(api + path, {
      method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000),
      headers,
    }).catch(() => null);
    if (answer?.ok) return answer.status === 204 ? null : answer.json();
    if (answer && answer.status < 500 && answer.status !== 429) {
      const refused = new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      if (answer.status !== 410) throw refused; // repeating it would not help
      console.error(refused.message); // silent for too long: its jobs are others' now
      process.exit(1); // a supervisor starts it again
    }
    await sleep(1000);
  }
}

const me = (await call("POST", "", {
  queues: [queue], host: hostname(), pid: process.pid, concurrency,
  handlers: Object.keys(handlers).map((name) => `${queue} ${name}`),
})).id;

const held = new Map(); // id → { job, abort }
setInterval(async () => {
  const reply = await call("POST", `/${me}/heartbeat`, {
    held: [...held.values()].map(({ job }) => ({ id: job.id, attempt: job.attempt })),
  });
  for (const id of [...reply.cancel, ...reply.lost]) held.get(id)?.abort.abort();
}, 5000).unref();

// ended ends one attempt; a call that the server refuses counts as refused.
async function ended(end) {
  return call("POST", `/${me}/finish`, { attempts: [end] }).then(({ attempts }) => attempts[0],
    (error) => ({ id: end.id, status: "refused", message: error.message }));
}

async function run(job) {
  const abort = new AbortController();
  held.set(job.id, { job, abort });
  const end = { queueName: job.queueName, id: job.id, attempt: job.attempt, outcome: "completed" };
  try {
    if (Object.hasOwn(handlers, job.name)) {
      end.result = (await handlers[job.name](job.data, { ...job, signal: abort.signal })) ?? null;
      JSON.stringify(end.result); // what cannot be written is the handler's fault
    } else { // perhaps another version of this program knows it: give it back at no cost
      Object.assign(end, { outcome: "released", delay: 60_000 });
    }
  } catch (error) {
    delete end.result;
    Object.assign(end, abort.signal.aborted ? { outcome: "cancelled" } : {
      outcome: "failed", errorClass: String(error?.name ?? "Error"), error: String(error?.message ?? error),
    });
  }
  let ending = await ended(end);
  if (ending.status === "refused") { // end it in plain words
    const { queueName, id, attempt } = end;
    const error = String(ending.message).replace(/[^ -~]/g, "?").slice(0, 1000);
    ending = await ended({ queueName, id, attempt, outcome: "failed", errorClass: "Refused", error });
  }
  held.delete(job.id);
  console.log(`job ${ending.id}: ${ending.status} ${ending.state ?? ""}`);
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { stopping = true; });

await Promise.all(Array.from({ length: concurrency }, async () => {
  while (!stopping) {
    const { jobs } = await call("POST", `/${me}/claim`, { claimId: randomUUID(), limit: 1, wait: 10_000 });
    for (const job of jobs) await run(job);
  }
}));
await call("DELETE", `/${me}`);
