import { createHash } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { declaredAs, eventOf, fieldName, Reader, separatorOf, timestamp, token, typeOf } from "../src/csv";
import { digestOf, sendFile } from "../src/send";
import { SHA256 } from "../src/sha256";

function rowsOf(text: string, piece: number, separator = ","): string[][] {
  const reader = new Reader(separator);
  const rows: string[][] = [];
  for (let i = 0; i < text.length; i += piece) rows.push(...reader.push(text.slice(i, i + piece)));
  return [...rows, ...reader.end()];
}

test("rows are the same however the file is cut into pieces", () => {
  const text = 'a,b,c\r\n1,"x, ""y""\nz",\r\n\r\n"",2,"é"\n3,4,5';
  const want = [["a", "b", "c"], ["1", 'x, "y"\nz', ""], [], ["", "2", "é"], ["3", "4", "5"]];
  for (let piece = 1; piece <= text.length; piece++) expect(rowsOf(text, piece)).toEqual(want);
});

test("a wrong file is refused with the row", () => {
  expect(() => rowsOf('a\n"b', 100)).toThrow("Row 2: a quote is not closed.");
  expect(() => rowsOf('a\nb"c', 100)).toThrow("Row 2");
  expect(() => rowsOf('a\r\nb"c', 100)).toThrow("Row 2");
  expect(() => rowsOf('"a"b', 100)).toThrow("after a closing quote");
  expect(() => rowsOf(`"${"x".repeat(70_000)}`, 1000)).toThrow("more than 65536 characters");
  expect(() => rowsOf(",".repeat(300), 1000)).toThrow("more than 200 cells");
});

test("types are those that hold all values", () => {
  expect(typeOf(["1", "", "-20"])).toBe("int64");
  expect(typeOf(["1", "1.5"])).toBe("float64");
  expect(typeOf(["007"])).toBe("string");
  expect(typeOf(["99999999999999999999"])).toBe("float64");
  expect(typeOf(["true", "false"])).toBe("bool");
  expect(typeOf(["2024-05-01", "2024-05-01 10:00", "2024-05-01T10:00:00+02:00"])).toBe("timestamp");
  expect(typeOf(["", ""])).toBe("string");
});

test("names and separators", () => {
  expect(["Preis (€)", "Café", "", "2nd"].map(fieldName)).toEqual([
    "preis",
    "cafe",
    "column_3",
    "column_2nd",
  ]);
  expect(["a;b;c,d", "a\tb", "a"].map(separatorOf)).toEqual([";", "\t", ","]);
});

test("times without an offset are UTC", () => {
  expect(["2024-05-01", "2024-05-01 10:00", "2024-05-01T10:00:00.5+02:00", "soon"].map(timestamp)).toEqual([
    "2024-05-01T00:00:00Z",
    "2024-05-01T10:00:00Z",
    "2024-05-01T10:00:00.5+02:00",
    "soon",
  ]);
});

test("no number loses digits, and what does not fit stays a text for the server to refuse", () => {
  expect(token("9007199254740993", "int64")).toBe("9007199254740993");
  expect(token("abc", "int64")).toBe('"abc"');
  expect(token('a"b', "string")).toBe('"a\\"b"');
});

test("a declared field has its type, and a decimal is sent as a text", () => {
  const guessed = [
    { name: "pieces", type: "string", skip: false },
    { name: "price", type: "float64", skip: true },
    { name: "note", type: "int64", skip: false },
  ] as const;
  expect(declaredAs(guessed, { pieces: "int64", price: "decimal(18,2)" })).toEqual([
    { name: "pieces", type: "int64", skip: false, declared: "int64" },
    { name: "price", type: "string", skip: true, declared: "decimal(18,2)" },
    { name: "note", type: "int64", skip: false },
  ]);
  expect(declaredAs(declaredAs(guessed, { pieces: "int64" }), {})[0]).not.toHaveProperty("declared");
});

test("a digest is SHA-256, however the bytes are cut", async () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 37) % 251);
    const digest = new SHA256();
    for (let at = 0; at < size; at += 17) digest.add(bytes.subarray(at, at + 17));
    expect(digest.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
  }
});

afterEach(() => vi.unstubAllGlobals());

/** rowsSent sends a file, and returns source and id of each event that was posted. */
async function rowsSent(text: string): Promise<string[]> {
  const sent: string[] = [];
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async (_: string, init: { body: string }) => {
    const events = JSON.parse(init.body) as { source: string; id: string }[];
    sent.push(...events.map((e) => `${e.source} ${e.id}`));
    return new Response(JSON.stringify({ accepted: events.length, rejected: [] }), { status: 200 });
  });
  const file = new File([text], "export.csv");
  const { signal } = new AbortController();
  const digest = await digestOf(file, signal);
  const columns = [{ name: "n", type: "int64", skip: false }] as const;
  const plan = {
    file: file.name,
    digest,
    type: "t",
    columns: [...columns],
    timeColumn: -1,
    fallback: "2026-01-01",
  };
  await sendFile(file, plan, ",", signal, () => {});
  return sent;
}

test("the same file has the same identities, and another one of its name has others", async () => {
  const monday = await rowsSent("n\n1\n2\n");
  expect(await rowsSent("n\n1\n2\n")).toEqual(monday);
  const both = new Set([...monday, ...(await rowsSent("n\n1\n3\n"))]);
  expect(both.size).toBe(4);
});

test("rows have the numbers of a spreadsheet", async () => {
  const ids = (await rowsSent('\nn\n1\n\n"2"\r\n\r\n3')).map((s) => s.split(" ")[1]);
  expect(ids).toEqual(["3", "5", "7"]);
});

test("a row is an event whose identity is the file and the row", () => {
  const column = (name: string, type: "string" | "int64" | "timestamp", skip = false) => ({
    name,
    type,
    skip,
  });
  const plan = {
    file: "May 1.csv",
    digest: "0123456789abcdef0123",
    type: "sold",
    columns: [
      column("at", "timestamp"),
      column("shop", "string"),
      column("n", "int64"),
      column("x", "string", true),
    ],
    timeColumn: 0,
    fallback: "2020-01-01T00:00:00Z",
  };
  expect(JSON.parse(eventOf(plan, 7, ["2024-05-01 10:00", "a", "3", "no"]))).toEqual({
    specversion: "1.0",
    id: "7",
    source: "csv/May%201.csv/0123456789abcdef",
    type: "sold",
    time: "2024-05-01T10:00:00Z",
    data: { shop: "a", n: 3 },
  });
  expect(JSON.parse(eventOf(plan, 8, ["", "", "3"]))).toMatchObject({ time: plan.fallback, data: { n: 3 } });
});
