// The form that makes or changes an event type, as the text that the API takes.
import { useEffect, useState } from "preact/hooks";
import { useAct } from "../act";
import { call, Failure } from "../api";
import { Card, Field, Refused } from "../components";
import { ChangeList } from "./changes";
import { declare, readTag } from "./declare";

const example = JSON.stringify({ fields: { page: "string", milliseconds: "int64" } }, null, 2);

export function TypeForm(props: { name: string; close: () => void }) {
  const [start, setStart] = useState<{ text: string; tag: string }>();
  const [failure, setFailure] = useState<Failure>();
  useEffect(() => {
    const read = async () => {
      if (!props.name) return setStart({ text: example, tag: "" });
      const tag = await readTag("event-types", props.name);
      const { declaration } = await call("get", "/v1/event-types/{name}", { path: { name: props.name } });
      setStart({ text: JSON.stringify(declaration, null, 2), tag });
    };
    read().catch((e) => setFailure(e instanceof Failure ? e : new Failure(0, "", String(e))));
  }, []);
  if (failure) return <Refused failure={failure} />;
  if (!start) return null;
  return <Form {...props} {...start} />;
}

function Form(props: { name: string; text: string; tag: string; close: () => void }) {
  const [name, setName] = useState(props.name);
  const [text, setText] = useState(props.text);
  const options = props.tag ? { tag: props.tag } : {};
  const preview = useAct(() => declare("event-types", name, text, { ...options, dryRun: true }));
  const save = useAct(() => declare("event-types", name, text, options), props.close);
  const failure = save.failure ?? preview.failure;
  return (
    <Card title={props.name ? `Change ${props.name}` : "New event type"}>
      <form
        class="form"
        onSubmit={(e) => {
          e.preventDefault();
          save.run();
        }}
      >
        <Field label="Name">
          <input
            value={name}
            required
            readOnly={props.name !== ""}
            spellcheck={false}
            placeholder="page.viewed"
            onInput={(e) => setName(e.currentTarget.value.trim())}
          />
        </Field>
        <Field
          label="Declaration"
          hint="The types are string, int64, float64, bool, timestamp and decimal(DIGITS,SCALE)."
        >
          <textarea
            class="code-text"
            rows={Math.min(16, text.split("\n").length + 2)}
            value={text}
            spellcheck={false}
            onInput={(e) => setText(e.currentTarget.value)}
          />
        </Field>
        {failure && <Refused failure={failure} />}
        {preview.done && <ChangeList changes={preview.done} />}
        <div class="actions">
          <button type="submit" disabled={save.busy}>
            {props.name ? "Save the type" : "Create the type"}
          </button>
          <button type="button" class="second" disabled={preview.busy} onClick={preview.run}>
            Preview
          </button>
          <button type="button" class="second" onClick={props.close}>
            Cancel
          </button>
        </div>
      </form>
    </Card>
  );
}
