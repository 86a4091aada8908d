import { expect, test } from "vitest";
import { explainAccuracy } from "../src/accuracy";
import type { Schemas } from "../src/api";
import { formatChange, formatTick } from "../src/format";
import { stagesOf, sumMetrics } from "../src/metrics";
import { linesOf } from "../src/rows";
import { chooseGranularity, granularitiesOf, widthOf } from "../src/times";

const exact: Schemas["Accuracy"] = {
  publication: 12,
  as_of: "2026-01-01T00:00:00Z",
  cut: [5],
  through: [5],
  pending_events: 0,
  exact: true,
  complete: true,
  stale_partitions: [],
  lag_ms: 1,
  truncated: false,
};
const now = Date.parse("2026-01-01T00:00:45Z");
const texts = (a: Partial<Schemas["Accuracy"]>) =>
  explainAccuracy({ ...exact, ...a }, now).map((s) => s.text);

test("accuracy is said in words, and nothing that lacks is left out", () => {
  expect(texts({})).toEqual(["Every number here is exact: it is of publication 12, made 45 s ago."]);
  expect(texts({ exact: false, pending_events: 1 })[1]).toMatch(/^1 event of all types/);
  expect(texts({ publication: 0, as_of: null, exact: false })[0]).toMatch(/every number is live/);
  expect(texts({ publication: 0, as_of: null })).toEqual([
    "Nothing is published yet, and no event waits for it.",
  ]);
  expect(explainAccuracy(exact, now, true)).toEqual([
    { kind: "live", text: "This view is not published yet: live numbers alone." },
  ]);
  const lacking = texts({
    exact: false,
    complete: false,
    stale_partitions: [3],
    filled_from: "2025-01-01T00:00:00Z",
    overflow: { events: 7, left_out: 1, live: 0 },
    holes: [{} as Schemas["Hole"]],
    unconverted_events: 2,
    retired_events: 3,
    out_of_range: [{ measure: "total", count: 1, rows: [0] }],
    totals_out_of_range: ["sum"],
    others_out_of_range: [{ measure: "rest", count: 1, rows: [0] }],
    previous_out_of_range: [{ measure: "past", count: 1, rows: [0] }],
    truncated: true,
  });
  for (const part of [
    "partition 3",
    "before 2025",
    "7 events",
    "lost",
    "2 events",
    "3 events",
    "Some values are empty because they do not fit their type: total.",
    "Totals are empty because they do not fit their type: sum.",
    "rest",
    "past",
    "more groups",
  ]) {
    expect(lacking.filter((t) => t.includes(part))).toHaveLength(1);
  }
});

test("rows become lines over the same times", () => {
  const rows = [
    { time: "2024-05-01T01:00:00Z", page: "b", n: 2, live: { n: 1 }, previous: { n: 4 } },
    { time: "2024-05-01T00:00:00Z", page: null, n: "9007199254740993", bounds: { n: [1, 3] } },
  ] as Schemas["Row"][];
  const { times, lines } = linesOf(rows, ["page"], "n");
  expect(times).toEqual([1714521600, 1714525200]);
  expect(lines).toEqual([
    { key: '["b"]', values: [null, 2], live: [null, 1], bounds: [null, null], previous: [null, 4] },
    {
      key: "[null]",
      values: [9007199254740992, null],
      live: [null, null],
      bounds: [[1, 3], null],
      previous: [null, null],
    },
  ]);
});

test("a chart has at most 120 windows, none narrower than a cell", () => {
  expect(granularitiesOf("15m")).toEqual(["15m", "1h", "6h", "1d", "1w", "1mo", "1q", "1y"]);
  const over = (days: number, cell = "1m") =>
    chooseGranularity(cell, {
      from: new Date(0).toISOString(),
      to: new Date(days * 86_400_000).toISOString(),
    });
  expect([1 / 24, 1, 7, 30, 365, 20_000].map((d) => over(d))).toEqual(["1m", "15m", "6h", "6h", "1w", "1y"]);
  expect(over(1 / 24, "1h")).toBe("1h");
  expect(widthOf("nonsense")).toBe(0);
});

test("a change needs a number to compare with", () => {
  expect(formatChange(150, 100)).toBe("+50 %");
  expect(formatChange(1, 3)).toBe("−66.7 %");
  expect([formatChange(1, 0), formatChange(1, null), formatChange(null, 1)]).toEqual(["", "", ""]);
});

test("ticks have the time of day of the zone", () => {
  const noon = Date.parse("2024-05-01T10:00:00Z") / 1000;
  expect(formatTick(noon, "Europe/Berlin", 3600)).toBe("12:00");
  expect(formatTick(noon - 36_000, "UTC", 3600)).toBe("1 May");
  expect(formatTick(noon, "UTC", 31 * 86_400)).toBe("May 2024");
});

test("metrics are added up over their labels", () => {
  const sums = sumMetrics(
    '# HELP x\nrecount_log_next_sequence{partition="0"} 10\nrecount_log_next_sequence{partition="1"} 5\n' +
      "recount_landing_next_sequence 12\nrecount_ingest_events_accepted_total 1e+06\ngo_goroutines 3\n",
  );
  expect(stagesOf(sums)).toEqual({ accepted: 1_000_000, toLive: 0, toLake: 3, toPublish: 12 });
});
