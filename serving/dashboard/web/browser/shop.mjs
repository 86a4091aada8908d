// The demonstration of make demo-web as its user sees it. TestShop of deploy/proof/e2e runs it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectAccessible, expectNoSideScroll, open, screenshot, until } from "./page.mjs";

const shop = process.env.RECOUNT_SHOP;
const counts = process.env.RECOUNT_SHOP_COUNTS;

test("the shop counts itself, and its user types no key", async () => {
  const watched = await open(counts);
  await until(watched.page, "the view", (text) => text.includes("Publication age"));
  const counter = new URL(counts).origin;
  assert.equal(watched.page.url(), `${counter}/#now?view=page_views`, "the key left the address");

  const { page, close } = await open(shop, { width: 700, counter });
  await page.context().route("https://www.example.com/**", (route) => route.abort());
  await page.getByRole("link", { name: "Tea" }).click();
  const add = page.getByRole("button", { name: "Add tea for 4" });
  await add.click();
  await add.click();
  await page.getByText("2 in the cart").waitFor();
  await page.getByRole("link", { name: "Coffee" }).click();
  await page.goBack();
  await page.getByRole("link", { name: "Another site" }).click();
  await expectAccessible(page, "the shop");
  await expectNoSideScroll(page, "the shop");
  await screenshot(page, "shop");

  const total = (name, count) => (text) => text.includes(`${name}\n${count}\nof all time, exact`);
  await until(watched.page, "four views, exact", total("views", 4));
  await screenshot(watched.page, "shop-counts");
  await watched.page.evaluate(() => location.assign("#now?view=cart&m=value&key=another"));
  await until(watched.page, "8 for tea, exact", total("value", 8));
  assert.ok(!watched.page.url().includes("another"), "the address has a key");
  await watched.page.evaluate(() => location.assign("#now?view=links"));
  await until(watched.page, "one click, exact", total("clicks", 1));
  await close();
  await watched.close();
});
