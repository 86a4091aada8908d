// Acts of a reader: what the server is asked to do, and the question before what cannot be undone.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Failure } from "./api";
import { Notice, Refused } from "./components";

export interface Act<T> {
  busy: boolean;
  done?: T;
  failure?: Failure;
  run: () => Promise<void>;
}

/** useAct runs an act once at a time, and keeps what became of the last run. */
export function useAct<T>(act: () => Promise<T>, after?: (done: T) => void): Act<T> {
  const [state, setState] = useState<{ busy: boolean; done?: T; failure?: Failure }>({ busy: false });
  const run = async () => {
    if (state.busy) return;
    setState({ busy: true });
    try {
      const done = await act();
      setState({ busy: false, done });
      after?.(done);
    } catch (error) {
      setState({
        busy: false,
        failure: error instanceof Failure ? error : new Failure(0, "", String(error)),
      });
    }
  };
  return { ...state, run };
}

/** AskFirst is a button that asks before it acts. The answer in which nothing happens has the focus. */
export function AskFirst(props: {
  name: ComponentChildren;
  title: string;
  label?: string;
  children: ComponentChildren;
  act: () => void;
  disabled?: boolean;
}) {
  const [asked, setAsked] = useState(false);
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  useEffect(() => {
    if (asked) dialog.current?.showModal();
  }, [asked]);
  return (
    <>
      <button
        type="button"
        class="second"
        aria-label={props.label}
        disabled={props.disabled}
        onClick={() => setAsked(true)}
      >
        {props.name}
      </button>
      {asked && (
        <dialog ref={dialog} aria-labelledby={title} onClose={() => setAsked(false)}>
          <div class="form">
            <h2 id={title}>{props.title}</h2>
            <div>{props.children}</div>
            <div class="actions">
              <button type="button" class="second" autofocus onClick={() => dialog.current?.close()}>
                Cancel
              </button>
              <button
                type="button"
                onClick={() => {
                  dialog.current?.close();
                  props.act();
                }}
              >
                {props.name}
              </button>
            </div>
          </div>
        </dialog>
      )}
    </>
  );
}

/** NotHere is a failure of what operators alone may see: it says where to ask. */
export function NotHere(props: { failure: Failure; retry?: () => void }) {
  if (props.failure.status !== 404 || props.failure.code !== "not_found") {
    return props.retry ? (
      <Refused failure={props.failure} retry={props.retry} />
    ) : (
      <Refused failure={props.failure} />
    );
  }
  return (
    <Notice kind="info">
      This address does not answer that. If the server has an address for operators (<code>admin.listen</code>
      ), ask there; if its roles are separate processes, ask the one that has the role.
    </Notice>
  );
}
