// The draft of a view in the form, and the declaration that it becomes.
import type { Schemas } from "./api";

type Declaration = Schemas["ViewDeclaration"];

export const kinds = ["count", "sum", "min", "max", "avg", "distinct", "quantile"] as const;
export type Kind = (typeof kinds)[number];

export interface Draft {
  name: string;
  event: string;
  dimensions: string[];
  cell: string;
  measures: { name: string; kind: Kind; field: string }[];
  where: { field: string; op: string; value: string }[];
}

export const emptyDraft = (event: string): Draft => ({
  name: event.replace(/[^a-z0-9]+/gi, "_").toLowerCase(),
  event,
  dimensions: [],
  cell: "1m",
  measures: [{ name: "events", kind: "count", field: "" }],
  where: [],
});

export function draftOf(name: string, d: Declaration): Draft {
  return {
    name,
    event: d.event,
    dimensions: d.dimensions ?? [],
    cell: d.cell ?? "1m",
    measures: Object.entries(d.measures).map(([measure, of]) => {
      const [kind, field] = Object.entries(of)[0] ?? ["count", ""];
      return { name: measure, kind: kind as Kind, field: typeof field === "string" ? field : "" };
    }),
    where: (d.where ?? []).map((w) => ({
      field: w.field,
      op: w.op,
      value: (w.values ?? (w.value === undefined ? [] : [w.value])).map(String).join(", "),
    })),
  };
}

/** fieldTypes returns the types of the declared fields of an event type, by name. */
export function fieldTypes(type: Schemas["EventType"] | undefined): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, field] of Object.entries(type?.declaration.fields ?? {})) {
    out[name] = typeof field === "string" ? field : field.type;
  }
  return out;
}

/** declarationOf writes the draft as the API takes it. The server checks it and names what is wrong. */
export function declarationOf(draft: Draft, types: Record<string, string>): Declaration {
  const measures: Declaration["measures"] = {};
  for (const m of draft.measures) {
    measures[m.name.trim()] = m.kind === "count" ? { count: {} } : { [m.kind]: m.field };
  }
  const out: Declaration = { event: draft.event, dimensions: draft.dimensions, cell: draft.cell, measures };
  if (draft.where.length > 0) {
    out.where = draft.where.map((w) => {
      const op = w.op as NonNullable<Declaration["where"]>[number]["op"];
      if (op === "in" || op === "not_in") {
        return {
          field: w.field,
          op,
          values: w.value.split(",").map((v) => conditionValue(v.trim(), types[w.field])),
        };
      }
      if (op === "exists") return { field: w.field, op, value: w.value !== "false" };
      return { field: w.field, op, value: conditionValue(w.value.trim(), types[w.field]) };
    });
  }
  return out;
}

/** conditionValue reads a value of a condition. What is no number stays a text, and the server says what it wants. */
function conditionValue(text: string, type: string | undefined): string | number | boolean {
  if (type === "bool" && (text === "true" || text === "false")) return text === "true";
  const isNumber = type === "int64" || type === "float64";
  return isNumber && text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
