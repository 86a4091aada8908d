// What the accuracy of an answer means, in sentences.
import type { Schemas } from "./api";
import { formatAge, formatCount } from "./format";

export interface Sentence {
  kind: "exact" | "live" | "warn";
  text: string;
}

type Accuracy = Schemas["Accuracy"];

/**
 * explainAccuracy says which part of an answer is exact, and everything that it lacks. liveOnly says that no publication
 * has the view, so the answer is of mode live.
 */
export function explainAccuracy(a: Accuracy, now = Date.now(), liveOnly = false): Sentence[] {
  if (liveOnly)
    return [{ kind: "live", text: "This view is not published yet: live numbers alone." }, ...lacks(a)];
  const made = a.as_of
    ? `publication ${formatCount(a.publication)}, made ${formatAge(a.as_of, now)} ago`
    : "";
  if (a.exact) {
    const text = made
      ? `Every number here is exact: it is of ${made}.`
      : "Nothing is published yet, and no event waits for it.";
    return [{ kind: "exact", text }, ...lacks(a)];
  }
  const out: Sentence[] = [];
  out.push(
    made
      ? { kind: "exact", text: `What is not marked live is exact: it is of ${made}.` }
      : { kind: "live", text: "Nothing is published yet, so every number is live." },
  );
  if (a.pending_events > 0) {
    const events = a.pending_events === 1 ? "1 event" : `${formatCount(a.pending_events)} events`;
    out.push({
      kind: "live",
      text: `${events} of all types came after it. Those of this view are counted live, and the next publication counts them exactly.`,
    });
  }
  return [...out, ...lacks(a)];
}

function lacks(a: Accuracy): Sentence[] {
  const out: string[] = [];
  if (a.stale_partitions.length > 0) {
    out.push(
      `The live part of partition ${a.stale_partitions.join(", ")} is missing or late. It comes by itself.`,
    );
  } else if (!a.complete && !a.filled_from) {
    out.push("Events that were accepted are missing still. They come by themselves.");
  }
  if (a.filled_from)
    out.push(`The view is being filled: events before ${a.filled_from} are missing until then.`);
  if (a.overflow) {
    out.push(
      `${formatCount(a.overflow.events)} events have a value beyond limits.cardinality, so their group is unknown.`,
    );
  }
  if (a.holes?.length)
    out.push("Some messages of the log were lost and given up: their events are in no number.");
  if (a.unconverted_events) {
    out.push(
      `${formatCount(a.unconverted_events)} events have a value that does not fit the type of its field now.`,
    );
  }
  if (a.retired_events) {
    out.push(
      `Up to ${formatCount(a.retired_events)} events were removed by retention before the view was computed.`,
    );
  }
  const measuresOf = (list: Schemas["OutOfRange"][] | undefined) => list?.map((o) => o.measure) ?? [];
  const empty: [what: string, measures: string[]][] = [
    ["Some values", measuresOf(a.out_of_range)],
    ["Totals", a.totals_out_of_range ?? []],
    ["Values of the others", measuresOf(a.others_out_of_range)],
    ["Values of the previous period", measuresOf(a.previous_out_of_range)],
  ];
  for (const [what, measures] of empty) {
    if (measures.length > 0)
      out.push(`${what} are empty because they do not fit their type: ${measures.join(", ")}.`);
  }
  if (a.truncated) out.push("There are more groups than are shown here.");
  return out.map((text) => ({ kind: "warn", text }));
}
