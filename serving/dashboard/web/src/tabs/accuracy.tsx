// Accuracy: how wrong live answers were, whether anything is missing, and what changed since a publication.
import { NotHere, useAct } from "../act";
import { call, type Failure, type Schemas } from "../api";
import { clock } from "../clock";
import { Card, Choice, Empty, Notice, Page, Refused, Table, Tile } from "../components";
import { formatCount } from "../format";
import { type Loaded, useLoad } from "../load";
import { useURLState } from "../route";
import { errorText, heldOf } from "../scores";
import "../operate.css";

const pollMillis = 5000;

export function Accuracy() {
  const scores = useLoad((signal) => call("get", "/v1/scores", { signal }), [], pollMillis);
  const audit = useLoad((signal) => call("get", "/v1/audit", { signal }), [], pollMillis);
  return (
    <Page title="Accuracy">
      <Summary scores={scores.value} audit={audit.value} />
      <Card title="How wrong live answers were" aside={<RunJob name="score" ended={scores.reload} />}>
        <Missing load={scores} job="score" />
        {scores.value && <Scores scores={scores.value} />}
      </Card>
      <Card title="Is any event missing?" aside={<RunJob name="audit" ended={audit.reload} />}>
        <Missing load={audit} job="audit" />
        {audit.value && <Audit audit={audit.value} />}
      </Card>
      <Card title="Does a second engine agree?" aside={<RunJob name="recheck" ended={audit.reload} />}>
        <Recheck recheck={audit.value?.recheck} />
      </Card>
      <Changes />
    </Page>
  );
}

function Summary(props: { scores: Schemas["Scores"] | undefined; audit: Schemas["Audit"] | undefined }) {
  const { scores, audit } = props;
  const { stated, held } = heldOf(scores);
  const differences = audit?.recheck?.differences.length;
  return (
    <dl class="tiles">
      <Tile
        name="Events missing or too many"
        value={audit ? formatCount(audit.residue) : "–"}
        note={audit ? `audit at ${clock(audit.at)}` : "run the audit"}
        {...(audit ? { tone: audit.alarm ? ("bad" as const) : ("good" as const) } : {})}
      />
      <Tile
        name="Bounds that held"
        value={stated ? `${formatCount(held)} of ${formatCount(stated)}` : "–"}
        note={boundsNote(scores, stated)}
        {...(stated ? { tone: held === stated ? ("good" as const) : ("bad" as const) } : {})}
      />
      <Tile
        name="Numbers that differ on recheck"
        value={differences === undefined ? "–" : formatCount(differences)}
        note={audit?.recheck ? `${formatCount(audit.recheck.rows)} rows computed twice` : "run the recheck"}
        {...(differences === undefined ? {} : { tone: differences ? ("bad" as const) : ("good" as const) })}
      />
    </dl>
  );
}

function boundsNote(scores: Schemas["Scores"] | undefined, stated: number): string {
  if (!scores) return "run the score";
  return stated ? `against publication ${formatCount(scores.publication)}` : "no live answer stated any";
}

/** Missing says what to do when there is no report yet, and shows any other failure. */
function Missing<T>({ load, job }: { load: Loaded<T>; job: string }) {
  if (!load.failure) return null;
  if (isAbsent(load.failure)) {
    return (
      <Empty title="There is no report yet">
        <p>The job {job} makes one: run it with the button above.</p>
      </Empty>
    );
  }
  return <NotHere failure={load.failure} retry={load.reload} />;
}

const isAbsent = (failure: Failure) => failure.code === "no_scores" || failure.code === "no_audit";

function RunJob({ name, ended }: { name: string; ended: () => void }) {
  const act = useAct(() => call("post", "/v1/jobs/{name}/runs", { path: { name } }), ended);
  return (
    <span class="row-actions">
      {act.failure && <Refused failure={act.failure} />}
      {act.done && <span class="quiet">{act.done.error ?? act.done.message}</span>}
      <button type="button" class="second" disabled={act.busy} onClick={act.run}>
        {act.busy ? "Running…" : `Run ${name}`}
      </button>
    </span>
  );
}

