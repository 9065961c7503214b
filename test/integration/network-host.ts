/** A host's network driver in a process of its own. Arguments: host address, state folder, resolver file. */
import { HostConditions } from '../../agent/conditions/conditions.ts';
import { createHostNetwork } from '../../agent/network/host-network.ts';
import type { NetworkAssignments, TaskNetwork } from '../../agent/network/network.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { serveLines } from './network-rpc.ts';

export type AssignmentLists = {
  [Kind in keyof NetworkAssignments]: (NetworkAssignments[Kind] extends ReadonlyMap<string, infer Value>
    ? Value
    : never)[];
};

const [, , hostAddress = '', stateDirectory = '', resolverFile = ''] = process.argv;
const log = createLogger({
  level: 'warn',
  now: () => systemClock.now(),
  write: (line) => process.stderr.write(line),
});
const conditions = new HostConditions(log);
const network = createHostNetwork({
  hostAddress,
  stateDirectory,
  resolverFile,
  vxlanPort: 4789,
  managerPorts: [2377],
  clock: systemClock,
  log,
  conditions,
});
network.watch(() => undefined);

function byId<T extends { id: string }>(values: T[]): Map<string, T> {
  return new Map(values.map((value) => [value.id, value]));
}

await serveLines({
  ready: () => Promise.resolve(),
  conditions: () => Promise.resolve(conditions.list()),
  apply: (lists: AssignmentLists) =>
    network.apply({
      networks: byId(lists.networks),
      peers: byId(lists.peers),
      services: byId(lists.services),
      endpoints: byId(lists.endpoints),
    }),
  attach: (task: TaskNetwork) => network.attach(task),
  detach: ({ taskId }: { taskId: string }) => network.detach(taskId),
  list: () => network.list(),
  stop: () => network.stop(),
  purge: () => network.purge(),
});
