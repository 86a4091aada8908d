// A tab is one file of this folder, and is shown when it is listed here.
import type { ComponentType } from "preact";
import { Accuracy } from "./accuracy";
import { Data } from "./data";
import { Event } from "./event";
import { Explore } from "./explore";
import { Now } from "./now";
import { Pipeline } from "./pipeline";

export interface Tab {
  /** name is what the URL says after #. */
  name: string;
  title: string;
  View: ComponentType;
}

export const tabs: readonly Tab[] = [
  { name: "now", title: "Now", View: Now },
  { name: "explore", title: "Explore", View: Explore },
  { name: "data", title: "Data", View: Data },
  { name: "event", title: "Event", View: Event },
  { name: "accuracy", title: "Accuracy", View: Accuracy },
  { name: "pipeline", title: "Pipeline", View: Pipeline },
];
