import { expect, test } from "vitest";
import { errorText, heldOf } from "../src/scores";

test("an error that is not 0 is never written as 0", () => {
  expect([0, 1e-9, 0.0001, 0.01234, 1.5].map(errorText)).toEqual([
    "0",
    "< 0.01 %",
    "0.01 %",
    "1.23 %",
    "150 %",
  ]);
});

test("bounds of all measures of all views", () => {
  const measure = (bounds_stated: number, bounds_held: number) => ({
    measure: "m",
    kind: "distinct" as const,
    error_p50: 0,
    error_p99: 0,
    error_max: 0,
    bounds_stated,
    bounds_held,
  });
  const view = (...measures: ReturnType<typeof measure>[]) => ({
    view: "v",
    buckets: 1,
    groups: 1,
    measures,
  });
  const views = [view(measure(3, 2), measure(0, 0)), view(measure(5, 5))];
  expect(heldOf({ publication: 1, created: "", from: [], to: [], views })).toEqual({ stated: 8, held: 7 });
  expect(heldOf(undefined)).toEqual({ stated: 0, held: 0 });
});
