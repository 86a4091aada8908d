// SHA-256 of bytes that arrive in pieces, as FIPS 180-4 has it. The browser's crypto.subtle is not used: it wants all bytes
// at once, and it is absent on plain http, so the digest of a file would depend on how the page was opened.

const primes = (count: number): number[] => {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n);
  return found;
};
/** fraction returns the first 32 bits after the point. */
const fraction = (x: number): number => ((x - Math.floor(x)) * 2 ** 32) | 0;

const first64 = primes(64);
const constants = Int32Array.from(first64, (p) => fraction(Math.cbrt(p)));
const turn = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

export class SHA256 {
  private readonly state = Int32Array.from(first64.slice(0, 8), (p) => fraction(Math.sqrt(p)));
  private readonly words = new Int32Array(64);
  private readonly block = new Uint8Array(64);
  private readonly view = new DataView(this.block.buffer);
  private filled = 0;
  private bytes = 0;

  add(piece: Uint8Array): void {
    this.bytes += piece.length;
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + 64 - this.filled);
      this.block.set(part, this.filled);
      this.filled += part.length;
      at += part.length;
      if (this.filled === 64) this.mix();
    }
  }

  /** hex ends the digest. Nothing can be added after it. */
  hex(): string {
    const bits = this.bytes * 8;
    this.add(Uint8Array.of(0x80));
    while (this.filled !== 56) this.add(Uint8Array.of(0));
    this.view.setUint32(56, Math.floor(bits / 2 ** 32));
    this.view.setUint32(60, bits >>> 0);
    this.mix();
    return [...this.state].map((s) => (s >>> 0).toString(16).padStart(8, "0")).join("");
  }

  private mix(): void {
    const w = this.words;
    for (let i = 0; i < 16; i++) w[i] = this.view.getInt32(i * 4);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15] as number;
      const b = w[i - 2] as number;
      const low = turn(a, 7) ^ turn(a, 18) ^ (a >>> 3);
      const high = turn(b, 17) ^ turn(b, 19) ^ (b >>> 10);
      w[i] = (w[i - 16] as number) + low + (w[i - 7] as number) + high;
    }
    this.rounds();
    this.filled = 0;
  }

  private rounds(): void {
    let [a, b, c, d, e, f, g, h] = this.state as unknown as Eight;
    for (let i = 0; i < 64; i++) {
      const choice = (e & f) ^ (~e & g);
      const one =
        (h +
          (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
          choice +
          (constants[i] as number) +
          (this.words[i] as number)) |
        0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    for (const [i, value] of [a, b, c, d, e, f, g, h].entries())
      this.state[i] = (this.state[i] as number) + value;
  }
}

type Eight = [number, number, number, number, number, number, number, number];
