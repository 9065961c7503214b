import { parseConstraint } from '../spec/constraint.ts';
import { parseSpread } from '../spec/spread.ts';
import { ShoalError } from '../util/errors.ts';
import { checks } from './checks.ts';
import { findCircles } from './circles.ts';
import { checkMode } from './deploy-checks.ts';
import { placeText, type Diagnostics } from './diagnostic.ts';
import type { CanonicalModel, CanonicalMount, CanonicalService } from './model.ts';
import { fileTarget, parseTmpfs } from './mounts.ts';
import { checkNetworking } from './network-checks.ts';
import { checkBuild, checkOrigin, checkUses } from './service-checks.ts';
import { checkSettings } from './settings-checks.ts';
import { checkSharing } from './sharing-checks.ts';
import { sharesOf } from './sharing.ts';
import { checkSizes } from './size-checks.ts';
import { speakerOf, type Speaker } from './speaker.ts';
import { locate, placeOf, type TreeNode, type PathSegment } from './tree.ts';

/** What a check needs: the model, and how to speak about a path in it. */
interface Context extends Speaker {
  model: CanonicalModel;
  /** Those of the model: a large table takes long to be listed. */
  services: readonly [string, CanonicalService][];
  tree: TreeNode;
  /** `services.web` and so on, when the schema has complained: what is missing there may have been written wrong. */
  faulty: ReadonlySet<string>;
}

const has = (table: object | undefined, key: string) => table !== undefined && Object.hasOwn(table, key);

/**
 * Checks what holds between attributes: references, cycles, ports and paths that meet. What compose-go takes, and a
 * cluster cannot run, is refused and no error of the file. Reports with places from `tree`.
 * `profiles`: all that services name, those that are left out included.
 */
export function checkConsistency(
  model: CanonicalModel,
  tree: TreeNode,
  faulty: ReadonlySet<string>,
  { diagnostics, profiles }: { diagnostics: Diagnostics; profiles: () => readonly string[] },
): void {
  const services = Object.entries(model.services);
  const context: Context = { model, services, tree, faulty, ...speakerOf(tree, diagnostics) };
  for (const [key, service] of services) {
    if (context.isFull()) return;
    checkService(key, service, context);
    checkReferences(key, service, context);
    checkMounts(key, service, context);
    checkSharing(key, service, context);
  }
  if (context.isFull()) return;
  checkCircles(context);
  checkFiles(context);
  checkNetworking(context);
  if (context.isFull()) return;
  checkNames(context);
  if (services.length === 0 && !diagnostics.hasErrors()) {
    tellEmpty(context, profiles());
  }
}

/** Compose takes a file that says anything; there may be no service whose profile is active. */
function tellEmpty({ tree, complain, refuse }: Context, profiles: readonly string[]): void {
  const [first] = profiles;
  if (first !== undefined) {
    const named =
      profiles.length === 1
        ? `the profile ${first}, which`
        : `a profile of ${profiles.join(', ')}, none of which`;
    const hint = `activate one, such as --profile ${first} or COMPOSE_PROFILES=${first}`;
    refuse(
      ['services'],
      `no service is selected: each has ${named} is${profiles.length === 1 ? ' not' : ''} active`,
      hint,
    );
    return;
  }
  const saysNothing = tree.kind !== 'map' || [...tree.entries.keys()].every((key) => key === 'version');
  const report = saysNothing ? complain : refuse;
  report(['services'], 'the application has no services', 'add one under services');
}

function checkService(key: string, service: CanonicalService, context: Context): void {
  const { model, faulty, complain, refuse } = context;
  const path = ['services', key];
  if (!faulty.has(`services.${key}`)) checkOrigin(path, service, context);
  if (service.build !== undefined || service.develop !== undefined) {
    checkBuild(path, service, model, context);
  }
  checkUses(path, service, model, context);
  const { deploy } = service;
  checkMode(path, service, context);
  checkPlacement(path, service, complain);
  if (deploy?.endpoint_mode === 'dnsrr') {
    const index = (service.ports ?? []).findIndex((port) => port.mode === 'ingress');
    if (index >= 0) {
      refuse(
        [...path, 'ports', index],
        'a port in ingress mode needs a virtual IP, and endpoint_mode is dnsrr',
        'publish with mode: host, or leave out endpoint_mode',
      );
    }
  }
  checkTwins(key, service, context);
  checkSettings(path, service, context);
  checkSizes(path, service, context);
  if (deploy?.resources === undefined) return;
  const { limits, reservations } = deploy.resources;
  for (const name of ['cpus', 'memory'] as const) {
    const [limit, reserved] = [Number(limits?.[name] ?? 0), Number(reservations?.[name] ?? 0)];
    if (limit > 0 && reserved > limit) {
      refuse(
        [...path, 'deploy', 'resources', 'reservations', name],
        'more is reserved than the limit allows',
        'reserve at most the limit',
      );
    }
  }
}

