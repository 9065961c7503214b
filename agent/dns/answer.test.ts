import packet, { type Answer, type Question } from 'dns-packet';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/util/random.ts';
import type { ServiceAssignment } from '../../src/wire/session.ts';
import type { NetworkAssignments } from '../network/network.ts';
import { decide, fitAnswer, questionBytesMax } from './answer.ts';
import { parseResolvers } from './forward.ts';
import { buildNames } from './names.ts';

function service(id: string, change: Partial<ServiceAssignment> = {}): ServiceAssignment {
  const key = id.replace(/^[^_]*_/, '');
  return { id, name: id, key, application: id.split('_')[0]!, networks: [], ports: [], ...change };
}

function network(id: string, subnet: string, internal = false) {
  return {
    id,
    name: id,
    vni: 4096,
    subnet,
    internal,
    bridgeAddress: subnet.replace('.0/20', '.1'),
    peers: [],
  };
}

function byId<T extends { id: string }>(values: T[]): Map<string, T> {
  return new Map(values.map((value) => [value.id, value]));
}

const manyEndpoints = Array.from({ length: 40 }, (_, index) => ({
  id: `t${index}`,
  serviceId: 'app_round',
  slot: index + 1,
  nodeId: 'n',
  addresses: { front: `10.64.2.${index + 1}` },
}));

const assignments: NetworkAssignments = {
  networks: byId([
    network('front', '10.64.0.0/20'),
    network('back', '10.64.16.0/20'),
    network('inner', '10.64.32.0/20', true),
  ]),
  peers: new Map(),
  services: byId([
    service('app_web', { networks: [{ networkId: 'front', virtualAddress: '10.64.8.1', aliases: ['www'] }] }),
    service('app_round', { networks: [{ networkId: 'front', aliases: [] }] }),
    service('app_idle', { networks: [{ networkId: 'front', aliases: [] }] }),
    service('app_linker', {
      networks: [{ networkId: 'front', aliases: [] }],
      links: [
        { alias: 'page', service: 'app_web' },
        { alias: 'round', service: 'app_web' },
        { alias: 'many', service: 'app_round' },
        { alias: 'far', service: 'app_store' },
      ],
    }),
    service('app_store', { networks: [{ networkId: 'back', virtualAddress: '10.64.24.1', aliases: [] }] }),
    service('app_vault', { networks: [{ networkId: 'inner', aliases: [] }] }),
    service('other_web', { networks: [{ networkId: 'front', virtualAddress: '10.64.8.9', aliases: [] }] }),
  ]),
  endpoints: byId([
    ...manyEndpoints,
    { id: 'w1', serviceId: 'app_web', slot: 1, nodeId: 'n', addresses: { front: '10.64.0.11' } },
    { id: 'w2', serviceId: 'app_web', slot: 2, nodeId: 'n', addresses: { front: '10.64.0.12' } },
  ]),
};
const attached = (taskId: string, serviceId: string, networkId: string, address: string) => ({
  taskId,
  serviceId,
  hostPorts: [],
  attachments: [{ networkId, address, aliases: [] }],
});
const names = buildNames(assignments, [
  attached('w1', 'app_web', 'front', '10.64.0.11'),
  attached('o1', 'other_web', 'front', '10.64.0.12'),
  attached('l1', 'app_linker', 'front', '10.64.0.21'),
  attached('v1', 'app_vault', 'inner', '10.64.32.5'),
]);
const client = '10.64.0.11';

const asker = { from: client, server: '10.64.0.1', protocol: 'udp' } as const;

function query(name: string, type = 'A', additionals: Answer[] = []): Buffer {
  const questions = [{ name, type, class: 'IN' } as Question];
  return packet.encode({ type: 'query', id: 4711, flags: packet.RECURSION_DESIRED, questions, additionals });
}

function ask(
  name: string,
  options: { type?: string; from?: string; server?: string; protocol?: 'udp' | 'tcp'; edns?: number } = {},
) {
  const { type = 'A', from = client, protocol = 'udp', edns } = options;
  const server = options.server ?? (from.startsWith('10.64.32.') ? '10.64.32.1' : '10.64.0.1');
  const additionals: Answer[] =
    edns === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: edns,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ];
  const asked = { bytes: query(name, type, additionals), from, server, protocol };
  const decision = decide(asked, names, seededRandom(1));
  if (decision.kind !== 'answer') return { kind: decision.kind };
  const decoded = packet.decode(decision.packet);
  const data = (decoded.answers ?? []).map((answer) => ('data' in answer ? answer.data : ''));
  return {
    code: (decoded.flags ?? 0) & 15,
    data,
    truncated: decoded.flag_tc,
    edns: (decoded.additionals ?? []).length,
    bytes: decision.packet.length,
    id: decoded.id,
  };
}

