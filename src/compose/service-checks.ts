import type { CanonicalDeviceRequest, CanonicalModel, CanonicalService } from './model.ts';
import type { Speaker } from './speaker.ts';
import type { PathSegment } from './tree.ts';

const has = (table: object | undefined, key: string) => table !== undefined && Object.hasOwn(table, key);

/** What a container is made from: an image, what is built, or what a provider gives. */
export function checkOrigin(
  path: readonly PathSegment[],
  { image, build, provider }: CanonicalService,
  { complain, refuse, warn }: Speaker,
): void {
  const push = 'build and push it first: docker compose build --push';
  if (image === undefined && build === undefined && provider === undefined) {
    complain(path, 'the service has no image', 'add image: NAME');
  } else if (build !== undefined && image !== undefined) {
    warn([...path, 'build'], `nothing is built: ${image} is pulled`, push);
  } else if (build !== undefined) {
    refuse(
      [...path, 'build'],
      'nothing is built, and the service has no image to pull',
      `add image: NAME of a registry, and ${push}`,
    );
  }
}

/** Checks what must hold within `build` and `develop`, and between them and the rest of the model. */
export function checkBuild(
  path: readonly PathSegment[],
  { build, platform, develop }: CanonicalService,
  model: CanonicalModel,
  { complain }: Speaker,
): void {
  for (const [index, { action, target }] of develop?.watch?.entries() ?? []) {
    if (target !== undefined || action === 'rebuild' || action === 'restart') continue;
    complain([...path, 'develop', 'watch', index], `${action} needs a target`, 'add target: /path');
  }
  if (build === undefined) return;
  const at = [...path, 'build'];
  if (build.dockerfile !== undefined && build.dockerfile_inline !== undefined) {
    complain([...at, 'dockerfile'], 'it has dockerfile_inline as well', 'keep one of them');
  }
  const { platforms = [] } = build;
  if (platform !== undefined && platforms.length > 0 && !platforms.includes(platform)) {
    complain(
      [...at, 'platforms'],
      `they lack ${platform}, which is the platform of the service`,
      `add ${platform}`,
    );
  }
  for (const [index, { source }] of (build.secrets ?? []).entries()) {
    if (has(model.secrets, source)) continue;
    complain(
      [...at, 'secrets', index, 'source'],
      `no secret is called ${source}`,
      `define ${source} under secrets`,
    );
  }
  for (const [name, context] of Object.entries(build.additional_contexts ?? {})) {
    const [, other] = /^service:(.*)$/su.exec(context) ?? [];
    if (other === undefined) continue;
    const place = [...at, 'additional_contexts', name];
    if (!has(model.services, other)) {
      complain(place, `no service is called ${other}`, 'name a service of this file');
    } else if (model.services[other]!.build === undefined) {
      complain(place, `${other} is not built`, 'name a service that has build');
    }
  }
}

/** Checks what a service says of others and of devices. */
export function checkUses(
  path: readonly PathSegment[],
  service: CanonicalService,
  model: CanonicalModel,
  { complain }: Speaker,
): void {
  const uts = service.uts?.startsWith('service:') ? service.uts.slice('service:'.length) : undefined;
  if (uts !== undefined && !has(model.services, uts)) {
    complain([...path, 'uts'], `no service is called ${uts}`, 'name a service of this file');
  }
  const targets = new Set<string>();
  for (const [index, { target = '' }] of (service.devices ?? []).entries()) {
    if (targets.has(target)) {
      complain(
        [...path, 'devices', index],
        `${target} is taken already, by a device`,
        'give each its own path',
      );
    }
    targets.add(target);
  }
  for (const name of Object.keys(service.models ?? {})) {
    if (has(model.models, name)) continue;
    complain([...path, 'models', name], `no model is called ${name}`, `define ${name} under models`);
  }
  const devices = service.deploy?.resources?.reservations?.devices;
  if (service.gpus !== undefined) checkRequests([...path, 'gpus'], service.gpus, complain);
  if (devices !== undefined) {
    checkRequests([...path, 'deploy', 'resources', 'reservations', 'devices'], devices, complain);
  }
  checkCredentials([...path, 'credential_spec'], service.credential_spec, complain);
}

function checkRequests(
  path: readonly PathSegment[],
  requests: readonly CanonicalDeviceRequest[],
  complain: Speaker['complain'],
): void {
  for (const [index, { count, device_ids: ids }] of requests.entries()) {
    if (count === undefined || ids === undefined) continue;
    complain([...path, index, 'count'], 'it has device_ids as well', 'keep one of them');
  }
}

function checkCredentials(
  path: readonly PathSegment[],
  credentials: CanonicalService['credential_spec'],
  complain: Speaker['complain'],
): void {
  if (credentials === undefined) return;
  const sources = (['config', 'file', 'registry'] as const).filter((name) => has(credentials, name));
  if (sources.length === 1) return;
  const what = sources.length === 0 ? 'it names nothing' : `it has both ${sources.join(' and ')}`;
  complain(path, what, 'give it exactly one of config, file or registry');
}
