// The event types and views that are declared, and how far views are filled.
import type { ComponentChildren } from "preact";
import { AskFirst, useAct } from "../act";
import { call, type Schemas } from "../api";
import { Card, type Column, Empty, Notice, Refused, Table } from "../components";
import { fieldTypes } from "../draft";
import { conditionText } from "../fate";
import { formatCount } from "../format";
import { useLoad } from "../load";
import { useURLState } from "../route";
import { TypeForm } from "./typeform";
import { ViewForm } from "./viewform";

type View = Schemas["View"];
type EventType = Schemas["EventType"];

/** useMayEdit asks for what only a key that may declare can read. It is undefined until the server has answered. */
function useMayEdit(): { may: boolean; why: string } | undefined {
  const { value, failure } = useLoad((signal) => call("get", "/v1/catalog", { signal }), []);
  if (failure?.status === 403)
    return { may: false, why: "To declare or delete, use a key with the scope admin: Key, above." };
  if (failure?.status === 404)
    return { may: false, why: "Types and views are declared at the address of admin.listen." };
  return value || failure ? { may: true, why: "" } : undefined;
}

export function Views(props: { views: View[]; types: EventType[]; reload: () => void }) {
  const { views, types } = props;
  const [state, setState] = useURLState();
  const edited = state.get("edit");
  const editedType = state.get("type");
  const rights = useMayEdit();
  const may = rights?.may === true;
  const close = () => {
    setState({ edit: "", type: "" });
    props.reload();
  };
  return (
    <>
      {edited && types.length > 0 && (
        <ViewForm key={edited} name={edited === "+" ? "" : edited} types={types} close={close} />
      )}
      {editedType && <TypeForm key={editedType} name={editedType === "+" ? "" : editedType} close={close} />}
      {rights?.why && <Notice kind="info">{rights.why}</Notice>}
      <Card
        title="Views"
        aside={
          may &&
          types.length > 0 && (
            <button type="button" onClick={() => setState({ edit: "+", type: "" })}>
              New view
            </button>
          )
        }
      >
        {views.length === 0 ? (
          <NoView hasTypes={types.length > 0} />
        ) : (
          <ViewTable
            views={views}
            edit={may ? (name) => setState({ edit: name, type: "" }) : undefined}
            reload={props.reload}
          />
        )}
      </Card>
      <Card
        title="Event types"
        aside={
          may && (
            <button type="button" class="second" onClick={() => setState({ edit: "", type: "+" })}>
              New event type
            </button>
          )
        }
      >
        <TypeTable
          types={types}
          edit={may ? (name) => setState({ edit: "", type: name }) : undefined}
          reload={props.reload}
        />
      </Card>
    </>
  );
}

function NoView({ hasTypes }: { hasTypes: boolean }) {
  return (
    <Empty title="Nothing is counted yet">
      <p>
        {hasTypes
          ? "A view says what to count of an event type: New view makes one, and it fills its history too."
          : "Declare an event type below, or count a file: its columns become the fields."}
      </p>
    </Empty>
  );
}

interface Editing {
  /** edit is undefined for a key that may not declare. */
  edit: ((name: string) => void) | undefined;
  reload: () => void;
}

function ViewTable(props: { views: View[] } & Editing) {
  return (
    <Table
      label="Views"
      columns={[
        { name: "view", cell: (v) => <a href={`#explore?view=${encodeURIComponent(v.name)}`}>{v.name}</a> },
        { name: "counts", cell: (v) => v.event },
        { name: "by", cell: (v) => v.dimensions.map((d) => d.name).join(", ") || "nothing: one total" },
        { name: "cell", cell: (v) => v.cell },
        { name: "measures", cell: (v) => v.measures.map(measureText).join(", ") },
        { name: "where", cell: (v) => v.where.map(conditionText).join(" and ") || "–" },
        { name: "state", cell: (v) => <Filling view={v} /> },
        ...actions<View>(props.edit, (v) => <DeleteView name={v.name} reload={props.reload} />),
      ]}
      rows={props.views}
      keyOf={(v) => v.name}
    />
  );
}

/** actions is the column of what can be done with a row, or nothing for a key that may do nothing. */
function actions<R extends { name: string }>(
  edit: Editing["edit"],
  remove: (row: R) => ComponentChildren,
): Column<R>[] {
  if (!edit) return [];
  return [
    {
      name: "actions",
      cell: (row) => (
        <span class="row-actions">
          <button type="button" class="second" aria-label={`Edit ${row.name}`} onClick={() => edit(row.name)}>
            Edit
          </button>
          {remove(row)}
        </span>
      ),
    },
  ];
}

function measureText(m: Schemas["Measure"]): string {
  if (m.kind === "count") return m.name;
  return `${m.name} (${m.kind} of ${m.field})`;
}

/** Filling says how far the history of a view is computed. */
function Filling({ view }: { view: View }) {
  if (view.fill) {
    return (
      <span class="live">
        filling: {formatCount(view.fill.buckets_left)} buckets with {formatCount(view.fill.events_left)}{" "}
        events are left, exact from {view.fill.filled_from}
      </span>
    );
  }
  if (view.published === null) return <span class="live">live; the next publication fills it</span>;
  return <span class="good nowrap">✓ filled</span>;
}

function DeleteView({ name, reload }: { name: string; reload: () => void }) {
  const act = useAct(() => call("delete", "/v1/views/{name}", { path: { name } }), reload);
  return (
    <>
      <AskFirst
        name="Delete"
        label={`Delete ${name}`}
        title={`Delete the view ${name}?`}
        act={act.run}
        disabled={act.busy}
      >
        Queries of it fail from now on. The events stay, and a new view can count them again. Numbers of
        pinned publications can still be asked for with <code>as_of</code>.
      </AskFirst>
      {act.failure && <Refused failure={act.failure} />}
    </>
  );
}

function TypeTable(props: { types: EventType[] } & Editing) {
  if (props.types.length === 0) {
    return (
      <Empty title="No event type is declared">
        <p>New event type declares one. Without any, the server declares a type from its first events.</p>
      </Empty>
    );
  }
  return (
    <Table
      label="Event types"
      columns={[
        {
          name: "type",
          cell: (t) => <a href={`#data?show=events&type=${encodeURIComponent(t.name)}`}>{t.name}</a>,
        },
        {
          name: "fields",
          cell: (t) =>
            Object.entries(fieldTypes(t))
              .map(([name, type]) => `${name}: ${type}`)
              .join(", ") || "none",
        },
        {
          name: "views",
          cell: (t) => t.views.join(", ") || <span class="live">none: it is kept, not counted</span>,
        },
        {
          name: "declared",
          cell: (t) => (t.discovered ? <span class="quiet">from events</span> : "by request or file"),
        },
        ...actions<EventType>(props.edit, (t) => <DeleteType type={t} reload={props.reload} />),
      ]}
      rows={props.types}
      keyOf={(t) => t.name}
    />
  );
}

function DeleteType({ type, reload }: { type: EventType; reload: () => void }) {
  const act = useAct(() => call("delete", "/v1/event-types/{name}", { path: { name: type.name } }), reload);
  return (
    <>
      <AskFirst
        name="Delete"
        label={`Delete ${type.name}`}
        title={`Delete the event type ${type.name}?`}
        act={act.run}
        disabled={act.busy}
      >
        {type.views.length > 0
          ? `The views ${type.views.join(", ")} count it, so the server will refuse: delete them first.`
          : "Events of this type are rejected from now on. Those that are stored stay."}
      </AskFirst>
      {act.failure && <Refused failure={act.failure} />}
    </>
  );
}
