// Numbers and times as a reader sees them.

const whole = new Intl.NumberFormat("en");

/**
 * formatCount writes 1,234,567. A value is a text when it has more digits than a JavaScript number can hold, and when it
 * is a decimal, whose places are kept.
 */
export function formatCount(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return whole.format(value);
  const text = String(value);
  const [, sign = "", digits, places = ""] = /^(-?)(\d+)(\.\d+)?$/.exec(text) ?? [];
  return digits ? sign + whole.format(BigInt(digits)) + places : text;
}

const units: [size: number, name: string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

/** formatSeconds writes a duration with one or two units: 45 s, 3 min 20 s, 2 d 4 h. */
export function formatSeconds(seconds: number): string {
  const rest = Math.max(0, Math.round(seconds));
  for (const [i, [size, name]] of units.entries()) {
    if (rest < size && size > 1) continue;
    const [smallerSize, smallerName] = units[i + 1] ?? [0, ""];
    const smaller = smallerSize ? Math.floor((rest % size) / smallerSize) : 0;
    return `${Math.floor(rest / size)} ${name}${smaller ? ` ${smaller} ${smallerName}` : ""}`;
  }
  return "0 s";
}

/** formatAge says how long ago a time was. */
export function formatAge(time: string, now = Date.now()): string {
  return formatSeconds((now - Date.parse(time)) / 1000);
}

/** formatTime writes the start of a window: its day, and the time of day if windows are shorter than a day. */
export function formatTime(seconds: number, zone: string, width: number): string {
  const date: Intl.DateTimeFormatOptions = {
    timeZone: zone,
    year: "numeric",
    month: "short",
    day: "numeric",
  };
  if (width < 86_400) Object.assign(date, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (width < 60) date.second = "2-digit";
  return new Intl.DateTimeFormat("en-GB", date).format(new Date(seconds * 1000));
}

/** formatNumber writes a measure: whole numbers in full, others with a few digits. */
export function formatNumber(value: unknown): string {
  if (typeof value !== "number" || Number.isInteger(value)) return formatCount(value);
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

/** formatChange writes by how much a value differs from an earlier one. It is "" if that is unknown. */
export function formatChange(value: unknown, previous: unknown): string {
  const before = Number(previous);
  if (previous === null || previous === undefined || value === null || value === undefined || !before)
    return "";
  const change = (Number(value) - before) / Math.abs(before);
  return `${change >= 0 ? "+" : "−"}${(Math.abs(change) * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

/** formatTick writes a time on an axis: the day at midnight and between days, else the time of day. */
export function formatTick(seconds: number, zone: string, step: number): string {
  const format = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }).format(new Date(seconds * 1000));
  if (step >= 28 * 86_400) return format({ month: "short", year: "numeric" });
  const time = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (step >= 86_400 || time === "00:00") return format({ day: "numeric", month: "short" });
  return step < 60 ? `${time}:${format({ second: "2-digit" }).padStart(2, "0")}` : time;
}