test.each(['web', 'Web', 'app_web', 'www'])('%s is the virtual IP', (name) => {
  expect(ask(name)).toMatchObject({ code: 0, data: ['10.64.8.1'], id: 4711 });
});

test('a key means the service of the asker’s own application; a full name any on the network', () => {
  expect(ask('web', { from: '10.64.0.12' })).toMatchObject({ data: ['10.64.8.9'] });
  expect(ask('app_web', { from: '10.64.0.12' })).toMatchObject({ data: ['10.64.8.1'] });
});

test('a key or alias of another application on the network is found when the asker’s own has none', () => {
  const from = '10.64.0.12';
  expect(ask('www', { from })).toMatchObject({ data: ['10.64.8.1'] });
  expect(ask('round', { from, protocol: 'tcp' }).data).toHaveLength(40);
  expect(ask('store', { from })).toEqual({ kind: 'forward' });
});

test('endpoints are listed for tasks.NAME, chosen by SLOT.NAME, and listed for a service without virtual IP', () => {
  expect(ask('tasks.web').data?.toSorted()).toEqual(['10.64.0.11', '10.64.0.12']);
  expect(ask('2.web')).toMatchObject({ code: 0, data: ['10.64.0.12'] });
  expect(ask('9.web')).toMatchObject({ code: 0, data: [] });
  expect(ask('round', { protocol: 'tcp' }).data).toHaveLength(40);
  expect(ask('idle')).toMatchObject({ code: 0, data: [] });
});

test('a link leads to its service for the linking service alone, and only on a network of both', () => {
  const linker = { from: '10.64.0.21' };
  expect(ask('page', linker)).toMatchObject({ code: 0, data: ['10.64.8.1'] });
  expect(ask('PAGE', linker)).toMatchObject({ code: 0, data: ['10.64.8.1'] });
  expect(ask('2.page', linker)).toMatchObject({ code: 0, data: ['10.64.0.12'] });
  expect(ask('many', { ...linker, protocol: 'tcp' }).data).toHaveLength(40);
  expect(ask('round', linker)).toMatchObject({ code: 0, data: ['10.64.8.1'] });
  expect(ask('page')).toEqual({ kind: 'forward' });
  expect(ask('far', linker)).toEqual({ kind: 'forward' });
});

test('a known name has no other records, and is not asked of anyone else', () => {
  expect(ask('web', { type: 'AAAA' })).toMatchObject({ code: 0, data: [] });
  expect(ask('web', { type: 'MX' })).toMatchObject({ code: 0, data: [] });
});

test('addresses have names on the asker’s networks; other overlay addresses have none', () => {
  expect(ask('12.0.64.10.in-addr.arpa', { type: 'PTR' })).toMatchObject({ code: 0, data: ['2.app_web'] });
  expect(ask('1.8.64.10.in-addr.arpa', { type: 'PTR' })).toMatchObject({ code: 0, data: ['app_web'] });
  expect(ask('1.24.64.10.in-addr.arpa', { type: 'PTR' })).toMatchObject({ code: 3, data: [] });
  expect(ask('9.9.9.9.in-addr.arpa', { type: 'PTR' })).toEqual({ kind: 'forward' });
});

test('unknown names go to the resolvers, except for tasks without a way out', () => {
  expect(ask('example.org')).toEqual({ kind: 'forward' });
  expect(ask('store')).toEqual({ kind: 'forward' });
  expect(ask('example.org', { from: '10.64.32.5' })).toMatchObject({ code: 2 });
});

test('whoever is not a task of this host, on the network whose server it asks, is refused', () => {
  expect(ask('web', { from: '10.64.0.99' })).toMatchObject({ code: 5, data: [] });
  expect(ask('web', { server: '10.64.16.1' })).toMatchObject({ code: 5, data: [] });
});

test('a question that is larger than any is not read', () => {
  const bytes = Buffer.concat([query('web'), Buffer.alloc(questionBytesMax)]);
  const decision = decide({ bytes, ...asker }, names, seededRandom(1));
  expect(decision.kind === 'answer' && packet.decode(decision.packet).flags! & 15).toBe(1);
});

