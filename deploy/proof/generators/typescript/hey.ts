// Uses the client that @hey-api/openapi-ts generates from the OpenAPI document:
//   node build/hey.js URL KEY
import * as api from './generated/hey'
import { client } from './generated/hey/client.gen'

const name = 'hey'
const events = 100
const [url, key] = process.argv.slice(2)
client.setConfig({ baseUrl: url, auth: () => key })

// want returns the data of an answer, or the error of a refusal. It throws unless the status is the wanted one.
async function want<D, E>(operation: string, status: number,
  call: Promise<{ data?: D; error?: E; response?: Response }>) {
  const { data, error, response } = await call
  if (response?.status !== status) throw new Error(`${operation}: ${response?.status}, ${JSON.stringify(error)}`)
  console.log(operation, status)
  return { data: data as NonNullable<D>, error: error as NonNullable<E> }
}

// check throws unless got is wanted.
function check(what: string, got: unknown, wanted: unknown) {
  if (got !== wanted) throw new Error(`${what}: got ${got}, want ${wanted}`)
}

function event(id: number, data: Record<string, unknown>): api.CloudEvent {
  return { id: `${id}`, source: name, type: 'page.viewed', time: '2024-05-01T10:00:00Z', data, traceid: 'abc' }
}

async function declare() {
  const path = { name: `${name}.clicked` }
  await want('putEventType', 201, api.putEventType({ path,
    body: { fields: { page: 'string', delay: { type: 'int64', path: ['delay', 'ms'] } } } }))
  const view = { name: `${name}_clicks` }
  await want('putView', 201, api.putView({ path: view, body: {
    event: path.name, dimensions: ['page'], where: [{ field: 'delay', op: 'ge', value: 0 }],
    measures: { clicks: { count: {} }, slowest: { max: 'delay' } } } }))
  const { data } = await want('getView', 200, api.getView({ path: view }))
  check('measures', data.measures.length, 2)
  await want('listViews', 200, api.listViews())
  await want('getEventType', 200, api.getEventType({ path }))
  await want('listEventTypes', 200, api.listEventTypes())
  const catalog = await want('getCatalog', 200, api.getCatalog())
  await want('putCatalog', 200, api.putCatalog({ query: { dry_run: true }, body: catalog.data.declarations }))
}

// send sends an array, lines and a refused event, and returns the receipt of the array.
async function send() {
  const wrong = event(events, { page: 7 })
  const refused = await want('sendEvents', 400, api.sendEvents({ body: [wrong] }))
  check('code', refused.error.code, 'all_rejected')
  const batch = [wrong]
  for (let id = 0; id < events; id++) batch.push(event(id, { page: '/', country: name, milliseconds: id }))
  const { data } = await want('sendEvents', 200, api.sendEvents({ body: batch }))
  check('accepted', data.accepted, events)
  check('rejected', data.rejected[0].code, 'invalid_field')
  const again = await want('sendEvents', 200, api.sendEvents({ body: batch,
    headers: { 'Content-Type': 'application/x-ndjson' },
    bodySerializer: (body) => (body as api.CloudEvent[]).map((e) => JSON.stringify(e)).join('\n') }))
  check('accepted lines', again.data.accepted, events)
  return data.receipt
}

