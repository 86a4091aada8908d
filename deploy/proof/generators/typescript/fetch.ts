// Uses the types that openapi-typescript generates from the OpenAPI document, with openapi-fetch:
//   node build/fetch.js URL KEY
import createClient from 'openapi-fetch'
import type { components, paths } from './generated/paths'

type Event = components['schemas']['CloudEvent']

const name = 'openapi-fetch'
const short = 'fetch'
const events = 100
const [url, key] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } })

// want returns the data of an answer, or the error of a refusal. It throws unless the status is the wanted one.
async function want<D, E>(operation: string, status: number, call: Promise<{ data?: D; error?: E; response: Response }>) {
  const { data, error, response } = await call
  if (response.status !== status) throw new Error(`${operation}: status ${response.status}, ${JSON.stringify(error)}`)
  console.log(operation, status)
  return { data: data as D, error: error as E }
}

// check throws unless got is wanted.
function check(what: string, got: unknown, wanted: unknown) {
  if (got !== wanted) throw new Error(`${what}: got ${got}, want ${wanted}`)
}

function event(id: number, data: Record<string, unknown>): Event {
  return { id: `${id}`, source: name, type: 'page.viewed', time: '2024-05-01T10:00:00Z', data, traceid: 'abc' }
}

async function declare() {
  const path = { name: `${short}.clicked` }
  await want('putEventType', 201, client.PUT('/v1/event-types/{name}', { params: { path },
    body: { fields: { page: 'string', delay: { type: 'int64', path: ['delay', 'ms'] } } } }))
  const view = { name: `${short}_clicks` }
  await want('putView', 201, client.PUT('/v1/views/{name}', { params: { path: view }, body: {
    event: path.name, dimensions: ['page'], where: [{ field: 'delay', op: 'ge', value: 0 }],
    measures: { clicks: { count: {} }, slowest: { max: 'delay' } } } }))
  const { data } = await want('getView', 200, client.GET('/v1/views/{name}', { params: { path: view } }))
  check('measures', data.measures.length, 2)
  await want('listViews', 200, client.GET('/v1/views'))
  await want('getEventType', 200, client.GET('/v1/event-types/{name}', { params: { path } }))
  await want('listEventTypes', 200, client.GET('/v1/event-types'))
  const catalog = await want('getCatalog', 200, client.GET('/v1/catalog'))
  await want('putCatalog', 200, client.PUT('/v1/catalog', { params: { query: { dry_run: true } },
    body: catalog.data.declarations }))
}

// send sends an array, lines and a refused event, and returns the receipt of the array.
async function send() {
  const wrong = event(events, { page: 7 })
  const refused = await want('sendEvents', 400, client.POST('/v1/events', { body: [wrong] }))
  check('code', (refused.error as components['schemas']['IngestProblem']).code, 'all_rejected')
  const batch = [wrong]
  for (let id = 0; id < events; id++) batch.push(event(id, { page: '/', country: name, milliseconds: id }))
  const { data } = await want('sendEvents', 200, client.POST('/v1/events', { body: batch }))
  check('accepted', data.accepted, events)
  check('rejected', data.rejected[0].code, 'invalid_field')
  const lines = batch.map((e) => JSON.stringify(e)).join('\n')
  const again = await want('sendEvents', 200, client.POST('/v1/events', { body: lines,
    headers: { 'Content-Type': 'application/x-ndjson' }, bodySerializer: (body) => body as string }))
  check('accepted lines', again.data.accepted, events)
  return data.receipt
}

