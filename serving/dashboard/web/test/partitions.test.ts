import { expect, test } from "vitest";
import { formatBytes, partitionsNote, reached, readPartitions } from "../src/partitions";

const metrics = `# HELP recount_log_next_sequence x
recount_log_next_sequence{partition="10"} 1
recount_log_next_sequence{partition="2"} 1.000001e+06
recount_log_first_sequence{partition="2"} 1
recount_landing_next_sequence{partition="2"} 500001
recount_realtime_bytes{partition="2"} 1000
recount_realtime_window_bytes{partition="2"} 24
recount_realtime_stalled{partition="2"} 1
recount_realtime_failed{partition="2"} 0
recount_query_running 3
`;

test("partitions have the next sequence of each stage that is here", () => {
  const [two, ten] = readPartitions(metrics);
  expect(two).toMatchObject({ partition: 2, head: 1_000_001, landed: 500_001, memory: 1024 });
  expect(two?.published).toBeUndefined();
  expect(two?.troubles).toHaveLength(1);
  expect(two?.troubles[0]).toContain("memory");
  expect(ten).toEqual({ partition: 10, head: 1, troubles: [] });
});

test("how far a stage is", () => {
  const p = { partition: 0, troubles: [], first: 11, head: 21 };
  expect([undefined, 5, 11, 16, 21, 30].map((n) => reached(p, n))).toEqual([0, 0, 0, 0.5, 1, 1]);
  expect(reached({ partition: 0, troubles: [], first: 1, head: 1 }, 1)).toBe(1);
});

test("sizes", () => {
  expect([0, 999, 1024, 1_500_000, 4_294_967_296].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1 KiB",
    "1.43 MiB",
    "4 GiB",
  ]);
});

test("what could not be read is not said to be well", () => {
  const p = { partition: 0, troubles: [] };
  expect(partitionsNote(undefined)).toBe("");
  expect(partitionsNote([])).toBe("none in this process");
  expect(partitionsNote([p])).toBe("all are well");
  expect(partitionsNote([p, { ...p, troubles: ["late"] }])).toBe("1 need attention");
});
