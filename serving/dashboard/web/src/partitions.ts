// How far each stage is in each partition of the log, read from the metrics of the server.

/** Partition has the next sequence of each stage: what is below it, the stage has. A stage of another process is absent. */
export interface Partition {
  partition: number;
  first?: number;
  head?: number;
  through?: number;
  landed?: number;
  published?: number;
  segments?: number;
  memory?: number;
  stored?: number;
  /** troubles are in words, with what to do. */
  troubles: string[];
}

/** fields maps metrics with the label partition to what they are here. */
const fields: Record<string, Exclude<keyof Partition, "partition" | "troubles">> = {
  recount_log_first_sequence: "first",
  recount_log_next_sequence: "head",
  recount_realtime_next_sequence: "through",
  recount_landing_next_sequence: "landed",
  recount_batch_next_sequence: "published",
  recount_realtime_segments: "segments",
  recount_log_stored_bytes: "stored",
};

/** memoryOf are the parts of the memory of real-time views. */
const memoryOf = new Set(["recount_realtime_bytes", "recount_realtime_window_bytes"]);

const troubles: Record<string, string> = {
  recount_realtime_failed: "its real-time view failed; the log of the server says why",
  recount_realtime_stalled: "its real-time view has stopped, because its memory is used up; run recompute",
  recount_realtime_lagging: "its real-time view lags; queries say so in stale_partitions",
  recount_landing_failing_seconds: "nothing lands; the log of the server says why",
};

/** readPartitions reads the text format of Prometheus. */
export function readPartitions(text: string): Partition[] {
  const found = new Map<number, Partition>();
  for (const line of text.split("\n")) {
    const match = /^(recount_\w+)\{partition="(\d+)"\} (\S+)/.exec(line);
    if (!match) continue;
    const name = match[1] ?? "";
    const number = Number(match[2]);
    const value = Number(match[3]);
    const field = fields[name];
    const trouble = troubles[name];
    if (!field && !trouble && !memoryOf.has(name)) continue;
    const p = found.get(number) ?? { partition: number, troubles: [] };
    found.set(number, p);
    if (field) p[field] = value;
    else if (memoryOf.has(name)) p.memory = (p.memory ?? 0) + value;
    else if (trouble && value > 0) p.troubles.push(trouble);
  }
  return [...found.values()].sort((a, b) => a.partition - b.partition);
}

/** reached returns which part of the log a stage has, between 0 and 1. An empty log has all of it. */
export function reached(p: Partition, next: number | undefined): number {
  const first = p.first ?? 1;
  const head = p.head ?? first;
  if (next === undefined) return 0;
  return head <= first ? 1 : Math.min(1, Math.max(0, (next - first) / (head - first)));
}

/** partitionsNote says how partitions are. What could not be read is not said to be well. */
export function partitionsNote(partitions: readonly Partition[] | undefined): string {
  if (!partitions) return "";
  if (partitions.length === 0) return "none in this process";
  const troubled = partitions.filter((p) => p.troubles.length > 0).length;
  return troubled ? `${troubled} need attention` : "all are well";
}

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"];

/** formatBytes writes a size with three digits or fewer. */
export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < byteUnits.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size.toLocaleString("en", { maximumSignificantDigits: 3 })} ${byteUnits[unit]}`;
}
