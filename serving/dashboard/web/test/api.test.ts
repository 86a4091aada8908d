import { afterEach, expect, test, vi } from "vitest";
import { address, call, parseJSON } from "../src/api";

afterEach(() => vi.unstubAllGlobals());

test("a delete has no answer", async () => {
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async () => new Response(null, { status: 204 }));
  expect(await call("delete", "/v1/views/{name}", { path: { name: "v" } })).toBeUndefined();
});

test("an address has its parts escaped, and lists repeated", () => {
  expect(address("/v1/views/{name}", { path: { name: "a/b" } })).toBe("/v1/views/a%2Fb");
  const query = { view: "v", where: ['a = "1&2"', "b > 3"], limit: undefined, zone: "" };
  expect(address("/v1/query", { query })).toBe("/v1/query?view=v&where=a+%3D+%221%262%22&where=b+%3E+3");
});

test("whole numbers lose no digit", () => {
  const read = parseJSON(
    '{"big":9007199254740993,"small":12,"text":"9007199254740993","sum":0.1,' +
      '"list":[-9007199254740993,1e30],"say":"a\\":9007199254740993"}',
  );
  expect(read).toEqual({
    big: "9007199254740993",
    small: 12,
    text: "9007199254740993",
    sum: 0.1,
    list: ["-9007199254740993", 1e30],
    say: 'a":9007199254740993',
  });
});
