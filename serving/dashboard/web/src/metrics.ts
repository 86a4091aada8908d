// What Now reads of the metrics of the server, which a key with the scope admin or metrics may read.
import { Failure, send } from "./api";

/** sumMetrics adds up the samples of each metric in the text format of Prometheus, over all labels. */
export function sumMetrics(text: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^(recount_\w+)(?:\{.*\})? (\S+)/.exec(line);
    const [, name, value] = match ?? [];
    if (name) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}

export interface Stages {
  accepted: number;
  /** Messages that a stage has not taken from the one before it. */
  toLive: number;
  toLake: number;
  toPublish: number;
}

export function stagesOf(sums: Map<string, number>): Stages {
  const of = (name: string) => sums.get(`recount_${name}`) ?? 0;
  const landed = of("landing_next_sequence");
  return {
    accepted: of("ingest_events_accepted_total"),
    toLive: of("realtime_lag_messages"),
    toLake: Math.max(0, of("log_next_sequence") - landed),
    toPublish: Math.max(0, landed - of("batch_next_sequence")),
  };
}

/** loadStages returns undefined where the address or the key has no metrics. */
export async function loadStages(signal: AbortSignal): Promise<Stages | undefined> {
  try {
    const response = await send("/metrics", { signal });
    return stagesOf(sumMetrics(await response.text()));
  } catch (error) {
    if (error instanceof Failure && (error.status === 403 || error.status === 404)) return undefined;
    throw error;
  }
}
