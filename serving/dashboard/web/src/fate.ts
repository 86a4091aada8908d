// What became of an event, in words.
import type { Schemas } from "./api";

type Event = Schemas["ExplainedEvent"];
type View = Schemas["ExplainedView"];
type Position = Schemas["Position"];

/** Step is a stage of an event. waiting means that it comes by itself; stopped, that it does not. */
export interface Step {
  state: "done" | "waiting" | "stopped";
  title: string;
  text: string;
}

export function positionText(p: Position): string {
  return `partition ${p.partition}, message ${p.sequence}, event ${p.index}${p.epoch > 1 ? `, epoch ${p.epoch}` : ""}`;
}

/** stepsOf lists the stages of one stored event, in their order. */
export function stepsOf(event: Event): Step[] {
  return [
    {
      state: "done",
      title: "Accepted",
      text: `Its place in the log is ${positionText(event.position)}.${event.time_assigned ? " It came without a time and got the server's." : ""}`,
    },
    event.landed
      ? { state: "done", title: "Landed", text: "It is in the lake." }
      : {
          state: "waiting",
          title: "Not landed yet",
          text: "Its segment is written to the lake when it ends (landing.cut_interval).",
        },
    ...countedSteps(event),
  ];
}

function countedSteps(event: Event): Step[] {
  if (event.status === "copy") {
    const first = event.copy_of ? ` at ${positionText(event.copy_of)}` : "";
    const differs = event.conflict
      ? " Its payload differs from the first one, which is a conflict: the first one counts."
      : "";
    return [{ state: "stopped", title: "A copy", text: `The event${first} counts instead.${differs}` }];
  }
  if (event.views.length === 0) {
    return [
      {
        state: "stopped",
        title: "Counted by no view",
        text: `No view counts the type ${event.type}. Create one in Data, and it fills its history too.`,
      },
    ];
  }
  return event.views.map(viewStep);
}

function viewStep(view: View): Step {
  const key = Object.entries(view.dimensions ?? {})
    .map(([name, value]) => `${name} = ${value === null ? "none" : String(value)}`)
    .join(", ");
  const cell = view.cell ? ` in the cell ${view.cell}${key && ` with ${key}`}` : "";
  const notes = noteText(view);
  if (view.status === "counted") {
    const text = `Publication ${view.publication ?? "?"} counts it${cell}.${notes}`;
    return { state: "done", title: `Counted by ${view.view}`, text };
  }
  if (view.status === "pending") {
    const text = `Live answers count it${cell}; the next publication makes it exact.${notes}`;
    return { state: "waiting", title: `Live in ${view.view}`, text };
  }
  const reason = view.excluded_by?.length
    ? `It does not meet ${view.excluded_by.map(conditionText).join(" and ")}.`
    : "The view does not count it.";
  return { state: "stopped", title: `Not counted by ${view.view}`, text: reason + notes };
}

function noteText(view: View): string {
  const notes: string[] = [];
  if (view.overflowed?.length) {
    notes.push(`${view.overflowed.join(", ")} had more values than limits.cardinality, so it is ~overflow.`);
  }
  if (view.filled_from) notes.push(`The view is filled from ${view.filled_from}.`);
  if (view.lost?.length) notes.push(`Lost: ${view.lost.join("; ")}.`);
  return notes.length ? ` ${notes.join(" ")}` : "";
}

/** sinceText says of a rejected event whether one with its source and id was stored since. */
export function sinceText(letter: Schemas["DeadLetter"], events: readonly Event[]): string {
  const times = events.map((e) => Date.parse(e.accepted ?? e.landed ?? ""));
  if (times.length === 0) return "";
  return times.some((t) => t >= Date.parse(letter.received))
    ? "It was accepted since: replayed, or sent again."
    : "An event with this source and id had been accepted before.";
}

const signs: Record<string, string> = {
  eq: "=",
  ne: "≠",
  lt: "<",
  le: "≤",
  gt: ">",
  ge: "≥",
  in: "in",
  not_in: "not in",
};

export function conditionText(f: Schemas["Filter"]): string {
  if (f.op === "exists") return `${f.field} ${f.values[0] === false ? "is missing" : "exists"}`;
  return `${f.field} ${signs[f.op] ?? f.op} ${f.values.map(String).join(", ")}`;
}

/** verdict is the answer in one sentence. */
export function verdict(e: Schemas["Explanation"]): { tone: "good" | "live" | "bad"; text: string } {
  const first = e.events.find((one) => one.status !== "copy") ?? e.events[0];
  const copies = e.events.filter((one) => one.status === "copy").length + (e.more ?? 0);
  const sent = copies > 0 ? ` It was sent ${copies + 1} times, and counts once.` : "";
  if (!first) {
    if (e.dead_letters.length > 0) return { tone: "bad", text: "It was rejected, and counts nowhere." };
    const searched = e.search.complete ? "" : " Not everything could be searched.";
    return { tone: "bad", text: `Nothing is known of this event.${searched}` };
  }
  if (first.status === "counted") return { tone: "good", text: `It is counted exactly.${sent}` };
  if (first.status === "pending") {
    return { tone: "live", text: `It is counted live, and exactly as of the next publication.${sent}` };
  }
  if (first.status === "copy") return { tone: "live", text: "Only copies of it were found." };
  return { tone: "bad", text: `It is stored, but no view counts it.${sent}` };
}
