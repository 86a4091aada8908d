// Dead letters: what was rejected, by reason, and its replay.
import { useState } from "preact/hooks";
import { AskFirst, useAct } from "../act";
import { call, type Schemas } from "../api";
import { clock } from "../clock";
import { Card, CodeBlock, Empty, Notice, Refused, Table } from "../components";
import { formatCount } from "../format";
import { useLoad } from "../load";
import { useURLState } from "../route";

type Letter = Schemas["DeadLetter"];

/** mostLetters is a page of the API. Reasons are counted in the newest page. */
const mostLetters = 1000;
const mostListed = 50;
const pollMillis = 5000;
/** mostPages bounds how many pages one replay asks for. */
const mostPages = 1000;

export interface Reason {
  code: string;
  type: string;
  count: number;
  message: string;
}

/** reasonsOf groups dead letters by what was wrong with them, the most frequent first. */
export function reasonsOf(letters: readonly Letter[]): Reason[] {
  const found = new Map<string, Reason>();
  for (const l of letters) {
    const type = l.event_type ?? "";
    const key = `${l.code} ${type}`;
    const reason = found.get(key) ?? { code: l.code, type, count: 0, message: l.message };
    reason.count++;
    found.set(key, reason);
  }
  return [...found.values()].sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1));
}

export function Letters() {
  const [state, setState] = useURLState();
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
                { name: "events", number: true, cell: (r) => formatCount(r.count) },
                { name: "code", cell: (r) => <code>{r.code}</code> },
                { name: "type", cell: (r) => r.type || "–" },
                { name: "newest message", cell: (r) => r.message },
                { name: "action", cell: (r) => <ReplayReason reason={r} reload={load.reload} /> },
              ]}
              rows={reasonsOf(letters)}
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
            <LetterTable letters={listed.slice(0, mostListed)} />
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

interface Tally {
  replayed: number;
  accepted: number;
  failed: Schemas["ReplayFailure"][];
}

async function replay(query: { code: string; type?: string }): Promise<Tally> {
  const tally: Tally = { replayed: 0, accepted: 0, failed: [] };
  let cursor: string | undefined;
  for (let page = 0; page < mostPages; page++) {
    const asked = cursor ? { ...query, cursor } : query;
    const r = await call("post", "/v1/dead-letters/replays", { query: { ...asked, limit: mostLetters } });
    tally.replayed += r.replayed;
    tally.accepted += r.accepted;
    tally.failed.push(...r.failed.slice(0, mostListed - tally.failed.length));
    cursor = r.cursor;
    if (!cursor) break;
  }
  return tally;
}

function ReplayReason({ reason, reload }: { reason: Reason; reload: () => void }) {
  const query = reason.type ? { code: reason.code, type: reason.type } : { code: reason.code };
  const act = useAct(() => replay(query), reload);
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
          {act.done.failed[0] && ` ${act.done.failed[0].message}`}
        </Notice>
      )}
    </>
  );
}

function LetterTable({ letters }: { letters: Letter[] }) {
  return (
    <Table
      label="Dead letters"
      columns={[
        { name: "received", cell: (l) => <span class="nowrap">{clock(l.received)}</span> },
        { name: "event", cell: (l) => l.event_id || "–" },
        { name: "source", cell: (l) => l.source || "–" },
        { name: "type", cell: (l) => l.event_type || "–" },
        { name: "reason", cell: (l) => l.message },
        { name: "as it came", cell: (l) => <Raw letter={l} /> },
      ]}
      rows={letters}
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
