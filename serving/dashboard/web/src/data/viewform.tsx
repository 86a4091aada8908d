// The form that makes or changes a view.
import { useEffect, useRef, useState } from "preact/hooks";
import { useAct } from "../act";
import { call, Failure, type Schemas } from "../api";
import { Card, Choice, Field, Refused } from "../components";
import { type Draft, declarationOf, draftOf, emptyDraft, fieldTypes, type Kind, kinds } from "../draft";
import { ChangeList } from "./changes";
import { declare, readTag } from "./declare";

const cells = ["1m", "5m", "15m", "1h", "1d"];
const operators = [
  ["eq", "="],
  ["ne", "≠"],
  ["lt", "<"],
  ["le", "≤"],
  ["gt", ">"],
  ["ge", "≥"],
  ["in", "one of"],
  ["not_in", "none of"],
  ["exists", "exists (true or false)"],
] as const;

interface FormProps {
  name: string;
  types: Schemas["EventType"][];
  close: () => void;
}

/** ViewForm reads the view first. The draft is kept while the page polls. */
export function ViewForm(props: FormProps) {
  const [start, setStart] = useState<{ draft: Draft; tag: string }>();
  const [failure, setFailure] = useState<Failure>();
  useEffect(() => {
    const read = async () => {
      if (!props.name) return setStart({ draft: emptyDraft(props.types[0]?.name ?? ""), tag: "" });
      const tag = await readTag("views", props.name);
      const { views } = await call("get", "/v1/views");
      const view = views.find((v) => v.name === props.name);
      if (view) setStart({ draft: draftOf(view.name, view.declaration), tag });
    };
    read().catch((e) => setFailure(e instanceof Failure ? e : new Failure(0, "", String(e))));
  }, []);
  if (failure) return <Refused failure={failure} />;
  if (!start) return null;
  return <Form {...props} start={start.draft} tag={start.tag} />;
}

function Form(props: FormProps & { start: Draft; tag: string }) {
  const [draft, setDraft] = useState(props.start);
  const type = props.types.find((t) => t.name === draft.event);
  const fields = fieldTypes(type);
  const body = () => JSON.stringify(declarationOf(draft, fields));
  const options = props.tag ? { tag: props.tag } : {};
  const preview = useAct(() => declare("views", draft.name, body(), { ...options, dryRun: true }));
  const save = useAct(() => declare("views", draft.name, body(), options), props.close);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const change = (changes: Partial<Draft>) => setDraft({ ...draft, ...changes });
  const failure = save.failure ?? preview.failure;
  return (
    <Card title={props.name ? `Change ${props.name}` : "New view"}>
      <form
        ref={form}
        class="form"
        onSubmit={(e) => {
          e.preventDefault();
          save.run();
        }}
      >
        <div class="controls">
          <Field label="Name">
            <input
              value={draft.name}
              required
              readOnly={props.name !== ""}
              spellcheck={false}
              onInput={(e) => change({ name: e.currentTarget.value.trim() })}
            />
          </Field>
          <Choice
            label="Event type"
            value={draft.event}
            options={props.types.map((t) => t.name)}
            onChange={(event) =>
              setDraft(props.name ? { ...draft, event } : { ...emptyDraft(event), cell: draft.cell })
            }
          />
          <Choice
            label="Smallest window"
            value={draft.cell}
            options={[...new Set([...cells, draft.cell])]}
            onChange={(cell) => change({ cell })}
          />
        </div>
        <Dimensions draft={draft} fields={fields} change={change} />
        <Measures draft={draft} fields={fields} change={change} />
        <Conditions draft={draft} fields={fields} change={change} />
        {failure && <Refused failure={failure} />}
        {preview.done && <ChangeList changes={preview.done} />}
        <div class="actions">
          <button type="submit" disabled={save.busy}>
            {props.name ? "Save the view" : "Create the view"}
          </button>
          <button type="button" class="second" disabled={preview.busy} onClick={preview.run}>
            {preview.busy ? "Computing…" : "Preview"}
          </button>
          <button type="button" class="second" onClick={props.close}>
            Cancel
          </button>
        </div>
      </form>
    </Card>
  );
}