// publish runs the job recompute until the events have landed and are published.
async function publish(receipt: string) {
  for (let tries = 0; ; tries++) {
    await want('runJob', 200, api.runJob({ path: { name: 'recompute' } }))
    const { data } = await want('getReceipt', 200, api.getReceipt({ path: { receipt } }))
    if (data.places.every((p) => p.state === 'published')) return
    check('published', tries < 100, true)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function viewsOf(mode: 'merged' | 'exact', receipt?: string) {
  return api.query({ body: { view: 'page_views', measures: ['views'], group_by: ['country'], mode, min_through: receipt,
    where: [{ not: { or: [{ dimension: 'country', op: 'ne', value: name }] } }] } })
}

// rowsOf returns the rows of an answer, which is an object unless CSV or Arrow was asked for.
function rowsOf(answer: api.Answer | string | Blob | File) {
  return (answer as api.Answer).rows
}

// ask waits for the events of receipt: an answer to their sending may come before they are counted.
async function ask(receipt: string) {
  const { data } = await want('query', 200, viewsOf('merged', receipt))
  check('views', rowsOf(data)[0].views, events)
  check('live', rowsOf(data)[0].live?.views, events)
}

async function askExactly() {
  const { data } = await want('query', 200, viewsOf('exact'))
  check('exact views', rowsOf(data)[0].views, events)
  const got = await want('queryByParameters', 200, api.queryByParameters({ query: {
    view: 'page_views', measures: ['views', 'slowest'], group_by: ['country'],
    where: [`not (country != '${name}')`] } }))
  check('slowest', rowsOf(got.data)[0].slowest, events - 1)
  const sql = await want('runSQL', 200, api.runSql({ body: {
    query: 'SELECT sum(views) AS views FROM page_views WHERE country = {c:String}', parameters: { c: name } } }))
  check('SQL', (sql.data as { data: { views: number }[] }).data[0].views, events)
  const refused = await want('runSQL', 400, api.runSql({ body: { query: 'DROP TABLE page_views' } }))
  check('code', refused.error.code, 'statement_refused')
  const unknown = await want('query', 404, api.query({ body: { view: 'nothing' } }))
  check('code', unknown.error.code, 'unknown_view')
  const both = await want('queryAll', 200, api.queryAll({ body: { queries: [
    { view: 'page_views', measures: ['views'], where: [{ dimension: 'country', op: 'eq', value: name }] }, { view: 'nothing' }] } }))
  check('views of several', both.data.answers[0].rows?.[0].views, events)
  check('code', both.data.answers[1].problem?.code, 'unknown_view')
}

async function inspect() {
  const { data } = await want('listPublications', 200, api.listPublications())
  const path = { n: data.publications[0].n }
  await want('getPublication', 200, api.getPublication({ path, query: { buckets: true } }))
  await want('pinPublication', 200, api.pinPublication({ path }))
  const changed = await want('changes', 200, api.changes({ query: { view: 'page_views',
    from_publication: data.publications[data.publications.length - 1].n, granularity: 'all', group_by: ['country'],
    where: [`country:eq:${name}`] } }))
  check('added', (changed.data as api.Comparison).summary.added, 1)
  const stored = await want('listEvents', 200, api.listEvents({ query: { type: 'page.viewed',
    where: [`country:eq:${name}`], limit: 10 } }))
  check('source', stored.data.events[0].event.source, name)
  const found = await want('explainEvent', 200, api.explainEvent({ path: { id: '1' }, query: { source: name } }))
  check('status', found.data.events[0].status, 'counted')
  const letters = await want('listDeadLetters', 200, api.listDeadLetters())
  const letter = letters.data.dead_letters[0].name
  await want('getDeadLetter', 200, api.getDeadLetter({ path: { name: letter } }))
  await want('replayDeadLetters', 200, api.replayDeadLetters({ query: { name: letter, dry_run: true } }))
  await want('listJobs', 200, api.listJobs())
  await want('runJob', 200, api.runJob({ path: { name: 'audit' } }))
  const audit = await want('getAudit', 200, api.getAudit())
  check('residue', audit.data.residue, 0)
  await want('runJob', 200, api.runJob({ path: { name: 'score' } }))
  await want('getScores', 200, api.getScores())
  const proof = await want('verify', 200, api.verify({ parseAs: 'text' }))
  check('findings', proof.data.includes('"findings":[]'), true)
}

async function main() {
  await want('health', 200, api.health())
  await want('ready', 200, api.ready())
  await want('openapi', 200, api.openapi())
  await want('metrics', 200, api.metrics({ parseAs: 'text' }))
  await declare()
  const receipt = await send()
  await ask(receipt)
  await publish(receipt)
  await askExactly()
  await inspect()
  await want('deleteView', 204, api.deleteView({ path: { name: `${name}_clicks` } }))
  await want('deleteEventType', 204, api.deleteEventType({ path: { name: `${name}.clicked` } }))
}

main().catch((err) => {
  console.error(err)
  process.exitCode = 1
})
