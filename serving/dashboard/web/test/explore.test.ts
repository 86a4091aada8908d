import { expect, test } from "vitest";
import type { Schemas } from "../src/api";
import {
  chartOf,
  curlOf,
  type Explore,
  groupsNote,
  onlyGroups,
  onlyValue,
  operatorsOf,
  parametersOf,
  readExplore,
} from "../src/explore";
import { sqlOf } from "../src/sql";

const view: Schemas["View"] = {
  name: "by_page",
  event: "page.viewed",
  cell: "1m",
  dimensions: [
    { name: "page", type: "string" },
    { name: "status", type: "int64" },
  ],
  measures: [
    { name: "total", kind: "sum", type: "int64" },
    { name: "views", kind: "count", type: "int64" },
    { name: "visitors", kind: "distinct", type: "string" },
    { name: "waits", kind: "quantile", type: "int64" },
  ],
  where: [],
  digest: "d",
  published: 1,
  declaration: { event: "page.viewed", cell: "1m", measures: {} },
} as unknown as Schemas["View"];

const read = (state: string): Explore => readExplore(new URLSearchParams(state), [view]) as Explore;

test("without a state, a count of all time is shown", () => {
  expect(parametersOf(read(""))).toEqual({ view: "by_page", measures: ["views"] });
});

test("the state is the question", () => {
  const e = read(
    "view=by_page&m=waits.p99&m=views&by=page&where=page:prefix:/a:b&range=24h&zone=Asia/Tokyo&compare=1",
  );
  const question = {
    view: "by_page",
    measures: ["waits.p99", "views"],
    group_by: ["page"],
    where: ["page:prefix:/a:b"],
    from: "now-24h",
    to: "now",
    time_zone: "Asia/Tokyo",
    compare: "previous_period",
  };
  expect(parametersOf(e)).toEqual({ ...question, order_by: "waits.p99:desc", limit: "1000", totals: "true" });
  expect(parametersOf(e, "1h")).toEqual({ ...question, granularity: "1h", fill: "true", limit: "100000" });
});

test("names of another view, and conditions that are being written, are not asked", () => {
  const e = read("view=gone&m=gone&by=gone&where=gone:eq:1&where=page:in:&where=page:eq:");
  expect(parametersOf(e)).toEqual({ view: "by_page", measures: ["views"] });
});

test("the empty text is asked for by its own condition", () => {
  const e = read("where=page:empty:&where=page:not_empty:");
  expect(parametersOf(e).where).toEqual(["page:eq:", "page:ne:"]);
  expect(sqlOf(e, undefined, "")).toContain("WHERE page = ''\n  AND ifNull(page != '', true)");
  expect(onlyValue("page", "")).toEqual({ dimension: "page", op: "empty", value: "" });
  expect(onlyValue("page", null)).toEqual({ dimension: "page", op: "exists", value: "false" });
  expect(onlyValue("status", "9007199254740993").value).toBe("9007199254740993");
  expect(operatorsOf("int64").map(([op]) => op)).not.toContain("empty");
});

test("a view that is not published is asked for its live numbers", () => {
  expect(parametersOf({ ...read(""), mode: "live" }).mode).toBe("live");
});

test("what a chart leaves out is said", () => {
  expect(groupsNote(10, 10, false, "views")).toBe("");
  expect(groupsNote(10, 12, false, "views")).toMatch(/^The first 10 of 12 groups by views/);
  expect(groupsNote(10, 1000, true, "views")).toMatch(/^The first 10 of more than 1,000 groups/);
});

test("groups that do not add up are not stacked", () => {
  expect(chartOf(read("by=page&chart=stacked"), "visitors")).toBe("line");
  expect(chartOf(read("by=page"), "views")).toBe("stacked");
  expect(chartOf(read(""), "visitors")).toBe("bar");
});

test("a condition names groups, whatever their values are", () => {
  const groups = [
    { page: 'a"b', status: 404 },
    { page: null, status: "9007199254740993" },
    { page: "12", status: null },
  ];
  expect(onlyGroups(view, ["page", "status"], groups)).toBe(
    '(`page` = "a\\"b" and `status` = 404) or (`page` = null and `status` = 9007199254740993) or ' +
      '(`page` = "12" and `status` = null)',
  );
});

test("a command does not hold the key, and survives the shell", () => {
  expect(curlOf("http://h", "/v1/query?where=a:eq:it's", true)).toBe(
    "curl -s 'http://h/v1/query?where=a:eq:it'\\''s' -H \"Authorization: Bearer $RECOUNT_KEY\"",
  );
});

test("a statement asks the same", () => {
  const range = { from: "2024-05-01T00:00:00+02:00", to: "2024-05-02T00:00:00+02:00" };
  const e = read("m=views&m=total&by=page&where=page:ne:it's&where=status:in:1,2&zone=Europe/Berlin");
  expect(sqlOf(e, range, "1h")).toBe(
    [
      "SELECT toStartOfInterval(time, INTERVAL 1 HOUR, 'Europe/Berlin') AS window, page, sum(views) AS views, sum(total) AS total",
      "FROM by_page_merged",
      "WHERE time >= '2024-04-30 22:00:00'",
      "  AND time < '2024-05-01 22:00:00'",
      "  AND ifNull(page != 'it\\'s', true)",
      "  AND status IN (1, 2)",
      "GROUP BY window, page",
      "ORDER BY window, page",
    ].join("\n"),
  );
  expect(sqlOf(read("m=visitors&m=waits.p99"), undefined, "")).toBe(
    [
      "-- the published part only: by_page_states has no live rows",
      "-- waits.p99 is a quantile, which is made of bins: GET /v1/query answers it",
      "SELECT uniqExactArray(visitors__hashes) AS visitors",
      "FROM by_page_states",
    ].join("\n"),
  );
  expect(sqlOf(read("m=waits.p99"), undefined, "")).toMatch(/^--.*\/v1\/query answers it$/);
});
