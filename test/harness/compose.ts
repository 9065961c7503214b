import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApplicationStatus, TaskInfo } from '../../src/wire/api.ts';
import { isWanted } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { applicationNow } from '../../src/wire/watch.ts';
import type { Cluster } from './cluster.ts';
import { paths } from './state.ts';

/** Writes `compose.yaml` of an application into the cluster's folder and gives its path. */
export async function writeComposeFile(cluster: Cluster, application: string, text: string): Promise<string> {
  const folder = join(paths(cluster.directory).applications, application);
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'compose.yaml');
  await writeFile(path, text);
  return path;
}

/** What a shell script prints in a replica of the service; when it fails its exit code and all that was printed. */
export async function runInside(
  cluster: Cluster,
  application: string,
  service: string,
  script: string,
): Promise<string> {
  const argv = ['exec', '-T', '-p', application, service, 'sh', '-c', script];
  const { stdout, stderr, exitCode } = await cluster.shoal(argv);
  return exitCode === 0 ? stdout.trim() : `${exitCode}: ${stdout.trim()} ${stderr.trim()}`;
}

/** The tasks of an application that ought to run, from the API. */
export async function currentTasks(cluster: Cluster, application: string): Promise<TaskInfo[]> {
  const client = cluster.client();
  try {
    const tasks = await client.request<TaskInfo[]>('GET', `/tasks?application=${application}`);
    return tasks.filter((task) => isWanted(task) && task.desiredState === 'running');
  } finally {
    client.close();
  }
}

/**
 * Waits until the application is what was asked: every service converged, and `also` holds. A manager that is away for a
 * moment is waited for. Throws with what is missing after `limitMs`.
 */
export async function untilConverged(
  cluster: Cluster,
  application: string,
  limitMs: number,
  also: (status: ApplicationStatus) => boolean = () => true,
): Promise<ApplicationStatus> {
  const deadline = systemClock.now() + limitMs;
  for (;;) {
    const seen = await look(cluster, application);
    if (typeof seen !== 'string') {
      if (seen.services.length > 0 && seen.services.every(({ converged }) => converged) && also(seen))
        return seen;
    }
    if (systemClock.now() > deadline) {
      const is = typeof seen === 'string' ? seen : JSON.stringify(seen.services.map(summary));
      throw new ShoalError(
        'deadline_exceeded',
        `Cannot see ${application} converge within ${limitMs} ms: ${is}`,
      );
    }
    await systemClock.sleep(50);
  }
}

function summary({ service, desired, running, failure, tasks }: ApplicationStatus['services'][number]) {
  const states = tasks.map(
    (task) => `${task.slot}:${task.status.state}:${task.desiredState} ${task.status.message}`,
  );
  return { name: service.spec.name, update: service.updateStatus?.state, desired, running, failure, states };
}

async function look(cluster: Cluster, application: string): Promise<ApplicationStatus | string> {
  const client = cluster.client();
  try {
    return await applicationNow(client, application, 2_000);
  } catch (error) {
    return messageOf(error);
  } finally {
    client.close();
  }
}
