import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import {
  ask,
  expectAccessible,
  expectNoSideScroll,
  guarded,
  key,
  open,
  publish,
  screenshot,
  send,
  server,
  until,
} from "./page.mjs";

const day = Date.parse("2026-04-07T00:00:00Z");

before(async () => {
  const data = (i) => ({ page: i % 2 ? "/" : "/buy", country: "DE", user: `u${i}`, milliseconds: i });
  await send(100, data, (i) => new Date(day + i * 1000));
  await publish();
});

/** post sends events with an id of one's own, and returns the answer whatever its status. */
const post = async (...events) =>
  (
    await fetch(`${server}/v1/events`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(events),
    })
  ).json();

test("a view is previewed, created, filled, changed and deleted", async () => {
  const { page, close } = await open(`${server}/#data`);
  await page.getByRole("button", { name: "New view" }).click();
  await page.getByRole("combobox", { name: /^Event type/ }).selectOption("page.viewed");
  await page.getByRole("textbox", { name: /^Name/ }).fill("slow_pages");
  await page.getByRole("combobox", { name: /^Smallest window/ }).selectOption("1h");
  await page.getByRole("checkbox", { name: "page" }).check();
  await page.getByRole("button", { name: "Add a condition" }).click();
  await page.getByRole("combobox", { name: /^Field/ }).selectOption("milliseconds");
  await page.getByRole("combobox", { name: /^Is/ }).selectOption("ge");
  await page.getByRole("textbox", { name: /^Value/ }).fill("60");
  await page.getByRole("button", { name: "Preview" }).click();
  const preview = page.getByRole("region", { name: "Preview" });
  await preview.waitFor();
  await expectAccessible(page, "the form of a view");
  await screenshot(page, "data-view-form");
  await page.getByRole("button", { name: "Create the view" }).click();
  await until(page, "the view", (t) => t.includes("milliseconds ≥ 60"));
  await publish();
  const { rows } = await ask("view=slow_pages&from=2026-04-07&to=2026-04-08&mode=exact");
  assert.equal(rows[0].events, 40, "the view has its history");
  await until(page, "a filled view", (t) => (t.match(/✓ filled/g) ?? []).length >= 2);

  await page.getByRole("button", { name: "Edit slow_pages" }).click();
  await page.getByRole("textbox", { name: /^Value/ }).fill("90");
  await page.getByRole("button", { name: "Save the view" }).click();
  await until(page, "the change", (t) => t.includes("milliseconds ≥ 90"));

  await page.getByRole("button", { name: "Delete slow_pages" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal((await fetch(`${server}/v1/views/slow_pages`)).status, 200, "Cancel deletes nothing");
  await page.getByRole("button", { name: "Delete slow_pages" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await until(page, "the view gone", (t) => {
    assert.doesNotMatch(t, /Error/, "an answer without a body is no mistake");
    return !t.includes("slow_pages");
  });
  await close();
});

test("a key that may not declare is told so, and has no button for it", async () => {
  const { page, close } = await open(`${guarded}/#data`);
  await page.locator("input[name=key]").fill(key);
  await page.keyboard.press("Enter");
  await until(page, "what is needed", (t) => t.includes("use a key with the scope admin"));
  await page.getByRole("link", { name: "by_page" }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^(New|Edit|Delete) / }).count(), 0);
  await close();
});

test("a wrong declaration is refused with its place", async () => {
  const { page, close } = await open(`${server}/#data?type=%2B`);
  await page.getByRole("textbox", { name: /^Name/ }).fill("page.wrong");
  await page.getByLabel("Declaration").fill('{"fields": {"delay": "integer"}}');
  await page.getByRole("button", { name: "Create the type" }).click();
  const text = await until(page, "the mistake", (t) => t.includes("unknown type"));
  assert.match(text, /fields\.delay/);
  await close();
});

test("an event is listed as it arrives, and leads to its explanation", async () => {
  const { page, close } = await open(`${server}/#data?show=events&type=page.viewed`);
  await page.getByRole("region", { name: "Events" }).waitFor();
  const time = new Date(day).toISOString();
  await post({ id: "arrived", source: "test", type: "page.viewed", time, data: { page: "/new" } });
  await page.getByRole("link", { name: "arrived" }).click();
  const text = await until(
    page,
    "the stages",
    (t) => t.includes("Live in by_page") || t.includes("Counted by by_page"),
  );
  assert.match(text, /Accepted/);
  await publish();
  await until(page, "the publication", (t) => {
    page
      .getByRole("button", { name: "Look again" })
      .click()
      .catch(() => {});
    return t.includes("It is counted exactly.");
  });
  await expectAccessible(page, "an explained event");
  await screenshot(page, "event-explained");
  await page.getByLabel("Id").fill("nobody sent this");
  await page.getByRole("button", { name: "Explain" }).click();
  await until(page, "what to do", (t) => t.includes("leave the time empty"));
  await page.getByLabel("About when it happened").fill("");
  await page.getByRole("button", { name: "Explain" }).click();
  await until(page, "that there is none", (t) => t.includes("No event has this source and id"));
  await close();
});

test("a dead letter is replayed when its reason is gone", async () => {
  const answer = await post({ id: "late-1", source: "test", type: "page.scrolled", data: { page: "/" } });
  assert.equal(answer.rejected[0].code, "unknown_type");
  const { page, close } = await open(`${server}/#data?show=letters`);
  const button = page.getByRole("button", { name: "Replay unknown_type of page.scrolled" });
  await button.click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await until(page, "the reason that remains", (t) => t.includes("0 of 1 accepted"));
  await fetch(`${server}/v1/event-types/page.scrolled`, {
    method: "PUT",
    body: '{"fields": {"page": "string"}}',
    headers: { "Content-Type": "application/json" },
  });
  await button.click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await until(
    page,
    "the replay",
    (t) => /[1-9] of [1-9] accepted/.test(t) && (t.match(/✓ .*replayed/g) ?? []).length === 2,
  );
  await expectAccessible(page, "replayed dead letters");
  await screenshot(page, "data-letters-replayed");
  const explained = await (await fetch(`${server}/v1/events/late-1?source=test`)).json();
  assert.ok(explained.events.length > 0, "the event is stored");
  await page.getByRole("link", { name: "late-1" }).click();
  await until(page, "that it was accepted", (t) => t.includes("It was accepted since"));
  await page.goBack();
  await until(page, "the replay, still", (t) => t.includes("✓ replayed"));
  await close();
});

test("a file is counted once, however often it is sent, and wrong rows are named", async () => {
  const rows = [
    "at,shop,pieces",
    ...Array.from({ length: 2500 }, (_, i) => `2026-04-07 10:00,shop ${i % 2},${i === 7 ? "many" : 2}`),
  ];
  const path = join(tmpdir(), `sold-${process.pid}.csv`);
  await writeFile(path, rows.join("\r\n"));
  for (let round = 0; round < 2; round++) {
    const { page, close } = await open(`${server}/#data?show=file`);
    await page.getByLabel("CSV file").setInputFiles(path);
    await page.getByLabel("Event type").fill("sold.pieces");
    if (round === 1) await until(page, "the declared type", (t) => /int64\s+declared/.test(t));
    else {
      await page.getByLabel("Type of pieces").selectOption("int64");
      await expectAccessible(page, "the form of a file");
      await expectNoSideScroll(page, "the form of a file");
      await screenshot(page, "data-file");
    }
    await page.getByRole("button", { name: "Count it" }).click();
    const text = await until(
      page,
      "the end",
      (t) => t.includes("rows accepted") && t.includes("Explore sold_pieces"),
    );
    assert.match(text, /2,499 of 2,500 rows accepted, 1 rejected/);
    assert.match(text, /\n9\t.*many.* is not int64/s, "the row as the reader of the file numbers it");
    await close();
  }
  await publish();
  const { totals } = await ask("view=sold_pieces&from=2026-04-07&to=2026-04-08&group_by=shop&totals=true");
  assert.deepEqual([totals.events, totals.pieces_total], [2499, 4998]);
});

test("another file of the same name is counted, and its types are those that are declared", async () => {
  const declared = await fetch(`${server}/v1/event-types/sold.daily`, {
    method: "PUT",
    body: '{"fields": {"shop": "string", "pieces": "int64", "price": "decimal(18,2)"}}',
    headers: { "Content-Type": "application/json" },
  });
  assert.ok(declared.ok);
  const measures = { events: { count: {} }, pieces: { sum: "pieces" }, price: { sum: "price" } };
  await fetch(`${server}/v1/views/sold_daily`, {
    method: "PUT",
    body: JSON.stringify({ event: "sold.daily", dimensions: ["shop"], cell: "1m", measures }),
    headers: { "Content-Type": "application/json" },
  });
  for (const row of ["2026-04-07 10:00,7,2,0.10", "2026-04-07 10:00,8,many,1", "2026-04-07 10:00,8,3,0.25"]) {
    const { page, close } = await open(`${server}/#data?show=file`);
    const buffer = Buffer.from(`at,shop,pieces,price\n\n${row}\n`);
    await page.getByLabel("CSV file").setInputFiles({ name: "export.csv", mimeType: "text/csv", buffer });
    await page.getByLabel("Event type").fill("sold.daily");
    await until(page, "the declared types", (t) => (t.match(/ declared/g) ?? []).length === 3);
    await screenshot(page, "data-file-declared");
    await page.getByRole("button", { name: "Count it" }).click();
    const text = await until(page, "the end", (t) => t.includes("Explore sold_daily"));
    if (row.includes("many")) assert.match(text, /\n3\t.*many/s, "the row as a spreadsheet numbers it");
    else assert.match(text, /1 of 1 rows accepted\./);
    await close();
  }
  await publish();
  const { totals } = await ask("view=sold_daily&from=2026-04-07&to=2026-04-08&totals=true");
  assert.deepEqual([totals.events, totals.pieces, totals.price], [2, 5, "0.35"]);
});

test("a file that is none is refused", async () => {
  const { page, close } = await open(`${server}/#data?show=file`);
  await page
    .getByLabel("CSV file")
    .setInputFiles({ name: "x.csv", mimeType: "text/csv", buffer: Buffer.from('a,b\n1,"2') });
  await until(page, "the mistake", (t) => t.includes("Row 2: a quote is not closed."));
  await close();
});

test("a job is run, and a pin asks first", async () => {
  const { page, close } = await open(`${server}/#pipeline`);
  await page.getByRole("button", { name: "Run audit" }).click();
  const job = page.getByRole("region", { name: "Job audit" });
  await job
    .getByText(/residue 0/)
    .first()
    .waitFor();
  await page
    .getByRole("button", { name: /^Pin publication/ })
    .first()
    .click();
  await expectAccessible(page, "the question before a pin");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  const { publications } = await (await fetch(`${server}/v1/publications`)).json();
  assert.ok(
    publications.every((p) => !p.pinned),
    "Cancel pins nothing",
  );
  await close();
});

test("the reports say that nothing is missing and what a publication changed", async () => {
  await post({
    id: `changed-${process.pid}`,
    source: "test",
    type: "page.viewed",
    time: new Date(day).toISOString(),
    data: { page: "/later" },
  });
  await publish();
  const { page, close } = await open(`${server}/#accuracy?view=by_page`);
  for (const job of ["audit", "score", "recheck"]) {
    const button = page.getByRole("button", { name: `Run ${job}` });
    await button.click();
    await button.waitFor();
  }
  await until(
    page,
    "the reports",
    (t) => t.includes("All are equal.") && t.includes("Every accepted event is counted"),
  );
  const text = await until(page, "the change", (t) => t.includes("1 added, 0 changed and 0 removed cells"));
  assert.match(text, /late events/);
  await close();
});

const states = [
  "data",
  "data?edit=by_page",
  "data?type=page.viewed",
  "data?show=events",
  "data?show=letters",
  "data?show=file",
  "event",
  "accuracy",
  "pipeline",
];

for (const scheme of ["light", "dark"]) {
  for (const width of [1440, 390]) {
    test(`what operators see is accessible and fits, ${scheme}, ${width} px`, async () => {
      const { page, close } = await open(`${server}/`, { width, scheme });
      for (const state of states) {
        await page.goto(`${server}/#${state}`);
        await page.waitForSelector("main h1");
        await page.waitForTimeout(300);
        await expectNoSideScroll(page, `${state} at ${width}`);
        await expectAccessible(page, `${state}, ${scheme}, ${width}`);
        await screenshot(page, `${state.replace(/\W/g, "-")}-${scheme}-${width}`);
      }
      await close();
    });
  }
}