// publish runs the job recompute until the events have landed and are published.
async function publish(receipt: string) {
  for (let tries = 0; ; tries++) {
    await want('runJob', 200, client.POST('/v1/jobs/{name}/runs', { params: { path: { name: 'recompute' } } }))
    const { data } = await want('getReceipt', 200, client.GET('/v1/receipts/{receipt}', { params: { path: { receipt } } }))
    if (data.places.every((p) => p.state === 'published')) return
    check('published', tries < 100, true)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function viewsOf(mode: 'merged' | 'exact', receipt?: string) {
  return client.POST('/v1/query', { body: { view: 'page_views', measures: ['views'], group_by: ['country'], mode, min_through: receipt,
    where: [{ not: { or: [{ dimension: 'country', op: 'ne', value: name }] } }] } })
}

// answerOf returns an answer in JSON. The type of data also has the text of CSV and Arrow.
async function answerOf(call: Promise<{ data: unknown }>) {
  return (await call).data as components['schemas']['Answer']
}

// ask waits for the events of receipt: an answer to their sending may come before they are counted.
async function ask(receipt: string) {
  const { rows } = await answerOf(want('query', 200, viewsOf('merged', receipt)))
  check('views', rows[0].views, events)
  check('live', rows[0].live?.views, events)
}

async function askExactly() {
  const exact = await answerOf(want('query', 200, viewsOf('exact')))
  check('exact views', exact.rows[0].views, events)
  check('exact', exact.accuracy.exact, true)
  const got = await answerOf(want('queryByParameters', 200, client.GET('/v1/query', { params: { query: {
    view: 'page_views', measures: ['views', 'slowest'], group_by: ['country'],
    where: [`not (country != '${name}')`] } } })))
  check('slowest', got.rows[0].slowest, events - 1)
  const sql = await want('runSQL', 200, client.POST('/v1/sql', { body: {
    query: 'SELECT sum(views) AS views FROM page_views WHERE country = {c:String}', parameters: { c: name } } }))
  check('SQL', (sql.data as { data: { views: number }[] }).data[0].views, events)
  const refused = await want('runSQL', 400, client.POST('/v1/sql', { body: { query: 'DROP TABLE page_views' } }))
  check('code', (refused.error as components['schemas']['Problem']).code, 'statement_refused')
  const unknown = await want('query', 404, client.POST('/v1/query', { body: { view: 'nothing' } }))
  check('code', (unknown.error as components['schemas']['Problem']).code, 'unknown_view')
  const both = await want('queryAll', 200, client.POST('/v1/queries', { body: { queries: [
    { view: 'page_views', measures: ['views'], where: [{ dimension: 'country', op: 'eq', value: name }] }, { view: 'nothing' }] } }))
  check('views of several', both.data.answers[0].rows?.[0].views, events)
  check('code', both.data.answers[1].problem?.code, 'unknown_view')
}

async function inspect() {
  const { data } = await want('listPublications', 200, client.GET('/v1/publications'))
  const path = { n: data.publications[0].n }
  await want('getPublication', 200, client.GET('/v1/publications/{n}', { params: { path, query: { buckets: true } } }))
  await want('pinPublication', 200, client.PUT('/v1/publications/{n}/pin', { params: { path } }))
  const changed = await want('changes', 200, client.GET('/v1/changes', { params: { query: { view: 'page_views',
    from_publication: data.publications[data.publications.length - 1].n, granularity: 'all', group_by: ['country'],
    where: [`country:eq:${name}`] } } }))
  check('added', (changed.data as components['schemas']['Comparison']).summary.added, 1)
  const stored = await want('listEvents', 200, client.GET('/v1/events', { params: { query: { type: 'page.viewed',
    where: [`country:eq:${name}`], limit: 10 } } }))
  check('source', stored.data.events[0].event.source, name)
  const found = await want('explainEvent', 200, client.GET('/v1/events/{id}', { params: { path: { id: '1' },
    query: { source: name } } }))
  check('status', found.data.events[0].status, 'counted')
  const letters = await want('listDeadLetters', 200, client.GET('/v1/dead-letters'))
  const letter = letters.data.dead_letters[0].name
  await want('getDeadLetter', 200, client.GET('/v1/dead-letters/{name}', { params: { path: { name: letter } } }))
  await want('replayDeadLetters', 200, client.POST('/v1/dead-letters/replays', { params: { query: { name: letter,
    dry_run: true } } }))
  await want('listJobs', 200, client.GET('/v1/jobs'))
  await want('runJob', 200, client.POST('/v1/jobs/{name}/runs', { params: { path: { name: 'audit' } } }))
  const audit = await want('getAudit', 200, client.GET('/v1/audit'))
  check('residue', audit.data.residue, 0)
  await want('runJob', 200, client.POST('/v1/jobs/{name}/runs', { params: { path: { name: 'score' } } }))
  await want('getScores', 200, client.GET('/v1/scores'))
  const proof = await want('verify', 200, client.POST('/v1/verify', { parseAs: 'text' }))
  check('findings', proof.data.includes('"findings":[]'), true)
}

async function main() {
  await want('health', 200, client.GET('/healthz'))
  await want('ready', 200, client.GET('/readyz'))
  await want('openapi', 200, client.GET('/openapi.json'))
  await want('metrics', 200, client.GET('/metrics', { parseAs: 'text' }))
  await declare()
  const receipt = await send()
  await ask(receipt)
  await publish(receipt)
  await askExactly()
  await inspect()
  await want('deleteView', 204, client.DELETE('/v1/views/{name}', { params: { path: { name: `${short}_clicks` } } }))
  await want('deleteEventType', 204, client.DELETE('/v1/event-types/{name}', { params: { path: {
    name: `${short}.clicked` } } }))
}

main().catch((err) => {
  console.error(err)
  process.exitCode = 1
})