interface PartProps {
  draft: Draft;
  fields: Record<string, string>;
  change: (changes: Partial<Draft>) => void;
}

/** Dimensions are fields, in the order in which they are chosen. */
function Dimensions({ draft, fields, change }: PartProps) {
  const names = Object.keys(fields).filter((n) => !fields[n]?.startsWith("decimal"));
  const toggle = (name: string) =>
    change({
      dimensions: draft.dimensions.includes(name)
        ? draft.dimensions.filter((d) => d !== name)
        : [...draft.dimensions, name],
    });
  const all = [...new Set([...names, "source", "subject", ...draft.dimensions])];
  return (
    <fieldset class="choices">
      <legend>Group by</legend>
      {all.map((name) => (
        <label key={name} class="check">
          <input type="checkbox" checked={draft.dimensions.includes(name)} onChange={() => toggle(name)} />{" "}
          {name}
        </label>
      ))}
    </fieldset>
  );
}

function Measures({ draft, fields, change }: PartProps) {
  const names = Object.keys(fields);
  const put = (i: number, changes: Partial<Draft["measures"][number]>) =>
    change({ measures: draft.measures.map((m, j) => (i === j ? { ...m, ...changes } : m)) });
  return (
    <fieldset class="choices">
      <legend>Measures</legend>
      {draft.measures.map((m, i) => (
        <div key={i} class="controls line">
          <Field label="Measure">
            <input
              value={m.name}
              required
              spellcheck={false}
              onInput={(e) => put(i, { name: e.currentTarget.value })}
            />
          </Field>
          <Choice
            label="Kind"
            value={m.kind}
            options={kinds}
            onChange={(kind) =>
              put(i, { kind: kind as Kind, field: kind === "count" ? "" : m.field || (names[0] ?? "") })
            }
          />
          {m.kind !== "count" && (
            <Choice label="Of" value={m.field} options={names} onChange={(field) => put(i, { field })} />
          )}
          {draft.measures.length > 1 && (
            <button
              type="button"
              class="second"
              aria-label={`Remove the measure ${m.name}`}
              onClick={() => change({ measures: draft.measures.filter((_, j) => j !== i) })}
            >
              Remove
            </button>
          )}
        </div>
      ))}
      <button
        type="button"
        class="link"
        onClick={() =>
          change({
            measures: [
              ...draft.measures,
              { name: `measure_${draft.measures.length + 1}`, kind: "count", field: "" },
            ],
          })
        }
      >
        Add a measure
      </button>
    </fieldset>
  );
}

function Conditions({ draft, fields, change }: PartProps) {
  const names = Object.keys(fields);
  const put = (i: number, changes: Partial<Draft["where"][number]>) =>
    change({ where: draft.where.map((w, j) => (i === j ? { ...w, ...changes } : w)) });
  return (
    <fieldset class="choices">
      <legend>Only events where</legend>
      {draft.where.map((w, i) => (
        <div key={i} class="controls line">
          <Choice label="Field" value={w.field} options={names} onChange={(field) => put(i, { field })} />
          <Choice label="Is" value={w.op} options={operators} onChange={(op) => put(i, { op })} />
          <Field label="Value">
            <input
              value={w.value}
              spellcheck={false}
              onInput={(e) => put(i, { value: e.currentTarget.value })}
            />
          </Field>
          <button
            type="button"
            class="second"
            aria-label={`Remove the condition ${i + 1}`}
            onClick={() => change({ where: draft.where.filter((_, j) => j !== i) })}
          >
            Remove
          </button>
        </div>
      ))}
      {names.length > 0 && (
        <button
          type="button"
          class="link"
          onClick={() => change({ where: [...draft.where, { field: names[0] ?? "", op: "eq", value: "" }] })}
        >
          Add a condition
        </button>
      )}
    </fieldset>
  );
}
