// The page that asks for a key, when the server has keys and the tab has none that it knows.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, savedKey, saveKey, send } from "./api";
import { Field, Notice, Page } from "./components";
import { changed, formatRoute, parseRoute } from "./route";

/**
 * takeKey moves a key from the address, such as #now?key=recount_…, into the tab. A browser keeps what stands after #
 * from servers and their logs. It may stay in the browser's history, so such links are for keys of a short life. A key
 * that the tab has stays, or a link of somebody else could replace it unseen.
 */
export function takeKey(): void {
  const route = parseRoute(location.hash);
  const key = route.state.get("key");
  if (!key) return;
  history.replaceState(null, "", formatRoute({ tab: route.tab, state: changed(route.state, { key: "" }) }));
  if (!savedKey()) saveKey(key);
}

/** letters are those that a header can carry. fetch refuses others with an error that names no key. */
const letters = /^[\x21-\x7e]+$/;

/** checkKey asks the server about a key. It returns what is wrong with it, or "". */
export async function checkKey(key: string): Promise<string> {
  if (!letters.test(key))
    return "A key has only letters from a to z, digits and signs such as _. Copy the whole key again.";
  try {
    await send("/v1/views", {}, key);
    return "";
  } catch (error) {
    if (!(error instanceof Failure)) return String(error);
    if (error.status === 401)
      return "The server does not know this key. It may be mistyped, expired or removed.";
    if (error.status === 403)
      return "The server knows this key, but it may not read. Use a key with the scope query or admin.";
    return error.status === 404 ? "" : error.message;
  }
}

export function KeyPage() {
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = async (e: Event) => {
    e.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (!key) return;
    setBusy(true);
    const problem = await checkKey(key);
    setBusy(false);
    setWrong(problem);
    if (problem) return input.current?.select();
    saveKey(key);
  };
  return (
    <Page title="This server asks for a key">
      <form class="card key-form" onSubmit={submit}>
        <Field label="Key" hint="It stays in this tab alone and is forgotten when you close the tab.">
          <input ref={input} type="password" name="key" autocomplete="off" spellcheck={false} required />
        </Field>
        {wrong && <Notice kind="bad">{wrong}</Notice>}
        <div class="actions">
          <button type="submit" disabled={busy}>
            Enter
          </button>
          {savedKey() && (
            <button type="button" class="second" onClick={() => saveKey("")}>
              Forget the key
            </button>
          )}
        </div>
        <p class="quiet">
          <code>recount keys create</code> makes one. The scope <code>query</code> is for Now, Explore, Data
          and Event; the scope <code>admin</code> is for Accuracy and Pipeline.
        </p>
      </form>
    </Page>
  );
}
