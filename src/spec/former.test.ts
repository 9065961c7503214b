import { expect, test } from 'vitest';
import { sampleService, sampleTemplate } from '../../test/samples.ts';
import { formerMax, networksReached, portsOfVersion, withFormer } from './former.ts';
import type { PublishedPort, Service } from './service.ts';

const wanted = (published: number): PublishedPort => ({
  target: 80,
  published,
  protocol: 'tcp',
  mode: 'ingress',
});
const open = (published: number) => ({ target: 80, published, protocol: 'tcp' as const });
const on = (...names: string[]) =>
  sampleTemplate({ networks: names.map((name) => ({ name, aliases: [`of ${names.join()}`] })) });

/** The service of that version, which has the port and is on the networks. */
function version(specVersion: number, published: number, ...networks: string[]): Service {
  const spec = { ports: [wanted(published)], task: on(...networks) };
  return sampleService('web', spec, {
    specVersion,
    endpoint: { virtualAddresses: {}, ports: [open(published)] },
  });
}

test('tasks of each version are reached by the ports that it had', () => {
  const first = withFormer(version(1, 81, 'a'), version(2, 82, 'a'));
  const second = withFormer(first, { ...first, spec: version(4, 84, 'a').spec, specVersion: 4 });
  const service = { ...second, endpoint: { ...second.endpoint!, ports: [open(84)] } };
  const portOf = (specVersion: number) =>
    portsOfVersion(service, specVersion).map(({ published }) => published);
  expect([1, 2, 3, 4].map(portOf)).toEqual([[81], [82], [84], [84]]);
});

test('what is the same needs no remembering, nor do ports that change without a new template', () => {
  const before = version(1, 81, 'a');
  expect(withFormer(before, version(2, 81, 'a')).endpoint?.former).toBeUndefined();
  expect(withFormer(before, version(1, 82, 'a')).endpoint?.former).toBeUndefined();
});

test('networks of all versions that serve are reached once each, the current one’s first', () => {
  const service = withFormer(version(1, 81, 'a', 'b'), version(2, 81, 'c', 'b'));
  expect(networksReached(service).map(({ name, aliases }) => `${name} ${aliases.join()}`)).toEqual([
    'c of c,b',
    'b of c,b',
    'a of a,b',
  ]);
});

test('however often it is changed, only so much is remembered', () => {
  let service = version(1, 1, 'a');
  for (let next = 2; next < 3 * formerMax; next++) {
    service = withFormer(service, { ...service, spec: version(next, next, 'a').spec, specVersion: next });
  }
  expect(service.endpoint?.former).toHaveLength(formerMax);
});
