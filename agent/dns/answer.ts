/** From a packet to what is done with it. Pure. RFC 1034, 1035, 6891 (EDNS), 2308 (empty answers). */
import {
  addressData,
  cutAnswer,
  isQuery,
  nameData,
  readQuery,
  types,
  udpBytesMax,
  writeAnswer,
  writeRefusal,
  type Answer,
  type Query,
} from './message.ts';
import type { Random } from '../../src/util/random.ts';
import type { Client, Names } from './names.ts';

/** A packet over UDP without EDNS (RFC 1035, 4.2.1). */
const udpBytesDefault = 512;
/** A question, with all that extensions add to it, has no reason to be larger. */
export const questionBytesMax = 4_096;

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
  const query = asked.bytes.length > questionBytesMax ? undefined : readQuery(asked.bytes);
  if (query === undefined) return malformed(asked.bytes);
  const bytesMax = sizeLimit(query, asked.protocol);
  const reply = (code: number, answers: Answer[] = []) =>
    ({ kind: 'answer', packet: writeAnswer(query, code, shuffle(answers, random), bytesMax) }) as const;
  const client = names.client(asked.server, asked.from);
  if (!client) return reply(codes.refused);
  if (((query.flags >> 11) & 0xf) !== 0) return reply(codes.notImplemented);
  const known = answerLocally(query, client, names);
  if (known) return reply(known.code, known.answers);
  const failure = writeAnswer(query, codes.serverFailure, [], bytesMax);
  // As Docker has it: a task that has no way out gets no lookups out either.
  if (!client.external) return { kind: 'answer', packet: failure };
  const { taskId, resolvers } = client;
  return { kind: 'forward', client: taskId, failure, bytesMax, ...(resolvers && { resolvers }) };
}

/** A query that cannot be read is told so when its header can be; anything else, a response above all, is dropped. */
function malformed(bytes: Buffer): Decision {
  return isQuery(bytes)
    ? { kind: 'answer', packet: writeRefusal(bytes, codes.formatError) }
    : { kind: 'drop' };
}

function sizeLimit(query: Query, protocol: 'udp' | 'tcp'): number {
  if (protocol === 'tcp') return 65_535;
  return Math.min(udpBytesMax, Math.max(udpBytesDefault, query.udpBytes ?? udpBytesDefault));
}

function answerLocally(
  { name, type }: Query,
  client: Client,
  names: Names,
): { code: number; answers: Answer[] } | undefined {
  const reversed = addressOfReverse(name);
  if (reversed !== undefined) {
    const found = names.nameOf(client, reversed);
    if (found === undefined) return undefined;
    if (found === null) return { code: codes.nameError, answers: [] };
    const asksPointer = type === types.pointer || type === types.any;
    return { code: codes.ok, answers: asksPointer ? [{ type: types.pointer, data: nameData(found) }] : [] };
  }
  const found = names.addresses(client, name);
  if (!found) return undefined;
  // A known name of which another type is asked (AAAA above all): it exists, and has none of that (RFC 2308, 2.2).
  if (type !== types.a && type !== types.any) return { code: codes.ok, answers: [] };
  return {
    code: codes.ok,
    answers: found.addresses.map((address) => ({ type: types.a, data: addressData(address) })),
  };
}

/** `4.3.2.1.in-addr.arpa` as `1.2.3.4` (RFC 1035, 3.5). */
function addressOfReverse(name: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (!match) return undefined;
  const bytes = match.slice(1, 5).reverse().map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes.join('.') : undefined;
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

/** A resolver's answer (a whole header at least) for a client that takes at most `bytesMax`: as it is, or cut to its question and marked. */
export function fitAnswer(bytes: Buffer, bytesMax: number): Buffer {
  return bytes.length <= bytesMax ? bytes : cutAnswer(bytes);
}
