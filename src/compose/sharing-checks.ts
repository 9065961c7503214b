import { pairingProblem } from '../spec/sharing.ts';
import { serviceMode } from './deploy.ts';
import type { CanonicalModel, CanonicalService } from './model.ts';
import { mountSourcesMax, mountSourcesOf, sharedService, sharesOf } from './sharing.ts';
import type { Speaker } from './speaker.ts';
import type { PathSegment } from './tree.ts';

/** Checks what a service takes over from others. Circles are those of `depends_on`, which sharing implies. */
export function checkSharing(
  key: string,
  service: CanonicalService,
  { model, complain, refuse }: Speaker & { model: CanonicalModel },
): void {
  const path = ['services', key];
  for (const share of sharesOf(service)) {
    const place = [...path, ...share.path];
    const anchor = Object.hasOwn(model.services, share.service) ? model.services[share.service] : undefined;
    if (share.service === key) complain(place, 'a service cannot share with itself');
    else if (anchor === undefined) {
      complain(place, `no service is called ${share.service}`, 'name a service of this file');
    } else {
      const problem = pairingProblem(serviceMode(service), serviceMode(anchor));
      if (problem !== undefined) {
        const hint =
          'give both the same mode, and this one at most as many replicas: each runs beside the one of its number';
        refuse(place, `${share.service} ${problem}`, hint);
      }
      if (share.kind === 'ipc' && anchor.ipc !== 'shareable') {
        refuse(
          place,
          `${share.service} keeps its IPC namespace to itself`,
          `write ipc: shareable at ${share.service}`,
        );
      }
    }
  }
  if (service.volumes_from !== undefined && mountSourcesOf(key, model).length > mountSourcesMax) {
    const message = `these have mounts of more than ${mountSourcesMax} services, with what they took over themselves`;
    refuse([...path, 'volumes_from'], message, 'use named volumes');
  }
  checkTaken(path, service, refuse);
}

/** What belongs to a namespace is said by the service whose it is. */
function checkTaken(
  path: readonly PathSegment[],
  service: CanonicalService,
  refuse: Speaker['refuse'],
): void {
  const network = sharedService(service.network_mode);
  if (network !== undefined) {
    for (const name of ['hostname', 'domainname', 'dns', 'dns_opt', 'dns_search', 'extra_hosts'] as const) {
      if (service[name] === undefined) continue;
      refuse([...path, name], `names and their lookup are those of ${network}`, `say it at ${network}`);
    }
    if (Object.keys(service.sysctls ?? {}).some((name) => name.startsWith('net.'))) {
      refuse([...path, 'sysctls'], `net.* belongs to the network of ${network}`, `say it at ${network}`);
    }
  }
  const ipc = sharedService(service.ipc);
  if (ipc !== undefined && service.shm_size !== undefined) {
    refuse([...path, 'shm_size'], `the shared memory is that of ${ipc}`, `say it at ${ipc}`);
  }
}
