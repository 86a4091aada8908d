// Why events were rejected, and which of them this tab has replayed.
import type { Schemas } from "../api";

type Letter = Schemas["DeadLetter"];

/** Reason is what one replay chooses: dead letters of one code and one type. */
export interface Reason {
  code: string;
  type: string;
  count: number;
  /** replayed counts those that this tab has replayed. */
  replayed: number;
  /** messages are the distinct ones but for their values, the most frequent first. Each text is the newest one. */
  messages: { text: string; count: number }[];
}

/** withoutValues makes messages equal that differ only in the values of the events. */
export function withoutValues(message: string): string {
  return message
    .replace(/"(?:[^"\\]|\\.)*"/g, "…")
    .replace(/(?<![\w.])-?\d[\w.+-]*/g, "…")
    .replace(/\b(?:true|false|null)\b/g, "…");
}

/** reasonsOf groups dead letters, of which the newest is the first. The most frequent reason comes first. */
export function reasonsOf(letters: readonly Letter[], replayed: ReadonlySet<string> = new Set()): Reason[] {
  const reasons = new Map<string, Reason & { found: Map<string, { text: string; count: number }> }>();
  for (const l of letters) {
    const type = l.event_type ?? "";
    const key = `${l.code} ${type}`;
    const reason = reasons.get(key) ?? {
      code: l.code,
      type,
      count: 0,
      replayed: 0,
      messages: [],
      found: new Map(),
    };
    reasons.set(key, reason);
    reason.count++;
    if (replayed.has(markOf(l))) reason.replayed++;
    const same = withoutValues(l.message);
    const message = reason.found.get(same) ?? { text: l.message, count: 0 };
    message.count++;
    reason.found.set(same, message);
  }
  return [...reasons.values()]
    .map(({ found, ...reason }) => ({
      ...reason,
      messages: [...found.values()].sort((a, b) => b.count - a.count),
    }))
    .sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1));
}

/** markOf names a dead letter. Its name alone may come again in a new log. */
export const markOf = (l: Letter): string => `${l.name} ${l.received}`;

/** acceptedOf returns the marks of the letters that a replay chose and did not name as failed. */
export function acceptedOf(
  letters: readonly Letter[],
  query: { code: string; type?: string },
  failed: ReadonlySet<string>,
): string[] {
  return letters
    .filter((l) => l.code === query.code && (!query.type || l.event_type === query.type))
    .filter((l) => !failed.has(l.name))
    .map(markOf);
}

const storageKey = "recount.replayed";
const mostMarks = 2000;

/** readMarks returns the marks of this tab. The server's list does not say what was replayed. */
export function readMarks(): Set<string> {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(storageKey) ?? "[]") as string[]);
  } catch {
    return new Set();
  }
}

/** addMarks keeps the newest marks until the tab is closed. */
export function addMarks(marks: readonly string[]): Set<string> {
  const all = [...new Set([...readMarks(), ...marks])].slice(-mostMarks);
  sessionStorage.setItem(storageKey, JSON.stringify(all));
  return new Set(all);
}
