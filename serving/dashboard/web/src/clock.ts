/** clock writes a time of today as a time of day, and others with their day. */
export function clock(time: string): string {
  const date = new Date(time);
  const now = new Date();
  const options: Intl.DateTimeFormatOptions = { day: "numeric", month: "short" };
  if (date.getFullYear() !== now.getFullYear()) options.year = "numeric";
  const day =
    date.toDateString() === now.toDateString() ? "" : `${date.toLocaleDateString("en-GB", options)} `;
  return day + date.toLocaleTimeString("en-GB");
}
