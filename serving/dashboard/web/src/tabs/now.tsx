// Now: what the server counts at this moment, and how live numbers become exact.
import { useEffect, useRef, useState } from "preact/hooks";
import { explainAccuracy } from "../accuracy";
import { call, Failure, type Schemas } from "../api";
import { Chart } from "../chart";
import { Card, Choice, Empty, Page, Refused, Table, Tile } from "../components";
import { firstMeasure, kindOf, measureNames } from "../explore";
import { formatAge, formatCount, formatNumber, formatTime } from "../format";
import { useLoad } from "../load";
import { loadStages, type Stages } from "../metrics";
import { NoViews } from "../noviews";
import { useURLState } from "../route";
import { isAdditive, linesOf } from "../rows";
import { widthOf } from "../times";
import { isUnpublished, Key } from "./explore";

type View = Schemas["View"];
type Answer = Schemas["Answer"];

export function Now() {
  const views = useLoad((signal) => call("get", "/v1/views", { signal }), []);
  const [state, setState] = useURLState();
  const all = views.value?.views ?? [];
  const view = all.find((v) => v.name === state.get("view")) ?? all[0];
  const measures = view ? measureNames(view) : [];
  const measure = measures.find((m) => m === state.get("m")) ?? (view && firstMeasure(view)[0]);
  const aside = view && measure && (
    <div class="controls">
      <Choice
        label="View"
        value={view.name}
        options={all.map((v) => v.name)}
        onChange={(v) => setState({ view: v, m: "" })}
      />
      <Choice label="Measure" value={measure} options={measures} onChange={(m) => setState({ m })} />
    </div>
  );
  return (
    <Page title="Now" aside={aside}>
      {views.failure && <Refused failure={views.failure} retry={views.reload} />}
      {views.value && !view && <NoViews />}
      {view && measure && <Watched key={`${view.name} ${measure}`} view={view} measure={measure} />}
    </Page>
  );
}

/** shownWindows is how many cells of the view the chart has. */
const shownWindows = 60;
const pollMillis = 1000;
/** Metrics are larger than answers, so they are read once in so many rounds. */
const metricsEvery = 3;
/** The rate is that of the last samples, which are a second apart. */
const rateSamples = 10;

/** Landing is a publication that came while the page was open. */
interface Landing {
  publication: number;
  asOf: string;
  liveBefore: number;
  liveAfter: number;
}

interface Moment {
  total: Answer;
  windows: Answer;
  /** end is the end of the chart: now, or the newest event if that is long ago. */
  end: number;
  /** liveOnly says that no publication has the view. */
  liveOnly: boolean;
}

/** Sample is how many events were counted at a time, in ms. */
interface Sample {
  at: number;
  count: number;
}

function Watched({ view, measure }: { view: View; measure: string }) {
  const moment = useMoments(view, measure);
  const stages = useLoad(loadStages, [], pollMillis * metricsEvery);
  const counter = view.measures.find((m) => m.kind === "count")?.name;
  const counted = counter && moment.value ? Number(moment.value.total.rows[0]?.[counter] ?? 0) : undefined;
  const perSecond = useRate(stages.value?.accepted ?? counted, stages.value ? "accepted" : "counted");
  const landings = useLandings(moment.value?.total.accuracy);
  const accuracy = moment.value?.total.accuracy;
  const isPublished = accuracy?.publication && !moment.value?.liveOnly;
  return (
    <>
      {moment.failure && <Refused failure={moment.failure} />}
      <dl class="tiles">
        <Tile
          name={stages.value ? "Accepted per second" : "Counted per second"}
          value={perSecond === undefined ? "–" : formatNumber(Math.round(perSecond * 10) / 10)}
          note={stages.value ? "all event types" : `events of ${view.name}`}
        />
        <Tile
          name="Publication age"
          value={isPublished && accuracy.as_of ? formatAge(accuracy.as_of) : "–"}
          note={accuracy && (isPublished ? `publication ${formatCount(accuracy.publication)}` : "none yet")}
        />
        <Tile
          name="Live events"
          value={accuracy ? formatCount(accuracy.pending_events) : "–"}
          note="came after the publication"
          {...(accuracy?.pending_events ? { tone: "live" as const } : {})}
        />
        <Tile
          name={measure}
          value={formatNumber(moment.value?.total.rows[0]?.[measure])}
          note={totalNote(moment.value)}
        />
      </dl>
      {moment.value && <LiveChart view={view} measure={measure} moment={moment.value} />}
      <div class="columns">
        <Card title="Lag of each stage">
          <StageTable stages={stages.value} accuracy={accuracy} />
        </Card>
        <Card title="Publications while this page is open">
          <Landings landings={landings} />
        </Card>
      </div>
    </>
  );
}