function Scores({ scores }: { scores: Schemas["Scores"] }) {
  const rows = scores.views.flatMap((v) => v.measures.map((m) => ({ ...m, view: v.view, groups: v.groups })));
  if (rows.length === 0) {
    return (
      <Empty title="Nothing to compare">
        <p>
          No live answer was replaced by the last publication. Send events, wait for the next one, run score.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <Table
        label="Scores"
        columns={[
          { name: "view", cell: (r) => r.view },
          { name: "measure", cell: (r) => r.measure },
          { name: "kind", cell: (r) => r.kind },
          { name: "groups", number: true, cell: (r) => formatCount(r.groups) },
          { name: "half were within", number: true, cell: (r) => errorText(r.error_p50) },
          { name: "99 % within", number: true, cell: (r) => errorText(r.error_p99) },
          { name: "worst", number: true, cell: (r) => errorText(r.error_max) },
          {
            name: "bounds held",
            number: true,
            cell: (r) =>
              r.bounds_stated === 0 ? (
                <span class="quiet">none stated</span>
              ) : (
                <span class={r.bounds_held === r.bounds_stated ? "good" : "bad"}>
                  {formatCount(r.bounds_held)} of {formatCount(r.bounds_stated)}
                </span>
              ),
          },
        ]}
        rows={rows}
      />
      <p class="quiet after">
        Live answers of the messages that publication {formatCount(scores.publication)} took over, compared
        with its exact numbers. A measure without bounds is meant to be exact.
      </p>
    </>
  );
}

function Audit({ audit }: { audit: Schemas["Audit"] }) {
  return (
    <>
      <Notice kind={audit.alarm ? "bad" : "info"}>
        {audit.alarm
          ? "Something is wrong. What to do is said below."
          : "Every accepted event is counted, a copy, rejected or counted by no view."}
      </Notice>
      {audit.residues.length > 0 && (
        <Table
          label="Residues"
          columns={[
            { name: "events", number: true, cell: (r) => formatCount(r.events) },
            { name: "stage", cell: (r) => r.tier },
            { name: "partition", cell: (r) => formatCount(r.partition) },
            { name: "publication", cell: (r) => formatCount(r.publication) },
            { name: "what to do", cell: (r) => r.do },
          ]}
          rows={audit.residues}
        />
      )}
      <Table
        label="Audit by publication"
        columns={[
          { name: "publication", cell: (p) => formatCount(p.publication) },
          { name: "landed", number: true, cell: (p) => formatCount(p.landed) },
          { name: "published", number: true, cell: (p) => formatCount(p.published) },
          { name: "counted", number: true, cell: (p) => formatCount(p.counted) },
          { name: "copies", number: true, cell: (p) => formatCount(p.duplicates) },
          { name: "conflicts", number: true, cell: (p) => formatCount(p.conflicts) },
          { name: "rejected", number: true, cell: (p) => formatCount(p.rejected) },
          { name: "by no view", number: true, cell: (p) => formatCount(p.uncounted) },
          { name: "residue", number: true, cell: (p) => formatCount(p.residue) },
        ]}
        rows={[...audit.publications].sort((a, b) => b.publication - a.publication)}
      />
    </>
  );
}

function Recheck({ recheck }: { recheck: Schemas["Recheck"] | undefined }) {
  if (!recheck) {
    return (
      <Empty title="Nothing was computed again yet">
        <p>
          The job recheck computes published buckets with ClickHouse, and the audit reports what it found.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <p>
        At {clock(recheck.at)} ClickHouse computed {formatCount(recheck.rows)} rows in{" "}
        {formatCount(recheck.checked)} buckets of publication {formatCount(recheck.publication)} again.{" "}
        {recheck.differences.length === 0 && <span class="good">All are equal.</span>}
      </p>
      {recheck.differences.length > 0 && (
        <Table
          label="Differences"
          columns={[
            { name: "view", cell: (d) => d.view },
            { name: "time", cell: (d) => d.time },
            { name: "dimensions", cell: (d) => d.dimensions },
            { name: "published", cell: (d) => d.published },
            { name: "computed", cell: (d) => d.computed },
            { name: "what to do", cell: (d) => d.do },
          ]}
          rows={recheck.differences}
        />
      )}
    </>
  );
}

function Changes() {
  const [state, setState] = useURLState();
  const load = useLoad(async (signal) => {
    const [{ views }, { publications }] = await Promise.all([
      call("get", "/v1/views", { signal }),
      call("get", "/v1/publications", { signal }),
    ]);
    return { views: views.map((v) => v.name), numbers: publications.map((p) => p.n).sort((a, b) => b - a) };
  }, []);
  const views = load.value?.views ?? [];
  const numbers = load.value?.numbers ?? [];
  const view = views.find((v) => v === state.get("view")) ?? views[0];
  const to = numbers.find((n) => String(n) === state.get("to")) ?? numbers[0];
  const earlier = numbers.filter((n) => to !== undefined && n < to);
  const from = earlier.find((n) => String(n) === state.get("from")) ?? earlier[0];
  return (
    <Card
      title="What changed between two publications?"
      aside={
        view && (
          <div class="controls">
            <Choice label="View" value={view} options={views} onChange={(v) => setState({ view: v })} />
            <Choice
              label="From"
              value={String(from ?? "")}
              options={earlier.map(String)}
              onChange={(n) => setState({ from: n })}
            />
            <Choice
              label="To"
              value={String(to ?? "")}
              options={numbers.map(String)}
              onChange={(n) => setState({ to: n })}
            />
          </div>
        )
      }
    >
      {load.failure && <NotHere failure={load.failure} retry={load.reload} />}
      {view && from !== undefined && to !== undefined ? (
        <Compared key={`${view} ${from} ${to}`} view={view} from={from} to={to} />
      ) : (
        load.value && (
          <Empty title="There are no two publications to compare">
            <p>
              The newest three are kept, and pinned ones. <a href="#pipeline">Pipeline</a> makes another with
              recompute.
            </p>
          </Empty>
        )
      )}
    </Card>
  );
}

const mostChanges = 50;

function Compared({ view, from, to }: { view: string; from: number; to: number }) {
  const load = useLoad(
    (signal) =>
      call("get", "/v1/changes", {
        query: { view, from_publication: from, to_publication: to, limit: mostChanges },
        signal,
      }),
    [view, from, to],
  );
  if (load.failure) return <Refused failure={load.failure} retry={load.reload} />;
  const c = load.value;
  if (!c) return <p class="quiet">Comparing…</p>;
  const { added, changed, removed, events, causes } = c.summary;
  const names = Object.keys(c.to_publication.totals);
  if (added + changed + removed === 0)
    return <Notice kind="info">No cell of {view} has another value.</Notice>;
  return (
    <>
      <p>
        {formatCount(added)} added, {formatCount(changed)} changed and {formatCount(removed)} removed cells
        counted {formatCount(events.old)} events, and count {formatCount(events.new)} now
        {causes.length > 0 && `: ${causes.map((cause) => cause.replaceAll("_", " ")).join(", ")}`}.
      </p>
      <Table
        label="Changes"
        columns={[
          { name: "time", cell: (r) => <span class="nowrap">{r.time ?? "all"}</span> },
          {
            name: "group",
            cell: (r) =>
              Object.values(r.key)
                .map((v) => String(v ?? "none"))
                .join(" · "),
          },
          { name: "change", cell: (r) => r.change },
          ...names.map((name) => ({
            name,
            number: true,
            cell: (r: Schemas["ChangedCell"]) => (
              <span class="nowrap">
                {formatCount(r.old?.[name])} → {formatCount(r.new?.[name])}
              </span>
            ),
          })),
          { name: "because of", cell: (r) => r.causes.map((cause) => cause.replaceAll("_", " ")).join(", ") },
        ]}
        rows={c.changes}
      />
      {c.truncated && (
        <p class="quiet after">
          The first {mostChanges} are listed.{" "}
          <code>
            recount changes {view} --from-publication {from}
          </code>{" "}
          has all.
        </p>
      )}
    </>
  );
}
