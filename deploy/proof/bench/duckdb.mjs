// Runs SQL in DuckDB for the benchmarks: node duckdb.mjs DATABASE. It reads one request a line and answers one line.
import { createInterface } from 'node:readline'
import { DuckDBInstance } from '@duckdb/node-api'

const instance = await DuckDBInstance.create(process.argv[2])
const connections = []
while (connections.length < 64) connections.push(await instance.connect())
const seconds = () => Number(process.hrtime.bigint()) / 1e9

async function answer(request) {
  const took = []
  let rows
  const began = seconds()
  const client = async (connection) => {
    for (let i = 0; request.seconds ? seconds() - began < request.seconds : i < (request.repeat || 1); i++) {
      for (const sql of request.sql) {
        const start = seconds()
        rows = await connection.runAndReadAll(sql)
        took.push(seconds() - start)
      }
    }
  }
  await Promise.all(connections.slice(0, request.clients || 1).map(client))
  const elapsed = seconds() - began
  return { took, elapsed, rows: request.rows ? rows.getRowsJson() : [] }
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply
  try {
    reply = await answer(JSON.parse(line))
  } catch (error) {
    reply = { error: String(error) }
  }
  console.log(JSON.stringify(reply))
}
process.exit(0)
