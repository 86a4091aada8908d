// Dead letters: what was rejected, by reason, and its replay.
import { useState } from "preact/hooks";
import { AskFirst, useAct } from "../act";
import { call, type Schemas } from "../api";
import { clock } from "../clock";
import { Card, CodeBlock, Empty, Notice, Refused, Table } from "../components";
import { formatCount } from "../format";
import { useLoad } from "../load";
import { useURLState } from "../route";
import { acceptedOf, addMarks, markOf, type Reason, readMarks, reasonsOf } from "./reasons";

type Letter = Schemas["DeadLetter"];

/** mostLetters is a page of the API. Reasons are counted in the newest page. */
const mostLetters = 1000;
const mostListed = 50;
const mostMessages = 5;
const pollMillis = 5000;
/** mostPages bounds how many pages one replay asks for. */
const mostPages = 1000;

export function Letters() {
  const [state, setState] = useURLState();
  const [marks, setMarks] = useState(readMarks);
  const load = useLoad(
    (signal) => call("get", "/v1/dead-letters", { query: { limit: mostLetters }, signal }),
    [],
    pollMillis,
  );
  const letters = load.value?.dead_letters ?? [];
  const code = state.get("code") ?? "";
  const listed = letters.filter((l) => !code || l.code === code);
  return (
    <>
      {load.failure && <Refused failure={load.failure} retry={load.reload} />}
      {load.value && letters.length === 0 && (
        <Card>
          <Empty title="No event was rejected">
            <p>
              An event that does not fit its declared type is kept here, with the reason, some seconds after
              it came. It can be replayed when the reason is gone.
            </p>
          </Empty>
        </Card>
      )}
      {letters.length > 0 && (
        <>
          <Card
            title="Reasons"
            aside={load.value?.cursor && <span class="quiet">of the newest {formatCount(mostLetters)}</span>}
          >
            <Table
              label="Reasons"
              columns={[
                { name: "events", number: true, cell: (r) => <Count reason={r} /> },
                { name: "code", cell: (r) => <code>{r.code}</code> },
                { name: "type", cell: (r) => r.type || "–" },
                { name: "newest message", cell: (r) => <Messages reason={r} /> },
                {
                  name: "action",
                  cell: (r) => (
                    <ReplayReason
                      reason={r}
                      letters={letters}
                      replayed={(accepted) => {
                        setMarks(addMarks(accepted));
                        load.reload();
                      }}
                    />
                  ),
                },
              ]}
              rows={reasonsOf(letters, marks)}
              keyOf={(r) => `${r.code} ${r.type}`}
            />
          </Card>
          <Card
            title={code ? `Dead letters with ${code}` : "Dead letters"}
            aside={
              code && (
                <button type="button" class="link" onClick={() => setState({ code: "" })}>
                  Show all
                </button>
              )
            }
          >
            <p class="quiet">
              A dead letter stays here until it expires, whether it was replayed or not. Its id leads to what
              became of the event since.
            </p>
            <LetterTable letters={listed.slice(0, mostListed)} marks={marks} />
            {listed.length > mostListed && (
              <p class="quiet after">
                The newest {mostListed} are listed; recount dead-letters list has all.
              </p>
            )}
          </Card>
        </>
      )}
    </>
  );
}

function Count({ reason: r }: { reason: Reason }) {
  return (
    <>
      {formatCount(r.count)}
      {r.replayed > 0 && <div class="good nowrap">✓ {formatCount(r.replayed)} replayed</div>}
    </>
  );
}

function Messages({ reason: { messages } }: { reason: Reason }) {
  if (messages.length === 1) return <>{messages[0]?.text}</>;
  return (
    <>
      {messages.slice(0, mostMessages).map((m) => (
        <div key={m.text}>
          {m.text} <span class="quiet nowrap">× {formatCount(m.count)}</span>
        </div>
      ))}
      {messages.length > mostMessages && (
        <div class="quiet">and {formatCount(messages.length - mostMessages)} other messages</div>
      )}
    </>
  );
}

