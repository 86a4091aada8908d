// Chart draws values over time: exact ones solid, live ones hatched or dashed, and bounds shaded.
//
// uPlot has the scales, the axes and the cursor. The marks are drawn here, because a mark may be exact in one part and
// live in another.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatNumber, formatTick, formatTime } from "./format";

export interface Series {
  name: string;
  /** colour is a name of colours.css. */
  colour: string;
  values: readonly (number | null)[];
  /** live is the live part of each value, or null where the value is exact. */
  live?: readonly (number | null)[];
  /** additive says that the rest of a value is exact. Else all of it is live. */
  additive?: boolean;
  bounds?: readonly ([number, number] | null)[];
  /** faint draws a line of an earlier range. */
  faint?: boolean;
}

export interface ChartProps {
  label: string;
  kind: "line" | "bar" | "stacked";
  times: readonly number[];
  /** width is that of a window in seconds, for a chart with one window. */
  width: number;
  series: readonly Series[];
  zone: string;
  height?: number;
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [at, setAt] = useState<number | null>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot(optionsOf(latest, element.clientWidth, setAt), dataOf(latest.current), element);
    plot.current = made;
    const resize = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: made.height }),
    );
    resize.observe(element);
    const redraw = () => made.redraw(false, true);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    window.addEventListener("themechange", redraw);
    scheme.addEventListener("change", redraw);
    return () => {
      resize.disconnect();
      window.removeEventListener("themechange", redraw);
      scheme.removeEventListener("change", redraw);
      made.destroy();
    };
  }, [props.zone, props.series.length]);
  useEffect(() => plot.current?.setData(dataOf(props)), [props.times, props.series, props.kind]);
  const last = props.times.length - 1;
  const move = (e: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!step || !plot.current) return;
    e.preventDefault();
    const index = Math.min(last, Math.max(0, (at ?? last) + step));
    plot.current.setCursor({ left: plot.current.valToPos(middleOf(props, index), "x"), top: 0 });
  };
  return (
    <figure class="chart">
      <div
        ref={box}
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move through the windows.
        tabIndex={0}
        aria-label={`${props.label}. The arrow keys move through the windows.`}
        onKeyDown={move}
      />
      <Legend {...props} at={Math.min(at ?? last, last)} />
    </figure>
  );
}

/** Legend has the values of the window under the cursor, or of the last one. */
function Legend(props: ChartProps & { at: number }) {
  const time = props.times[props.at];
  if (time === undefined) return null;
  return (
    <figcaption class="legend">
      <span class="legend-time">{formatTime(time, props.zone, props.width)}</span>
      {props.series.map((s) => {
        const live = s.live?.[props.at];
        const bounds = s.bounds?.[props.at];
        return (
          <span key={s.name} class="legend-item">
            <i class="legend-mark" style={{ background: `var(${s.colour})` }} />
            <span class="long" title={s.name}>
              {s.name}
            </span>{" "}
            <b>{formatNumber(s.values[props.at])}</b>
            {live ? <span class="live">live {formatNumber(live)}</span> : null}
            {bounds ? (
              <span class="quiet">
                in {formatNumber(bounds[0])}–{formatNumber(bounds[1])}
              </span>
            ) : null}
          </span>
        );
      })}
    </figcaption>
  );
}

const dataOf = (p: ChartProps): uPlot.AlignedData =>
  [p.times as number[], ...p.series.map((s) => s.values as (number | null)[])] as uPlot.AlignedData;

const endOf = (p: ChartProps, i: number): number => p.times[i + 1] ?? (p.times[i] ?? 0) + lastWidth(p);

const lastWidth = (p: ChartProps): number => {
  const n = p.times.length;
  return n > 1 ? (p.times[n - 1] ?? 0) - (p.times[n - 2] ?? 0) : p.width;
};

const middleOf = (p: ChartProps, i: number): number => ((p.times[i] ?? 0) + endOf(p, i)) / 2;

