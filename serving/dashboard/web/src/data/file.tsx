// Drop a file of comma-separated values to count its rows.
import { useRef, useState } from "preact/hooks";
import { Failure, type Schemas } from "../api";
import { Card, Choice, Empty, Field, Notice, Refused, Table } from "../components";
import {
  BadFile,
  declaredAs,
  type FileColumn,
  types as fieldKinds,
  fieldName,
  mostColumns,
  separatorOf,
  type Type,
  typeOf,
} from "../csv";
import { declarationOf, emptyDraft, fieldTypes } from "../draft";
import { formatCount } from "../format";
import { digestOf, mostErrors, readRows, sendFile, type Tally } from "../send";
import { declare } from "./declare";

/** sampleRows is how many rows the types are guessed from. */
const sampleRows = 500;

interface Sample {
  file: File;
  separator: string;
  head: string[];
  rows: string[][];
}

export function FromFile(props: { types: Schemas["EventType"][]; reload: () => void }) {
  const [sample, setSample] = useState<Sample>();
  const [wrong, setWrong] = useState("");
  const choose = async (file: File | undefined) => {
    if (!file) return;
    setWrong("");
    setSample(undefined);
    try {
      setSample(await readSample(file));
    } catch (error) {
      setWrong(error instanceof BadFile ? error.message : String(error));
    }
  };
  return (
    <>
      <Drop choose={choose} />
      {wrong && <Notice kind="bad">{wrong}</Notice>}
      {sample && <Import key={sample.file.name + sample.file.lastModified} sample={sample} {...props} />}
    </>
  );
}

