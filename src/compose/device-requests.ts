import type { CdiRequest } from '../spec/settings.ts';
import { isCdiName } from './cdi-name.ts';
import type { CanonicalDeviceRequest, CanonicalService } from './model.ts';

import type { PathSegment } from './tree.ts';

/** What specifications for NVIDIA's graphics cards call them. */
const gpuKind = 'nvidia.com/gpu';

/** The devices that a service asks for by name or number, in the order in which they are said, each once. */
export function cdiRequests({ devices = [], gpus = [], deploy }: CanonicalService): CdiRequest[] {
  const named = devices.filter(({ source }) => isCdiName(source)).map(({ source }) => ({ device: source }));
  const reserved = deploy?.resources?.reservations?.devices ?? [];
  const all = [...named, ...[...gpus, ...reserved].flatMap(requestsOf)];
  return [...new Map(all.map((request) => [JSON.stringify(request), request])).values()];
}

function requestsOf({ driver, count, device_ids: ids }: CanonicalDeviceRequest): CdiRequest[] {
  if (ids !== undefined) {
    return ids.map((id) => ({ device: driver === 'cdi' ? id : `${gpuKind}=${id}` }));
  }
  if (count === undefined || count === -1) return [{ device: `${gpuKind}=all` }];
  return [{ kind: gpuKind, count }];
}

/** Checks what must hold between the parts of requests. */
export function checkDeviceRequests(
  path: readonly PathSegment[],
  { gpus = [], deploy }: CanonicalService,
  refuse: (path: readonly PathSegment[], message: string, hint?: string) => unknown,
): void {
  const reserved = deploy?.resources?.reservations?.devices ?? [];
  if (gpus.length === 0 && reserved.length === 0) return;
  const reservedPath = [...path, 'deploy', 'resources', 'reservations', 'devices'];
  const all = [
    ...gpus.map((request, index) => ({ request, at: [...path, 'gpus', index], isGpu: true })),
    ...reserved.map((request, index) => ({ request, at: [...reservedPath, index], isGpu: false })),
  ];
  for (const { request, at, isGpu } of all) {
    const { driver, count, device_ids: ids, capabilities = [] } = request;
    if (count === 0) {
      refuse([...at, 'count'], 'it asks for no device', 'write a number of devices, or all');
    }
    if (driver === 'cdi' && (ids ?? []).some((id) => !isCdiName(id))) {
      refuse([...at, 'device_ids'], 'the driver cdi wants full names', 'write vendor.com/class=name');
    } else if (driver === 'cdi' && ids === undefined) {
      refuse(at, 'the driver cdi wants the names of devices', 'add device_ids: [vendor.com/class=name]');
    } else if (
      driver !== 'cdi' &&
      !isGpu &&
      !capabilities.some((name) => name === 'gpu' || name === 'nvidia')
    ) {
      refuse(
        [...at, 'capabilities'],
        'only graphics cards are found by what they can do',
        'write capabilities: [gpu], or driver: cdi with device_ids',
      );
    }
  }
}
