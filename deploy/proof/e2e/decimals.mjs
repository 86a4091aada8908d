// Prints how DuckDB reads the decimals of a copy of the lake, and what they add up to. A client that tried again may have
// sent copies:
//   node decimals.mjs DIRECTORY
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../embedded/npm/package.json', import.meta.url))
const { DuckDBInstance } = require('@duckdb/node-api')

const directory = process.argv[2].replaceAll("'", "''")
const db = await (await DuckDBInstance.create(':memory:')).connect()
const files = (await db.runAndReadAll(`SELECT file_name FROM parquet_schema('${directory}/data/type=order/**/*.parquet')
  WHERE name = 'price' AND logical_type LIKE 'Decimal%'`)).getRowObjects().map(r => `'${r.file_name}'`)
const result = await db.runAndReadAll(`
  SELECT any_value(typeof(price)) AS price, any_value(typeof(tax)) AS tax, any_value(typeof(fee)) AS fee,
         any_value(typeof(weight)) AS weight, sum(price)::VARCHAR AS total, min(price)::VARCHAR AS least
  FROM (SELECT DISTINCT ON (id) * FROM read_parquet([${files.join(',')}]))`)
console.log(JSON.stringify(result.getRowObjectsJson()))
