import { expect, test } from 'vitest';
import { sampleNode } from '../../test/samples.ts';
import { helloOf, startTestManager, until } from '../testing.ts';
import { descriptionChangesMax, HostFacts } from './host-facts.ts';

const minuteMs = 60_000;

/** A host that has another MTU each time. */
const saying = (mtuBytes: number) => ({
  ...sampleNode('a').description!,
  underlay: { mtuBytes, connected: [], routed: [] },
});

test('what a host changes again and again is heard again when the minute is over', () => {
  const facts = new HostFacts();
  const node = { ...sampleNode('a'), description: saying(1500) };
  for (let change = 0; change < descriptionChangesMax; change++) {
    expect(facts.heeds(node, saying(1280), 0)).toBe(true);
  }
  expect(facts.hears('a', 0)).toBe(false);
  expect(facts.heeds(node, saying(1280), 0)).toBe(false);
  expect(facts.heeds(node, saying(1500), 0)).toBe(true); // as it is stored
  expect(facts.heeds({ ...node, id: 'b' }, saying(1280), 0)).toBe(true);
  expect(facts.hears('a', minuteMs)).toBe(true);
  expect(facts.heeds(node, saying(1280), minuteMs)).toBe(true);
});

test('a host that alternates between two MTUs has its description stored a few times, and keeps its session', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet('192.0.2.9');
  const stored = manager.database.view.nodes.get(agent.nodeId)!.description!;
  const seen: unknown[] = [];
  const stop = manager.database.onChange(() => {
    const { mtuBytes } = manager.database.view.nodes.get(agent.nodeId)!.description!.underlay ?? {};
    if (mtuBytes !== seen.at(-1)) seen.push(mtuBytes);
  });
  for (let hello = 0; hello < descriptionChangesMax + 2; hello++) {
    const before = seen.length;
    agent.send(helloOf({ ...stored, underlay: { ...saying(1280 + hello).underlay } }));
    if (hello < descriptionChangesMax) await until(() => seen.length > before);
  }
  const { sequence } = agent;
  agent.send({ type: 'resync' });
  await until(() => agent.sequence > sequence); // all before it was taken in
  stop();
  expect(seen).toEqual(Array.from({ length: descriptionChangesMax }, (_, index) => 1280 + index));
  expect(manager.database.view.nodes.get(agent.nodeId)!.status.state).toBe('ready');
});
