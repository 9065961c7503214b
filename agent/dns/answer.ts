/** From a packet to what is done with it. Pure. RFC 1034, 1035, 6891 (EDNS), 2308 (empty answers). */
import packet, { type Answer, type DecodedPacket, type Question } from 'dns-packet';
import type { Random } from '../../src/util/random.ts';
import type { Client, Names } from './names.ts';

/**
 * How long a name may be remembered. Short, for the endpoints of `tasks.NAME` and of round-robin services change with
 * every rollout and a client that remembers a stopped one fails; not 0, so that a burst of connections asks once.
 */
export const ttlSeconds = 5;
/** A packet over UDP without EDNS (RFC 1035, 4.2.1). */
const udpBytesDefault = 512;
/** The largest we send over UDP, whatever the client says: fits any MTU we make, so that it is never fragmented. */
const udpBytesMax = 1232;

/** A question, with all that extensions add to it, has no reason to be larger. */
export const questionBytesMax = 4_096;

const authoritative = 1 << 10;
const recursionAvailable = 1 << 7;
const recursionDesired = 1 << 8;
const truncated = 1 << 9;
const checkingDisabled = 1 << 4;

const codes = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export type Decision =
  /** Nothing sensible can be said. */
  | { kind: 'drop' }
  | { kind: 'answer'; packet: Buffer }
  /** Ask the client's resolvers, or else the host's; `failure` is the answer when none of them says anything. */
  | { kind: 'forward'; client: string; failure: Buffer; bytesMax: number; resolvers?: readonly string[] };

export interface Asked {
  bytes: Buffer;
  /** Source address, and that of the bridge whose server was asked. */
  from: string;
  server: string;
  protocol: 'udp' | 'tcp';
}

/** What to do with a packet. Never throws, whatever the bytes are. */
export function decide(asked: Asked, names: Names, random: Random): Decision {
  const query = asked.bytes.length > questionBytesMax ? undefined : decodeQuery(asked.bytes);
  if (query === undefined) return malformed(asked.bytes);
  const bytesMax = sizeLimit(query, asked.protocol);
  const reply = (code: number, answers: Answer[] = []) =>
    ({ kind: 'answer', packet: encodeAnswer(query, code, answers, bytesMax, random) }) as const;
  const client = names.client(asked.server, asked.from);
  if (!client) return reply(codes.refused);
  if ((((query.flags ?? 0) >> 11) & 0xf) !== 0) return reply(codes.notImplemented);
  const question = query.questions?.[0];
  if (!question || query.questions!.length !== 1) return reply(codes.formatError);
  const known = answerLocally(question, client, names);
  if (known) return reply(known.code, known.answers);
  const failure = encodeAnswer(query, codes.serverFailure, [], bytesMax, random);
  // As Docker has it: a task that has no way out gets no lookups out either.
  if (!client.external) return { kind: 'answer', packet: failure };
  const { taskId, resolvers } = client;
  return { kind: 'forward', client: taskId, failure, bytesMax, ...(resolvers && { resolvers }) };
}

/** A whole query, or nothing when it is not one. */
function decodeQuery(bytes: Buffer): DecodedPacket | undefined {
  try {
    const decoded = packet.decode(bytes);
    return decoded.type === 'query' ? decoded : undefined;
  } catch {
    return undefined; // malformed: answered or dropped by the header alone
  }
}

/** A query that cannot be read is told so when its header can be; anything else, a response above all, is dropped. */
function malformed(bytes: Buffer): Decision {
  const isResponse = bytes.length >= 12 && (bytes[2]! & 0x80) !== 0;
  if (bytes.length < 12 || isResponse) return { kind: 'drop' };
  const header = Buffer.alloc(12);
  bytes.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8000 | codes.formatError, 2);
  return { kind: 'answer', packet: header };
}

function sizeLimit(query: DecodedPacket, protocol: 'udp' | 'tcp'): number {
  if (protocol === 'tcp') return 65_535;
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const offered = edns?.type === 'OPT' ? edns.udpPayloadSize : udpBytesDefault;
  return Math.min(udpBytesMax, Math.max(udpBytesDefault, offered));
}

function answerLocally(
  question: Question,
  client: Client,
  names: Names,
): { code: number; answers: Answer[] } | undefined {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  const reversed = addressOfReverse(name);
  if (reversed !== undefined) {
    const found = names.nameOf(client, reversed);
    if (found === undefined) return undefined;
    if (found === null) return { code: codes.nameError, answers: [] };
    const asksPointer = question.type === 'PTR' || (question.type as string) === 'ANY';
    const answer: Answer = { name: question.name, type: 'PTR', class: 'IN', ttl: ttlSeconds, data: found };
    return { code: codes.ok, answers: asksPointer ? [answer] : [] };
  }
  const found = names.addresses(client, name);
  if (!found) return undefined;
  // A known name of which another type is asked (AAAA above all): it exists, and has none of that (RFC 2308, 2.2).
  const asksAddress = question.type === 'A' || (question.type as string) === 'ANY';
  if (!asksAddress) return { code: codes.ok, answers: [] };
  const answers = found.addresses.map((data): Answer => ({
    name: question.name,
    type: 'A',
    class: 'IN',
    ttl: ttlSeconds,
    data,
  }));
  return { code: codes.ok, answers };
}

/** `4.3.2.1.in-addr.arpa` as `1.2.3.4` (RFC 1035, 3.5). */
function addressOfReverse(name: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (!match) return undefined;
  const bytes = match.slice(1, 5).reverse().map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes.join('.') : undefined;
}

/** Encodes; what does not fit is left out and the packet marked, so that the client asks again over TCP. */
function encodeAnswer(
  query: DecodedPacket,
  code: number,
  answers: Answer[],
  bytesMax: number,
  random: Random,
): Buffer {
  const edns = query.additionals?.some((record) => record.type === 'OPT') ?? false;
  const shuffled = shuffle(answers, random);
  const kept = (query.flags ?? 0) & (recursionDesired | checkingDisabled);
  const encode = (count: number) =>
    packet.encode({
      type: 'response',
      id: query.id ?? 0,
      flags: kept | authoritative | recursionAvailable | (count < shuffled.length ? truncated : 0) | code,
      questions: (query.questions ?? []).slice(0, 1),
      answers: shuffled.slice(0, count),
      additionals: edns ? [optRecord()] : [],
    });
  const whole = encode(shuffled.length);
  if (whole.length <= bytesMax) return whole;
  // As many as fit: some clients never use TCP. All answers to one question have the same size.
  const empty = encode(0);
  const answerBytes = (whole.length - empty.length) / shuffled.length;
  return encode(Math.floor((bytesMax - empty.length) / answerBytes));
}

function optRecord(): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: udpBytesMax,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** Clients take the first address: another one each time (Fisher–Yates). */
function shuffle<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(random.next() * (index + 1));
    [result[index], result[other]] = [result[other]!, result[index]!];
  }
  return result;
}

/** A resolver's answer for a client that takes at most `bytesMax`: as it is, or cut to its question and marked. */
export function fitAnswer(bytes: Buffer, bytesMax: number): Buffer {
  if (bytes.length <= bytesMax) return bytes;
  try {
    const decoded = packet.decode(bytes);
    return packet.encode({
      type: 'response',
      id: decoded.id ?? 0,
      flags: (decoded.flags ?? 0) | truncated,
      questions: decoded.questions ?? [],
    });
  } catch {
    // Unreadable, but longer than a header: the header with no records, marked, says to use TCP.
    const header = Buffer.alloc(12);
    bytes.copy(header, 0, 0, 4);
    header[2] = header[2]! | 0x02;
    return header;
  }
}