function Drop({ choose }: { choose: (file: File | undefined) => void }) {
  const [over, setOver] = useState(false);
  return (
    <label
      class={`drop ${over ? "drop-over" : ""}`}
      onDragOver={(e) => {
        e.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(e) => {
        e.preventDefault();
        setOver(false);
        choose(e.dataTransfer?.files[0]);
      }}
    >
      <strong>Drop a CSV file here, or choose one</strong>
      <span class="quiet">
        Its first row names the columns. Each row becomes an event, known by the file's name, the file's
        content and the row: the same file counts once, however often it is sent. A file with a changed row is
        another one, and all its rows count.
      </span>
      <input
        type="file"
        accept=".csv,.tsv,.txt,text/csv"
        aria-label="CSV file"
        onChange={(e) => choose(e.currentTarget.files?.[0])}
      />
    </label>
  );
}

async function readSample(file: File): Promise<Sample> {
  const start = await file.slice(0, 65_536).text();
  const separator = separatorOf(start.split(/\r?\n/, 1)[0] ?? "");
  const all: string[][] = [];
  await readRows(file, separator, (_, cells) => all.push(cells) <= sampleRows);
  const [head, ...rows] = all;
  if (!head || rows.length === 0) throw new BadFile("The file has no row after its head.");
  if (head.length > mostColumns) throw new BadFile(`The file has more than ${mostColumns} columns.`);
  return { file, separator, head: head.map((h, i) => (i === 0 ? h.replace(/^\ufeff/, "") : h)), rows };
}

/** columnsOf guesses the columns from their names and first values. */
function columnsOf(sample: Sample): FileColumn[] {
  const used = new Set<string>();
  return sample.head.map((head, i) => {
    let name = fieldName(head, i);
    while (used.has(name)) name += "_1";
    used.add(name);
    return { name, type: typeOf(sample.rows.map((r) => r[i] ?? "")), skip: false };
  });
}

function Import(props: { sample: Sample; types: Schemas["EventType"][]; reload: () => void }) {
  const { sample } = props;
  const base = fieldName(sample.file.name.replace(/\.[^.]*$/, ""), 0);
  const [type, setType] = useState(base);
  const existing = props.types.find((t) => t.name === type);
  const [guessed, setColumns] = useState(() => columnsOf(sample));
  const columns = declaredAs(guessed, fieldTypes(existing));
  const [timeColumn, setTimeColumn] = useState(() => guessed.findIndex((c) => c.type === "timestamp"));
  const [tally, setTally] = useState<Tally>();
  const [state, setState] = useState<{ busy: boolean; done?: boolean; view?: string; failure?: Failure }>({
    busy: false,
  });
  const stop = useRef<AbortController>(null);
  const run = async () => {
    stop.current = new AbortController();
    const { signal } = stop.current;
    setState({ busy: true });
    setTally(undefined);
    try {
      const digest = await digestOf(sample.file, signal);
      const view = existing ? existing.views[0] : await declareFor(type, columns, timeColumn);
      props.reload();
      const fallback = new Date(sample.file.lastModified).toISOString();
      const plan = { file: sample.file.name, digest, type, columns, timeColumn, fallback };
      await sendFile(sample.file, plan, sample.separator, signal, setTally);
      setState(view ? { busy: false, done: true, view } : { busy: false, done: true });
    } catch (error) {
      const stopped = stop.current?.signal.aborted;
      const text = stopped
        ? "Stopped. What was accepted stays; send the file again to go on."
        : String((error as Error).message);
      setState({ busy: false, failure: error instanceof Failure ? error : new Failure(0, "", text) });
    }
  };
  return (
    <Card
      title={sample.file.name}
      aside={<span class="quiet">{formatCount(Math.ceil(sample.file.size / 1024))} KiB</span>}
    >
      <form
        class="form"
        onSubmit={(e) => {
          e.preventDefault();
          run();
        }}
      >
        <div class="controls">
          <Field
            label="Event type"
            hint={existing ? "exists: its fields stay" : "will be declared, with a view"}
          >
            <input
              value={type}
              required
              spellcheck={false}
              onInput={(e) => setType(e.currentTarget.value.trim())}
            />
          </Field>
          <Choice
            label="When it happened"
            value={String(timeColumn)}
            options={[
              ["-1", "when the file was changed"],
              ...columns.map((c, i) => [String(i), sample.head[i] || c.name] as const),
            ]}
            onChange={(v) => setTimeColumn(Number(v))}
          />
        </div>
        {timeColumn < 0 && (
          <p class="quiet">
            All rows happened when the file was changed last. A copy of the file with another such time counts
            again.
          </p>
        )}
        <Columns sample={sample} columns={columns} timeColumn={timeColumn} change={setColumns} />
        {state.failure && <Refused failure={state.failure} />}
        <div class="actions">
          <button type="submit" disabled={state.busy}>
            {state.busy ? "Sending…" : "Count it"}
          </button>
          {state.busy && (
            <button type="button" class="second" onClick={() => stop.current?.abort()}>
              Stop
            </button>
          )}
        </div>
        {tally && (
          <Result tally={tally} size={sample.file.size} done={state.done === true} view={state.view} />
        )}
      </form>
    </Card>
  );
}

/** declareFor declares the type of a new file, and a view that counts it by its columns of few values. */
async function declareFor(type: string, columns: FileColumn[], timeColumn: number): Promise<string> {
  const kept = columns.filter((c, i) => !c.skip && i !== timeColumn);
  const fields = Object.fromEntries(kept.map((c) => [c.name, c.type]));
  await declare("event-types", type, JSON.stringify({ fields }));
  const draft = emptyDraft(type);
  draft.dimensions = kept
    .filter((c) => c.type === "string" || c.type === "bool")
    .map((c) => c.name)
    .slice(0, 4);
  for (const c of kept.filter((k) => k.type === "int64" || k.type === "float64").slice(0, 4)) {
    const name = c.name === "events" ? "events_sum" : c.name;
    draft.measures.push({ name: `${name}_total`, kind: "sum", field: c.name });
  }
  await declare("views", draft.name, JSON.stringify(declarationOf(draft, fields)));
  return draft.name;
}

function Columns(props: {
  sample: Sample;
  columns: FileColumn[];
  timeColumn: number;
  change: (columns: FileColumn[]) => void;
}) {
  const { sample, columns } = props;
  const put = (i: number, changes: Partial<FileColumn>) =>
    props.change(columns.map((c, j) => (i === j ? { ...c, ...changes } : c)));
  const rows = columns.map((column, i) => ({ column, i, head: sample.head[i] || `column ${i + 1}` }));
  return (
    <Table
      label="Columns"
      columns={[
        { name: "column", cell: (r) => r.head },
        {
          name: "field",
          cell: (r) =>
            r.i === props.timeColumn ? (
              <span class="quiet">the time of the event</span>
            ) : (
              <input
                aria-label={`Field of ${r.head}`}
                value={r.column.name}
                required
                spellcheck={false}
                onInput={(e) => put(r.i, { name: e.currentTarget.value.trim() })}
              />
            ),
        },
        {
          name: "type",
          cell: (r) =>
            r.i !== props.timeColumn &&
            (r.column.declared ? (
              <span>
                {r.column.declared} <span class="quiet">declared</span>
              </span>
            ) : (
              <select
                aria-label={`Type of ${r.head}`}
                value={r.column.type}
                onChange={(e) => put(r.i, { type: e.currentTarget.value as Type })}
              >
                {fieldKinds.map((t) => (
                  <option key={t} value={t} selected={t === r.column.type}>
                    {t}
                  </option>
                ))}
              </select>
            )),
        },
        {
          name: "take",
          cell: (r) =>
            r.i !== props.timeColumn && (
              <input
                type="checkbox"
                aria-label={`Take ${r.head}`}
                checked={!r.column.skip}
                onChange={(e) => put(r.i, { skip: !e.currentTarget.checked })}
              />
            ),
        },
        {
          name: "first values",
          cell: (r) => (
            <span class="quiet">
              {sample.rows
                .slice(0, 3)
                .map((row) => (row[r.i] ?? "").slice(0, 40))
                .join(" · ")}
            </span>
          ),
        },
      ]}
      rows={rows}
    />
  );
}

function Result(props: { tally: Tally; size: number; done: boolean; view: string | undefined }) {
  const { tally, done } = props;
  return (
    <div class="form" role="status">
      <progress max={props.size} value={done ? props.size : tally.bytes} aria-label="Sent" />
      <p>
        <strong>{formatCount(tally.accepted)}</strong> of {formatCount(tally.rows)} rows accepted
        {tally.rejected > 0 && (
          <>
            , <span class="bad">{formatCount(tally.rejected)} rejected</span>
          </>
        )}
        {done && "."}{" "}
        {done && props.view && (
          <a href={`#explore?view=${encodeURIComponent(props.view)}`}>Explore {props.view}</a>
        )}
      </p>
      {tally.errors.length > 0 && (
        <>
          <Table
            label="Rejected rows"
            columns={[
              { name: "row", number: true, cell: (e) => formatCount(e.row) },
              { name: "why", cell: (e) => e.message },
            ]}
            rows={tally.errors}
          />
          <p class="quiet">
            {tally.rejected > mostErrors && `The first ${mostErrors} are listed. `}
            They are kept as <a href="#data?show=letters">dead letters</a>: change the type, then replay them.
            Or correct them, and send them in a file of their own.
          </p>
        </>
      )}
      {done && tally.rows === 0 && (
        <Empty title="No row was sent">The file has a head and nothing else.</Empty>
      )}
    </div>
  );
}
