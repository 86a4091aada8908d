import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  expectAccessible,
  expectNoSideScroll,
  guarded,
  key,
  open,
  publish,
  screenshot,
  send,
  server,
} from "./page.mjs";

before(async () => {
  const pages = [
    "/",
    "/",
    "/",
    "/buy",
    "/buy",
    "/docs",
    "/about",
    "/a-page-with-a-long-name-that-has-no-place-to-break",
  ];
  const country = ["DE", "US", "FR"];
  const data = (i) => ({
    page: pages[i % 8],
    country: country[i % 3],
    user: `u${(i * 7) % 400}`,
    milliseconds: (i * 37) % 900,
  });
  const recent = (i) => new Date(Date.now() - ((i * 7919) % 3_500_000) * (0.3 + 0.7 * Math.abs(Math.sin(i))));
  await send(1500, data, recent);
  await publish();
  await send(300, data, (i) => new Date(Date.now() - ((i * 7919) % 900_000)));
});

/** richState is what a tab is asked to show, if its first state shows little. */
const richState = {
  explore: "?view=by_page&m=views&m=visitors&by=page&range=1h&compare=1",
  now: "?view=by_page&m=views",
};

for (const scheme of ["light", "dark"]) {
  for (const width of [1440, 390]) {
    test(`every tab is accessible and fits, ${scheme}, ${width} px`, async () => {
      const { page, close } = await open(`${server}/`, { width, scheme });
      const links = page.getByRole("navigation").getByRole("link");
      const names = await links.evaluateAll((all) => all.map((a) => a.getAttribute("href").slice(1)));
      assert.ok(names.length >= 2);
      for (const name of names) {
        await page.goto(`${server}/#${name}${richState[name] ?? ""}`);
        await page.waitForSelector("main h1");
        await page.waitForLoadState("networkidle", { timeout: 1500 }).catch(() => {}); // A live tab is never idle.
        await expectNoSideScroll(page, `${name} at ${width}`);
        await expectAccessible(page, `${name}, ${scheme}, ${width}`);
        await screenshot(page, `${name}-${scheme}-${width}`);
      }
      await close();
    });
  }
}

test("an empty server fits a phone", async () => {
  const { page, close } = await open(`${server}/#event`, { width: 390 });
  await page.route("**/v1/views", (route) => route.fulfill({ json: { views: [] } }));
  for (const tab of ["now", "explore"]) {
    await page.goto(`${server}/#${tab}`);
    await page.getByText("Nothing is counted yet").waitFor();
    await expectNoSideScroll(page, `the empty ${tab}`);
  }
  await close();
});

test("what could not be read is not said to be well", async () => {
  const { page, close } = await open(`${server}/#event`);
  for (const path of ["**/metrics", "**/v1/publications"]) await page.route(path, (route) => route.abort());
  await page.goto(`${server}/#pipeline`);
  await page.getByText("The server does not answer").first().waitFor();
  for (const claim of ["all are well", "0 segments", "none yet"])
    assert.equal(await page.getByText(claim).count(), 0, claim);
  await close();
});

test("a chosen theme stays, whatever the system says", async () => {
  const { page, close } = await open(`${server}/`, { scheme: "dark" });
  await page.getByRole("button", { name: /^Theme/ }).click();
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await ground(), "rgb(246, 247, 249)");
  await page.reload();
  assert.equal(await ground(), "rgb(246, 247, 249)");
  await close();
});

test("a wrong key is refused with words, and a right one stays in the tab", async () => {
  const { page, close } = await open(`${guarded}/`);
  await page.getByRole("heading", { name: "This server asks for a key" }).waitFor();
  await expectAccessible(page, "the key page");
  await screenshot(page, "key");
  await page.getByLabel("Key", { exact: false }).first().fill("rk_wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The server does not know this key").waitFor();
  await page.locator("input[name=key]").fill("rk_ключ");
  await page.keyboard.press("Enter");
  await page.getByText("A key has only letters").waitFor();
  await page.locator("input[name=key]").fill(key);
  await page.keyboard.press("Enter");
  await page.getByText("Nothing is counted yet").or(page.getByText("Publication age")).first().waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Now" }).waitFor();
  const stored = await page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage)]);
  assert.deepEqual(stored, [[], ["recount.key"]]);
  await close();
});
