// Runs SQL in DuckDB, one statement a line, and prints the rows of each as a line of JSON.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../embedded/npm/package.json', import.meta.url))
const { DuckDBInstance } = require('@duckdb/node-api')

const db = await (await DuckDBInstance.create(':memory:')).connect()
for await (const sql of createInterface({ input: process.stdin })) {
  const result = await db.runAndReadAll(sql)
  console.log(JSON.stringify(result.getRowObjectsJson()))
}
process.exit(0)
