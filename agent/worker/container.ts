import { hostname } from 'node:os';
import type { ContainerCreate, Image, ImageConfig } from '../engine/engine.ts';
import type { ContainerSpec } from '../../src/spec/service.ts';
import type { InitContainer } from '../../src/spec/settings.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import type { TakenOver } from './anchors.ts';
import { signalNumber } from './signals.ts';

/** Labels that every container of ours carries; how leftovers are told from what belongs to others. */
export const containerLabels = {
  task: 'shoal.task.id',
  application: 'shoal.application',
  service: 'shoal.service.name',
  serviceId: 'shoal.service.id',
  slot: 'shoal.task.slot',
} as const;

/** What Docker gives a container whose image says nothing. */
const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const defaultStopSignal = 15;

/** What has been made for a container. */
export type ContainerParts = Pick<ContainerCreate, 'mounts' | 'imageMounts' | 'networkNamespace'> & {
  taken?: TakenOver;
};

/** The container of a task: template over image, as Docker merges them. Throws `command_not_found` when neither names a command. */
export function containerOf(task: AssignedTask, image: Image, parts: ContainerParts): ContainerCreate {
  const { container, limits, reservations } = task.template;
  const { network, join = {} } = parts.taken ?? {};
  const name = hostnameOf(network ?? task);
  return {
    id: task.id,
    image,
    args: argsOf(container, image.config),
    environment: environmentOf(container, image.config, name),
    workingDirectory: container.workingDirectory ?? (image.config.workingDirectory || '/'),
    user: container.user ?? image.config.user,
    hostname: name,
    labels: { ...image.config.labels, ...container.labels, ...labelsOf(task) },
    mounts: parts.mounts,
    ...(parts.imageMounts && parts.imageMounts.length > 0 && { imageMounts: parts.imageMounts }),
    ...(parts.networkNamespace === undefined ? {} : { networkNamespace: parts.networkNamespace }),
    ...(Object.keys(join).length > 0 && { join }),
    limits,
    reservations,
    tty: container.settings?.tty ?? false,
    group: task.serviceId,
    ...(container.settings && { settings: container.settings }),
  };
}

/** An init container of a task: as the task's own, except for what it says itself. Throws as `containerOf` does. */
export function initContainerOf(
  task: AssignedTask,
  init: InitContainer,
  id: string,
  image: Image,
  parts: ContainerParts,
): ContainerCreate {
  const { entrypoint, command: ownCommand, workingDirectory: ownDirectory, ...own } = task.template.container;
  const isOwnImage = init.image === undefined;
  const command = init.command ?? (isOwnImage ? ownCommand : undefined);
  const workingDirectory = init.workingDirectory ?? (isOwnImage ? ownDirectory : undefined);
  const container: ContainerSpec = {
    ...own,
    image: init.image ?? own.image,
    environment: { ...own.environment, ...init.environment },
    ...(isOwnImage && entrypoint !== undefined ? { entrypoint } : {}),
    ...(command === undefined ? {} : { command }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    ...(init.user === undefined ? {} : { user: init.user }),
    ...(init.privileged ? { settings: { ...own.settings, privileged: true } } : {}),
  };
  return { ...containerOf({ ...task, template: { ...task.template, container } }, image, parts), id };
}

/** The name a container knows itself by. */
export function hostnameOf(task: AssignedTask): string {
  const { hostname: own, settings } = task.template.container;
  return own ?? (settings?.uts === 'host' || settings?.network === 'host' ? hostname() : task.id);
}

/** ENTRYPOINT and CMD: an entrypoint of one's own drops the image's CMD as well. */
export function argsOf(container: ContainerSpec, image: ImageConfig): string[] {
  const args =
    container.entrypoint === undefined
      ? [...image.entrypoint, ...(container.command ?? image.command)]
      : [...container.entrypoint, ...(container.command ?? [])];
  if (args.length > 0) return args;
  throw new ShoalError(
    'command_not_found',
    `Cannot start ${container.image}: neither the image nor the service names a command`,
    {
      next: 'Give the service a command.',
    },
  );
}

/** The signal that asks the task to end: the service's, else the image's, else SIGTERM. */
export function stopSignalOf(container: ContainerSpec, image: ImageConfig): number {
  if (container.stopSignal !== undefined) return signalNumber(container.stopSignal);
  return image.stopSignal ? signalNumber(image.stopSignal) : defaultStopSignal;
}

function environmentOf(container: ContainerSpec, image: ImageConfig, hostname: string): string[] {
  const merged = new Map<string, string>();
  for (const line of [defaultPath, `HOSTNAME=${hostname}`, ...image.environment]) {
    const [name = ''] = line.split('=', 1);
    merged.set(name, line);
  }
  for (const [name, value] of Object.entries(container.environment)) merged.set(name, `${name}=${value}`);
  return [...merged.values()];
}

function labelsOf(task: AssignedTask): Record<string, string> {
  return {
    [containerLabels.task]: task.id,
    [containerLabels.application]: task.application,
    [containerLabels.service]: task.serviceName,
    [containerLabels.serviceId]: task.serviceId,
    [containerLabels.slot]: String(task.slot),
  };
}