/** highest is the top of the value axis, with a little room above the highest mark. */
function highest(p: ChartProps): number {
  let top = 0;
  for (let i = 0; i < p.times.length; i++) {
    let sum = 0;
    for (const s of p.series) {
      const value = s.values[i] ?? 0;
      if (s.faint) top = Math.max(top, value);
      else sum += value;
      top = Math.max(top, p.kind === "stacked" ? sum : value, s.bounds?.[i]?.[1] ?? 0);
    }
  }
  return top > 0 ? top * 1.06 : 1;
}

function lowest(p: ChartProps): number {
  let low = 0;
  for (const s of p.series) for (const v of s.values) low = Math.min(low, v ?? 0);
  return low * 1.06;
}

function optionsOf(
  latest: { current: ChartProps },
  width: number,
  onCursor: (at: number | null) => void,
): uPlot.Options {
  const axis = { stroke: () => colourOf("--quiet"), font: `11px ${fontOf()}`, ticks: { show: false } };
  return {
    width,
    height: latest.current.height ?? 240,
    legend: { show: false },
    padding: [8, 20, 0, 0], // The last time of the axis is centred at the right edge.
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), latest.current.zone),
    scales: {
      x: {
        range: () => [latest.current.times[0] ?? 0, endOf(latest.current, latest.current.times.length - 1)],
      },
      y: { range: () => [lowest(latest.current), highest(latest.current)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        values: (_, ticks, __, ___, step) => ticks.map((t) => formatTick(t, latest.current.zone, step)),
      },
      {
        ...axis,
        size: 56,
        values: (_, ticks) => ticks.map((t) => shortOf(t)),
        grid: { stroke: () => colourOf("--line"), width: 1 },
      },
    ],
    series: [{}, ...latest.current.series.map(() => ({ paths: () => null, points: { show: false } }))],
    hooks: {
      draw: [(u) => draw(u, latest.current)],
      setCursor: [
        (u) => {
          const left = u.cursor.left ?? -1;
          onCursor(left < 0 ? null : windowAt(latest.current, u.posToVal(left, "x")));
        },
      ],
    },
  };
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const shortOf = (value: number): string => short.format(value);

function windowAt(p: ChartProps, time: number): number {
  let at = 0;
  for (let i = 0; i < p.times.length; i++) if ((p.times[i] ?? 0) <= time) at = i;
  return at;
}

