// Event: what became of one event.
import { useRef } from "preact/hooks";
import { call, type Schemas } from "../api";
import { clock } from "../clock";
import { Card, Empty, Field, Notice, Page, Refused } from "../components";
import { type Step, sinceText, stepsOf, verdict } from "../fate";
import { formatCount } from "../format";
import { useLoad } from "../load";
import { useURLState } from "../route";
import "../operate.css";

export function Event() {
  const [state, setState] = useURLState();
  const form = useRef<HTMLFormElement>(null);
  const id = state.get("id") ?? "";
  const source = state.get("source") ?? "";
  const time = state.get("time") ?? "";
  const find = (e: SubmitEvent) => {
    e.preventDefault();
    const entered = new FormData(form.current ?? undefined);
    const of = (name: string) => String(entered.get(name) ?? "").trim();
    setState({ id: of("id"), source: of("source"), time: of("time") });
  };
  return (
    <Page title="What became of an event?">
      <form key={`${id} ${source} ${time}`} ref={form} class="card controls" onSubmit={find}>
        <Field label="Id">
          <input name="id" defaultValue={id} required spellcheck={false} autocomplete="off" />
        </Field>
        <Field label="Source">
          <input
            name="source"
            defaultValue={source}
            placeholder="none"
            spellcheck={false}
            autocomplete="off"
          />
        </Field>
        <Field label="About when it happened">
          <input
            name="time"
            defaultValue={time}
            placeholder="any time"
            spellcheck={false}
            autocomplete="off"
          />
        </Field>
        <button type="submit">Explain</button>
        <span class="quiet">An event is known by its source and id together.</span>
      </form>
      {id ? <Explained key={`${id} ${source} ${time}`} id={id} source={source} time={time} /> : <Ask />}
    </Page>
  );
}

function Ask() {
  return (
    <Card>
      <Empty title="Ask for any event that was sent">
        <p>
          Enter the id and the source that its sender gave it. <a href="#data?show=events">Data</a> lists the
          newest events; each leads here.
        </p>
      </Empty>
    </Card>
  );
}

function Explained({ id, source, time }: { id: string; source: string; time: string }) {
  const query: { source?: string; time?: string } = {};
  if (source) query.source = source;
  if (time) query.time = time;
  const load = useLoad(
    (signal) => call("get", "/v1/events/{id}", { path: { id }, query, signal }),
    [id, source, time],
  );
  const e = load.value;
  if (load.failure) return <Refused failure={load.failure} retry={load.reload} />;
  if (!e) return <p class="quiet">Searching…</p>;
  const { tone, text } = verdict(e);
  return (
    <>
      <div class={`verdict verdict-${tone}`} role="status">
        {text}
      </div>
      {e.events.map((event, i) => (
        <Card
          key={i}
          title={event.status === "copy" ? "A copy of it" : "The event"}
          aside={
            <span class="quiet">
              {event.type} · happened {clock(event.time)}
            </span>
          }
        >
          <Steps event={event} />
        </Card>
      ))}
      {e.more ? <Notice kind="info">{formatCount(e.more)} more copies are not listed.</Notice> : null}
      {e.dead_letters.map((letter) => (
        <Rejected key={letter.name} letter={letter} since={sinceText(letter, e.events)} />
      ))}
      {e.events.length + e.dead_letters.length === 0 && (
        <Unknown source={source} time={time} search={e.search} />
      )}
      <Search explanation={e} reload={load.reload} />
    </>
  );
}

/** stepTimes are when a stage was reached, where that is known. */
function timeOf(step: Step, event: Schemas["ExplainedEvent"]): string | undefined {
  if (step.title === "Accepted") return event.accepted;
  return step.title === "Landed" ? event.landed : undefined;
}

const signs = { done: "✓", waiting: "…", stopped: "×" };

function Steps({ event }: { event: Schemas["ExplainedEvent"] }) {
  return (
    <ol class="steps">
      {stepsOf(event).map((step) => {
        const time = timeOf(step, event);
        return (
          <li key={step.title} class={`step-${step.state}`}>
            <span class="step-sign" aria-hidden="true">
              {signs[step.state]}
            </span>
            <div>
              <strong>{step.title}</strong> {time && <span class="quiet">{clock(time)}</span>}
              <p>{step.text}</p>
              {step.title === "Landed" && event.object && <code class="path">{event.object}</code>}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

function Rejected({ letter, since }: { letter: Schemas["DeadLetter"]; since: string }) {
  return (
    <Card
      title={since ? "Was rejected" : "Rejected"}
      aside={<span class="quiet">{clock(letter.received)}</span>}
    >
      <p>
        <strong>{letter.code}</strong>: {letter.message}
      </p>
      {since && <p class="after">{since}</p>}
      <p class="after quiet">
        It is kept as the dead letter <code>{letter.name}</code>.{" "}
        {!since && (
          <>
            When the reason is gone, <a href={`#data?show=letters&code=${letter.code}`}>replay it</a>: it
            keeps its id and counts once.
          </>
        )}
      </p>
    </Card>
  );
}

function Unknown(props: { source: string; time: string; search: Schemas["ExplainedScope"] }) {
  const title = props.search.complete ? "No event has this source and id" : "Not found in what was searched";
  return (
    <Card>
      <Empty title={title}>
        <p>
          {props.time && "Only events of about that time were searched: leave the time empty to search all. "}
          {props.source
            ? "Check the spelling of both, as they were sent."
            : "Was it sent with a source? Then enter that, too."}{" "}
          A rejected event can be found some seconds after it arrived.
        </p>
      </Empty>
    </Card>
  );
}

function Search({ explanation: e, reload }: { explanation: Schemas["Explanation"]; reload: () => void }) {
  const { search } = e;
  const rounded = Math.round(search.milliseconds);
  return (
    <p class="quiet">
      Searched partition {e.partition}: {formatCount(search.objects)} objects with {formatCount(search.rows)}{" "}
      rows and {formatCount(search.messages)} messages in {formatCount(rounded)} ms, publication{" "}
      {formatCount(e.publication)}.{search.missing.length > 0 && ` Missing: ${search.missing.join(", ")}.`}{" "}
      <button type="button" class="link" onClick={reload}>
        Look again
      </button>
    </p>
  );
}
