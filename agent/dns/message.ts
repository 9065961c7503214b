/**
 * DNS messages as bytes: questions are read, and answers written, by hand. Containers send what they like here, so the work is
 * bounded by the size of the packet: one question, no pointers followed, no record looked into. Pure. RFC 1035, 4.1; 6891 (EDNS).
 */

const headerBytes = 12;
const recordFixedBytes = 10;
/** A name as it goes over the wire (RFC 1035, 2.3.4). */
const nameBytesMax = 255;
const pointerMark = 0xc0;
/** Points at the question's name, which is always in the same place. */
const pointerToQuestion = Buffer.from([pointerMark, headerBytes]);
/** The largest we send over UDP, whatever the client says: fits any MTU we make, so that it is never fragmented. */
export const udpBytesMax = 1232;

const response = 1 << 15;
const authoritative = 1 << 10;
const truncated = 1 << 9;
const recursionDesired = 1 << 8;
const recursionAvailable = 1 << 7;
const checkingDisabled = 1 << 4;

export const types = { a: 1, pointer: 12, any: 255 } as const;
const typeOption = 41;
const classInternet = 1;

export interface Query {
  id: number;
  flags: number;
  /** In lower case, without a final dot. */
  name: string;
  type: number;
  /** The question as it came. */
  question: Buffer;
  /** What the client takes over UDP, if it says so (EDNS). */
  udpBytes: number | undefined;
}

/** What is told of the name that was asked for. */
export interface Answer {
  type: number;
  data: Buffer;
}

/** A query with one question; undefined when the bytes are not a whole one. Never throws. */
export function readQuery(bytes: Buffer): Query | undefined {
  if (!isQuery(bytes) || bytes.readUInt16BE(4) !== 1) return undefined;
  const name = readName(bytes);
  const end = name === undefined ? 0 : name.end + 4;
  if (name === undefined || end > bytes.length) return undefined;
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  const rest = readOption(bytes, end, records);
  if (rest === undefined) return undefined;
  return {
    id: bytes.readUInt16BE(0),
    flags: bytes.readUInt16BE(2),
    name: name.text,
    type: bytes.readUInt16BE(name.end),
    question: bytes.subarray(headerBytes, end),
    udpBytes: rest.udpBytes,
  };
}

/** Whether the header says so; a response, above all, is none. */
export function isQuery(bytes: Buffer): boolean {
  return bytes.length >= headerBytes && (bytes[2]! & 0x80) === 0;
}

/** The name of the first question. Nothing is before it that it could point at. */
function readName(bytes: Buffer): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length >= 64) return undefined;
    at++;
    if (length === 0) return { text: labels.join('.').toLowerCase(), end: at };
    if (at + length > bytes.length || at + length - headerBytes >= nameBytesMax) return undefined;
    labels.push(bytes.toString('utf8', at, at + length));
    at += length;
  }
}

/** Steps over records; undefined when they go beyond the end. */
function readOption(bytes: Buffer, from: number, count: number): { udpBytes?: number } | undefined {
  let at = from;
  let found: { udpBytes?: number } = {};
  for (let index = 0; index < count; index++) {
    const fixed = endOfName(bytes, at);
    if (fixed === undefined || fixed + recordFixedBytes > bytes.length) return undefined;
    if (bytes.readUInt16BE(fixed) === typeOption) found = { udpBytes: bytes.readUInt16BE(fixed + 2) };
    at = fixed + recordFixedBytes + bytes.readUInt16BE(fixed + 8);
    if (at > bytes.length) return undefined;
  }
  return found;
}

/** Where a name ends, with itself or with a pointer that is not followed. */
function endOfName(bytes: Buffer, from: number): number | undefined {
  let at = from;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= pointerMark) return at + 2;
    if (length >= 64) return undefined;
    at += length + 1;
    if (length === 0) return at;
  }
}

/** As many answers as fit into `bytesMax`, in their order: some clients never use TCP. The packet is marked when some are left out. */
export function writeAnswer(
  query: Query,
  code: number,
  answers: readonly Answer[],
  bytesMax: number,
): Buffer {
  const option = query.udpBytes === undefined ? [] : [optionRecord()];
  const kept: Buffer[] = [];
  let left = bytesMax - headerBytes - query.question.length - (option[0]?.length ?? 0);
  for (const answer of answers) {
    left -= pointerToQuestion.length + recordFixedBytes + answer.data.length;
    if (left < 0) break;
    kept.push(record(answer));
  }
  const asked = query.flags & (recursionDesired | checkingDisabled);
  const cut = kept.length < answers.length ? truncated : 0;
  const flags = response | asked | authoritative | recursionAvailable | cut | code;
  const counts = { answers: kept.length, additionals: option.length };
  return Buffer.concat([header(query.id, flags, 1, counts), query.question, ...kept, ...option]);
}

/** Only a header, for who sent what cannot be read. */
export function writeRefusal(bytes: Buffer, code: number): Buffer {
  return header(bytes.readUInt16BE(0), response | code, 0);
}

/** A resolver's answer without its records, marked, so that the client asks again over TCP. */
export function cutAnswer(bytes: Buffer): Buffer {
  const flags = response | bytes.readUInt16BE(2) | truncated;
  const end = bytes.readUInt16BE(4) === 1 ? endOfName(bytes, headerBytes) : undefined;
  const question =
    end === undefined || end + 4 > bytes.length ? Buffer.alloc(0) : bytes.subarray(headerBytes, end + 4);
  return Buffer.concat([header(bytes.readUInt16BE(0), flags, question.length === 0 ? 0 : 1), question]);
}

function header(
  id: number,
  flags: number,
  questions: number,
  counts: { answers: number; additionals: number } = { answers: 0, additionals: 0 },
): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt16BE(questions, 4);
  bytes.writeUInt16BE(counts.answers, 6);
  bytes.writeUInt16BE(counts.additionals, 10);
  return bytes;
}

/**
 * How long a name may be remembered. Short, for the endpoints of `tasks.NAME` and of round-robin services change with
 * every rollout and a client that remembers a stopped one fails; not 0, so that a burst of connections asks once.
 */
export const ttlSeconds = 5;

function record({ type, data }: Answer): Buffer {
  const bytes = Buffer.alloc(pointerToQuestion.length + recordFixedBytes + data.length);
  pointerToQuestion.copy(bytes);
  bytes.writeUInt16BE(type, 2);
  bytes.writeUInt16BE(classInternet, 4);
  bytes.writeUInt32BE(ttlSeconds, 6);
  bytes.writeUInt16BE(data.length, 10);
  data.copy(bytes, 12);
  return bytes;
}

/** The root name, what we take over UDP, and no options (RFC 6891, 6.1.2). */
function optionRecord(): Buffer {
  const bytes = Buffer.alloc(1 + recordFixedBytes);
  bytes.writeUInt16BE(typeOption, 1);
  bytes.writeUInt16BE(udpBytesMax, 3);
  return bytes;
}

/** An IPv4 address as a record holds it. */
export function addressData(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** A name as a record holds it: labels, each with its length. */
export function nameData(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label));
  return Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.alloc(1)]);
}