/** As many questions as fit, each of whose names is a chain of pointers through those before it. */
function chained(): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(0x100, 2);
  const parts = [header, Buffer.from([1, 97, 0, 0, 1, 0, 1])];
  let [size, previous, count] = [19, 12, 1];
  for (; count < 120; count++) {
    parts.push(Buffer.from([1, 97, 0xc0 | (previous >> 8), previous & 255, 0, 1, 0, 1]));
    previous = size;
    size += 8;
  }
  for (; size + 6 <= questionBytesMax; size += 6, count++) {
    parts.push(Buffer.from([0xc0 | (previous >> 8), previous & 255, 0, 1, 0, 1]));
  }
  header.writeUInt16BE(count, 4);
  return Buffer.concat(parts);
}

test.each([
  ['with many questions', chained()],
  [
    'whose name is a pointer',
    Buffer.concat([query('web').subarray(0, 12), Buffer.from([0xc0, 4, 0, 1, 0, 1])]),
  ],
  ['whose name goes beyond the end', query('web').subarray(0, -5)],
])('a packet %s is malformed by its header', (_, bytes) => {
  const decision = decide({ bytes, ...asker }, names, seededRandom(1));
  expect(decision.kind === 'answer' && packet.decode(decision.packet)).toMatchObject({
    rcode: 'FORMERR',
    questions: [],
  });
});

test('records after the question are stepped over, whatever their names point at', () => {
  const bytes = Buffer.concat([
    query('web'),
    ...Array.from({ length: 300 }, () => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])),
  ]);
  bytes.writeUInt16BE(300, 10);
  expect(decide({ bytes, ...asker }, names, seededRandom(1))).toMatchObject({ kind: 'answer' });
  bytes.writeUInt16BE(301, 10);
  const beyond = decide({ bytes, ...asker }, names, seededRandom(1));
  expect(beyond.kind === 'answer' && packet.decode(beyond.packet)).toMatchObject({ rcode: 'FORMERR' });
});

test('an answer that does not fit is cut and marked; EDNS and TCP make room', () => {
  const cut = ask('round');
  expect(cut).toMatchObject({ truncated: true });
  expect(cut.bytes).toBeLessThanOrEqual(512);
  expect(cut.data!.length).toBeGreaterThan(10);
  expect(ask('round', { edns: 4096 })).toMatchObject({ truncated: false, edns: 1 });
  expect(ask('round', { edns: 4096 }).bytes).toBeLessThanOrEqual(1232);
  expect(ask('round', { protocol: 'tcp' })).toMatchObject({ truncated: false });
});

test('addresses come in another order from time to time', () => {
  const random = seededRandom(7);
  const firsts = new Set<unknown>();
  for (let index = 0; index < 20; index++) {
    const decision = decide({ bytes: query('tasks.web'), ...asker }, names, random);
    if (decision.kind === 'answer') firsts.add(JSON.stringify(packet.decode(decision.packet).answers?.[0]));
  }
  expect(firsts.size).toBe(2);
});

test('no bytes make it throw, and responses are never answered', () => {
  const valid = query('web');
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(valid.length - 1),
      fc.nat(255),
      (noise, at, byte) => {
        decide({ bytes: Buffer.from(noise), ...asker }, names, seededRandom(1));
        const broken = Buffer.from(valid);
        broken[at] = byte;
        decide({ bytes: broken, ...asker }, names, seededRandom(1));
        decide({ bytes: broken.subarray(0, at), ...asker }, names, seededRandom(1));
      },
    ),
  );
  const response = packet.encode({ type: 'response', id: 1, questions: [] });
  expect(decide({ bytes: response, ...asker }, names, seededRandom(1))).toEqual({
    kind: 'drop',
  });
});

test('a resolver’s long answer is cut to its question and marked', () => {
  const long = packet.encode({
    type: 'response',
    id: 5,
    questions: [{ name: 'example.org', type: 'TXT', class: 'IN' }],
    answers: [{ name: 'example.org', type: 'TXT', class: 'IN', ttl: 1, data: 'x'.repeat(200) }],
  });
  expect(fitAnswer(long, 512)).toBe(long);
  expect(packet.decode(fitAnswer(long, 100))).toMatchObject({ id: 5, flag_tc: true, answers: [] });
});

test('the first three resolvers that are addresses are used', () => {
  const text =
    '# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver nonsense\nnameserver ::1\n nameserver 1.1.1.1\nnameserver 8.8.8.8\n';
  expect(parseResolvers(text)).toEqual(['127.0.0.53', '::1', '1.1.1.1']);
});
