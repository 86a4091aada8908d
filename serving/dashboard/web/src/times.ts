// Ranges and granularities, in the words that the API understands.

/** presets are the ranges that a reader picks by name. The API reads their words in the zone of the query. */
export const presets: readonly { value: string; name: string; from: string; to: string }[] = [
  { value: "all", name: "All time", from: "", to: "" },
  { value: "1h", name: "Last hour", from: "now-1h", to: "now" },
  { value: "24h", name: "Last 24 h", from: "now-24h", to: "now" },
  { value: "7d", name: "Last 7 days", from: "now-7d", to: "now" },
  { value: "30d", name: "Last 30 days", from: "now-30d", to: "now" },
  { value: "today", name: "Today", from: "today", to: "tomorrow" },
  { value: "yesterday", name: "Yesterday", from: "yesterday", to: "today" },
  { value: "week", name: "This week", from: "this_week", to: "this_week+1w" },
  { value: "month", name: "This month", from: "this_month", to: "this_month+1mo" },
  { value: "last_month", name: "Last month", from: "last_month", to: "this_month" },
  { value: "year", name: "This year", from: "this_year", to: "this_year+1y" },
];

const unitSeconds: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3_600,
  d: 86_400,
  w: 604_800,
  mo: 2_629_746,
  q: 7_889_238,
  y: 31_556_952,
};

/** widthOf returns how many seconds a granularity such as 15m has, about. It is 0 for a text that is none. */
export function widthOf(granularity: string): number {
  const [, count, unit] = /^(\d+)(s|m|h|d|w|mo|q|y)$/.exec(granularity) ?? [];
  return Number(count ?? 0) * (unitSeconds[unit ?? ""] ?? 0);
}

const ladder = ["1s", "10s", "1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo", "1q", "1y"];

/** granularitiesOf lists the windows that a view with such cells can have. */
export function granularitiesOf(cell: string): string[] {
  const width = widthOf(cell);
  const fits = ladder.filter((g) => widthOf(g) > width && (widthOf(g) % width === 0 || /[dwmoqy]$/.test(g)));
  return [cell, ...fits];
}

const mostWindows = 120;

/** chooseGranularity returns the narrowest windows of which a range has no more than a chart can show. */
export function chooseGranularity(cell: string, range: { from: string; to: string }): string {
  const seconds = (Date.parse(range.to) - Date.parse(range.from)) / 1000;
  const choices = granularitiesOf(cell);
  return choices.find((g) => seconds / widthOf(g) <= mostWindows) ?? choices[choices.length - 1] ?? cell;
}
