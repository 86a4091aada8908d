// Pipeline: how far each stage is, the jobs, and the publications.
import { AskFirst, NotHere, useAct } from "../act";
import { call, type Schemas, send } from "../api";
import { clock } from "../clock";
import { Card, type Column, Empty, Page, Table, Tile } from "../components";
import { formatAge, formatCount, formatSeconds } from "../format";
import { useLoad } from "../load";
import { formatBytes, type Partition, partitionsNote, reached, readPartitions } from "../partitions";
import "../operate.css";

const pollMillis = 3000;

export function Pipeline() {
  const partitions = useLoad(
    async (signal) => readPartitions(await (await send("/metrics", { signal })).text()),
    [],
    pollMillis,
  );
  const publications = useLoad((signal) => call("get", "/v1/publications", { signal }), [], pollMillis);
  return (
    <Page title="Pipeline">
      <Summary
        partitions={partitions.failure ? undefined : partitions.value}
        publications={publications.failure ? undefined : publications.value?.publications}
      />
      <Card title="Partitions of the log" aside={<StageKey />}>
        {partitions.failure && <NotHere failure={partitions.failure} retry={partitions.reload} />}
        {partitions.value && <Partitions partitions={partitions.value} />}
      </Card>
      <Jobs published={publications.reload} />
      <Card
        title="Publications that are kept"
        aside={<span class="quiet">A pin keeps one, and its numbers, for ever.</span>}
      >
        {publications.failure && <NotHere failure={publications.failure} retry={publications.reload} />}
        {publications.value && (
          <Publications list={publications.value.publications} reload={publications.reload} />
        )}
      </Card>
    </Page>
  );
}

/** Summary has nothing about what could not be read. */
function Summary(props: {
  partitions: Partition[] | undefined;
  publications: Schemas["Publication"][] | undefined;
}) {
  const { publications } = props;
  const partitions = props.partitions ?? [];
  const newest = publications?.reduce<Schemas["Publication"] | undefined>(
    (a, b) => (a && a.n > b.n ? a : b),
    undefined,
  );
  const sum = (of: (p: Partition) => number | undefined) => partitions.reduce((n, p) => n + (of(p) ?? 0), 0);
  const isTroubled = partitions.some((p) => p.troubles.length > 0);
  const waiting = sum((p) =>
    p.head !== undefined && p.published !== undefined ? Math.max(0, p.head - p.published) : 0,
  );
  return (
    <dl class="tiles">
      <Tile
        name="Partitions"
        value={partitions.length ? formatCount(partitions.length) : "–"}
        note={partitionsNote(props.partitions)}
        {...(isTroubled ? { tone: "bad" as const } : {})}
      />
      <Tile
        name="Messages to publish"
        value={partitions.length ? formatCount(waiting) : "–"}
        note="in the log after the publication"
      />
      <Tile
        name="Memory of real-time views"
        value={partitions.length ? formatBytes(sum((p) => p.memory)) : "–"}
        note={partitions.length > 0 && `${formatCount(sum((p) => p.segments))} segments`}
      />
      <Tile
        name="Log on disk"
        value={partitions.length ? formatBytes(sum((p) => p.stored)) : "–"}
        note="all partitions"
      />
      <Tile
        name="Newest publication"
        value={newest ? formatCount(newest.n) : "–"}
        note={publications && (newest ? `${formatAge(newest.created)} ago` : "none yet: run recompute")}
      />
      <Tile
        name="Pins"
        value={publications ? formatCount(publications.filter((p) => p.pinned).length) : "–"}
        note="kept for ever"
      />
    </dl>
  );
}

function StageKey() {
  return (
    <span class="key">
      <i class="key-exact" /> published <i class="key-landed" /> landed <i class="key-through" /> live
    </span>
  );
}

