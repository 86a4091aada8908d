import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";
import { ask, open, publish, send, server, until } from "./page.mjs";

const day = Date.parse("2026-03-02T00:00:00Z");

before(async () => {
  const pages = ["/", "/buy", "/it's", null];
  const data = (i) => ({
    page: pages[i % 4],
    country: i % 3 ? "DE" : "US",
    user: `u${i % 50}`,
    milliseconds: i,
  });
  const time = (i) => new Date(day + i * 600_000);
  await send(300, data, time);
  await publish();
  await send(40, (i) => ({ page: "/buy", country: "DE", user: `v${i}`, milliseconds: i }), time);
});

const shown = async (page, name) => {
  const tile = page.locator(".tile", { has: page.locator("dt", { hasText: name }) }).locator("b");
  return Number((await tile.innerText()).replaceAll(",", ""));
};

const march = "range=custom&from=2026-03-01&to=2026-04-01";

test("the number is the API's", async () => {
  const asked = "view=by_page&from=2026-03-01&to=2026-04-01";
  for (const [state, query] of [
    [march, ""],
    [`${march}&by=page`, "&group_by=page&totals=true"],
    [`${march}&where=page:eq:/it's`, "&where=page:eq:/it's"],
    [
      `${march}&by=page&by=country&where=country:in:DE,FR`,
      "&group_by=page,country&totals=true&where=country:in:DE,FR",
    ],
  ]) {
    const { page, close } = await open(`${server}/#explore?view=by_page&m=views&m=visitors&${state}`);
    await until(page, "an answer", (t) => t.includes("How exact is this?"));
    const answer = await ask(asked + query);
    const row = answer.totals ?? answer.rows[0];
    assert.equal(await shown(page, "views"), row.views, state);
    assert.equal(await shown(page, "visitors"), row.visitors, state);
    await close();
  }
});

test("a click asks for a group, the URL has all of it, and a missing value can be asked for", async () => {
  const { page, close } = await open(`${server}/#explore?view=by_page&m=views&${march}&by=page`);
  await page.getByRole("button", { name: "(none)" }).click();
  const { rows } = await ask("view=by_page&from=2026-03-01&to=2026-04-01&measures=views&where=page+%3D+null");
  const isOne = (t) => t.includes(`\nviews\n${rows[0].views}\n`) && t.includes("exists");
  await until(page, "one group", isOne);
  assert.match(page.url(), /where=page%3Aexists%3Afalse/);
  const again = await open(page.url());
  await until(again.page, "the same", isOne);
  await again.close();
  await page.getByRole("button", { name: "country", exact: true }).click();
  await page.getByLabel("Show").selectOption("table");
  await until(page, "both groups", (t) => /DE/.test(t) && /US/.test(t));
  assert.match(page.url(), /by=page&by=country/);
  assert.match(page.url(), /chart=table/);
  await close();
});

test("curl, SQL and CSV say the same as the page", async () => {
  const { page, close } = await open(
    `${server}/#explore?view=by_page&m=views&m=total&${march}&by=page&chart=table&where=country:eq:DE`,
  );
  await page.getByRole("button", { name: "Copy as curl" }).click();
  const curl = await page.locator(".copied code").innerText();
  const url = /'(.*)'/.exec(curl.replaceAll("'\\''", "'"))[1];
  const answer = await (await fetch(url)).json();
  assert.equal(answer.totals.views, await shown(page, "views"));

  await page.getByRole("button", { name: "Copy as SQL" }).click();
  await until(page, "the statement", (t) => t.includes("SELECT page"));
  const sql = await page.locator(".copied code").innerText();
  const rows = await fetch(`${server}/v1/sql`, { method: "POST", body: `${sql}\nFORMAT CSV` });
  const text = await rows.text();
  assert.equal(rows.status, 200, text);
  const counted = text
    .trim()
    .split("\n")
    .map((line) => Number(line.split(",")[1]));
  assert.equal(
    counted.reduce((a, b) => a + b, 0),
    answer.totals.views,
  );

  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download CSV" }).click();
  const csv = await readFile(await (await waiting).path(), "utf8");
  assert.equal(csv.trim().split("\n").length, answer.rows.length + 1);
  await close();
});

test("a wrong question gets the server's words, and an empty range says what to do", async () => {
  const { page, close } = await open(
    `${server}/#explore?view=by_page&where=page:contains:/&range=custom&from=tomorow`,
  );
  await until(page, "the error", (t) => /from: .*tomorow/s.test(t));
  await page.getByLabel("Range").selectOption("yesterday");
  await until(page, "what to do", (t) => t.includes("No event is in this range"));
  await close();
});