function checkPlacement(
  path: readonly PathSegment[],
  { deploy }: CanonicalService,
  complain: Context['complain'],
): void {
  const read = (place: readonly PathSegment[], parse: () => unknown) => {
    try {
      parse();
    } catch (error) {
      if (!(error instanceof ShoalError)) throw error;
      complain([...path, 'deploy', 'placement', ...place], lowerFirst(error.message), error.next);
    }
  };
  if (deploy?.placement === undefined) return;
  const { constraints = [], preferences = [] } = deploy.placement;
  for (const [index, constraint] of constraints.entries()) {
    read(['constraints', index], () => parseConstraint(constraint));
  }
  for (const [index, { spread }] of preferences.entries()) {
    if (spread !== undefined) read(['preferences', index, 'spread'], () => parseSpread(spread));
  }
}

/** Attributes that say the same as one under `deploy` must say the same. */
function checkTwins(key: string, service: CanonicalService, { tree, complain }: Context): void {
  const { deploy, scale, cpus, mem_limit: memory, mem_reservation: reserved, pids_limit: pids } = service;
  if (deploy === undefined || (scale ?? cpus ?? memory ?? reserved ?? pids) === undefined) return;
  const { limits, reservations } = deploy.resources ?? {};
  const twins = [
    ['scale', scale, 'deploy.replicas', deploy.replicas, undefined],
    ['cpus', cpus, 'deploy.resources.limits.cpus', limits?.cpus, limits],
    ['mem_limit', memory, 'deploy.resources.limits.memory', limits?.memory, limits],
    ['mem_reservation', reserved, 'deploy.resources.reservations.memory', reservations?.memory, reservations],
    ['pids_limit', pids, 'deploy.resources.limits.pids', limits?.pids, limits],
  ] as const;
  for (const [name, value, twin, other, around] of twins) {
    // As compose-go has it: limits that do not speak of it say that there is none; 0 says nothing.
    const isCompared = name === 'scale' ? other !== undefined : around !== undefined && Number(value) !== 0;
    if (value === undefined || value === other || !isCompared) continue;
    const path = twin.split('.');
    const where = placeText(
      placeOf(tree, ['services', key, ...path.slice(0, other === undefined ? -1 : undefined)]),
    );
    const says = other === undefined ? `${twin} is not said` : `${twin} says ${other}`;
    const hint = other === undefined ? `write ${twin}` : `keep ${twin}`;
    complain(['services', key, name], `it says ${value}, and ${says} (${where})`, hint);
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function checkReferences(key: string, service: CanonicalService, { model, complain }: Context): void {
  const path = ['services', key];
  for (const name of Object.keys(service.networks)) {
    if (has(model.networks, name)) continue;
    complain([...path, 'networks', name], `no network is called ${name}`, `define ${name} under networks`);
  }
  for (const [index, mount] of service.volumes?.entries() ?? []) {
    if (mount.type !== 'volume' || mount.source === undefined || has(model.volumes, mount.source)) continue;
    complain(
      [...path, 'volumes', index, 'source'],
      `no volume is called ${mount.source}`,
      `define ${mount.source} under volumes; a folder of the host begins with /`,
    );
  }
  for (const kind of ['secrets', 'configs'] as const) {
    if (service[kind] === undefined) continue;
    const noun = kind.slice(0, -1);
    for (const [index, { source }] of service[kind].entries()) {
      if (has(model[kind], source)) continue;
      complain(
        [...path, kind, index, 'source'],
        `no ${noun} is called ${source}`,
        `define ${source} under ${kind}`,
      );
    }
  }
  const { depends_on: dependencies } = service;
  if (dependencies === undefined) return;
  // One that is not required may be left out by its profile, and is gone by now; what is here must be there.
  for (const name of Object.keys(dependencies)) {
    if (has(model.services, name)) {
      if (name === key) complain([...path, 'depends_on', name], 'a service cannot depend on itself');
      continue;
    }
    complain([...path, 'depends_on', name], `no service is called ${name}`, 'name a service of this file');
  }
}

function checkSource(
  path: readonly PathSegment[],
  { type, source }: CanonicalMount,
  { tree, complain, refuse }: Context,
): void {
  if (type === 'tmpfs' && source !== undefined) {
    refuse([...path, 'source'], 'a tmpfs has no source', 'leave it out');
  }
  if (type === 'image' && !checks.imageReference(source ?? '')) {
    complain([...path, 'source'], 'it is not the name of an image', 'name one, such as redis:8');
  }
  if (type !== 'bind') return;
  if (source === undefined) {
    complain(path, 'a bind mount needs a source', 'add source: /path/on/the/hosts');
    return;
  }
  const { node } = locate(tree, [...path, 'source']);
  const written = (node.kind === 'scalar' ? node.relative : undefined) ?? source;
  if (written.startsWith('/')) return;
  refuse(
    [...path, 'source'],
    `${JSON.stringify(written)} is relative, and the service may run on any host of the cluster`,
    'write an absolute path that exists on the hosts, or use a named volume, a config or a secret',
  );
}

/** Options that go with one type of mount each. */
const mountOptions = ['bind', 'volume', 'tmpfs', 'image'] as const;

function checkMounts(key: string, service: CanonicalService, context: Context): void {
  const { volumes, tmpfs, secrets, configs } = service;
  if ((volumes ?? tmpfs ?? secrets ?? configs) === undefined) return;
  const { complain, refuse } = context;
  const taken = new Map<string, string>();
  const take = (path: PathSegment[], target: string, what: string) => {
    const earlier = taken.get(target);
    if (target === '/') complain(path, 'nothing can be mounted over the root', 'name a path below it');
    else if (earlier !== undefined)
      complain(path, `${target} is taken already, by ${earlier}`, 'give each its own path');
    else taken.set(target, what);
  };
  for (const [index, mount] of volumes?.entries() ?? []) {
    const path = ['services', key, 'volumes', index];
    take([...path, 'target'], mount.target, `a ${mount.type === 'volume' ? 'volume' : mount.type}`);
    checkSource(path, mount, context);
    for (const kind of mountOptions) {
      if (mount[kind] === undefined || kind === mount.type || Object.keys(mount[kind]).length === 0) continue;
      refuse(
        [...path, kind],
        `the mount is of type ${mount.type}`,
        `options under ${kind} are for type: ${kind}`,
      );
    }
  }
  for (const [index, text] of tmpfs?.entries() ?? []) {
    take(['services', key, 'tmpfs', index], parseTmpfs(text)?.target ?? text, 'a tmpfs');
  }
  for (const kind of ['secrets', 'configs'] as const) {
    for (const [index, file] of service[kind]?.entries() ?? []) {
      take(['services', key, kind, index], fileTarget(kind, file), `a ${kind.slice(0, -1)}`);
    }
  }
}

function checkCircles({ model, services, complain }: Context): void {
  const dependencies = new Map<string, string[]>();
  for (const [key, { depends_on: named }] of services) {
    if (named !== undefined) dependencies.set(key, Object.keys(named));
  }
  findCircles(dependencies, (circle, message) => {
    const [from, to] = [circle.at(-2)!, circle.at(-1)!];
    const share = sharesOf(model.services[from]!).find(({ service }) => service === to);
    complain(['services', from, ...(share?.path ?? ['depends_on', to])], message, 'take one of them out');
  });
}

function checkFiles({ model, faulty, complain }: Context): void {
  for (const kind of ['secrets', 'configs'] as const) {
    for (const [key, entry] of Object.entries(model[kind] ?? {})) {
      const sources = (['file', 'environment', 'content'] as const).filter(
        (name) => entry[name] !== undefined,
      );
      if (entry.external === true || sources.length === 1 || faulty.has(`${kind}.${key}`)) continue;
      if (sources.length === 0 && entry.driver !== undefined) continue;
      const ways = kind === 'configs' ? 'file, environment or content' : 'file or environment';
      const what = sources.length === 0 ? 'it has no content' : `it has both ${sources.join(' and ')}`;
      complain([kind, key], what, `give it exactly one of ${ways}`);
    }
  }
}

/** Two entries of a kind must not have the same full name, unless both mean what is there already. */
function checkNames({ model, complain }: Context): void {
  for (const kind of ['networks', 'volumes', 'secrets', 'configs'] as const) {
    const taken = new Map<string, string>();
    const table: Record<string, { name: string; external?: boolean }> = model[kind] ?? {};
    for (const [key, { name, external }] of Object.entries(table)) {
      const earlier = taken.get(name);
      if (earlier !== undefined && (external !== true || table[earlier]?.external !== true)) {
        complain([kind, key, 'name'], `${earlier} is called ${name} already`, 'give each its own name');
      }
      taken.set(name, key);
    }
  }
}
