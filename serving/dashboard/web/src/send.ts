// Sends the rows of a file as events.
import { Failure, type Schemas, savedKey } from "./api";
import { BadFile, eventOf, mostBytes, mostRows, type Plan, Reader } from "./csv";
import { SHA256 } from "./sha256";

const batchRows = 1000;
const mostTries = 8;
/** mostErrors is how many rejected rows are kept with their reason. All are counted. */
export const mostErrors = 100;

export interface RowError {
  row: number;
  message: string;
}

export interface Tally {
  rows: number;
  accepted: number;
  rejected: number;
  errors: RowError[];
  bytes: number;
}

/** digestOf returns the SHA-256 of a file, as sha256sum prints it. */
export async function digestOf(file: File, signal: AbortSignal): Promise<string> {
  const digest = new SHA256();
  const stream = file.stream().getReader();
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await stream.read();
      if (done) return digest.hex();
      digest.add(value);
    }
  } finally {
    stream.cancel().catch(() => {});
  }
}

/** sendFile sends all rows after the head. Rows are numbered as a spreadsheet numbers them. */
export async function sendFile(
  file: File,
  plan: Plan,
  separator: string,
  signal: AbortSignal,
  progress: (tally: Tally) => void,
): Promise<Tally> {
  const tally: Tally = { rows: 0, accepted: 0, rejected: 0, errors: [], bytes: 0 };
  let batch: { row: number; event: string }[] = [];
  let head = true;
  const flush = async () => {
    if (batch.length === 0) return;
    const sent = batch;
    batch = [];
    await sendBatch(sent, tally, signal);
    progress({ ...tally });
  };
  await readRows(file, separator, async (row, cells, bytes) => {
    tally.bytes = bytes;
    if (head) {
      head = false;
      return true;
    }
    if (++tally.rows > mostRows)
      throw new BadFile(`More than ${mostRows} rows: use recount ingest for large files.`);
    batch.push({ row, event: eventOf(plan, row, cells) });
    if (batch.length >= batchRows) await flush();
    return true;
  });
  await flush();
  progress({ ...tally });
  return tally;
}

/** readRows reads a file in pieces, as long as each returns true. Blank rows are counted and left out. */
export async function readRows(
  file: File,
  separator: string,
  each: (row: number, cells: string[], bytes: number) => boolean | Promise<boolean>,
): Promise<void> {
  if (file.size > mostBytes) throw new BadFile("The file is larger than 256 MiB: use recount ingest.");
  const reader = new Reader(separator);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const stream = file.stream().getReader();
  let row = 0;
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await stream.read();
      bytes += value?.length ?? 0;
      const text = done ? decoder.decode() : decoder.decode(value, { stream: true });
      const rows = reader.push(text);
      if (done) rows.push(...reader.end());
      for (const cells of rows) {
        row++;
        if (cells.length > 0 && !(await each(row, cells, bytes))) return;
      }
      if (done) return;
    }
  } catch (error) {
    if (error instanceof TypeError)
      throw new BadFile("The file is not UTF-8. Save it as UTF-8 and choose it again.");
    throw error;
  } finally {
    stream.cancel().catch(() => {});
  }
}

/** sendBatch sends a batch until it is answered. The ids stay, so what was sent twice counts once. */
async function sendBatch(
  batch: { row: number; event: string }[],
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const body = `[${batch.map((b) => b.event).join(",")}]`;
  for (let attempt = 1; ; attempt++) {
    const answer = await post(body, signal);
    if (answer.retry === undefined || attempt === mostTries) {
      if (answer.retry !== undefined || !answer.events) throw answer.failure;
      const { accepted, rejected } = answer.events;
      tally.accepted += accepted;
      tally.rejected += rejected.length;
      for (const r of rejected) {
        if (tally.errors.length >= mostErrors) break;
        tally.errors.push({ row: batch[r.index]?.row ?? 0, message: r.message });
      }
      return;
    }
    await pause(Math.max(answer.retry, 2 ** (attempt - 1) * 250 * (0.5 + Math.random())), signal);
  }
}

interface Answer {
  events?: { accepted: number; rejected: Schemas["Rejection"][] };
  failure?: Failure;
  /** retry is how many ms to wait before the same batch is sent again. */
  retry?: number;
}

async function post(body: string, signal: AbortSignal): Promise<Answer> {
  const headers: Record<string, string> = { "Content-Type": "application/cloudevents-batch+json" };
  if (savedKey()) headers.Authorization = `Bearer ${savedKey()}`;
  let response: Response;
  try {
    response = await fetch("/v1/events", { method: "POST", headers, body, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    return {
      retry: 1000,
      failure: new Failure(0, "unreachable", "The server does not answer. Is it running?"),
    };
  }
  const answer: Partial<Schemas["IngestProblem"]> = await response.json().catch(() => ({}));
  if (response.ok || answer.code === "all_rejected") {
    return { events: { accepted: answer.accepted ?? 0, rejected: answer.rejected ?? [] } };
  }
  const failure = new Failure(
    response.status,
    answer.code ?? "",
    answer.detail ?? `The server answered ${response.status}.`,
  );
  if (response.status !== 429 && response.status !== 503) return { failure };
  return { failure, retry: Number(response.headers.get("Retry-After") ?? 1) * 1000 };
}

const pause = (millis: number, signal: AbortSignal) =>
  new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, millis);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
