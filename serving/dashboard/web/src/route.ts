// The state of the page is its URL: #tab?name=value&name=value. A link to it shows the same again.
import { useEffect, useState } from "preact/hooks";

export interface Route {
  tab: string;
  state: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [tab = "", state = ""] = hash.replace(/^#/, "").split("?", 2);
  return { tab, state: new URLSearchParams(state) };
}

export function formatRoute(route: Route): string {
  const state = route.state.toString();
  return `#${route.tab}${state && `?${state}`}`;
}

/** changed returns a copy of state. A value of "" or an empty list removes a name. */
export function changed(state: URLSearchParams, changes: Record<string, string | string[]>): URLSearchParams {
  const out = new URLSearchParams(state);
  for (const [name, value] of Object.entries(changes)) {
    out.delete(name);
    for (const one of typeof value === "string" ? [value] : value) {
      if (one !== "") out.append(name, one);
    }
  }
  return out;
}

/**
 * go shows a route. A new entry in the history is made for another tab, and for a step that a reader wants to undo:
 * Back leaves a tab or a group, not a field.
 */
export function go(route: Route, isStep = false): void {
  const there = parseRoute(location.hash).tab === route.tab;
  history[there && !isStep ? "replaceState" : "pushState"](null, "", formatRoute(route));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const read = () => setHash(location.hash);
    window.addEventListener("hashchange", read);
    return () => window.removeEventListener("hashchange", read);
  }, []);
  return parseRoute(hash);
}

/** Change changes some of the state of a tab. Back undoes a step. */
export type Change = (changes: Record<string, string | string[]>, isStep?: boolean) => void;

/** useURLState returns the state of the tab that is shown, and a function that changes some of it. */
export function useURLState(): [URLSearchParams, Change] {
  const route = useRoute();
  return [
    route.state,
    (changes, isStep) => {
      const now = parseRoute(location.hash);
      go({ tab: now.tab, state: changed(now.state, changes) }, isStep);
    },
  ];
}
