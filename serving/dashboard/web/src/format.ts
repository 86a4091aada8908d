// Numbers and times as a reader sees them.

const whole = new Intl.NumberFormat("en");

/** formatCount writes 1,234,567. A value is a text when it has more digits than a JavaScript number can hold. */
export function formatCount(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return whole.format(value);
  const text = String(value);
  return /^-?\d+$/.test(text) ? whole.format(BigInt(text)) : text;
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
