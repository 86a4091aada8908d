// Now: what the server counts at this moment, and how far the exact numbers have come.
import { call } from "../api";
import { Card, Choice, CodeBlock, Empty, Page, Refused, Tile } from "../components";
import { formatAge, formatCount } from "../format";
import { useLoad } from "../load";
import { useURLState } from "../route";

const refreshMillis = 1000;

export function Now() {
  const views = useLoad((signal) => call("get", "/v1/views", { signal }), []);
  const [state, setState] = useURLState();
  const names = views.value?.views.map((v) => v.name) ?? [];
  const view = state.get("view") ?? names[0] ?? "";
  if (views.failure) {
    return (
      <Page title="Now">
        <Refused failure={views.failure} retry={views.reload} />
      </Page>
    );
  }
  if (views.value && names.length === 0) {
    return (
      <Page title="Now">
        <Card>
          <NoViews />
        </Card>
      </Page>
    );
  }
  const aside = <Choice label="View" value={view} options={names} onChange={(v) => setState({ view: v })} />;
  return (
    <Page title="Now" aside={aside}>
      {view && <Tiles view={view} />}
    </Page>
  );
}

function Tiles({ view }: { view: string }) {
  const answer = useLoad(
    (signal) => call("get", "/v1/query", { query: { view, from: "now-1h" }, signal }),
    [view],
    refreshMillis,
  );
  const accuracy = answer.value?.accuracy;
  return (
    <>
      {answer.failure && <Refused failure={answer.failure} />}
      <dl class="tiles">
        <Tile
          name="Publication"
          value={accuracy ? formatCount(accuracy.publication) : "–"}
          note={accuracy?.as_of ? `made ${formatAge(accuracy.as_of)} ago` : "none yet"}
        />
        <Tile
          name="Live events"
          value={accuracy ? formatCount(accuracy.pending_events) : "–"}
          note="after the publication, not yet exact"
          tone="live"
        />
      </dl>
    </>
  );
}

function NoViews() {
  const example = `curl -s ${location.origin}/v1/events -H 'Content-Type: application/json' -d '
{"id":"1","type":"page.viewed","time":"${new Date().toISOString()}","data":{"page":"/","user":"ann"}}'`;
  return (
    <Empty title="Nothing is counted yet">
      <p>The first event of a type declares it and a view by minute. Send one:</p>
      <CodeBlock text={example} />
    </Empty>
  );
}
