import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AllocatedPort } from '../spec/service.ts';
import { sampleNode, sampleTemplate } from '../../test/samples.ts';
import { checkClosed, checkOpen, readMessage } from './check.ts';
import { parseUntrusted } from './json.ts';
import { integer, object, text, type Schema } from './schema.ts';
import { agentMessages, assignmentSchemas, managerMessages, type AgentMessage } from './session.ts';
import { appliedTemplate } from './template-schema.ts';

const read = (value: unknown) => readMessage(agentMessages, Buffer.from(JSON.stringify(value)));
const description = sampleNode('a').description!;
const hello = {
  type: 'hello',
  protocol: 1,
  at: 1,
  instance: 'i',
  host: 'h',
  description,
} satisfies AgentMessage;
const hostPort: AllocatedPort = { published: 80, protocol: 'tcp', target: 80, address: '192.0.2.1' };
const running = { state: 'running' as const, at: 1, message: '', hostPorts: [hostPort] };
const error = { code: 'x', message: 'y' };
const status = {
  type: 'status',
  batch: 1,
  tasks: [{ taskId: 't', status: { ...running, error, exitCode: 1 } }],
} satisfies AgentMessage;

test('a schema declared for a type must say exactly that type', () => {
  const exact: Schema<{ a: string; b?: number }> = object({ a: text(), 'b?': integer() });
  // @ts-expect-error -- a property is missing
  const missing: Schema<{ a: string; b?: number }> = object({ a: text() });
  // @ts-expect-error -- a property is not of the type
  const extra: Schema<{ a: string }> = object({ a: text(), 'b?': integer() });
  // @ts-expect-error -- wider than the type
  const wider: Schema<{ a: 'x' }> = object({ a: text() });
  expect([exact, missing, extra, wider]).toHaveLength(4);
});

describe('readMessage()', () => {
  test.each([
    [{ ...hello, description: { ...description, address: '10.0.0.1\nfdb del' } }, /address must NOT/],
    [{ ...hello, description: { ...description, address: '1.2.3' } }, /address must match/],
    [{ ...hello, description: { ...description, hostname: 'a b' } }, /hostname must match/],
    [{ ...hello, description: { ...description, runtimes: 'runc' } }, /runtimes must be array/],
    [
      { ...hello, description: { ...description, cdiDevices: Array(1_001).fill('x') } },
      /cdiDevices must NOT/,
    ],
    [
      { ...hello, description: { ...description, engine: { ...description.engine, labels: { a: 1 } } } },
      /a must be string/,
    ],
    [
      { ...status, tasks: [{ taskId: 't', status: { ...running, hostPorts: 7 } }] },
      /hostPorts must be array/,
    ],
    [
      { ...status, tasks: [{ taskId: 't', status: { ...running, state: 'flying' } }] },
      /state it must be new/,
    ],
    [
      { ...status, tasks: [{ taskId: 't', status: { ...running, message: 'x'.repeat(5_000) } }] },
      /message must NOT/,
    ],
    [{ ...status, tasks: [{ taskId: '../t', status: running }] }, /taskId must match/],
    [{ type: 'applied', sequence: -1 }, /sequence must be >= 0/],
    [{}, /has no type/],
    [null, /has no type/],
  ])('refuses %j', (value, why) => {
    const incoming = read(value);
    expect(incoming).toMatchObject({ kind: 'fault' });
    expect(incoming.kind === 'fault' && incoming.why).toMatch(why);
  });

  test('leaves out what it does not know of a message that it does', () => {
    const newer = { ...hello, later: 1, description: { ...description, later: { x: 1 } } };
    expect(read(newer)).toEqual({ kind: 'message', message: hello });
  });

  test('tells a message of a type that only newer ones send from one that is malformed', () => {
    expect(read({ type: 'later' })).toEqual({ kind: 'unknown', type: 'later' });
    expect(read({ type: 'constructor' })).toMatchObject({ kind: 'unknown' });
    expect(readMessage(managerMessages, Buffer.from('{'))).toMatchObject({ kind: 'fault' });
  });

  test('whatever is changed in a valid message, it throws nothing and gives only what the schema allows', () => {
    const allowed = Object.fromEntries(Object.entries(agentMessages));
    fc.assert(
      fc.property(
        fc.constantFrom<unknown>(hello, status),
        fc.infiniteStream(fc.nat()),
        fc.jsonValue(),
        (valid, draws, junk) => {
          const changed = mutated(structuredClone(valid), () => draws.next().value as number, junk);
          const incoming = read(changed);
          if (incoming.kind !== 'message') return;
          const schema = allowed[incoming.message.type] as Schema<unknown>;
          expect(checkClosed(schema, incoming.message)).not.toHaveProperty('fault');
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

/** The value with one thing in it replaced, removed or added. */
function mutated(value: unknown, draw: () => number, junk: unknown): unknown {
  if (typeof value !== 'object' || value === null || draw() % 4 === 0) return junk;
  const keys = Object.keys(value);
  const target = value as Record<string, unknown>;
  const key = keys[draw() % Math.max(1, keys.length)];
  const change = draw() % 8;
  if (key === undefined || change === 0) target[`added${draw() % 10}`] = junk;
  else if (change === 1) delete target[key];
  else target[key] = mutated(target[key], draw, junk);
  return value;
}

describe('assignments', () => {
  test('a template survives its check, devices of either form included', () => {
    const template = sampleTemplate();
    template.container.settings = { cdi: [{ kind: 'a.b/c', count: 2 }, { device: 'a.b/c=d' }] };
    template.container.mounts = [{ type: 'tmpfs', target: '/t' }];
    const before = structuredClone(template);
    expect(checkOpen(appliedTemplate, template)).toEqual({ value: before });
  });

  test.each([
    { networkId: 'n', id: 'n/t', address: '10.0.0.1', hostAddress: '192.0.2.1\nlink del eth0' },
    { networkId: 'n', id: 'n/t', address: '10.0.0.1', hostAddress: '192.0.2.256' },
    { networkId: 'n', id: 'n/t', address: '10.0.0.01', hostAddress: '192.0.2.1' },
  ])('a forwarding entry whose address is not one is refused (%#)', (peer) => {
    expect(checkOpen(assignmentSchemas.peer, peer).fault).toBeDefined();
  });
});

describe('parseUntrusted()', () => {
  const parse = (json: string) => parseUntrusted(Buffer.from(json), 'it');
  test('reads what JSON.parse() reads', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(parse(json)).toEqual(JSON.parse(json));
      }),
    );
  });
  test.each([
    ['['.repeat(65), 'nested more than 64 deep'],
    [`[${'[],'.repeat(300_000)}1]`, 'more than 500000 values'],
    ['{"a":', 'not JSON'],
  ])('refuses what keeps a parser busy (%#)', (json, why) => {
    expect(() => parse(json)).toThrow(why);
  });
  test('brackets in texts are not counted', () => {
    const json = JSON.stringify({ text: '["\\"'.repeat(1_000) });
    expect(parse(json)).toEqual(JSON.parse(json));
  });
});
