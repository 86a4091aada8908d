// The newest events of a type, as they arrive.
import { call, type Schemas } from "../api";
import { clock } from "../clock";
import { Card, Choice, Empty, Refused, Table } from "../components";
import { useLoad } from "../load";
import { useURLState } from "../route";

const pollMillis = 2000;
const shown = 50;

export function Newest({ types }: { types: Schemas["EventType"][] }) {
  const [state, setState] = useURLState();
  const type = types.find((t) => t.name === state.get("type"))?.name ?? types[0]?.name;
  if (!type) {
    return (
      <Card>
        <Empty title="No event type is declared">
          <p>
            <a href="#data?show=views&type=%2B">Declare one</a>, or <a href="#data?show=file">count a file</a>
            .
          </p>
        </Empty>
      </Card>
    );
  }
  return (
    <Card
      title={`The newest events of ${type}`}
      aside={
        <Choice
          label="Type"
          value={type}
          options={types.map((t) => t.name)}
          onChange={(t) => setState({ type: t })}
        />
      }
    >
      <Events key={type} type={type} />
    </Card>
  );
}

const states: Record<string, string> = { logged: "live", landed: "quiet", published: "good" };

function Events({ type }: { type: string }) {
  const load = useLoad(
    (signal) => call("get", "/v1/events", { query: { type, limit: shown }, signal }),
    [type],
    pollMillis,
  );
  const page = load.value;
  if (load.failure) return <Refused failure={load.failure} retry={load.reload} />;
  if (!page) return <p class="quiet">Reading…</p>;
  if (page.events.length === 0) {
    return (
      <Empty title="No event yet">
        <p>Send one of this type with POST /v1/events: it is listed here within two seconds.</p>
      </Empty>
    );
  }
  return (
    <>
      <Table
        label="Events"
        columns={[
          {
            name: "stored",
            cell: (e) => <span class="nowrap">{e.stored_at.time ? clock(e.stored_at.time) : "earlier"}</span>,
          },
          {
            name: "happened",
            cell: (e) => <span class="nowrap">{e.event.time ? clock(e.event.time) : "–"}</span>,
          },
          { name: "id", cell: (e) => <a href={explainLink(e.event)}>{e.event.id}</a> },
          { name: "source", cell: (e) => e.event.source || "–" },
          {
            name: "state",
            cell: (e) => (
              <span class={states[e.state]}>
                {e.state}
                {e.copy ? ", copy" : ""}
              </span>
            ),
          },
          { name: "data", cell: (e) => <code class="event-data">{dataText(e.event.data)}</code> },
        ]}
        rows={page.events}
      />
      {page.missing && <p class="bad">Not readable: {page.missing.join(", ")}</p>}
    </>
  );
}

/** dataText writes the members of the data with spaces between them, so that a line can break. */
function dataText(data: object | undefined): string {
  return Object.entries(data ?? {})
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join("  ");
}

function explainLink(event: Schemas["CloudEvent"]): string {
  const state = new URLSearchParams({ id: event.id });
  if (event.source) state.set("source", event.source);
  if (event.time) state.set("time", event.time);
  return `#event?${state}`;
}
