// Explore: ask a view anything that the API answers. The whole state is in the URL.
import { useEffect, useState } from "preact/hooks";
import { explainAccuracy } from "../accuracy";
import { address, call, Failure, parseJSON, type Schemas, savedKey, send } from "../api";
import { Chart, type Series } from "../chart";
import { Card, Choice, CodeBlock, Empty, Field, Notice, Page, Refused, Table, Tile } from "../components";
import {
  chartOf,
  curlOf,
  type Explore as ExploreState,
  type Filter,
  formatFilter,
  groupsNote,
  isWhole,
  kindOf,
  measureNames,
  onlyGroups,
  onlyValue,
  operatorsOf,
  type Parameters,
  parametersOf,
  readExplore,
  takesValue,
} from "../explore";
import { formatCount, formatTime } from "../format";
import { useLoad } from "../load";
import { NoViews } from "../noviews";
import { type Change, useURLState } from "../route";
import { groupKey, groupName, isAdditive, type Line, linesOf, type Row } from "../rows";
import { needsStates, sqlOf } from "../sql";
import { chooseGranularity, granularitiesOf, presets, widthOf } from "../times";
import { Measured, Sparkline } from "../values";

type Answer = Schemas["Answer"];

export function Explore() {
  const views = useLoad((signal) => call("get", "/v1/views", { signal }), []);
  const [state, setState] = useURLState();
  const explore = readExplore(state, views.value?.views ?? []);
  return (
    <Page title="Explore">
      {views.failure && <Refused failure={views.failure} retry={views.reload} />}
      {views.value && !explore && <NoViews />}
      {views.value && explore && (
        <>
          <Card>
            <Controls explore={explore} views={views.value.views} change={setState} />
          </Card>
          <Answered explore={explore} change={setState} />
        </>
      )}
    </Page>
  );
}

function Controls(props: { explore: ExploreState; views: Schemas["View"][]; change: Change }) {
  const { explore, views, change } = props;
  const otherView = (view: string) => change({ view, m: [], by: [], where: [], g: "" });
  return (
    <div class="stack">
      <div class="controls">
        <Choice
          label="View"
          value={explore.view.name}
          options={views.map((v) => v.name)}
          onChange={otherView}
        />
        <Choice
          label="Range"
          value={explore.range}
          options={[...presets.map((p) => [p.value, p.name] as const), ["custom", "Custom"] as const]}
          onChange={(range) => change({ range, g: "" })}
        />
        {explore.range === "custom" && <CustomRange explore={explore} change={change} />}
        <Choice
          label="By"
          value={explore.granularity}
          options={[["", "Automatic"], ...granularitiesOf(explore.view.cell)]}
          onChange={(g) => change({ g })}
        />
        <Choice
          label="Zone"
          value={explore.zone}
          options={zones.includes(explore.zone) ? zones : [explore.zone, ...zones]}
          onChange={(zone) => change({ zone: zone === "UTC" ? "" : zone })}
        />
        <Choice
          label="Show"
          value={explore.chart}
          options={[
            ["", "Automatic"],
            ["bar", "Bars"],
            ["line", "Lines"],
            ["stacked", "Stacked"],
            ["table", "Table"],
          ]}
          onChange={(chart) => change({ chart })}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={explore.compare}
            disabled={explore.range === "all"}
            onChange={(e) => change({ compare: e.currentTarget.checked ? "1" : "" })}
          />
          Previous period
        </label>
      </div>
      <Pills
        legend="Measures"
        all={measureNames(explore.view)}
        chosen={explore.measures}
        choose={(m) => change({ m })}
      />
      <Pills
        legend="Group by"
        all={explore.view.dimensions.map((d) => d.name)}
        chosen={explore.by}
        choose={(by) => change({ by })}
      />
      <Filters explore={explore} change={change} />
    </div>
  );
}

const zones = [
  ...new Set([
    "UTC",
    Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...Intl.supportedValuesOf("timeZone"),
  ]),
];

