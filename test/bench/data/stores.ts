import { connect, type Socket } from 'node:net';
import { systemClock } from '../../../src/util/clock.ts';

/** A write that is not answered for so long counts as not acknowledged: it may be there, or not. */
const answerMs = 3_000;
const pauseMs = 20;

/** How one program is written to over TCP, a number at a time. */
export interface Protocol {
  /** Service and volume, and the port that it is published on. */
  name: string;
  port: number;
  /** Sent once; resolves when the program takes requests. */
  greet(line: Line): Promise<void>;
  /** Resolves once the program says that the number is on its disk. */
  write(line: Line, number: number): Promise<void>;
  /** All numbers that it has. */
  read(line: Line): Promise<number[]>;
}

/** A connection that is read to the next thing that is whole. */
export class Line {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('closed')));
  }

  static async open(host: string, port: number): Promise<Line> {
    const socket = connect({ host, port });
    await new Promise<void>((resolve, reject) => {
      const cancel = systemClock.after(answerMs, () => socket.destroy(new Error('cannot connect')));
      socket.once('connect', () => {
        cancel();
        resolve();
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    });
    return new Line(socket);
  }

  send(bytes: Buffer | string): void {
    this.#socket.write(bytes);
  }

  /** Waits until `take` finds something whole at the beginning, which goes. */
  async next<T>(take: (bytes: Buffer) => { value: T; length: number } | undefined): Promise<T> {
    for (;;) {
      const found = take(this.#bytes);
      if (found !== undefined) {
        this.#bytes = this.#bytes.subarray(found.length);
        return found.value;
      }
      if (this.#failure !== undefined) throw this.#failure;
      const cancel = systemClock.after(answerMs, () => this.#socket.destroy(new Error('no answer')));
      await new Promise<void>((resolve) => (this.#wake = resolve));
      cancel();
    }
  }

  async text(): Promise<string> {
    return await this.next((bytes) => {
      const end = bytes.indexOf(10);
      return end === -1 ? undefined : { value: bytes.subarray(0, end).toString().trim(), length: end + 1 };
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}

async function expectText(line: Line, wanted: RegExp): Promise<string> {
  const text = await line.text();
  if (!wanted.test(text)) throw new Error(`unexpected answer: ${text}`);
  return text;
}

/** Redis, with its append-only file written out at each command. */
const redis: Protocol = {
  name: 'redis',
  port: 16379,
  greet: () => Promise.resolve(),
  write: async (line, number) => {
    line.send(`RPUSH numbers ${number}\r\n`);
    await expectText(line, /^:\d+$/);
  },
  read: async (line) => {
    line.send('LRANGE numbers 0 -1\r\n');
    const count = Number((await expectText(line, /^\*\d+$/)).slice(1));
    const numbers: number[] = [];
    for (let index = 0; index < count; index++) {
      await expectText(line, /^\$\d+$/);
      numbers.push(Number(await line.text()));
    }
    return numbers;
  },
};

/** A program that has each line on the disk before it says so. */
const file: Protocol = {
  name: 'file',
  port: 17000,
  greet: () => Promise.resolve(),
  write: async (line, number) => {
    line.send(`${number}\n`);
    await expectText(line, new RegExp(`^ok ${number}$`));
  },
  read: async (line) => {
    line.send('list\n');
    const text = await expectText(line, /^[\d ]*$/);
    return text === '' ? [] : text.split(' ').map(Number);
  },
};

/** PostgreSQL's frontend/backend protocol, version 3: a start without a password, and simple queries. */
const postgres: Protocol = {
  name: 'postgres',
  port: 15432,
  greet: async (line) => {
    const body = Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1');
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    line.send(Buffer.concat([length, body]));
    await rowsOf(line);
    await query(line, 'CREATE TABLE IF NOT EXISTS numbers (n bigint)');
  },
  write: async (line, number) => void (await query(line, `INSERT INTO numbers VALUES (${number})`)),
  read: async (line) => (await query(line, 'SELECT n FROM numbers')).map(Number),
};

async function query(line: Line, text: string): Promise<string[]> {
  const body = Buffer.from(`${text}\0`);
  const head = Buffer.alloc(5);
  head.write('Q');
  head.writeInt32BE(body.length + 4, 1);
  line.send(Buffer.concat([head, body]));
  return await rowsOf(line);
}

/** The only column of each row until the server is ready for the next query. */
async function rowsOf(line: Line): Promise<string[]> {
  const rows: string[] = [];
  for (;;) {
    const { type, body } = await line.next((bytes) => {
      if (bytes.length < 5 || bytes.length < 1 + bytes.readInt32BE(1)) return undefined;
      const length = 1 + bytes.readInt32BE(1);
      return { value: { type: String.fromCharCode(bytes[0]!), body: bytes.subarray(5, length) }, length };
    });
    if (type === 'E') throw new Error(body.toString().replaceAll('\0', ' '));
    if (type === 'D') rows.push(body.subarray(6).toString());
    if (type === 'Z') return rows;
  }
}

export const protocols: readonly Protocol[] = [redis, postgres, file];

/** Writes one number after the other to a program, wherever it is, and remembers which were acknowledged. */
export class Writer {
  readonly protocol: Protocol;
  readonly acknowledged = new Set<number>();
  readonly #addresses: string[];
  readonly #stop = new AbortController();
  #next = 1;
  #turn = 0;
  #done: Promise<void> | undefined;

  constructor(protocol: Protocol, addresses: string[]) {
    this.protocol = protocol;
    this.#addresses = addresses;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** Which acknowledged numbers the program does not have, each told once. Throws when it cannot be asked. */
  async missing(): Promise<number[]> {
    const acknowledged = [...this.acknowledged];
    const line = await this.#open();
    try {
      const there = new Set(await this.protocol.read(line));
      const missing = acknowledged.filter((number) => !there.has(number));
      for (const number of missing) this.acknowledged.delete(number);
      return missing;
    } finally {
      line.close();
    }
  }

  /** Any host leads to the program; one that is cut off does not. */
  async #open(): Promise<Line> {
    const address = this.#addresses[this.#turn++ % this.#addresses.length]!;
    const line = await Line.open(address, this.protocol.port);
    await this.protocol.greet(line).catch((error: unknown) => {
      line.close();
      throw error;
    });
    return line;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let line: Line | undefined;
      try {
        line = await this.#open();
        while (!this.#stop.signal.aborted) {
          const number = this.#next++;
          await this.protocol.write(line, number);
          this.acknowledged.add(number);
          await systemClock.sleep(pauseMs);
        }
      } catch {
        await systemClock.sleep(5 * pauseMs); // the number may be there or not, and is not written again
      } finally {
        line?.close();
      }
    }
  }
}
