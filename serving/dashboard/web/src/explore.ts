// The state of Explore: what the URL says, what the API is asked, and the same question for others.
import type { Schemas } from "./api";
import { presets } from "./times";

type View = Schemas["View"];

/** Filter is a condition in the short form of the API, dimension:op:value. */
export interface Filter {
  dimension: string;
  op: string;
  value: string;
}

export const operators: readonly (readonly [op: string, name: string])[] = [
  ["eq", "is"],
  ["ne", "is not"],
  ["in", "is one of"],
  ["not_in", "is none of"],
  ["prefix", "begins with"],
  ["suffix", "ends with"],
  ["contains", "contains"],
  ["lt", "<"],
  ["le", "≤"],
  ["gt", ">"],
  ["ge", "≥"],
  ["exists", "exists"],
  ["empty", "is empty"],
  ["not_empty", "is not empty"],
];

/**
 * emptyText maps the operators of the page to those of the API. The page has operators of its own for the empty text,
 * because a condition without a value is one that is being written.
 */
const emptyText: Record<string, string> = { empty: "eq", not_empty: "ne" };

/** takesValue says that an operator compares with a value. */
export const takesValue = (op: string): boolean => !(op in emptyText);

/** operatorsOf returns the operators that a type of dimension has. Texts alone can be empty. */
export const operatorsOf = (type: string): typeof operators =>
  operators.filter(([op]) => type === "string" || takesValue(op));

export type ChartKind = "line" | "bar" | "stacked";

/** Shown is what the reader chose to see. "" lets the page choose a chart for each measure. */
export type Shown = ChartKind | "table" | "";

export interface Explore {
  view: View;
  measures: string[];
  by: string[];
  where: Filter[];
  range: string;
  from: string;
  to: string;
  /** granularity is "" when the page chooses it. */
  granularity: string;
  zone: string;
  chart: Shown;
  compare: boolean;
  /** mode is live for a view that no publication has. */
  mode: "" | "live";
}

/** measureNames lists what a view can be asked for. A quantile is three of them. */
export function measureNames(view: View): string[] {
  return view.measures.flatMap((m) =>
    m.kind === "quantile" ? ["p50", "p95", "p99"].map((p) => `${m.name}.${p}`) : m.name,
  );
}

/** firstMeasure is what is shown before a reader chooses: a count, if there is one. */
export function firstMeasure(view: View): string[] {
  const count = view.measures.find((m) => m.kind === "count");
  return count ? [count.name] : measureNames(view).slice(0, 1);
}

/** kindOf returns the kind of a measure, which latency.p99 has from latency. */
export function kindOf(view: View, measure: string): string {
  return view.measures.find((m) => m.name === measure || measure.startsWith(`${m.name}.`))?.kind ?? "";
}

/** readExplore reads the state of the URL. Names that the view does not have are left out. */
export function readExplore(state: URLSearchParams, views: readonly View[]): Explore | undefined {
  const view = views.find((v) => v.name === state.get("view")) ?? views[0];
  if (!view) return undefined;
  const all = measureNames(view);
  const measures = state.getAll("m").filter((m) => all.includes(m));
  const dimensions = view.dimensions.map((d) => d.name);
  const chart = state.get("chart") ?? "";
  return {
    view,
    measures: measures.length > 0 ? measures : firstMeasure(view),
    by: state.getAll("by").filter((d) => dimensions.includes(d)),
    where: state
      .getAll("where")
      .map(parseFilter)
      .filter((f) => dimensions.includes(f.dimension)),
    range: state.get("range") ?? "all",
    from: state.get("from") ?? "",
    to: state.get("to") ?? "",
    granularity: state.get("g") ?? "",
    zone: state.get("zone") ?? "UTC",
    chart: isShown(chart) ? chart : "",
    compare: state.get("compare") === "1",
    mode: "",
  };
}

const isShown = (text: string): text is Shown => ["line", "bar", "stacked", "table"].includes(text);

/**
 * chartOf returns how a measure is drawn. Only counts and sums are stacked: the groups of other measures do not add up,
 * because one visitor may be in two groups.
 */
