import type { Service } from '../src/spec/service.ts';
import type { Task, TaskStatus } from '../src/spec/task.ts';
import type { ApplicationStatus, ServiceStatus, TaskInfo, WatchLine } from '../src/wire/api.ts';
import type { Client } from '../src/wire/client.ts';
import type { Context } from '../src/cli/command.ts';
import type { Wish } from '../src/cli/verdict.ts';
import { sampleService, sampleTask } from './samples.ts';

/** What a command runs in, and what it prints and notes there, a line each; `said`: both in their order. */
export function contextOf(
  client: Client,
  workingDirectory: string,
  signal = new AbortController().signal,
): { context: Context; lines: string[]; notes: string[]; said: string[] } {
  const lines: string[] = [];
  const notes: string[] = [];
  const said: string[] = [];
  const into = (list: string[]) => (line: string) => void (list.push(line), said.push(line));
  const output = {
    print: into(lines),
    write: () => undefined,
    note: into(notes),
    line: () => undefined,
    columns: 0,
    colour: false,
  };
  const context = {
    output,
    environment: {},
    workingDirectory,
    signal,
    client: () => Promise.resolve(client),
  };
  return { context, lines, notes, said };
}

/** A service as the API shows it, for tests of what the command line makes of it. */
export function shownService(changes: Partial<Service> = {}): Service {
  const mode = { kind: 'replicated', replicas: 2 } as const;
  return sampleService('web', { name: 'shop_web', application: 'shop', mode }, changes);
}

/** A task of that service: it runs unless said otherwise. */
export function shownTask(slot: number, status: Partial<TaskStatus> = {}): TaskInfo {
  const running = { state: 'running', at: 0, startedAt: 0, message: 'running' } as const;
  const changes = { nodeId: 'node00000001', status: { ...running, ...status } };
  return infoOf(sampleTask(shownService(), slot, changes));
}

/** The task as lists have it. */
export function infoOf({ template, ...task }: Task): TaskInfo {
  return { ...task, image: template.container.image };
}

/** How the service is: as asked unless said otherwise. */
export function shownStatus(changes: Partial<ServiceStatus> = {}): ServiceStatus {
  const tasks = [shownTask(1), shownTask(2)];
  return {
    service: shownService(),
    desired: 2,
    running: 2,
    serving: 2,
    leaving: 0,
    converged: true,
    tasks,
    ...changes,
  };
}

/** What an `up` asked for that made the service as it is shown. */
export function shownWish(changes: Partial<Wish['asked'][number]> = {}, revision = 1): Wish {
  const asked = { id: 'web', name: 'shop_web', version: 1, replicas: 2, isKept: false, ...changes };
  return { asked: [asked], revision };
}

/** An application of these services. */
export function shownApplication(services: ServiceStatus[]): ApplicationStatus {
  return { name: 'shop', revision: 1, now: 0, services, networks: [], nodes: [] };
}

/** The status as a watch tells it, in one line. */
export function watchLineOf({
  services,
  networks,
  nodes,
  name,
  revision,
  now,
}: ApplicationStatus): WatchLine {
  return {
    put: [
      ...services.flatMap(({ service, tasks, ...progress }): WatchLine['put'] => [
        { kind: 'service', value: service },
        { kind: 'progress', value: { id: service.id, ...progress } },
        ...tasks.map((value) => ({ kind: 'task' as const, value })),
      ]),
      ...networks.map((value) => ({ kind: 'network' as const, value })),
      ...nodes.map((value) => ({ kind: 'node' as const, value })),
    ],
    remove: [],
    whole: { name, revision, now },
  };
}
