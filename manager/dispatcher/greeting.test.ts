import { describe, expect, test } from 'vitest';
import { sessionProtocol } from '../../src/wire/session.ts';
import { sampleNode } from '../../test/samples.ts';
import { checkAddress, checkApproval } from '../ca/addresses.ts';
import { viewOf } from '../store/view.ts';
import { helloOf, startTestManager, until, type TestAgent, type TestManager } from '../testing.ts';
import { checkProtocol, checkRival, incumbentSilenceMs } from './greeting.ts';

const described = (id: string, address: string) =>
  sampleNode(id, { description: { ...sampleNode(id).description!, address } });

describe('checkAddress()', () => {
  const joined = sampleNode('a');
  delete joined.description;
  const other = described('b', '192.0.2.9');
  const view = viewOf({ nodes: [joined, other] });
  const check = (address: string, remoteAddress: string, node = joined, ownAddress?: string) =>
    checkAddress(view, node, address, { remoteAddress, ownAddress });

  test('the address is that of the connection, however it is written', () => {
    expect(() => check('192.0.2.1', '192.0.2.1')).not.toThrow();
    expect(() => check('192.0.2.1', '::ffff:192.0.2.1')).not.toThrow();
    expect(() => check('192.0.2.2', '192.0.2.1')).toThrow(/cannot have the address 192.0.2.2/);
  });

  test('or one that was approved', () => {
    const approved = { ...joined, approvedAddress: '192.0.2.2' };
    expect(() => check('192.0.2.2', '198.51.100.1', approved)).not.toThrow();
    expect(() => check('192.0.2.3', '198.51.100.1', approved)).toThrow(/cannot have/);
  });

  test("over loopback it is that of the manager's own host", () => {
    expect(() => check('192.0.2.1', '127.0.0.1', joined, '192.0.2.1')).not.toThrow();
    expect(() => check('192.0.2.2', '127.0.0.1', joined, '192.0.2.1')).toThrow(/cannot have/);
    expect(() => check('192.0.2.1', '192.0.2.7', joined, '192.0.2.1')).toThrow(/cannot have/);
  });

  test('no other node that is up has it', () => {
    expect(() => check('192.0.2.9', '192.0.2.9')).toThrow(/is that of node b/);
    expect(() => checkApproval(view, undefined, '192.0.2.9')).toThrow(/is that of node b/);
    expect(() => checkApproval(view, joined, '192.0.2.9')).toThrow(/is that of node b/);
  });

  test('that of a node that is down stays its own, unless it was given away', () => {
    const gone = viewOf({ nodes: [joined, { ...other, status: { state: 'down', since: 0, message: '' } }] });
    const origin = { remoteAddress: '192.0.2.9' };
    expect(() => checkAddress(gone, joined, '192.0.2.9', origin)).toThrow(/is that of node b/);
    expect(() => checkApproval(gone, undefined, '192.0.2.9')).toThrow(/is that of node b/);
    expect(() => checkApproval(gone, joined, '192.0.2.9')).not.toThrow();
    const given = { ...joined, approvedAddress: '192.0.2.9' };
    expect(() => checkAddress(gone, given, '192.0.2.9', origin)).not.toThrow();
  });

  test.each(['0.0.0.0', '224.0.0.1', '255.255.255.255'])('%s is no address of a host', (address) => {
    expect(() => check(address, address)).toThrow(/cannot have/);
    expect(() => checkApproval(view, undefined, address)).toThrow(/Cannot use/);
  });
});

describe('checkRival()', () => {
  const hello = { instance: 'i', host: 'h' };
  const incumbent = { hello, remoteAddress: '192.0.2.1', silentMs: 0 };
  test('the same agent and a new one on the same host take over at once', () => {
    expect(() => checkRival('a', hello, incumbent)).not.toThrow();
    expect(() => checkRival('a', { instance: 'j', host: 'h' }, incumbent)).not.toThrow();
  });
  test('another host does so only when the first one is silent', () => {
    const clone = { instance: 'j', host: 'k' };
    expect(() => checkRival('a', clone, incumbent)).toThrow('already connected from 192.0.2.1');
    expect(() => checkRival('a', clone, { ...incumbent, silentMs: incumbentSilenceMs })).not.toThrow();
  });
});

const description = { ...sampleNode('a').description!, address: '127.0.0.1' };
const refusals = (agent: TestAgent) =>
  agent.messages.flatMap((message) => (message.type === 'refused' ? [message.message] : []));

/** An agent that is connected, and another one with the same certificate. */
async function twoOfOne(manager: TestManager): Promise<[TestAgent, TestAgent]> {
  const identity = await manager.join('worker');
  const first = await manager.agent(identity);
  first.send(helloOf(description, { instance: 'one', host: 'one' }));
  await until(() => first.sequence > 0);
  return [first, await manager.agent(identity)];
}

test('a copy of a host is refused by name, and the first one stays', async () => {
  await using manager = await startTestManager();
  const [first, clone] = await twoOfOne(manager);
  first.send({ type: 'heartbeat' });
  clone.send(helloOf(description, { instance: 'two', host: 'two' }));
  await until(() => clone.closed);
  expect(refusals(clone)).toEqual([
    expect.stringContaining(`${first.nodeId} is already connected from 127.0.0.1`),
  ]);
  expect(first.closed).toBe(false);
});

test('an agent that was started again on its host takes over at once', async () => {
  await using manager = await startTestManager();
  const [first, next] = await twoOfOne(manager);
  next.send(helloOf(description, { instance: 'two', host: 'one' }));
  await until(() => next.sequence > 0);
  await until(() => first.closed);
});

test('an address with a line break ends the session before anything of it is stored', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  agent.send(helloOf({ ...description, address: '10.0.0.1\nfdb append dev x' }));
  await until(() => agent.closed);
  expect(manager.database.view.nodes.get(agent.nodeId)?.description).toBeUndefined();
});

test('an address of another host is refused with what to do', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  agent.send(helloOf({ ...description, address: '192.0.2.50' }));
  await until(() => agent.closed);
  expect(refusals(agent)).toEqual([expect.stringContaining('shoal node update --address 192.0.2.50')]);
  await manager.client.request('PATCH', `/nodes/${agent.nodeId}`, { address: '192.0.2.50' });
  expect(manager.database.view.nodes.get(agent.nodeId)).toMatchObject({ approvedAddress: '192.0.2.50' });
});

test('whoever says anything before its hello is not listened to', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  agent.send({ type: 'heartbeat' });
  await until(() => agent.closed);
});

test('a flood of messages ends the session that it comes from', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  for (let count = 0; count < 2_000 && !agent.closed; count++) agent.send({ type: 'heartbeat' });
  await until(() => agent.closed);
});

test('an agent that opens session after session is refused before they are opened', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('worker');
  const open = async () => {
    for (;;) (await manager.agent(identity)).close();
  };
  await expect(open()).rejects.toThrow(/429/);
});

test('an agent that follows older rules is refused with what to do, before anything is assigned to it', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  expect(() => checkProtocol({ protocol: sessionProtocol, description })).not.toThrow();
  agent.send(helloOf(description, { protocol: sessionProtocol - 1 }));
  await until(() => agent.closed);
  expect(refusals(agent)).toEqual([expect.stringContaining('Upgrade Shoal on this host')]);
  expect(agent.assignmentMessages).toEqual([]);
});