function totalNote(moment: Moment | undefined): string {
  if (!moment) return "";
  if (moment.liveOnly) return "not published yet: live numbers alone";
  return moment.total.accuracy.exact ? "of all time, exact" : "of all time, with the live part";
}

/** useMoments asks once a second for the windows and for the total, which are of one moment. */
function useMoments(view: View, measure: string) {
  const end = useRef(0);
  const load = async (signal: AbortSignal): Promise<Moment> => {
    const first = await askMoment(view, measure, end.current || Date.now(), signal);
    const wanted = endOf(view, first.total);
    const fits = Math.abs(wanted - first.end) < widthOf(view.cell) * 1000;
    end.current = wanted;
    return fits ? first : askMoment(view, measure, wanted, signal);
  };
  return useLoad(load, [view.name, measure], pollMillis);
}

/** endOf returns the time until which the chart shows events. */
function endOf(view: View, total: Answer): number {
  const newest = total.accuracy.range ? Date.parse(total.accuracy.range.to) : 0;
  const shown = widthOf(view.cell) * 1000 * shownWindows;
  return newest > 0 && newest < Date.now() - shown ? newest : Date.now();
}

/** askMoment asks a view that no publication has for its live numbers. */
async function askMoment(view: View, measure: string, end: number, signal: AbortSignal): Promise<Moment> {
  try {
    return await askInMode(view, measure, end, "merged", signal);
  } catch (error) {
    if (!isUnpublished(error)) throw error;
    return askInMode(view, measure, end, "live", signal);
  }
}

async function askInMode(
  view: View,
  measure: string,
  end: number,
  mode: "merged" | "live",
  signal: AbortSignal,
): Promise<Moment> {
  const width = widthOf(view.cell) * 1000;
  const to = Math.ceil(end / width) * width;
  const measures = [
    ...new Set([measure, ...view.measures.filter((m) => m.kind === "count").map((m) => m.name)]),
  ];
  const range = {
    from: new Date(to - width * shownWindows).toISOString(),
    to: new Date(to).toISOString(),
  };
  const one = { view: view.name, mode };
  const body = {
    queries: [
      { ...one, measures },
      { ...one, measures: [measure], ...range, granularity: view.cell, fill: true, limit: 10_000 },
    ],
  };
  const { answers } = await call("post", "/v1/queries", { body, signal });
  const [total, windows] = answers.map(succeeded);
  if (!total || !windows) throw new Failure(0, "", "The server answered one of two questions.");
  return { total, windows, end, liveOnly: mode === "live" };
}

function succeeded(answer: Schemas["AnswerOrProblem"]): Answer {
  const p = answer.problem;
  if (p) throw new Failure(p.status, p.code, p.detail ?? p.title, p.field);
  return answer as Answer;
}

/** useRate returns how fast a count has grown over the last samples. Another kind of count begins anew. */
function useRate(count: number | undefined, kind: string): number | undefined {
  const samples = useRef<{ kind: string; list: Sample[] }>({ kind, list: [] });
  if (samples.current.kind !== kind) samples.current = { kind, list: [] };
  const { list } = samples.current;
  const last = list.at(-1);
  if (count !== undefined && (!last || Date.now() - last.at >= pollMillis * 0.9)) {
    list.push({ at: Date.now(), count });
    if (list.length > rateSamples) list.shift();
  }
  const first = list[0];
  const newest = list.at(-1);
  if (!first || !newest || newest.at - first.at < pollMillis) return undefined;
  return Math.max(0, ((newest.count - first.count) * 1000) / (newest.at - first.at));
}

/** mostLandings is how many publications the page lists. */
const mostLandings = 6;

