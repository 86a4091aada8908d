import { expect, test } from "vitest";
import { declarationOf, draftOf } from "../src/draft";

test("a declaration that was read into the form is written as it was", () => {
  const declaration = {
    event: "page.viewed",
    dimensions: ["page"],
    cell: "1h",
    measures: { views: { count: {} }, slowest: { max: "milliseconds" } },
    where: [
      { field: "milliseconds", op: "ge" as const, value: 100 },
      { field: "country", op: "in" as const, values: ["DE", "US"] },
      { field: "page", op: "exists" as const, value: false },
      { field: "beta", op: "eq" as const, value: true },
      { field: "code", op: "eq" as const, value: "007" },
    ],
  };
  const types = { milliseconds: "int64", country: "string", page: "string", beta: "bool", code: "string" };
  expect(declarationOf(draftOf("slow", declaration), types)).toEqual(declaration);
});
