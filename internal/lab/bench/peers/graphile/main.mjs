// Enqueues jobs in bulk, works them off, and enqueues a tenth in a transaction each, with
// graphile-worker, for `penstock-lab bench compare`.
//
// Usage: node main.mjs URL JOBS PAYLOAD_BYTES. The database is empty; the answer is one
// line of JSON on standard output.
import { readFileSync } from 'node:fs'
import { run, runMigrations, Logger } from 'graphile-worker'
import pg from 'pg'

const [url, jobsText, sizeText] = process.argv.slice(2)
const jobs = Number(jobsText)
const size = Number(sizeText)
const version = JSON.parse(
  readFileSync(new URL('node_modules/graphile-worker/package.json', import.meta.url)),
).version

const quiet = new Logger(() => () => {})
const pool = new pg.Pool({ connectionString: url, max: 20 })
pool.on('error', () => {})
pool.on('connect', (client) => client.on('error', () => {}))
const preset = {
  worker: {
    concurrentJobs: 24,
    pollInterval: 20,
    // The settings that were fastest here: jobs fetched and completed in batches.
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
}
await runMigrations({ pgPool: pool, logger: quiet })

const payload = (n) => {
  const empty = JSON.stringify({ n, pad: '' }).length
  return { n, pad: 'x'.repeat(Math.max(0, size - empty)) }
}

let start = performance.now()
for (let n = 0; n < jobs; n += 1000) {
  const specs = []
  for (let i = n; i < Math.min(n + 1000, jobs); i++) {
    specs.push({ identifier: 'noop', payload: payload(i) })
  }
  await pool.query(
    `SELECT count(*) FROM graphile_worker.add_jobs(array(
       SELECT json_populate_record(null::graphile_worker.job_spec, e) FROM json_array_elements($1::json) e))`,
    [JSON.stringify(specs)],
  )
}
const enqueued = performance.now() - start

start = performance.now()
let worked = 0
const runner = await run({
  preset,
  pgPool: pool,
  logger: quiet,
  taskList: {
    noop: () => {
      worked++
    },
  },
})
const pause = (ms) => new Promise((done) => setTimeout(done, ms))
let failed
runner.promise.catch((error) => (failed = error))
while (worked < jobs && !failed) await pause(1)
if (failed) throw failed
// A completed job's row is deleted.
for (;;) {
  const { rows } = await pool.query('SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS left')
  if (!rows[0].left) break
}
const drained = performance.now() - start
await runner.stop()

const few = Math.floor(jobs / 10)
let taken = 0
start = performance.now()
await Promise.all(
  Array.from({ length: 16 }, async () => {
    const client = await pool.connect()
    while (taken < few) {
      taken++
      await client.query('BEGIN')
      await client.query({
        name: 'add',
        text: 'SELECT id FROM graphile_worker.add_job($1, $2::json)',
        values: ['noop', JSON.stringify(payload(taken))],
      })
      await client.query('COMMIT')
    }
    client.release()
  }),
)
const singly = performance.now() - start
await pool.end().catch(() => {})
console.log(
  JSON.stringify({
    peer: `graphile-worker ${version}`,
    enqueued_per_second: (jobs / enqueued) * 1000,
    drained_per_second: (jobs / drained) * 1000,
    transactions_per_second: (few / singly) * 1000,
  }),
)
process.exit(0)
