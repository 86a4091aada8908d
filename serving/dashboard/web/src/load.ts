// Loading from the API in components.
import { useEffect, useState } from "preact/hooks";
import { Failure } from "./api";

export interface Loaded<T> {
  /** value is the newest answer. It stays while the next one loads, so that a page does not flicker. */
  value?: T;
  failure?: Failure;
  loading: boolean;
  reload: () => void;
}

/** useLoad runs load when one of its inputs changes, and again every interval (in ms) while the tab is visible. */
export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  interval = 0,
): Loaded<T> {
  const [state, setState] = useState<{ value?: T; failure?: Failure; loading: boolean }>({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    let timer = 0;
    const run = async () => {
      try {
        const value = await load(controller.signal);
        if (!controller.signal.aborted) setState({ value, loading: false });
      } catch (error) {
        if (controller.signal.aborted) return;
        const failure = error instanceof Failure ? error : new Failure(0, "", String(error));
        setState((old) => ({ ...old, failure, loading: false }));
      }
      if (interval && !controller.signal.aborted) timer = window.setTimeout(tick, interval);
    };
    const tick = () => {
      if (document.hidden) timer = window.setTimeout(tick, interval);
      else run();
    };
    setState((old) => ({ ...old, loading: true }));
    run();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [...inputs, round, interval]);
  return { ...state, reload: () => setRound((n) => n + 1) };
}