export function chartOf(e: Explore, measure: string): ChartKind {
  const kind = kindOf(e.view, measure);
  const stacks = kind === "count" || kind === "sum";
  if (e.chart === "line" || e.chart === "bar") return e.chart;
  if (e.by.length === 0) return "bar";
  return stacks ? "stacked" : "line";
}

export function parseFilter(text: string): Filter {
  const [dimension = "", op = "eq", ...value] = text.split(":");
  return { dimension, op, value: value.join(":") };
}

export const formatFilter = (f: Filter): string => `${f.dimension}:${f.op}:${f.value}`;

/** isWhole says that a filter has all that it needs. One that is being written is not asked. */
export const isWhole = (f: Filter): boolean => f.value !== "" || !takesValue(f.op);

/** askedFilter returns a filter with an operator of the API. */
export const askedFilter = (f: Filter): Filter => {
  const op = emptyText[f.op];
  return op ? { ...f, op, value: "" } : f;
};

/** onlyValue is the condition that a dimension has a value of a row. */
export function onlyValue(dimension: string, value: unknown): Filter {
  if (value === null || value === undefined) return { dimension, op: "exists", value: "false" };
  return value === "" ? { dimension, op: "empty", value } : { dimension, op: "eq", value: String(value) };
}

export type Parameters = Record<string, string | string[]>;

/** rangeOf returns the range in the words of the API. */
export function rangeOf(e: Explore): { from: string; to: string } {
  if (e.range === "custom") return { from: e.from, to: e.to };
  const preset = presets.find((p) => p.value === e.range);
  return { from: preset?.from ?? "", to: preset?.to ?? "" };
}

/** maxGroups is how many groups the table can show, and maxRows how many rows of windows the charts ask for. */
const maxGroups = 1000;
const maxRows = 100_000;

/** parametersOf returns the question for GET /v1/query: by group, or with a granularity by window and group. */
export function parametersOf(e: Explore, granularity = ""): Parameters {
  const range = rangeOf(e);
  const out: Parameters = { view: e.view.name, measures: e.measures, ...given("group_by", e.by) };
  Object.assign(out, given("where", e.where.filter(isWhole).map(askedFilter).map(formatFilter)));
  Object.assign(out, given("from", range.from), given("to", range.to));
  if (e.zone !== "UTC") out.time_zone = e.zone;
  if (e.compare && range.from) out.compare = "previous_period";
  if (e.mode) out.mode = e.mode;
  if (granularity) return { ...out, granularity, fill: "true", limit: String(maxRows) };
  if (e.by.length > 0) {
    Object.assign(out, { order_by: `${e.measures[0]}:desc`, limit: String(maxGroups), totals: "true" });
  }
  return out;
}

const given = (name: string, value: string | string[]): Parameters =>
  value.length > 0 ? { [name]: value } : {};

/** onlyGroups returns a condition that holds for some groups, in the long form, which has null. */
export function onlyGroups(
  view: View,
  by: readonly string[],
  groups: readonly Record<string, unknown>[],
): string {
  const texts = new Set(view.dimensions.filter((d) => d.type === "string").map((d) => d.name));
  const one = (g: Record<string, unknown>) =>
    by.map((d) => `\`${d}\` = ${literal(g[d], texts.has(d))}`).join(" and ");
  return groups.map((g) => `(${one(g)})`).join(" or ");
}

/** literal quotes texts alone: a large whole number is a string here, so that it keeps its digits. */
function literal(value: unknown, isText: boolean): string {
  if (value === null || value === undefined) return "null";
  return isText ? JSON.stringify(value) : String(value);
}

/** groupsNote says how many of the groups a chart has. */
export function groupsNote(shown: number, found: number, isTruncated: boolean, measure: string): string {
  if (found <= shown && !isTruncated) return "";
  const all = `${isTruncated ? "more than " : ""}${found.toLocaleString("en")}`;
  return `The first ${shown} of ${all} groups by ${measure}. The chart leaves the others out.`;
}

/** curlOf returns the question as a command for a shell. The key is a variable there, so that it is not copied. */
export function curlOf(origin: string, url: string, withKey: boolean): string {
  const quoted = `'${`${origin}${url}`.replaceAll("'", "'\\''")}'`;
  return `curl -s ${quoted}${withKey ? ' -H "Authorization: Bearer $RECOUNT_KEY"' : ""}`;
}
