import fc from 'fast-check';
import { expect, test } from 'vitest';
import { infoOf } from '../../test/cli-samples.ts';
import { sampleNetwork, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { watchLineCharactersMax, type ApplicationStatus, type WatchLine } from '../../src/wire/api.ts';
import { ApplicationPicture } from '../../src/wire/watch.ts';
import { Watched } from './watch.ts';

const web = sampleService('web', { task: sampleTemplate() });

function statusOf(services: ApplicationStatus['services'], changes: Partial<ApplicationStatus> = {}) {
  return { name: 'app', revision: 1, now: 1, services, networks: [], nodes: [], ...changes };
}

const replicas = Array.from({ length: 5_000 }, (_, index) => infoOf(sampleTask(web, index + 1)));
const thousands = (tasks: typeof replicas): ApplicationStatus =>
  statusOf([{ service: web, desired: 5_000, running: 0, serving: 0, leaving: 0, converged: false, tasks }]);

const parsed = (line: string) => JSON.parse(line) as WatchLine;

test('5,000 replicas are many lines, none of them large, and whole with the last', () => {
  const lines = new Watched().advance(thousands(replicas));
  expect(lines.length).toBeGreaterThan(5);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(1.1 * watchLineCharactersMax);
  expect(lines.map((line) => parsed(line).whole !== undefined)).toEqual([
    ...lines.slice(1).map(() => false),
    true,
  ]);
});

test('a change is told by itself: one task, how far its service is, and not the service', () => {
  const watched = new Watched();
  watched.advance(thousands(replicas));
  expect(watched.advance({ ...thousands(replicas), revision: 2, now: 2 })).toEqual([]);
  const changed = { ...replicas[7]!, revision: 3 };
  const status = thousands(replicas.with(7, changed));
  status.services[0]!.running = 1;
  const lines = watched.advance({ ...status, revision: 3, now: 3 });
  expect(lines.map(parsed)).toEqual([
    {
      put: [
        {
          kind: 'progress',
          value: { id: web.id, desired: 5_000, running: 1, serving: 0, leaving: 0, converged: false },
        },
        { kind: 'task', value: changed },
      ],
      remove: [],
      whole: { name: 'app', revision: 3, now: 3 },
    },
  ]);
});

test('a watch of what is not there is whole at once', () => {
  const lines = new Watched().advance(statusOf([]));
  expect(lines.map(parsed)).toEqual([{ put: [], remove: [], whole: { name: 'app', revision: 1, now: 1 } }]);
});

const anyService = fc.record({
  id: fc.constantFrom('web', 'api', 'db'),
  specVersion: fc.nat({ max: 2 }),
  running: fc.nat({ max: 2 }),
  failure: fc.option(fc.constantFrom('one', 'another'), { nil: undefined }),
  tasks: fc.uniqueArray(fc.record({ slot: fc.integer({ min: 1, max: 5 }), createdAt: fc.nat({ max: 2 }) }), {
    selector: ({ slot }) => slot,
  }),
});
const anyStatus = fc.record({
  services: fc.uniqueArray(anyService, { selector: ({ id }) => id }),
  networks: fc.subarray(['front', 'back']),
  nodes: fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('a', 'b'),
      hostname: fc.constant('h'),
      state: fc.constantFrom('ready', 'down'),
    }),
    { selector: ({ id }) => id },
  ),
});

test('after any changes the reader has the status that was sent last, however the lines are cut', () => {
  fc.assert(
    fc.property(fc.array(anyStatus, { minLength: 1, maxLength: 10 }), (statuses) => {
      const watched = new Watched();
      const picture = new ApplicationPicture();
      let seen: ApplicationStatus | undefined;
      for (const { services, networks, nodes } of statuses) {
        const status = statusOf(
          services
            .map(({ id, specVersion, running, failure, tasks }) => {
              const service = sampleService(id, {}, { specVersion });
              const infos = tasks.map(({ slot, createdAt }) =>
                infoOf(sampleTask(service, slot, { createdAt })),
              );
              infos.sort((left, right) => right.createdAt - left.createdAt || (left.id < right.id ? 1 : -1));
              const counts = { desired: 2, running, serving: running, leaving: 0 };
              return { service, ...counts, converged: false, failure, tasks: infos };
            })
            .sort((left, right) => (left.service.spec.name < right.service.spec.name ? -1 : 1)),
          { networks: networks.map((id) => sampleNetwork(id)), nodes },
        );
        for (const line of watched.advance(status)) seen = picture.take(parsed(line)) ?? seen;
        const sorted = (each: ApplicationStatus) => ({
          ...each,
          networks: each.networks.toSorted((left, right) => (left.id < right.id ? -1 : 1)),
          nodes: each.nodes.toSorted((left, right) => (left.id < right.id ? -1 : 1)),
        });
        expect(sorted(seen!)).toEqual(sorted(JSON.parse(JSON.stringify(status)) as ApplicationStatus));
      }
    }),
  );
});
