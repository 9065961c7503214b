import { applicationStatus } from '../../manager/api/status.ts';
import { Watched } from '../../manager/api/watch.ts';
import { MutableView } from '../../manager/store/view.ts';
import type { WatchLine } from '../../src/wire/api.ts';
import { ApplicationPicture } from '../../src/wire/watch.ts';
import { sampleContainer, sampleService, sampleTask, sampleTemplate } from '../samples.ts';

/** What one picture of an application costs. */
export interface PictureCost {
  bytes: number;
  /** Making the lines, in the manager; and reading them, in the client. */
  makeMs: number;
  readMs: number;
}

export interface WatchCost {
  first: PictureCost;
  /** One replica has changed: the mean. */
  change: PictureCost;
}

/** About 3 KB, as services of some size have. */
const environment = Object.fromEntries(
  Array.from({ length: 40 }, (_, index) => [`VARIABLE_${index}`, 'x'.repeat(60)]),
);

/** Watches an application of one service with so many replicas that begin to run one after the other. */
export function measureWatch(replicas: number, rounds: number): WatchCost {
  const view = new MutableView();
  const mode = { kind: 'replicated', replicas } as const;
  const task = sampleTemplate({ container: sampleContainer({ environment }) });
  const service = sampleService('web', { task, mode });
  const replica = (slot: number, state: 'starting' | 'running') =>
    sampleTask(service, slot, { nodeId: 'node-0001', status: { state, at: 0, message: state } });
  view.put('service', service);
  for (let slot = 1; slot <= replicas; slot++) view.put('task', replica(slot, 'starting'));
  const watched = new Watched();
  const picture = new ApplicationPicture();
  const look = (): PictureCost => {
    const begin = performance.now();
    const lines = watched.advance(applicationStatus(view, 'app', 0)!);
    const made = performance.now();
    for (const line of lines) picture.take(JSON.parse(line) as WatchLine);
    const readMs = performance.now() - made;
    return { bytes: lines.join('\n').length + 1, makeMs: made - begin, readMs };
  };
  const first = look();
  const changes = Array.from({ length: rounds }, (_, index) => {
    view.put('task', replica((index % replicas) + 1, 'running'));
    return look();
  });
  const mean = (of: (cost: PictureCost) => number) =>
    changes.reduce((sum, cost) => sum + of(cost), 0) / rounds;
  const change = {
    bytes: mean(({ bytes }) => bytes),
    makeMs: mean(({ makeMs }) => makeMs),
    readMs: mean(({ readMs }) => readMs),
  };
  return { first, change };
}
