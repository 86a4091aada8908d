// Numbers of answers with what is known about them, and lines small enough for a table.
import { formatChange, formatNumber } from "./format";
import { type Line, measuredIn, type Row } from "./rows";

/** Measured is a measure of a row: the number, how much of it is live, its bounds, and the change. */
export function Measured(props: { row: Row | undefined; measure: string }) {
  const { value, live, bounds, previous } = measuredIn(props.row, props.measure);
  const change = formatChange(value, previous);
  return (
    <span class="measured">
      {change && <span class={`change ${change.startsWith("+") ? "up" : "down"}`}>{change}</span>}
      {bounds && (
        <span class="bounds">
          {formatNumber(bounds[0])}–{formatNumber(bounds[1])}
        </span>
      )}
      {live !== undefined && live !== null && live !== 0 && (
        <span class="live">live {formatNumber(live)}</span>
      )}
      <b>{formatNumber(value)}</b>
    </span>
  );
}

/** Sparkline is a line without axes. The table beside it has the numbers, so a screen reader skips it. */
export function Sparkline({ line }: { line: Line | undefined }) {
  if (!line) return <svg class="spark" aria-hidden="true" viewBox="0 0 100 20" />;
  const top = Math.max(...line.values.map((v) => v ?? 0), 1e-9);
  const step = 100 / Math.max(1, line.values.length - 1);
  const point = (v: number | null, i: number) =>
    `${(i * step).toFixed(1)},${(19 - (18 * (v ?? 0)) / top).toFixed(1)}`;
  const from = line.live.findIndex((v) => v !== null);
  const cut = from < 0 ? line.values.length : Math.max(1, from);
  const points = line.values.map(point);
  return (
    <svg class="spark" aria-hidden="true" viewBox="0 0 100 20" preserveAspectRatio="none">
      <polyline class="spark-exact" points={points.slice(0, cut).join(" ")} />
      <polyline class="spark-live" points={points.slice(cut - 1).join(" ")} />
    </svg>
  );
}
