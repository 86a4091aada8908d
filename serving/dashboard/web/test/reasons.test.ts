import { expect, test } from "vitest";
import type { Schemas } from "../src/api";
import { acceptedOf, markOf, reasonsOf, withoutValues } from "../src/data/reasons";

type Letter = Schemas["DeadLetter"];

const letter = (n: number, code: string, type: string, message: string): Letter => ({
  name: `0-${n}-0`,
  received: "2026-11-29T14:13:23Z",
  code,
  message,
  event_type: type,
  bytes: 100,
  truncated: false,
  strict: false,
});
const letters = [
  letter(5, "invalid_field", "sold", 'data.pieces: the text "DROP \\"it\\"" is not int64'),
  letter(4, "invalid_field", "sold", "data.price_2: 12.5 is not int64"),
  letter(3, "invalid_field", "sold", 'data.pieces: the text "many" is not int64'),
  letter(2, "invalid_field", "shop", "data.open: true is not string"),
  letter(1, "unknown_type", "sold", 'type: "sold" is not declared'),
];

test("the messages of a reason are told apart, and values are not", () => {
  expect(reasonsOf(letters).map((r) => [r.code, r.type, r.count, r.messages])).toEqual([
    [
      "invalid_field",
      "sold",
      3,
      [
        { text: 'data.pieces: the text "DROP \\"it\\"" is not int64', count: 2 },
        { text: "data.price_2: 12.5 is not int64", count: 1 },
      ],
    ],
    ["invalid_field", "shop", 1, [{ text: "data.open: true is not string", count: 1 }]],
    ["unknown_type", "sold", 1, [{ text: 'type: "sold" is not declared', count: 1 }]],
  ]);
  expect(withoutValues("data.field_2: -1.5e+9 is not int64")).toBe("data.field_2: … is not int64");
  expect(withoutValues("data.a2.b3: false is not float64")).toBe("data.a2.b3: … is not float64");
});

test("a replay marks what it chose and what did not fail", () => {
  const marks = acceptedOf(letters, { code: "invalid_field", type: "sold" }, new Set(["0-4-0"]));
  expect(marks).toEqual([letters[0], letters[2]].map((l) => markOf(l as Letter)));
  expect(reasonsOf(letters, new Set(marks)).map((r) => r.replayed)).toEqual([2, 0, 0]);
  expect(acceptedOf(letters, { code: "unknown_type" }, new Set())).toHaveLength(1);
});
