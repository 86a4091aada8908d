// Rows of answers. A measure is a number, or a text of digits where a number could not hold it, or null.
import type { Schemas } from "./api";

export type Row = Schemas["Row"];

/** Value is a measure of a row with what its accuracy says. */
export interface Value {
  value: unknown;
  /** live is the part, or the value, of the events after the publication. It is undefined in an exact row. */
  live: unknown;
  bounds: [number, number] | undefined;
  previous: unknown;
}

export function measuredIn(row: Row | undefined, measure: string): Value {
  const bounds = row?.bounds?.[measure];
  return {
    value: row?.[measure],
    live: row?.live?.[measure],
    bounds: bounds && [Number(bounds[0]), Number(bounds[1])],
    previous: row?.previous?.[measure],
  };
}

/** numberOf returns what a chart draws: a number, or null. */
export function numberOf(value: unknown): number | null {
  if (value === null || value === undefined || value === "") return null;
  const n = Number(value);
  return Number.isFinite(n) ? n : null;
}

/** additive says that the live part and the exact part add up, so that a bar can be cut in two. */
export const isAdditive = (kind: string): boolean =>
  kind === "count" || kind === "sum" || kind === "distinct";

/** groupKey names a group among rows, whatever its values are. */
export const groupKey = (row: Row, by: readonly string[]): string =>
  JSON.stringify(by.map((d) => row[d] ?? null));

/** groupName is what a reader calls a group. */
export function groupName(row: Row, by: readonly string[]): string {
  return by
    .map((d) => (row[d] === null || row[d] === undefined ? "(none)" : String(row[d]) || "(empty)"))
    .join(" · ");
}

export interface Line {
  key: string;
  values: (number | null)[];
  live: (number | null)[];
  bounds: ([number, number] | null)[];
  previous: (number | null)[];
}

/** linesOf sorts the rows of windows and groups into a line for each group, over the same times. */
export function linesOf(
  rows: readonly Row[],
  by: readonly string[],
  measure: string,
): { times: number[]; lines: Line[] } {
  const times = [...new Set(rows.map((r) => r.time ?? ""))]
    .filter((t) => t)
    .map((t) => Date.parse(t) / 1000)
    .sort((a, b) => a - b);
  const index = new Map(times.map((t, i) => [t, i]));
  const lines = new Map<string, Line>();
  const empty = <T>() => new Array<T | null>(times.length).fill(null);
  for (const row of rows) {
    const at = index.get(Date.parse(row.time ?? "") / 1000);
    if (at === undefined) continue;
    const key = groupKey(row, by);
    let line = lines.get(key);
    if (!line) {
      line = { key, values: empty(), live: empty(), bounds: empty(), previous: empty() };
      lines.set(key, line);
    }
    const v = measuredIn(row, measure);
    line.values[at] = numberOf(v.value);
    line.live[at] = numberOf(v.live);
    line.bounds[at] = v.bounds ?? null;
    line.previous[at] = numberOf(v.previous);
  }
  return { times, lines: [...lines.values()] };
}