function CustomRange({ explore, change }: { explore: ExploreState; change: Change }) {
  const input = (label: string, name: "from" | "to") => (
    <Field label={label}>
      <input
        type="text"
        size={18}
        placeholder={name === "from" ? "2024-05-01" : "now"}
        value={explore[name]}
        onChange={(e) => change({ [name]: e.currentTarget.value.trim() })}
      />
    </Field>
  );
  return (
    <>
      {input("From", "from")}
      {input("To, not included", "to")}
    </>
  );
}

/** Pills choose some of a few names. */
function Pills(props: {
  legend: string;
  all: string[];
  chosen: string[];
  choose: (chosen: string[]) => void;
}) {
  if (props.all.length === 0) return null;
  const toggle = (name: string) =>
    props.choose(
      props.chosen.includes(name) ? props.chosen.filter((n) => n !== name) : [...props.chosen, name],
    );
  return (
    <fieldset class="pills">
      <legend>{props.legend}</legend>
      {props.all.map((name) => (
        <button
          key={name}
          type="button"
          class="pill"
          aria-pressed={props.chosen.includes(name)}
          onClick={() => toggle(name)}
        >
          {name}
        </button>
      ))}
    </fieldset>
  );
}

const typeOf = (explore: ExploreState, dimension: string): string =>
  String(explore.view.dimensions.find((d) => d.name === dimension)?.type ?? "string");

function Filters({ explore, change }: { explore: ExploreState; change: Change }) {
  const first = explore.view.dimensions[0]?.name;
  const set = (where: Filter[]) => change({ where: where.map(formatFilter) });
  const edit = (i: number, part: Partial<Filter>) =>
    set(explore.where.map((f, j) => (i === j ? { ...f, ...part } : f)));
  if (!first) return null;
  return (
    <fieldset class="pills">
      <legend>Where</legend>
      {explore.where.map((f, i) => (
        <span key={i} class="filter">
          <select
            aria-label="Dimension"
            value={f.dimension}
            onChange={(e) => edit(i, { dimension: e.currentTarget.value })}
          >
            {explore.view.dimensions.map((d) => (
              <option key={d.name}>{d.name}</option>
            ))}
          </select>
          <select
            aria-label="Condition"
            value={f.op}
            onChange={(e) => edit(i, { op: e.currentTarget.value })}
          >
            {operatorsOf(typeOf(explore, f.dimension)).map(([op, name]) => (
              <option key={op} value={op}>
                {name}
              </option>
            ))}
          </select>
          {takesValue(f.op) && (
            <input
              type="text"
              aria-label="Value"
              placeholder={f.op === "exists" ? "true or false" : f.op.endsWith("in") ? "a,b" : "value"}
              value={f.value}
              onChange={(e) => edit(i, { value: e.currentTarget.value })}
            />
          )}
          <button
            type="button"
            class="icon"
            aria-label={`Remove the condition on ${f.dimension}`}
            onClick={() => set(explore.where.filter((_, j) => i !== j))}
          >
            ✕
          </button>
        </span>
      ))}
      <button
        type="button"
        class="pill"
        onClick={() => set([...explore.where, { dimension: first, op: "eq", value: "" }])}
      >
        + condition
      </button>
    </fieldset>
  );
}

/** Found is what the API answers: the groups, and their windows. */
interface Found {
  groups: Answer;
  windows: Answer;
  granularity: string;
  /** asked is the question with the mode that it was asked in. */
  asked: ExploreState;
}

/** shownGroups is how many groups have a line in a chart, and rowsAtOnce how many the table shows first. */
const shownGroups = 10;
const rowsAtOnce = 50;

/** ask asks a view that no publication has for its live numbers. */
async function ask(e: ExploreState, signal: AbortSignal): Promise<Found> {
  try {
    return await askInMode(e, signal);
  } catch (error) {
    if (!isUnpublished(error)) throw error;
    return askInMode({ ...e, mode: "live" }, signal);
  }
}

