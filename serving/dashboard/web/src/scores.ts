// What the scores of live answers say.
import type { Schemas } from "./api";

/** heldOf counts the bounds that live answers stated, and those within which the exact number was. */
export function heldOf(scores: Schemas["Scores"] | undefined): { stated: number; held: number } {
  let stated = 0;
  let held = 0;
  for (const view of scores?.views ?? []) {
    for (const m of view.measures) {
      stated += m.bounds_stated;
      held += m.bounds_held;
    }
  }
  return { stated, held };
}

/** errorText writes a relative error. One that is not 0 is never written as 0. */
export function errorText(ratio: number): string {
  if (ratio === 0) return "0";
  if (ratio < 0.0001) return "< 0.01 %";
  return `${(ratio * 100).toLocaleString("en", { maximumSignificantDigits: 3 })} %`;
}
