import { afterAll, beforeAll, expect, test } from 'vitest';
import { virtual, World } from './network-world.ts';

const world = new World();

beforeAll(() => world.start());
afterAll(() => world.close());

interface Reply {
  code: number;
  data: string[];
}

/** Asks the DNS server of a program's host. */
function ask(program: string, question: { name: string; type?: string; protocol?: 'udp' | 'tcp' }) {
  const task = world.find(program);
  const network = Object.keys(task.addresses)[0]!;
  const server = `${world.cluster.networks[network]!.bridges}.${task.host + 1}`;
  return world.programs[program]!.call<Reply>('query', { server, ...question });
}

test.each(['web', 'WEB', 'app_web', 'www'])('%s is the virtual IP of the service', async (name) => {
  for (const protocol of ['udp', 'tcp'] as const) {
    expect(await ask('client', { name, protocol })).toEqual({ code: 0, data: [virtual.web] });
  }
});

test('tasks.NAME lists the endpoints and SLOT.NAME one of them', async () => {
  const { data } = await ask('client', { name: 'tasks.web' });
  expect(data.toSorted()).toEqual(['10.64.0.11', '10.64.0.12']);
  expect(await ask('client', { name: '2.web' })).toEqual({ code: 0, data: ['10.64.0.12'] });
});

test('a known name has no IPv6 address, and says so', async () => {
  expect(await ask('client', { name: 'web', type: 'AAAA' })).toEqual({ code: 0, data: [] });
});

test('addresses have names', async () => {
  expect(await ask('client', { name: '12.0.64.10.in-addr.arpa', type: 'PTR' })).toEqual({
    code: 0,
    data: ['2.app_web'],
  });
});

test('names of networks the task is not on are unknown to it', async () => {
  expect(await ask('client', { name: 'store' })).toEqual({ code: 3, data: [] });
  expect(await ask('web1', { name: 'store' })).toEqual({ code: 0, data: [virtual.store] });
});

test('names of the outside world come from the resolvers of the host', async () => {
  expect(await ask('client', { name: 'example.org' })).toEqual({ code: 0, data: ['203.0.113.9'] });
  expect(await ask('client', { name: 'nowhere.example' })).toEqual({ code: 3, data: [] });
});

test('a task on internal networks only resolves nothing of the outside world', async () => {
  expect(await ask('vault', { name: 'example.org' })).toEqual({ code: 2, data: [] });
  expect(await ask('vault', { name: 'vault' })).toMatchObject({ code: 0, data: ['10.64.32.41'] });
});
