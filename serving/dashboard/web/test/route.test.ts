import { expect, test } from "vitest";
import { changed, formatRoute, parseRoute } from "../src/route";

test("a route survives its URL", () => {
  const hash = "#explore?view=by_page&where=page+%3D+%22%2F%3Fa%26b%22&by=a&by=b";
  const route = parseRoute(hash);
  expect(route.tab).toBe("explore");
  expect(route.state.get("where")).toBe('page = "/?a&b"');
  expect(route.state.getAll("by")).toEqual(["a", "b"]);
  expect(formatRoute(route)).toBe(hash);
  expect(formatRoute(parseRoute(""))).toBe("#");
});

test("an empty value removes a name", () => {
  const state = new URLSearchParams("view=v&by=a&by=b&zone=UTC");
  expect(changed(state, { by: ["c", ""], zone: "" }).toString()).toBe("view=v&by=c");
  expect(state.toString()).toBe("view=v&by=a&by=b&zone=UTC");
});