/** askInMode asks for the groups first: the granularity follows from their range. Then it asks for the windows of the first ones. */
async function askInMode(e: ExploreState, signal: AbortSignal): Promise<Found> {
  const groups = await askOne(parametersOf(e), signal);
  const range = groups.accuracy.range ?? { from: e.from, to: e.to };
  const granularity = e.granularity || chooseGranularity(e.view.cell, range);
  const parameters = parametersOf(e, granularity);
  if (e.by.length > 0) {
    if (groups.rows.length === 0) return { groups, windows: { ...groups, rows: [] }, granularity, asked: e };
    const only = onlyGroups(e.view, e.by, groups.rows.slice(0, rowsAtOnce));
    parameters.where = [...(parameters.where ?? []), only];
  }
  return { groups, windows: await askOne(parameters, signal), granularity, asked: e };
}

/** askOne sends a question in the body, because the condition that names groups may be long. */
async function askOne(parameters: Parameters, signal: AbortSignal): Promise<Answer> {
  const body = address("", { query: parameters }).slice(1);
  const headers = { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" };
  const response = await send("/v1/query", { method: "POST", body, headers, signal });
  return parseJSON(await response.text()) as Answer;
}

function Answered({ explore, change }: { explore: ExploreState; change: Change }) {
  const question = JSON.stringify([parametersOf(explore), explore.granularity]);
  const found = useLoad((signal) => ask(explore, signal), [question]);
  if (found.failure) return <Refused failure={found.failure} retry={found.reload} />;
  if (!found.value) return <p class="quiet">Counting …</p>;
  const { groups, windows, granularity, asked } = found.value;
  const total = explore.by.length > 0 ? groups.totals : groups.rows[0];
  const tooLarge = [groups.accuracy.out_of_range, groups.accuracy.totals_out_of_range].some((o) => o?.length);
  const isEmpty =
    windows.rows.length === 0 ||
    (!tooLarge && explore.measures.every((m) => isNothing(explore, m, total?.[m])));
  return (
    <div class={`stack ${found.loading ? "loading" : ""}`} aria-busy={found.loading}>
      <dl class="tiles">
        {explore.measures.map((m) => (
          <Tile key={m} name={m} value={<Measured row={total as Row | undefined} measure={m} />} />
        ))}
      </dl>
      {isEmpty && <Nothing explore={explore} />}
      {!isEmpty && explore.chart !== "table" && <Charts explore={explore} found={found.value} />}
      <AccuracyCard answer={groups} liveOnly={asked.mode === "live"} reload={found.reload} />
      {!isEmpty && <Rows explore={explore} found={found.value} change={change} />}
      <Share
        explore={{ ...explore, mode: asked.mode }}
        granularity={granularity}
        accuracy={groups.accuracy}
      />
    </div>
  );
}

/** isUnpublished says that no publication has a view yet, so that only mode live can be asked. */
export const isUnpublished = (error: unknown): boolean =>
  error instanceof Failure && error.code === "view_not_published";

/** isNothing says that no event can have made a value. A sum of 0 can be one of events. */
function isNothing(explore: ExploreState, measure: string, value: unknown): boolean {
  const counts = ["count", "distinct"].includes(kindOf(explore.view, measure));
  return value === null || value === undefined || (counts && Number(value) === 0);
}

function Nothing({ explore }: { explore: ExploreState }) {
  return (
    <Card>
      <Empty title="No event is in this range">
        <p>
          {explore.where.some(isWhole) ? "Remove a condition, or choose" : "Choose"} a longer range:{" "}
          <a href={`#explore?view=${encodeURIComponent(explore.view.name)}`}>all time</a> has every event of{" "}
          {explore.view.name}.
        </p>
      </Empty>
    </Card>
  );
}

function Charts({ explore, found }: { explore: ExploreState; found: Found }) {
  const names = namesOf(explore, found);
  const { rows, accuracy } = found.groups;
  const note =
    explore.by.length > 0 &&
    groupsNote(shownGroups, rows.length, accuracy.truncated, explore.measures[0] ?? "");
  return (
    <>
      {explore.measures.map((measure) => {
        const { times, lines } = linesOf(found.windows.rows, explore.by, measure);
        return (
          <Card
            key={measure}
            title={explore.by.length > 0 ? `${measure} by ${explore.by.join(", ")}` : measure}
            aside={<Key />}
          >
            <Chart
              label={`${measure} of ${explore.view.name} by ${found.granularity}`}
              kind={chartOf(explore, measure)}
              times={times}
              width={widthOf(found.granularity)}
              series={seriesOf(explore, measure, lines, names)}
              zone={explore.zone}
            />
            {note && <p class="quiet">{note}</p>}
          </Card>
        );
      })}
    </>
  );
}

/** Key says how exact, live and bounded numbers look. */
export function Key() {
  return (
    <span class="key">
      <i class="key-exact" /> exact <i class="key-live" /> live <i class="key-bounds" /> bounds
    </span>
  );
}

/** namesOf returns the names of the groups that have a line, the first ones in order. */
function namesOf(explore: ExploreState, found: Found): Map<string, string> {
  if (explore.by.length === 0) return new Map([["[]", ""]]);
  const first = found.groups.rows.slice(0, shownGroups);
  return new Map(first.map((r) => [groupKey(r, explore.by), groupName(r, explore.by)]));
}

function seriesOf(
  explore: ExploreState,
  measure: string,
  lines: readonly Line[],
  names: Map<string, string>,
): Series[] {
  const byKey = new Map(lines.map((l) => [l.key, l]));
  const out: Series[] = [];
  for (const [key, name] of names) {
    const line = byKey.get(key);
    if (!line) continue;
    const additive = isAdditive(kindOf(explore.view, measure));
    const { values, live, bounds } = line;
    out.push({ name: name || measure, colour: `--series-${out.length + 1}`, values, live, bounds, additive });
    if (names.size === 1 && explore.compare && line.previous.some((v) => v !== null)) {
      out.push({ name: "previous period", colour: "--previous", values: line.previous, faint: true });
    }
  }
  return out;
}

function AccuracyCard(props: { answer: Answer; liveOnly: boolean; reload: () => void }) {
  const { answer, liveOnly, reload } = props;
  return (
    <Card
      title="How exact is this?"
      aside={
        <button type="button" class="link" onClick={reload}>
          Ask again
        </button>
      }
    >
      <ul class="sentences">
        {explainAccuracy(answer.accuracy, Date.now(), liveOnly).map((s) => (
          <li key={s.text} class={`sentence-${s.kind}`}>
            {s.text}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Rows({ explore, found, change }: { explore: ExploreState; found: Found; change: Change }) {
  const [shown, setShown] = useState(rowsAtOnce);
  const measures = explore.measures.map((m) => ({
    name: m,
    number: true,
    cell: (r: Row) => <Measured row={r} measure={m} />,
  }));
  if (explore.by.length === 0) {
    const rows = [...found.windows.rows].reverse();
    const width = widthOf(found.granularity);
    const time = (r: Row) => formatTime(Date.parse(r.time ?? "") / 1000, explore.zone, width);
    return (
      <Card title="Windows">
        <Table
          label="Windows"
          columns={[{ name: "time", cell: time }, ...measures]}
          rows={rows.slice(0, shown)}
        />
        <More shown={shown} of={rows.length} more={() => setShown(shown + 200)} />
      </Card>
    );
  }
  const { lines } = linesOf(found.windows.rows, explore.by, explore.measures[0] ?? "");
  const byKey = new Map(lines.map((l) => [l.key, l]));
  const columns = [
    ...explore.by.map((d) => ({
      name: d,
      cell: (r: Row) => <GroupValue explore={explore} dimension={d} row={r} change={change} />,
    })),
    { name: explore.measures[0], cell: (r: Row) => <Sparkline line={byKey.get(groupKey(r, explore.by))} /> },
    ...measures,
  ];
  return (
    <Card title={`By ${explore.by.join(", ")}`}>
      <Table label="Groups" columns={columns} rows={found.groups.rows.slice(0, shown)} />
      <More
        shown={shown}
        of={found.groups.rows.length}
        isCut={found.groups.accuracy.truncated}
        more={() => setShown(shown + 200)}
      />
    </Card>
  );
}

/** More shows further rows. isCut says that the answer has not all of them. */
function More(props: { shown: number; of: number; isCut?: boolean; more: () => void }) {
  if (props.of <= props.shown) return null;
  return (
    <p>
      <button type="button" class="second" onClick={props.more}>
        Show more of {props.isCut ? "the first " : ""}
        {formatCount(props.of)}
      </button>
    </p>
  );
}

/** GroupValue is a value of a dimension. A click asks for its events alone. */
function GroupValue(props: { explore: ExploreState; dimension: string; row: Row; change: Change }) {
  const { explore, dimension, row, change } = props;
  const value = row[dimension];
  const only = () =>
    change({ where: [...explore.where, onlyValue(dimension, value)].map(formatFilter) }, true);
  return (
    <button type="button" class="value long" title={`Only ${groupName(row, [dimension])}`} onClick={only}>
      {groupName(row, [dimension])}
    </button>
  );
}

/** Share takes the question elsewhere: a command, a statement, a link, a file. */
function Share(props: { explore: ExploreState; granularity: string; accuracy: Schemas["Accuracy"] }) {
  const { explore, accuracy } = props;
  const granularity = explore.chart === "table" && explore.by.length > 0 ? "" : props.granularity;
  const url = address("/v1/query", { query: parametersOf(explore, granularity) });
  const [copied, setCopied] = useState<{ name: string; text: string; done: boolean }>();
  const [failure, setFailure] = useState<Failure>();
  useEffect(() => setCopied(undefined), [url]);
  const copy = async (name: string, text: string) => {
    const done = await copyText(text);
    setCopied({ name, text, done });
  };
  const download = async (format: string) => {
    try {
      await saveFile(`${url}&format=${format}`, `${explore.view.name}.${format}`);
      setFailure(undefined);
    } catch (error) {
      setFailure(error instanceof Failure ? error : new Failure(0, "", String(error)));
    }
  };
  const buttons: [string, () => void][] = [
    ["Copy as curl", () => copy("curl", curlOf(location.origin, url, savedKey() !== ""))],
    ["Copy as SQL", () => copy("SQL", sqlOf(explore, accuracy.range, granularity))],
    ["Copy the link", () => copy("link", location.href)],
    ["Download CSV", () => download("csv")],
    ["Download Parquet", () => download("parquet")],
  ];
  return (
    <Card title="Take it with you">
      <div class="actions">
        {buttons.map(([name, act]) => (
          <button key={name} type="button" class="second" onClick={act}>
            {name}
          </button>
        ))}
      </div>
      {failure && <Refused failure={failure} />}
      {copied && (
        <div class="copied">
          <Notice kind="info">
            {copied.done
              ? `The ${copied.name} is in the clipboard.`
              : "The browser keeps the clipboard closed; copy it here."}
          </Notice>
          {copied.name === "SQL" && needsStates(explore) && !accuracy.exact && (
            <Notice kind="warn">
              This answer has a live part, which the statement does not count: SQL has the states of the
              newest publication alone.
            </Notice>
          )}
          <CodeBlock text={copied.text} />
        </div>
      )}
    </Card>
  );
}

/** copyText reports whether the text is in the clipboard. Browsers have one on https and on localhost only. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

async function saveFile(url: string, name: string): Promise<void> {
  const response = await send(url);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
