import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

/**
 * As much of a Redis client as this sample needs, without any package: commands and replies in RESP2
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/) over one connection that is made when it is needed.
 */
export type Reply = string | number | null | Reply[];

export interface RedisOptions {
  host: string;
  /** @default 6379 */
  port?: number;
  /** A file with the password and nothing else. */
  passwordFile: string;
  /** A command without a reply for this long fails, and the connection with it. @default 3000 */
  timeoutMs?: number;
}

interface Waiting {
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

export class Redis {
  readonly #options: RedisOptions;
  #socket: Socket | undefined;
  #received = Buffer.alloc(0);
  #waiting: Waiting[] = [];

  constructor(options: RedisOptions) {
    this.#options = options;
  }

  /** Sends one command; commands sent together share a round trip. Fails when the server says so or cannot be reached. */
  command(...words: string[]): Promise<Reply> {
    this.#socket ??= this.#connect();
    return this.#send(this.#socket, words);
  }

  close(): void {
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const { host, port = 6379, passwordFile, timeoutMs = 3_000 } = this.#options;
    const socket = connect({ host, port, noDelay: true, timeout: timeoutMs });
    this.#received = Buffer.alloc(0);
    const fail = (error: Error) => this.#fail(socket, error);
    socket.on('data', (chunk) => this.#receive(socket, chunk));
    socket.on('timeout', () => {
      // silence is what an idle connection does; with somebody waiting it is a fault
      if (this.#waiting.length > 0) fail(new Error(`No reply from ${host} for ${timeoutMs} ms`));
    });
    socket.on('error', fail);
    socket.on('close', () => fail(new Error(`${host} closed the connection`)));
    this.#send(socket, ['AUTH', readFileSync(passwordFile, 'utf8').trim()]).catch(fail);
    return socket;
  }

  #send(socket: Socket, words: string[]): Promise<Reply> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    socket.write(`*${words.length}\r\n${parts.join('')}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #receive(socket: Socket, chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const parsed = parseReply(this.#received, 0);
      if (!parsed) return;
      this.#received = this.#received.subarray(parsed.end);
      const waiting = this.#waiting.shift();
      if (!waiting) return this.#fail(socket, new Error('A reply to nothing'));
      if (parsed.reply instanceof Error) waiting.reject(parsed.reply);
      else waiting.resolve(parsed.reply);
    }
  }

  #fail(socket: Socket, error: Error): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** One reply from `at` and where it ends; nothing when it has not all come yet. An error reply is given, not thrown. */
function parseReply(buffer: Buffer, at: number): { reply: Reply | Error; end: number } | undefined {
  const lineEnd = buffer.indexOf('\r\n', at);
  if (lineEnd === -1) return undefined;
  const type = String.fromCharCode(buffer[at]!);
  const text = buffer.toString('utf8', at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (type) {
    case '+':
      return { reply: text, end };
    case '-':
      return { reply: new Error(text), end };
    case ':':
      return { reply: Number(text), end };
    case '$':
      return parseBulk(buffer, end, Number(text));
    case '*':
      return parseArray(buffer, end, Number(text));
    default:
      return { reply: new Error(`Unknown reply type ${JSON.stringify(type)}`), end };
  }
}

function parseBulk(buffer: Buffer, start: number, length: number): { reply: Reply; end: number } | undefined {
  if (length === -1) return { reply: null, end: start };
  const end = start + length + 2;
  return end > buffer.length ? undefined : { reply: buffer.toString('utf8', start, end - 2), end };
}

function parseArray(
  buffer: Buffer,
  start: number,
  length: number,
): { reply: Reply | Error; end: number } | undefined {
  if (length === -1) return { reply: null, end: start };
  const replies: Reply[] = [];
  let end = start;
  for (let index = 0; index < length; index++) {
    const parsed = parseReply(buffer, end);
    if (!parsed) return undefined;
    end = parsed.end;
    if (parsed.reply instanceof Error) return { reply: parsed.reply, end };
    replies.push(parsed.reply);
  }
  return { reply: replies, end };
}
