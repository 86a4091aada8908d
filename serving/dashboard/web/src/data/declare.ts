// Changes of the catalog that change only what was read.
import { address, type Schemas, send } from "../api";

export type Kind = "views" | "event-types";

/** readTag returns the tag of a declaration. A change that names it fails if somebody else made one since. */
export async function readTag(kind: Kind, name: string): Promise<string> {
  const response = await send(`/v1/${kind}/${encodeURIComponent(name)}`);
  return response.headers.get("ETag") ?? "";
}

export async function declare(
  kind: Kind,
  name: string,
  body: string,
  options: { tag?: string; dryRun?: boolean } = {},
): Promise<Schemas["Changes"]> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (options.tag) headers["If-Match"] = options.tag;
  else headers["If-None-Match"] = "*";
  const query = options.dryRun ? { dry_run: "true" } : {};
  const url = address(`/v1/${kind}/{name}`, { path: { name }, query });
  const response = await send(url, { method: "PUT", headers, body });
  return (await response.json()) as Schemas["Changes"];
}