interface Tally {
  replayed: number;
  accepted: number;
  /** message is why the first one failed. */
  message?: string;
  /** marks are those of the letters that were accepted, of the letters in the page. */
  marks: string[];
}

async function replay(query: { code: string; type?: string }, letters: readonly Letter[]): Promise<Tally> {
  const tally: Tally = { replayed: 0, accepted: 0, marks: [] };
  const failed = new Set<string>();
  let cursor: string | undefined;
  for (let page = 0; page < mostPages; page++) {
    const asked = cursor ? { ...query, cursor } : query;
    const r = await call("post", "/v1/dead-letters/replays", { query: { ...asked, limit: mostLetters } });
    tally.replayed += r.replayed;
    tally.accepted += r.accepted;
    if (tally.message === undefined && r.failed[0]) tally.message = r.failed[0].message;
    for (const f of r.failed) failed.add(f.name);
    cursor = r.cursor;
    if (!cursor) return { ...tally, marks: acceptedOf(letters, query, failed) };
  }
  return tally;
}

function ReplayReason(props: {
  reason: Reason;
  letters: readonly Letter[];
  replayed: (marks: string[]) => void;
}) {
  const { reason } = props;
  const query = reason.type ? { code: reason.code, type: reason.type } : { code: reason.code };
  const act = useAct(
    () => replay(query, props.letters),
    (done) => props.replayed(done.marks),
  );
  const what = `${reason.code}${reason.type ? ` of ${reason.type}` : ""}`;
  return (
    <>
      <AskFirst
        name="Replay"
        label={`Replay ${what}`}
        title={`Replay the dead letters with ${what}?`}
        act={act.run}
        disabled={act.busy}
      >
        Every event with this reason is sent again as it was, with its own id, so it counts once. Those whose
        reason remains are rejected again and stay here.
      </AskFirst>
      {act.busy && <span class="live"> replaying…</span>}
      {act.failure && <Refused failure={act.failure} />}
      {act.done && (
        <Notice kind={act.done.accepted === act.done.replayed ? "info" : "warn"}>
          {formatCount(act.done.accepted)} of {formatCount(act.done.replayed)} accepted.
          {act.done.message && ` ${act.done.message}`}
        </Notice>
      )}
    </>
  );
}

/** explainLink leads to what became of the event, if its id could be read. */
function explainLink(l: Letter): string {
  const state = new URLSearchParams({ id: l.event_id ?? "" });
  if (l.source) state.set("source", l.source);
  if (l.event_time) state.set("time", l.event_time);
  return `#event?${state}`;
}

function LetterTable({ letters, marks }: { letters: Letter[]; marks: ReadonlySet<string> }) {
  return (
    <Table
      label="Dead letters"
      columns={[
        { name: "received", cell: (l) => <span class="nowrap">{clock(l.received)}</span> },
        {
          name: "event",
          cell: (l) => (
            <>
              {l.event_id ? <a href={explainLink(l)}>{l.event_id}</a> : "–"}
              {marks.has(markOf(l)) && <div class="good nowrap">✓ replayed</div>}
            </>
          ),
        },
        { name: "source", cell: (l) => l.source || "–" },
        { name: "type", cell: (l) => l.event_type || "–" },
        { name: "reason", cell: (l) => l.message },
        { name: "as it came", cell: (l) => <Raw letter={l} /> },
      ]}
      rows={letters}
      keyOf={markOf}
    />
  );
}

function Raw({ letter }: { letter: Letter }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{formatCount(letter.bytes)} bytes</summary>
      {open && <RawText name={letter.name} />}
    </details>
  );
}

function RawText({ name }: { name: string }) {
  const load = useLoad(
    (signal) => call("get", "/v1/dead-letters/{name}", { path: { name }, signal }),
    [name],
  );
  if (load.failure) return <Refused failure={load.failure} />;
  return load.value ? <CodeBlock text={load.value.raw ?? load.value.raw_base64 ?? ""} /> : null;
}
