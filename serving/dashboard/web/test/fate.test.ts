import { expect, test } from "vitest";
import type { Schemas } from "../src/api";
import { sinceText, stepsOf, verdict } from "../src/fate";

const position = { partition: 1, epoch: 1, sequence: 7, index: 3 };
const event = (changes: Partial<Schemas["ExplainedEvent"]>): Schemas["ExplainedEvent"] => ({
  status: "counted",
  type: "page.viewed",
  source: "shop",
  time: "2024-05-01T10:00:30Z",
  time_assigned: false,
  position,
  conflict: false,
  views: [],
  ...changes,
});
const search = {
  objects: 1,
  rows: 1,
  messages: 0,
  complete: true,
  missing: [],
  given_up: [],
  milliseconds: 1,
};
const explanation = (changes: Partial<Schemas["Explanation"]>): Schemas["Explanation"] => ({
  id: "2",
  source: "shop",
  partition: 1,
  events: [],
  dead_letters: [],
  publication: 3,
  search,
  ...changes,
});

test("a counted event says where", () => {
  const counted = event({
    landed: "2024-05-01T10:01:00Z",
    views: [
      {
        view: "v",
        status: "counted",
        cell: "2024-05-01T10:00:00Z",
        dimensions: { page: "/", country: null },
        publication: 3,
      },
    ],
  });
  const steps = stepsOf(counted);
  expect(steps.map((s) => [s.state, s.title])).toEqual([
    ["done", "Accepted"],
    ["done", "Landed"],
    ["done", "Counted by v"],
  ]);
  expect(steps[0]?.text).toBe("Its place in the log is partition 1, message 7, event 3.");
  expect(steps[2]?.text).toBe(
    "Publication 3 counts it in the cell 2024-05-01T10:00:00Z with page = /, country = none.",
  );
});

test("what is not counted says why", () => {
  const filter = { field: "milliseconds", op: "ge", values: [100] } as const;
  const views: Schemas["ExplainedView"][] = [
    { view: "slow", status: "not_counted", excluded_by: [{ ...filter, values: [100] }] },
    { view: "all", status: "pending", cell: "2024-05-01T10:00:00Z" },
  ];
  const [, landed, slow, all] = stepsOf(event({ status: "pending", views }));
  expect(landed?.state).toBe("waiting");
  expect(slow).toMatchObject({ state: "stopped", text: "It does not meet milliseconds ≥ 100." });
  expect(all?.state).toBe("waiting");
  expect(stepsOf(event({ status: "not_counted" })).at(-1)?.text).toContain(
    "No view counts the type page.viewed",
  );
  const copy = stepsOf(event({ status: "copy", copy_of: { ...position, index: 0 }, conflict: true })).at(-1);
  expect(copy?.text).toContain("partition 1, message 7, event 0 counts instead");
  expect(copy?.text).toContain("conflict");
});

test("a rejected event says whether it was accepted since", () => {
  const letter = { received: "2024-05-01T10:00:40.5Z" } as Schemas["DeadLetter"];
  expect(sinceText(letter, [])).toBe("");
  const before = event({ accepted: "2024-05-01T10:00:40.123456789Z" });
  expect(sinceText(letter, [before])).toContain("accepted before");
  const { accepted: _, ...trimmed } = { ...before, landed: "2024-05-01T10:01:00Z" };
  expect(sinceText(letter, [before, trimmed])).toContain("accepted since");
});

test("the verdict is about the event that counts, not about its copies", () => {
  const copy = event({ status: "copy", copy_of: position });
  expect(verdict(explanation({ events: [copy, event({})], more: 2 }))).toEqual({
    tone: "good",
    text: "It is counted exactly. It was sent 4 times, and counts once.",
  });
  expect(verdict(explanation({})).text).toBe("Nothing is known of this event.");
  expect(verdict(explanation({ search: { ...search, complete: false } })).text).toContain("Not everything");
});
