import { isTerminal, isWanted } from '../../../src/spec/task.ts';
import { isUnderWay, currentVersion } from '../../../src/spec/versions.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { messageOf } from '../../../src/util/errors.ts';
import { applicationNow } from '../../../src/wire/watch.ts';
import type { ApplicationStatus } from '../../../src/wire/api.ts';
import type { Cluster } from '../../harness/cluster.ts';
import { application, isStranded, type State } from './model.ts';

const limitMs = 60_000;
const pollMs = 100;

/** Waits until nothing is going on any more. Gives what still is after a minute; empty when all is quiet. */
export async function settle(cluster: Cluster, state: State): Promise<string[]> {
  const until = systemClock.monotonic() + limitMs;
  for (;;) {
    const left = await goingOn(cluster, state);
    if (left.length === 0 || systemClock.monotonic() > until) return left;
    await systemClock.sleep(pollMs);
  }
}

async function goingOn(cluster: Cluster, state: State): Promise<string[]> {
  const client = cluster.client();
  try {
    const { services } = await applicationNow(client, application, 5_000);
    return services.flatMap((service) => unsettled(service, state));
  } catch (error) {
    return [messageOf(error)];
  } finally {
    client.close();
  }
}

/** Why the service is not at rest. One whose node is drained rests while it waits. */
function unsettled(status: ApplicationStatus['services'][number], state: State): string[] {
  const { service, converged, tasks, failure } = status;
  const { name } = service.spec;
  if (name === `${application}_store` && isStranded(state)) {
    const runs = tasks.some(
      (task) => !isTerminal(task.status.state) && task.nodeId !== undefined && isWanted(task),
    );
    return runs ? [`${name} still runs on ${state.home}`] : [];
  }
  const version = currentVersion(service);
  return [
    ...(converged
      ? []
      : [`${name} did not converge: ${failure ?? `${status.running}/${status.desired} run`}`]),
    ...(isUnderWay(version) ? [`version ${version.version} of ${name} is ${version.state}`] : []),
  ];
}
