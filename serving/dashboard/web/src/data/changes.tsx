// What a change of the catalog does, in the server's words.
import type { Schemas } from "../api";
import { Notice, Table } from "../components";
import { formatCount } from "../format";

/** mostRows is how many rows of a preview are shown. */
const mostRows = 12;

export function ChangeList({ changes }: { changes: Schemas["Changes"] }) {
  return (
    <div class="form">
      {changes.changes.length === 0 && (
        <Notice kind="info">That is what is declared already: nothing changes.</Notice>
      )}
      {changes.changes.map((c) => (
        <Notice key={c.kind + c.name} kind="info">
          <strong>
            {c.name} is {changes.dry_run ? "to be " : ""}
            {c.action}.
          </strong>{" "}
          {c.effects.join("; ")}
          {c.edits.map((e) => (
            <div key={e.path}>
              <code>
                {e.path}: {text(e.before)} → {text(e.after)}
              </code>
            </div>
          ))}
        </Notice>
      ))}
      {changes.preview_error && <Notice kind="warn">There is no preview: {changes.preview_error}</Notice>}
      {changes.previews?.map((p) => (
        <Preview key={p.view} preview={p} />
      ))}
    </div>
  );
}

const text = (value: unknown) => (value === null || value === undefined ? "nothing" : JSON.stringify(value));

function Preview({ preview: p }: { preview: Schemas["Preview"] }) {
  if (p.events === 0 || !p.from) {
    return <Notice kind="info">No event of this type has landed, so there are no numbers to preview.</Notice>;
  }
  const names = [...new Set(p.rows.flatMap((r) => Object.keys(r)))].filter((n) => n !== "tenant");
  const order = ["time", ...names.filter((n) => n !== "time")].filter((n) => names.includes(n));
  return (
    <>
      <p class="quiet">
        {p.view} from {p.from} to {p.to}: {formatCount(p.events)} events
        {p.copies ? `, of which ${formatCount(p.copies)} are copies,` : ""} in {formatCount(p.groups)} groups
        {p.partial ? "; only a part of them was read" : ""}.
      </p>
      <Table
        label="Preview"
        columns={order.map((name) => ({
          name,
          number: p.rows.some((r) => typeof r[name] === "number"),
          cell: (r: Record<string, unknown>) => formatValue(r[name]),
        }))}
        rows={p.rows.slice(0, mostRows)}
      />
    </>
  );
}

function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return value.toLocaleString("en", { maximumSignificantDigits: 9 });
  return typeof value === "string" ? value : JSON.stringify(value);
}
