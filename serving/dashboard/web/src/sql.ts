// The question of Explore as a statement for POST /v1/sql.
import type { Schemas } from "./api";
import { askedFilter, type Explore, type Filter, isWhole, kindOf } from "./explore";

const name = (text: string): string => (/^[a-z_]\w*$/i.test(text) ? text : `"${text}"`);
const text = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** needsStates says that a measure is counted from states, which SQL has of the newest publication alone. */
export const needsStates = (e: Explore): boolean =>
  e.measures.some((m) => ["avg", "distinct"].includes(kindOf(e.view, m)));

/** sqlOf returns a statement that counts the same range, and says what it leaves out. */
export function sqlOf(e: Explore, range: Schemas["Range"] | undefined, granularity: string): string {
  const withStates = needsStates(e);
  const left = e.measures.filter((m) => kindOf(e.view, m) === "quantile");
  const columns = [
    ...(granularity ? [`${windowOf(granularity, e.zone)} AS window`] : []),
    ...e.by.map(name),
    ...e.measures.filter((m) => !left.includes(m)).map((m) => `${measureOf(e, m, withStates)} AS ${name(m)}`),
  ];
  const keys = [...(granularity ? ["window"] : []), ...e.by.map(name)];
  const conditions = [
    ...(range ? [`time >= ${timeOf(range.from)}`, `time < ${timeOf(range.to)}`] : []),
    ...e.where
      .filter(isWhole)
      .map(askedFilter)
      .map((f) => conditionOf(e, f)),
  ];
  const comments = left.map((m) => `-- ${m} is a quantile, which is made of bins: GET /v1/query answers it`);
  if (left.length === e.measures.length) return comments.join("\n");
  return [
    ...(withStates ? [`-- the published part only: ${e.view.name}_states has no live rows`] : []),
    ...comments,
    `SELECT ${columns.join(", ")}`,
    `FROM ${name(e.view.name + (withStates ? "_states" : "_merged"))}`,
    ...(conditions.length > 0 ? [`WHERE ${conditions.join("\n  AND ")}`] : []),
    ...(keys.length > 0 ? [`GROUP BY ${keys.join(", ")}`, `ORDER BY ${keys.join(", ")}`] : []),
  ].join("\n");
}

function measureOf(e: Explore, measure: string, withStates: boolean): string {
  const column = name(measure);
  switch (kindOf(e.view, measure)) {
    case "distinct":
      return `uniqExactArray(${name(`${measure}__hashes`)})`;
    case "avg":
      return `toFloat64(sum(${name(`${measure}__sum`)})) / sum(${name(`${measure}__n`)})`;
    case "min":
      return `min(${column})`;
    case "max":
      return `max(${column})`;
    case "sum":
      return withStates ? `sum(${name(`${measure}__sum`)})` : `sum(${column})`;
    default:
      return `sum(${column})`;
  }
}

const units: Record<string, string> = {
  s: "SECOND",
  m: "MINUTE",
  h: "HOUR",
  d: "DAY",
  w: "WEEK",
  mo: "MONTH",
  q: "QUARTER",
  y: "YEAR",
};

function windowOf(granularity: string, zone: string): string {
  const [, count, unit] = /^(\d+)([a-z]+)$/.exec(granularity) ?? [];
  return `toStartOfInterval(time, INTERVAL ${count} ${units[unit ?? ""]}, ${text(zone)})`;
}

const timeOf = (time: string): string =>
  text(
    new Date(time)
      .toISOString()
      .replace("T", " ")
      .replace(/\.000Z$|Z$/, ""),
  );

function conditionOf(e: Explore, f: Filter): string {
  const column = name(f.dimension);
  const kind = e.view.dimensions.find((d) => d.name === f.dimension)?.type ?? "string";
  const value = (v: string) => (["int64", "float64", "bool"].includes(String(kind)) ? v : text(v));
  const list = () => f.value.split(",").map(value).join(", ");
  switch (f.op) {
    case "eq":
      return `${column} = ${value(f.value)}`;
    case "ne":
      return `ifNull(${column} != ${value(f.value)}, true)`;
    case "in":
      return `${column} IN (${list()})`;
    case "not_in":
      return `ifNull(${column} NOT IN (${list()}), true)`;
    case "prefix":
      return `startsWith(${column}, ${text(f.value)})`;
    case "suffix":
      return `endsWith(${column}, ${text(f.value)})`;
    case "contains":
      return `position(${column}, ${text(f.value)}) > 0`;
    case "exists":
      return `${column} IS ${f.value === "false" ? "" : "NOT "}NULL`;
    default:
      return `${column} ${{ lt: "<", le: "<=", gt: ">", ge: ">=" }[f.op]} ${value(f.value)}`;
  }
}
