// The client of the HTTP API. Its types are generated from the OpenAPI document by `npm run types`.
import type { components, paths } from "./openapi";

export type Schemas = components["schemas"];

type Method = "get" | "post" | "put" | "delete";
type Operation<P extends keyof paths, M extends Method> = Exclude<paths[P][M], undefined>;
type Part<O, K extends string> = O extends { parameters: { [_ in K]?: infer V } } ? V : never;
type BodyOf<O> = O extends { requestBody?: { content: { "application/json": infer B } } } ? B : never;
type AnswerOf<O> = O extends { responses: infer R }
  ? {
      [S in keyof R & (200 | 201)]: R[S] extends { content: { "application/json": infer A } } ? A : never;
    }[keyof R & (200 | 201)]
  : never;

export interface Request<O> {
  path?: Record<string, string>;
  query?: Part<O, "query">;
  body?: BodyOf<O>;
  signal?: AbortSignal;
}

/** Failure is an answer that is no success, as application/problem+json describes it. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field = "",
  ) {
    super(detail);
  }
}

const storageKey = "recount.key";

/** savedKey is the key of this tab. It is forgotten when the tab is closed, and no other tab sees it. */
export const savedKey = (): string => sessionStorage.getItem(storageKey) ?? "";

/** saveKey keeps a key in the tab and tells the page, which then shows what the key may see. */
export function saveKey(key: string): void {
  if (key) sessionStorage.setItem(storageKey, key);
  else sessionStorage.removeItem(storageKey);
  window.dispatchEvent(new Event("keychange"));
}

/** address returns the path and parameters of a request. */
export function address(path: string, parts: { path?: Record<string, string>; query?: unknown }): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(parts.path?.[name] ?? ""),
  );
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parts.query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== "") query.append(name, String(one));
    }
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

/** send sends a request with the tab's key, and throws a Failure for an answer that is no success. */
export async function send(url: string, init: RequestInit = {}, key = savedKey()): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Failure(0, "unreachable", "The server does not answer. Is it running?");
  }
  if (response.ok) return response;
  const failure = await readFailure(response);
  if (failure.status === 401 && key === savedKey()) window.dispatchEvent(new Event("keyrefused"));
  throw failure;
}

async function readFailure(response: Response): Promise<Failure> {
  let p: Partial<Schemas["Problem"]> = {};
  try {
    p = await response.json();
  } catch {
    // A proxy in front of the server answers in its own words.
  }
  const detail = p.detail ?? `The server answered ${response.status}.`;
  const reasons = p.reasons?.length ? ` (${p.reasons.join("; ")})` : "";
  return new Failure(response.status, p.code ?? "", detail + reasons, p.field);
}

/** call runs an operation of the API and returns the JSON of its answer, which a delete does not have. */
export async function call<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  request: Request<Operation<P, M>> = {},
): Promise<AnswerOf<Operation<P, M>>> {
  const init: RequestInit = { method: method.toUpperCase(), headers: { Accept: "application/json" } };
  if (request.signal) init.signal = request.signal;
  if (request.body !== undefined) {
    init.body = JSON.stringify(request.body);
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  const response = await send(address(path, request), init);
  const text = await response.text();
  return (text === "" ? undefined : parseJSON(text)) as AnswerOf<Operation<P, M>>;
}

/** parseJSON keeps a whole number that a JavaScript number cannot hold as the text of its digits. */
export function parseJSON(text: string): unknown {
  if (!/[:,[]\s*-?\d{16}/.test(text)) return JSON.parse(text);
  const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const kept = text.replace(tokens, (token) =>
    /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token,
  );
  return JSON.parse(kept);
}
