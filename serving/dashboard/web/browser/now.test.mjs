import assert from "node:assert/strict";
import { test } from "node:test";
import { open, publish, send, server, until } from "./page.mjs";

const total = (text) =>
  Number(/of all time[^\d]*|([\d,]+)\nof all time/.exec(text)?.[1]?.replaceAll(",", "") ?? Number.NaN);

test("numbers move while events arrive, and become exact when a publication lands", async () => {
  await send(20, () => ({ page: "/live", user: "ann", milliseconds: 5 }));
  const { page, close } = await open(`${server}/#now?view=by_page&m=views`);
  const before = total(await until(page, "a total", (text) => total(text) > 0));
  await send(30, () => ({ page: "/live", user: "bob", milliseconds: 5 }));
  const text = await until(page, "30 events more", (t) => total(t) === before + 30);
  assert.match(text, /with the live part/);
  assert.match(text, /views\s+\d+\s+live \d+/, "the chart says which part is live");
  const drawn = await hatched(page);
  assert.ok(drawn > 0, "the live part is hatched");
  await publish();
  await until(
    page,
    "the publication",
    (t) => /live events\n\d+\t/.test(t) && t.includes("Every number here is exact"),
  );
  await page.waitForTimeout(300);
  assert.ok((await hatched(page)) < drawn, "the hatched part has become solid");
  await close();
});

/** hatched counts the pixels of the chart that are neither solid nor empty. */
const hatched = (page) =>
  page.evaluate(() => {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      // The ground of the hatching: the blue of --series-1 with an alpha of about 0.28.
      if (data[i + 3] > 55 && data[i + 3] < 90 && data[i + 2] > data[i] + 80) count++;
    }
    return count;
  });

test("the arrow keys move through the windows", async () => {
  const { page, close } = await open(`${server}/#now?view=by_page`);
  const drawing = page.getByRole("img", { name: /arrow keys/ });
  await drawing.focus();
  const legend = page.locator("figcaption .legend-time");
  const last = await legend.innerText();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await legend.innerText(), last);
  await close();
});
