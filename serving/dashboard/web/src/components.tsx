// The parts that every tab is made of. A chart is in chart.tsx.
import type { ComponentChildren } from "preact";
import type { Failure } from "./api";

/** Page is the frame of a tab: a heading, what belongs beside it, and cards below. */
export function Page(props: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <main id="main" tabIndex={-1}>
      <header class="page-head">
        <h1>{props.title}</h1>
        {props.aside}
      </header>
      {props.children}
    </main>
  );
}

export function Card(props: {
  title?: ComponentChildren;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="card">
      {props.title && (
        <header class="card-head">
          <h2>{props.title}</h2>
          {props.aside}
        </header>
      )}
      {props.children}
    </section>
  );
}

/** Field is a labelled control. Its hint says what to enter. */
export function Field(props: { label: string; hint?: ComponentChildren; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children.
    <label class="field">
      <span class="field-label">{props.label}</span>
      {props.children}
      {props.hint && <span class="field-hint">{props.hint}</span>}
    </label>
  );
}

/** Choice is a select of names, or of values with names. */
export function Choice(props: {
  label: string;
  value: string;
  options: readonly (string | readonly [value: string, name: string])[];
  onChange: (value: string) => void;
}) {
  return (
    <Field label={props.label}>
      <select value={props.value} onChange={(e) => props.onChange(e.currentTarget.value)}>
        {props.options.map((o) => {
          const [value, name] = typeof o === "string" ? [o, o] : o;
          return (
            <option key={value} value={value} selected={value === props.value}>
              {name}
            </option>
          );
        })}
      </select>
    </Field>
  );
}

/** Notice says what happened and what to do about it. */
export function Notice(props: { kind: "info" | "warn" | "bad"; children: ComponentChildren }) {
  return (
    <div class={`notice notice-${props.kind}`} role={props.kind === "bad" ? "alert" : "status"}>
      {props.children}
    </div>
  );
}

/** Refused shows a failure of the API in the server's words. */
export function Refused(props: { failure: Failure; retry?: () => void }) {
  const { status, code, message, field } = props.failure;
  return (
    <Notice kind="bad">
      <strong>{field ? `${field}: ` : ""}</strong>
      {/[.?!)]$/.test(message) ? message : `${message}.`}
      {status === 403 && " Use a key with another scope: Key, above."}
      {code && <code class="code">{code}</code>}
      {props.retry && (
        <button type="button" class="link" onClick={props.retry}>
          Try again
        </button>
      )}
    </Notice>
  );
}

/** Empty is what a card shows when there is nothing: why, and what to do next. */
export function Empty(props: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{props.title}</strong>
      <div>{props.children}</div>
    </div>
  );
}

/** Tile is one number with its name and what it means. */
export function Tile(props: {
  name: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: "good" | "bad" | "live";
}) {
  return (
    <div class={`tile ${props.tone ? `tile-${props.tone}` : ""}`}>
      <dt>{props.name}</dt>
      <dd class="tile-value">{props.value}</dd>
      {props.note && <dd class="tile-note">{props.note}</dd>}
    </div>
  );
}

export interface Column<R> {
  name: ComponentChildren;
  cell: (row: R) => ComponentChildren;
  /** number aligns right, with digits of one width. */
  number?: boolean;
}

/**
 * Table scrolls by itself when it is wider than its card. label says what it is to a screen reader. keyOf names a row whose
 * cells keep a state: without it the next row would take the state of one that vanished.
 */
export function Table<R>(props: {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  keyOf?: (row: R) => string;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard.
    <section class="table" aria-label={props.label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {props.columns.map((c, i) => (
              <th key={i} scope="col" class={c.number ? "number" : ""}>
                {c.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row, i) => (
            <tr key={props.keyOf ? props.keyOf(row) : i}>
              {props.columns.map((c, j) => (
                <td key={j} class={c.number ? "number" : ""}>
                  {c.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** CodeBlock is a text to copy. */
export function CodeBlock(props: { text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard.
    <pre tabIndex={0}>
      <code>{props.text}</code>
    </pre>
  );
}
