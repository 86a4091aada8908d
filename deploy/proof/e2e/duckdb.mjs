// Counts the events of a copy of the lake with DuckDB alone, without recount:
//   node duckdb.mjs DIRECTORY
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../embedded/npm/package.json', import.meta.url))
const { DuckDBInstance } = require('@duckdb/node-api')

const directory = process.argv[2].replaceAll("'", "''")
const db = await (await DuckDBInstance.create(':memory:')).connect()
const result = await db.runAndReadAll(`
  SELECT type, count(*) AS events, count(DISTINCT id) AS ids, count(DISTINCT landed) AS days,
         sum(ms) AS ms, min(time)::VARCHAR AS first
  FROM read_parquet('${directory}/data/**/*.parquet', hive_partitioning = true, union_by_name = true)
  GROUP BY type ORDER BY type`)
console.log(JSON.stringify(result.getRowObjectsJson()))