function useLandings(accuracy: Schemas["Accuracy"] | undefined): Landing[] {
  const before = useRef<Schemas["Accuracy"] | undefined>(undefined);
  const [landings, setLandings] = useState<Landing[]>([]);
  useEffect(() => {
    const old = before.current;
    if (accuracy && old && accuracy.publication > old.publication) {
      const landing = {
        publication: accuracy.publication,
        asOf: accuracy.as_of ?? "",
        liveBefore: old.pending_events,
        liveAfter: accuracy.pending_events,
      };
      setLandings((list) => [landing, ...list].slice(0, mostLandings));
    }
    before.current = accuracy;
  }, [accuracy]);
  return landings;
}

function LiveChart({ view, measure, moment }: { view: View; measure: string; moment: Moment }) {
  const { times, lines } = linesOf(moment.windows.rows, [], measure);
  const line = lines[0];
  const width = widthOf(view.cell);
  const isOld = Date.now() - moment.end > width * 1000 * shownWindows;
  return (
    <Card title={`${measure} by ${view.cell}`} aside={<Key />}>
      {line ? (
        <Chart
          label={`${measure} of ${view.name}, the last ${shownWindows} windows of ${view.cell}`}
          kind="bar"
          times={times}
          width={width}
          zone={Intl.DateTimeFormat().resolvedOptions().timeZone}
          series={[
            {
              name: measure,
              colour: "--series-1",
              values: line.values,
              live: line.live,
              bounds: line.bounds,
              additive: isAdditive(kindOf(view, measure)),
            },
          ]}
        />
      ) : (
        <Empty title="No event yet">
          <p>
            Send events of the type {view.event}: they are shown within a second.{" "}
            <a href="#explore">Explore</a> has older ones.
          </p>
        </Empty>
      )}
      <ul class="sentences" aria-label="How exact this is">
        {isOld && line && (
          <li class="sentence-warn">
            The newest event is of {formatTime(moment.end / 1000 - width, "UTC", width)} UTC, and the chart
            ends there.
          </li>
        )}
        {explainAccuracy(moment.windows.accuracy, Date.now(), moment.liveOnly).map((s) => (
          <li key={s.kind + s.text.slice(0, 12)} class={`sentence-${s.kind}`}>
            {s.text}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function StageTable(props: { stages: Stages | undefined; accuracy: Schemas["Accuracy"] | undefined }) {
  const { stages, accuracy } = props;
  if (!accuracy) return null;
  const messages = (n: number) =>
    n === 0 ? "none" : `${formatCount(n)} ${n === 1 ? "message" : "messages"}`;
  const unpublished = accuracy.through.reduce((sum, n, i) => sum + n - (accuracy.cut[i] ?? 0), 0);
  const rows = stages
    ? [
        { stage: "log → live", lag: messages(stages.toLive) },
        { stage: "log → lake", lag: messages(stages.toLake) },
        { stage: "lake → published", lag: messages(stages.toPublish) },
      ]
    : [{ stage: "live → published", lag: messages(unpublished) }];
  const stale = accuracy.stale_partitions;
  return (
    <>
      <Table
        label="Stages"
        columns={[
          { name: "stage", cell: (r) => r.stage },
          { name: "lags by", number: true, cell: (r) => r.lag },
        ]}
        rows={rows}
      />
      <p class="quiet">
        {stale.length > 0 ? `The live part of partition ${stale.join(", ")} is late. ` : ""}
        {stages
          ? "A message has one or many events."
          : "More stages need a key with the scope admin or metrics."}
      </p>
    </>
  );
}

function Landings({ landings }: { landings: Landing[] }) {
  return (
    <div aria-live="polite">
      {landings.length === 0 ? (
        <p class="quiet">
          None yet. When the job recompute publishes, the hatched part of the chart becomes solid, and a line
          appears here.
        </p>
      ) : (
        <Table
          label="Publications"
          columns={[
            { name: "publication", cell: (l) => formatCount(l.publication) },
            { name: "made at", cell: (l) => new Date(l.asOf).toLocaleTimeString("en-GB") },
            {
              name: "live events",
              number: true,
              cell: (l) => `${formatCount(l.liveBefore)} → ${formatCount(l.liveAfter)}`,
            },
          ]}
          rows={landings}
        />
      )}
    </div>
  );
}
