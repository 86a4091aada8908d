import { expect, test } from "vitest";
import { checkKey } from "../src/key";

test("a key that no header can carry is refused in words", async () => {
  expect(await checkKey("rk_ключ")).toMatch(/^A key has only letters/);
  expect(await checkKey("rk_a b")).toMatch(/^A key has only letters/);
});
