// Files of comma-separated values, read as RFC 4180 has them, and their rows as events.

export const mostColumns = 200;
export const mostRows = 1_000_000;
/** mostCell and mostBytes bound what a wrong file, such as one without a closing quote, can hold in memory. */
const mostCell = 65_536;
export const mostBytes = 256 * 1024 * 1024;

export class BadFile extends Error {}

/** Reader splits a text that arrives in pieces into rows. A blank line is a row without cells, as a spreadsheet counts it. */
export class Reader {
  row = 1;
  private cells: string[] = [];
  private cell = "";
  private quoted = false;
  /** wasQuote is a quote within quotes of which the next character says whether it ends the cell. */
  private wasQuote = false;
  private wasReturn = false;

  constructor(private readonly separator: string) {}

  push(text: string): string[][] {
    const rows: string[][] = [];
    for (const c of text) {
      if (this.quoted && !this.wasQuote) {
        if (c === '"') this.wasQuote = true;
        else this.add(c);
        continue;
      }
      this.unquoted(c, rows);
    }
    return rows;
  }

  private unquoted(c: string, rows: string[][]): void {
    const afterReturn = this.wasReturn;
    this.wasReturn = c === "\r";
    if (c === '"') {
      if (this.wasQuote) this.add(c);
      else if (this.cell !== "")
        throw new BadFile(`Row ${this.row}: a quote stands within a cell without quotes.`);
      this.quoted = true;
      this.wasQuote = false;
      return;
    }
    if (c === this.separator) this.endCell();
    else if (c === "\n" || c === "\r") {
      if (!(c === "\n" && afterReturn)) this.endRow(rows);
    } else if (this.quoted) {
      throw new BadFile(`Row ${this.row}: the character ${c} stands after a closing quote.`);
    } else this.add(c);
  }

  /** end returns the last row, if the file does not end with a line break. */
  end(): string[][] {
    if (this.quoted && !this.wasQuote) throw new BadFile(`Row ${this.row}: a quote is not closed.`);
    const rows: string[][] = [];
    this.endRow(rows);
    return rows;
  }

  private add(c: string): void {
    if (this.cell.length >= mostCell)
      throw new BadFile(`Row ${this.row}: a cell has more than ${mostCell} characters.`);
    this.cell += c;
  }

  private endCell(): void {
    if (this.cells.length >= mostColumns)
      throw new BadFile(`Row ${this.row} has more than ${mostColumns} cells.`);
    this.cells.push(this.cell);
    this.cell = "";
    this.quoted = false;
    this.wasQuote = false;
  }

  private endRow(rows: string[][]): void {
    const blank = this.cells.length === 0 && this.cell === "" && !this.quoted;
    this.endCell();
    rows.push(blank ? [] : this.cells);
    this.cells = [];
    this.row++;
  }
}

/** separatorOf returns the separator of which the first line has most. */
export function separatorOf(firstLine: string): string {
  const count = (c: string) => firstLine.split(c).length;
  return [",", ";", "\t"].reduce((a, b) => (count(b) > count(a) ? b : a));
}

const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const time = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/;

export const types = ["string", "int64", "float64", "bool", "timestamp"] as const;
export type Type = (typeof types)[number];

/** typeOf guesses the type that holds all values. A column without values is of texts. */
export function typeOf(values: readonly string[]): Type {
  const some = values.filter((v) => v !== "");
  const all = (test: (v: string) => boolean) => some.length > 0 && some.every(test);
  if (all((v) => v === "true" || v === "false")) return "bool";
  if (all((v) => /^-?(0|[1-9]\d{0,17})$/.test(v))) return "int64";
  if (all((v) => number.test(v))) return "float64";
  return all((v) => time.test(v)) ? "timestamp" : "string";
}

/** fieldName turns the head of a column into a name that a field may have. */
export function fieldName(head: string, index: number): string {
  const name = head
    .trim()
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
  if (!name) return `column_${index + 1}`;
  return /^[a-z]/.test(name) ? name : `column_${name}`;
}

/** timestamp writes a time as RFC 3339. One without an offset is read as UTC. */
export function timestamp(text: string): string {
  if (!time.test(text)) return text;
  if (text.length === 10) return `${text}T00:00:00Z`;
  let full = text.replace(" ", "T");
  if (/T\d\d:\d\d(Z|[+-]|$)/.test(full)) full = `${full.slice(0, 16)}:00${full.slice(16)}`;
  return /(Z|[+-]\d\d:\d\d)$/.test(full) ? full : `${full}Z`;
}

/** token writes a cell as JSON. Digits stay as they are, so no number loses any; what does not fit stays a text. */
export function token(text: string, type: Type): string {
  if ((type === "int64" || type === "float64") && number.test(text)) return text;
  if (type === "bool" && (text === "true" || text === "false")) return text;
  return JSON.stringify(type === "timestamp" ? timestamp(text) : text);
}

export interface FileColumn {
  name: string;
  type: Type;
  /** skip leaves the column out. */
  skip: boolean;
  /** declared is the type of the field of this name, if the event type exists and has it. */
  declared?: string;
}

/**
 * declaredAs gives columns the types of the fields that are declared already, whatever their values look like. A type that
 * JSON has no form for, such as a decimal, is sent as a text, so it loses no digit.
 */
export function declaredAs(columns: readonly FileColumn[], fields: Record<string, string>): FileColumn[] {
  return columns.map(({ name, type, skip }) => {
    const declared = fields[name];
    if (declared === undefined) return { name, type, skip };
    return { name, type: types.find((t) => t === declared) ?? "string", skip, declared };
  });
}

export interface Plan {
  file: string;
  /** digest is the SHA-256 of the file in hex. It tells apart files of the same name. */
  digest: string;
  type: string;
  columns: FileColumn[];
  /** timeColumn is the index of the column with the time of the event, or -1. */
  timeColumn: number;
  /** fallback is the time of events without one. It is the same whenever the file is sent, or copies would differ. */
  fallback: string;
}

/**
 * eventOf writes a row as a CloudEvent. Its source is the file's name and content, and its id the row. So a file that is sent
 * again counts once, and tomorrow's file of the same name is another one.
 */
export function eventOf(plan: Plan, row: number, cells: readonly string[]): string {
  const data = plan.columns.flatMap((column, i) => {
    const cell = cells[i] ?? "";
    if (column.skip || i === plan.timeColumn || cell === "") return [];
    return [`${JSON.stringify(column.name)}:${token(cell, column.type)}`];
  });
  const source = `csv/${encodeURIComponent(plan.file).slice(0, 180)}/${plan.digest.slice(0, 16)}`;
  const when = timestamp(cells[plan.timeColumn] ?? "") || plan.fallback;
  const head = { specversion: "1.0", id: String(row), source, type: plan.type, time: when };
  return `${JSON.stringify(head).slice(0, -1)},"data":{${data.join(",")}}}`;
}