/** colourOf resolves a name of colours.css, which has a value for each theme. */
function colourOf(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

const fontOf = (): string => getComputedStyle(document.body).fontFamily;

/** Pen has what the marks of a chart need. */
interface Pen {
  context: CanvasRenderingContext2D;
  x: (time: number) => number;
  y: (value: number) => number;
  ratio: number;
}

function draw(u: uPlot, p: ChartProps): void {
  const pen: Pen = {
    context: u.ctx,
    x: (time) => u.valToPos(time, "x", true),
    y: (value) => u.valToPos(value, "y", true),
    ratio: devicePixelRatio,
  };
  pen.context.save();
  pen.context.beginPath();
  pen.context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  pen.context.clip();
  const base = new Array<number>(p.times.length).fill(0);
  const solid = p.series.filter((s) => !s.faint);
  for (const [i, s] of solid.entries()) {
    const colour = colourOf(s.colour);
    if (p.kind === "line") {
      drawLine(pen, p, s, colour);
      continue;
    }
    const share = p.kind === "stacked" ? { first: 0, of: 1 } : { first: i, of: solid.length };
    drawBars(pen, p, s, colour, base, share);
  }
  for (const s of p.series) if (s.faint) drawLine(pen, p, s, colourOf(s.colour));
  pen.context.restore();
}

/** drawBars draws a bar for each window: its exact part solid, and its live part hatched above it. */
function drawBars(
  pen: Pen,
  p: ChartProps,
  s: Series,
  colour: string,
  base: number[],
  share: { first: number; of: number },
): void {
  const hatch = hatchOf(pen, colour);
  for (let i = 0; i < p.times.length; i++) {
    const value = s.values[i];
    if (value === null || value === undefined) continue;
    const left = pen.x(p.times[i] ?? 0);
    const whole = Math.max(1, pen.x(endOf(p, i)) - left);
    const gap = Math.min(whole * 0.2, 3 * pen.ratio);
    const width = Math.max(1, (whole - gap) / share.of);
    const from = left + gap / 2 + width * share.first;
    const under = p.kind === "stacked" ? (base[i] ?? 0) : 0;
    const live = s.live?.[i] ?? null;
    const exact = live === null ? value : s.additive ? value - live : 0;
    fillBar(pen, from, width, under, under + exact, colour);
    fillBar(pen, from, width, under + exact, under + value, hatch);
    const bounds = s.bounds?.[i];
    if (bounds && p.kind !== "stacked") drawBounds(pen, from, width, bounds);
    if (p.kind === "stacked") base[i] = under + value;
  }
}

function fillBar(
  pen: Pen,
  left: number,
  width: number,
  low: number,
  high: number,
  fill: string | CanvasPattern,
): void {
  if (high === low) return;
  pen.context.fillStyle = fill;
  pen.context.fillRect(left, pen.y(high), width, pen.y(low) - pen.y(high));
}

/** drawBounds shades where the right number lies. */
function drawBounds(pen: Pen, left: number, width: number, [low, high]: [number, number]): void {
  const { context } = pen;
  const top = pen.y(high);
  const height = Math.max(2 * pen.ratio, pen.y(low) - top);
  context.fillStyle = colourOf("--live-soft");
  context.fillRect(left, top, width, height);
  context.strokeStyle = colourOf("--live");
  context.lineWidth = pen.ratio;
  context.strokeRect(left, top, width, height);
}

/** hatchOf returns the fill of what is live: stripes in the colour of the series on a faint ground. */
function hatchOf(pen: Pen, colour: string): CanvasPattern | string {
  const size = Math.round(6 * pen.ratio);
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const context = tile.getContext("2d");
  if (!context) return colour;
  context.globalAlpha = 0.28;
  context.fillStyle = colour;
  context.fillRect(0, 0, size, size);
  context.globalAlpha = 0.9;
  context.strokeStyle = colour;
  context.lineWidth = 1.4 * pen.ratio;
  for (const shift of [-size, 0, size]) {
    context.moveTo(shift, size);
    context.lineTo(shift + size, 0);
  }
  context.stroke();
  return pen.context.createPattern(tile, "repeat") ?? colour;
}

/** drawLine joins the middles of windows. A piece is dashed when one of its ends is live. */
function drawLine(pen: Pen, p: ChartProps, s: Series, colour: string): void {
  const { context, ratio } = pen;
  if (s.bounds?.some((b) => b)) shadeBounds(pen, p, s.bounds);
  context.strokeStyle = colour;
  context.lineWidth = (s.faint ? 1.5 : 2) * ratio;
  context.lineJoin = "round";
  for (const live of [false, true]) {
    context.setLineDash(live || s.faint ? [4 * ratio, 4 * ratio] : []);
    context.beginPath();
    for (let i = 0; i < p.times.length; i++) {
      const here = s.values[i];
      const before = s.values[i - 1];
      if (here === null || here === undefined) continue;
      const isLive = (s.live?.[i] ?? s.live?.[i - 1] ?? null) !== null;
      if (isLive !== live) continue;
      if (before === null || before === undefined) {
        context.rect(pen.x(middleOf(p, i)) - ratio, pen.y(here) - ratio, 2 * ratio, 2 * ratio);
      } else {
        context.moveTo(pen.x(middleOf(p, i - 1)), pen.y(before));
        context.lineTo(pen.x(middleOf(p, i)), pen.y(here));
      }
    }
    context.stroke();
  }
  context.setLineDash([]);
}

function shadeBounds(pen: Pen, p: ChartProps, bounds: readonly ([number, number] | null)[]): void {
  for (const [i, b] of bounds.entries()) {
    if (!b) continue;
    const left = pen.x(p.times[i] ?? 0);
    pen.context.fillStyle = colourOf("--live-soft");
    pen.context.fillRect(
      left,
      pen.y(b[1]),
      pen.x(endOf(p, i)) - left,
      Math.max(2, pen.y(b[0]) - pen.y(b[1])),
    );
  }
}
