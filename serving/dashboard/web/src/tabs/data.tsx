// Data: what is declared, what arrives, what was rejected, and a file to count.
import { call } from "../api";
import { Page, Refused } from "../components";
import { FromFile } from "../data/file";
import { Letters } from "../data/letters";
import { Newest } from "../data/newest";
import { Views } from "../data/views";
import { useLoad } from "../load";
import { useURLState } from "../route";
import "../operate.css";

const parts = [
  ["views", "Types and views"],
  ["events", "Newest events"],
  ["letters", "Dead letters"],
  ["file", "Count a file"],
] as const;

const pollMillis = 3000;

export function Data() {
  const [state, setState] = useURLState();
  const show = state.get("show") ?? "views";
  const load = useLoad(
    async (signal) => {
      const [views, types] = await Promise.all([
        call("get", "/v1/views", { signal }),
        call("get", "/v1/event-types", { signal }),
      ]);
      return { views: views.views, types: types.event_types };
    },
    [],
    pollMillis,
  );
  const clear = { view: "", edit: "", type: "", code: "" };
  return (
    <Page
      title="Data"
      aside={
        <fieldset class="parts" aria-label="What to show">
          {parts.map(([name, title]) => (
            <button
              key={name}
              type="button"
              class="part"
              aria-pressed={show === name}
              onClick={() => setState({ ...clear, show: name })}
            >
              {title}
            </button>
          ))}
        </fieldset>
      }
    >
      {load.failure && <Refused failure={load.failure} retry={load.reload} />}
      {load.value && show === "views" && (
        <Views views={load.value.views} types={load.value.types} reload={load.reload} />
      )}
      {load.value && show === "events" && <Newest types={load.value.types} />}
      {show === "letters" && <Letters />}
      {load.value && show === "file" && <FromFile types={load.value.types} reload={load.reload} />}
    </Page>
  );
}
