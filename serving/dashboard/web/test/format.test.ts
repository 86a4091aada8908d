import { expect, test } from "vitest";
import { formatAge, formatCount, formatSeconds } from "../src/format";

test("counts have separators, also beyond a JavaScript number", () => {
  expect(formatCount(1234567)).toBe("1,234,567");
  expect(formatCount("9223372036854775807")).toBe("9,223,372,036,854,775,807");
  expect(formatCount(null)).toBe("–");
  expect(["287658.68", "-1234.50", "0.10"].map(formatCount)).toEqual(["287,658.68", "-1,234.50", "0.10"]);
  expect(formatCount("abc")).toBe("abc");
});

test("durations have at most two units", () => {
  expect([0, 59.6, 61, 3600, 93_784].map(formatSeconds)).toEqual([
    "0 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 d 2 h",
  ]);
  expect(formatAge("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:02:00Z"))).toBe("2 min");
});