const partitionColumns: Column<Partition>[] = [
  { name: "partition", cell: (p) => formatCount(p.partition) },
  { name: "how far", cell: (p) => <Progress partition={p} /> },
  { name: "log head", number: true, cell: (p) => formatCount(p.head) },
  { name: "through", number: true, cell: (p) => formatCount(p.through) },
  { name: "landed", number: true, cell: (p) => formatCount(p.landed) },
  { name: "published", number: true, cell: (p) => formatCount(p.published) },
  { name: "segments", number: true, cell: (p) => formatCount(p.segments) },
  {
    name: "memory",
    number: true,
    cell: (p) => <span class="nowrap">{p.memory === undefined ? "–" : formatBytes(p.memory)}</span>,
  },
  {
    name: "log on disk",
    number: true,
    cell: (p) => <span class="nowrap">{p.stored === undefined ? "–" : formatBytes(p.stored)}</span>,
  },
  {
    name: "state",
    cell: (p) =>
      p.troubles.length ? (
        <span class="bad">{p.troubles.join("; ")}</span>
      ) : (
        <span class="good nowrap">✓ well</span>
      ),
  },
];

function Partitions({ partitions }: { partitions: Partition[] }) {
  if (partitions.length === 0) {
    return (
      <Empty title="No partition here">
        <p>
          This process has none of the roles ingest, speed, landing and batch. Open the page of one that has.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <Table label="Partitions" columns={partitionColumns} rows={partitions} />
      <p class="quiet after">
        Each number is the next message of that stage: <em>through</em> is how far live answers reach, and
        <em> published</em> is the cut below which answers are exact. A message has one or many events.
      </p>
    </>
  );
}

/** Progress draws which part of the log each stage has. The numbers beside it say the same. */
function Progress({ partition: p }: { partition: Partition }) {
  const percent = (next: number | undefined) => `${(reached(p, next) * 100).toFixed(1)}%`;
  return (
    <svg class="progress" aria-hidden="true" width="140" height="10">
      <rect class="progress-log" width="100%" height="10" rx="3" />
      <rect class="progress-through" width={percent(p.through)} height="10" rx="3" />
      <rect class="progress-landed" width={percent(p.landed)} height="10" rx="3" />
      <rect class="progress-published" width={percent(p.published)} height="10" rx="3" />
    </svg>
  );
}

type Job = Schemas["Job"];
type Run = Schemas["Run"];

/** about says in words what the jobs of the server do. */
const about: Record<string, string> = {
  recompute: "makes a publication from what has landed",
  collect: "removes publications that nobody may read any more",
  expire: "removes what is older than retention and dead letters older than theirs",
  audit: "counts every accepted event through all stages",
  recheck: "computes published numbers again with ClickHouse",
  score: "compares live answers with the publication that followed",
};

function Jobs({ published }: { published: () => void }) {
  const jobs = useLoad((signal) => call("get", "/v1/jobs", { signal }), [], pollMillis);
  const ended = () => {
    jobs.reload();
    published();
  };
  return (
    <Card title="Jobs">
      {jobs.failure && <NotHere failure={jobs.failure} retry={jobs.reload} />}
      <div class="jobs">
        {jobs.value?.jobs.map((job) => (
          <JobRow key={job.name} job={job} ended={ended} />
        ))}
      </div>
    </Card>
  );
}

function JobRow({ job, ended }: { job: Job; ended: () => void }) {
  const act = useAct(() => call("post", "/v1/jobs/{name}/runs", { path: { name: job.name } }), ended);
  const last = job.runs[0];
  const running = act.busy || job.running;
  return (
    <section class="job" aria-label={`Job ${job.name}`}>
      <div class="job-name">
        <h3>{job.name}</h3>
        <p class="quiet">{about[job.name]}</p>
      </div>
      <div class="job-when">
        <span>{job.schedule ? <code>{job.schedule}</code> : "runs by hand"}</span>
        {job.next && <span class="quiet">next {clock(job.next)}</span>}
      </div>
      <div class="job-last" aria-live="polite">
        {running ? (
          <span class="live">running…</span>
        ) : last ? (
          <RunText run={last} />
        ) : (
          <span class="quiet">no run yet</span>
        )}
        {act.failure && <NotHere failure={act.failure} />}
        {job.runs.length > 1 && <History name={job.name} runs={job.runs} />}
      </div>
      <button
        type="button"
        class="second"
        aria-label={`Run ${job.name}`}
        disabled={running}
        onClick={act.run}
      >
        Run
      </button>
    </section>
  );
}

function RunText({ run }: { run: Run }) {
  return (
    <span>
      {run.error ? <span class="bad">failed: {run.error}</span> : (run.message ?? "done")}{" "}
      <span class="quiet nowrap">
        {run.end ? `${formatAge(run.end)} ago` : "running"}
        {run.publication ? ` · publication ${formatCount(run.publication)}` : ""}
      </span>
    </span>
  );
}

/** mostRuns is how many runs of a job are listed. The server keeps a bounded number of them. */
const mostRuns = 20;

function History({ name, runs }: { name: string; runs: Run[] }) {
  return (
    <details>
      <summary>{runs.length} runs</summary>
      <Table
        label={`Runs of ${name}`}
        columns={[
          { name: "started", cell: (r) => <span class="nowrap">{clock(r.start)}</span> },
          { name: "by", cell: (r) => r.trigger },
          { name: "took", number: true, cell: (r) => <span class="nowrap">{took(r)}</span> },
          {
            name: "result",
            cell: (r) =>
              r.error ? <span class="bad">{r.error}</span> : (r.message ?? (r.end ? "done" : "running")),
          },
        ]}
        rows={runs.slice(0, mostRuns)}
      />
    </details>
  );
}

function took(run: Run): string {
  if (!run.end) return "–";
  const millis = Date.parse(run.end) - Date.parse(run.start);
  return millis < 10_000 ? `${formatCount(millis)} ms` : formatSeconds(millis / 1000);
}

function Publications(props: { list: Schemas["Publication"][]; reload: () => void }) {
  if (props.list.length === 0) {
    return (
      <Empty title="No publication yet">
        <p>The job recompute makes one. Run it above; until then every number is live.</p>
      </Empty>
    );
  }
  const rows = (p: Schemas["Publication"]) => Object.values(p.views).reduce((n, v) => n + v.rows, 0);
  return (
    <Table
      label="Publications"
      columns={[
        { name: "publication", cell: (p) => formatCount(p.n) },
        { name: "made at", cell: (p) => <span class="nowrap">{clock(p.created)}</span> },
        { name: "events", number: true, cell: (p) => formatCount(p.events) },
        { name: "views", number: true, cell: (p) => formatCount(Object.keys(p.views).length) },
        { name: "rows", number: true, cell: (p) => formatCount(rows(p)) },
        { name: "cut", cell: (p) => <code class="nowrap">{p.cut.join(" · ")}</code> },
        { name: "digest", cell: (p) => <code title={p.digest}>{p.digest.slice(0, 12)}</code> },
        { name: "pin", cell: (p) => <Pin publication={p} reload={props.reload} /> },
      ]}
      rows={[...props.list].sort((a, b) => b.n - a.n)}
    />
  );
}

function Pin({ publication: p, reload }: { publication: Schemas["Publication"]; reload: () => void }) {
  const act = useAct(() => call("put", "/v1/publications/{n}/pin", { path: { n: String(p.n) } }), reload);
  if (p.pinned) return <span class="good nowrap">✓ pinned</span>;
  return (
    <>
      <AskFirst
        name="Pin"
        label={`Pin publication ${p.n}`}
        title={`Pin publication ${p.n}?`}
        act={act.run}
        disabled={act.busy}
      >
        Its rows and files are kept for ever, and a request with <code>as_of={p.n}</code> gives the same
        numbers years later. A pin cannot be taken back.
      </AskFirst>
      {act.failure && <NotHere failure={act.failure} />}
    </>
  );
}
