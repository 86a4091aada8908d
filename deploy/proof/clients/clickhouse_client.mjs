// Asks a recount server over ClickHouse's HTTP interface with @clickhouse/client.
//
//   npm install @clickhouse/client
//   node clickhouse_client.mjs HOST PORT KEY VIEW
//
// It prints a line for each thing that it tries, and fails if one does not work.
import { createClient, ClickHouseLogLevel } from '@clickhouse/client';

const [host, port, key, view] = process.argv.slice(2);
const client = createClient({
  url: `http://${host}:${port}`, username: 'default', password: key, compression: { response: true },
  log: { level: ClickHouseLogLevel.OFF },
});
const rows = async (query, more = {}) => (await client.query({ query, format: 'JSONEachRow', ...more })).json();
const code = async (run) => { try { await run(); } catch (error) { return error.code; } };
const checks = {
  ping: async () => (await client.ping()).success,
  query: async () => Number((await rows(`SELECT count() AS n FROM ${view}`))[0].n) >= 0,
  parameters: async () => (await rows('SELECT {p:String} AS p', { query_params: { p: "it's" } }))[0].p === "it's",
  settings: async () => (await rows('SELECT 1 AS x', { clickhouse_settings: { max_threads: 2 } }))[0].x === 1,
  'a session': async () => (await rows('SELECT 1 AS x', { session_id: 'a' }))[0].x === 1,
  JSON: async () => (await (await client.query({ query: 'SELECT 1 AS x', format: 'JSON' })).json()).data[0].x === 1,
  'an error has its number': async () => (await code(() => rows('SELECT * FROM nowhere'))) === '60',
  'insert is refused': async () => (await code(() => client.insert({ table: view, values: [{}] }))) === '497',
};
for (const [name, check] of Object.entries(checks)) {
  const ok = await check().catch((error) => { console.log(error.message); return false; });
  console.log(ok ? 'ok    ' : 'FAILED', name);
  if (!ok) process.exitCode = 1;
}
await client.close();
