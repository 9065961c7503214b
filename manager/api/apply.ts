import { isDeepStrictEqual } from 'node:util';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import { changeService, createService, type Origin } from '../../src/spec/change.ts';
import { specDifferences } from '../../src/spec/difference.ts';
import type { Network, NetworkSpec } from '../../src/spec/network.ts';
import { nodeName } from '../../src/spec/node-name.ts';
import type { ObjectMeta } from '../../src/spec/object.ts';
import type { ProjectOrigin } from '../../src/spec/project-origin.ts';
import type { FileSpec, Volume, VolumeSpec } from '../../src/spec/resource.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { whySingle } from '../../src/spec/single.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { ApplyResult, ChangeAction } from '../../src/wire/api.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, View } from '../store/objects.ts';
import { withExternal } from './external.ts';
import { checkForesight } from './foresight.ts';
import { checkPorts } from './port-check.ts';
import { otherOrigin, refuseOrigin, rememberApplication } from './origins.ts';
import { storedBefore } from './repeated.ts';
import { pairingFault } from './sharing.ts';
import { usersByName } from './users.ts';

export interface ApplyPlan {
  /** What a person is told, in the order of the specs. */
  changes: ApplyResult['changes'];
  /** What is written, all of it in one transaction. */
  group: Change[];
  /** Names that are still being removed and would have to be made anew: wait for them. */
  beingRemoved: string[];
  /** Where the application was brought up from before, when that is another place and something changes. */
  otherOrigin?: ProjectOrigin;
}

/** When the plan is made (ms), and who asked for it. */
interface Request {
  now: number;
  by?: string | undefined;
  random: Random;
  /** Remove services that are not in the application any more. @default they are left, and named */
  removeOrphans?: boolean;
  /** Change what was brought up from another place. @default it is refused */
  takesOver?: boolean;
  /** An id by which the caller may ask again. */
  id?: string | undefined;
}

interface Planner extends ApplyPlan {
  view: View;
  by: string | undefined;
  meta: () => ObjectMeta;
  /** Of versions that it makes. */
  origin: () => Origin;
}

/**
 * What makes the stored application the wished one. Throws `failed_precondition` for what cannot change in place, for ports
 * that others have, for what could never be allocated or placed, and for what was
 * brought up from another place.
 */
export function planApply(view: View, spec: ApplicationSpec, request: Request): ApplyPlan {
  const { now, by, random, removeOrphans = false, takesOver = false, id } = request;
  const stored = storedBefore(view, spec, id);
  if (stored !== undefined) return { changes: stored, group: [], beingRemoved: [] };
  const meta = () => ({ id: random.id(), createdAt: now, updatedAt: now, revision: 0 });
  const origin = (): Origin => ({ cause: 'up', by, now, random });
  const planner: Planner = { changes: [], group: [], beingRemoved: [], view, by, meta, origin };
  const services = withKeptScale(view, spec, withExternal(view, spec).services);
  checkPorts(view, spec.name, services);
  for (const network of spec.networks) applyNetwork(planner, network);
  applyVolumes(planner, spec.volumes);
  const simple = [
    ['secret', spec.secrets, view.secrets],
    ['config', spec.configs, view.configs],
  ] as const;
  for (const [kind, wished, stored] of simple) {
    const known = new Map([...stored.values()].map((object) => [object.spec.name, object]));
    for (const spec of wished) {
      const there = known.get(spec.name)?.spec;
      checkOwner(kind, there, spec);
      if (there !== undefined) {
        checkSame(kind, there, spec);
        note(planner, kind, spec.name, 'keep');
      } else
        note(planner, kind, spec.name, 'create', {
          kind,
          action: 'create',
          object: { ...meta(), spec },
        });
    }
  }
  for (const service of services) applyService(planner, service);
  removeOthers(planner, spec, removeOrphans);
  const { changes, group, beingRemoved } = planner;
  const isChanged = group.length + beingRemoved.length > 0;
  const other = isChanged ? otherOrigin(view, spec) : undefined;
  if (other !== undefined && !takesOver) throw refuseOrigin(spec, other);
  if (beingRemoved.length === 0) checkForesight(view, spec.name, group);
  const isKnown = !isChanged && view.applications.has(spec.name);
  const known = { request: group.length > 0 ? id : undefined, now, meta };
  const remembered = isKnown ? undefined : rememberApplication(view, spec, known);
  if (remembered !== undefined) group.push(remembered);
  return { changes, group, beingRemoved, ...(other && { otherOrigin: other }) };
}

/**
 * What removes an application: its services and networks are marked, and go when their tasks are gone. Volumes stay. Throws
 * `failed_precondition` when another application uses one of its networks.
 */
export function planRemove(view: View, application: string, by?: string): ApplyPlan {
  const planner: Planner = {
    changes: [],
    group: [],
    beingRemoved: [],
    view,
    by,
    meta: madeByRemoval,
    origin: madeByRemoval,
  };
  removeOthers(planner, { name: application, services: [], networks: [] }, true);
  const { changes, group, beingRemoved } = planner;
  return { changes, group, beingRemoved };
}

function madeByRemoval(): never {
  throw new ShoalError('internal', 'Invariant broken: a removal makes no object');
}

function note(
  planner: Planner,
  kind: ApplyResult['changes'][number]['kind'],
  name: string,
  action: ChangeAction,
  change?: Change,
  more: Pick<ApplyResult['changes'][number], 'service' | 'differences'> = {},
): void {
  planner.changes.push({ kind, name, action, ...more });
  if (change !== undefined) planner.group.push(change);
}

/** Names are the cluster's: `name:` in a Compose file, or an underscore in an unlucky place, can make two applications meet. */
function checkOwner(
  kind: string,
  stored: { application?: string } | undefined,
  wished: { name: string; application?: string },
): void {
  if (stored === undefined || stored.application === wished.application) return;
  const whose = stored.application ?? `\`shoal ${kind} create\``;
  throw new ShoalError(
    'already_exists',
    `Cannot make ${kind} ${wished.name}: ${whose} ${stored.application ? 'has' : 'made'} one of this name`,
    {
      next: `Choose another name for it${kind === 'service' ? '' : ', or use that one with `external: true`'}.`,
    },
  );
}

/** The content of a secret or config does not change under a name. */
function checkSame(kind: 'secret' | 'config', stored: FileSpec, wished: FileSpec): void {
  if (stored.data === wished.data) return;
  throw new ShoalError(
    'already_exists',
    `Cannot make ${kind} ${wished.name}: there is one of this name with another content`,
    { next: `Remove it with \`shoal ${kind} rm ${wished.name}\`, or choose another name.` },
  );
}

function applyVolumes(planner: Planner, wished: VolumeSpec[]): void {
  const { view, meta, beingRemoved } = planner;
  const known = new Map(view.volumes.values().map((volume) => [volume.spec?.name, volume]));
  for (const spec of wished) {
    const stored = known.get(spec.name);
    checkOwner('volume', stored?.spec, spec);
    if (stored?.removing) beingRemoved.push(`volume ${spec.name}`);
    else if (stored === undefined) {
      const object: Volume = { ...meta(), spec };
      note(planner, 'volume', spec.name, 'create', { kind: 'volume', action: 'create', object });
    } else {
      const object = changedVolume(view, stored, spec);
      if (object === undefined) note(planner, 'volume', spec.name, 'keep');
      else note(planner, 'volume', spec.name, 'update', { kind: 'volume', action: 'update', object });
    }
  }
}

/** What a volume mounts does not change, and copies are not joined. Undefined when it is as it is wished. */
function changedVolume(view: View, stored: Volume, wished: VolumeSpec): Volume | undefined {
  const { name } = wished;
  const next = `Choose another name, or remove it with \`shoal volume rm ${name}\` once nobody uses it.`;
  if (!isDeepStrictEqual(stored.spec.driverOptions, wished.driverOptions)) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot change what volume ${name} mounts: there is one of this name with other driver_opts`,
      { next },
    );
  }
  if (stored.spec.perNode === wished.perNode) return undefined;
  const { home: _home, spec, ...rest } = stored;
  const { perNode, ...plain } = spec;
  if (perNode === undefined) return { ...rest, spec: { ...plain, perNode: true } };
  const nodes = (stored.nodeIds ?? []).flatMap((id) => view.nodes.get(id) ?? []);
  if (nodes.length > 1) {
    const where = nodes.map(nodeName).join(', ');
    throw new ShoalError(
      'failed_precondition',
      `Cannot make volume ${name} one for all nodes: it has copies on ${where}`,
      { next },
    );
  }
  const home = nodes[0] && { nodeId: nodes[0].id, hostname: nodeName(nodes[0]) };
  return { ...rest, spec: plain, ...(home && { home }) };
}

function applyNetwork(planner: Planner, spec: NetworkSpec): void {
  const { view, meta } = planner;
  const stored = view.networkByName(spec.name);
  checkOwner('network', stored?.spec, spec);
  if (stored?.removing) {
    planner.beingRemoved.push(spec.name);
    return;
  }
  if (stored === undefined) {
    const object: Network = { ...meta(), spec, bridgeAddresses: {}, removing: false };
    return note(planner, 'network', spec.name, 'create', { kind: 'network', action: 'create', object });
  }
  if (isDeepStrictEqual(stored.spec, spec)) return note(planner, 'network', spec.name, 'keep');
  const fixed = [
    ['subnet', 'subnet'],
    ['range', 'ip_range'],
    ['mtuBytes', 'MTU'],
  ] as const;
  const changed = fixed.find(([key]) => stored.spec[key] !== spec[key]);
  if (changed !== undefined) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot change the ${changed[1]} of network ${spec.name} while it is in use`,
      {
        next: `Run \`shoal down\` for the application, and then \`shoal up\`.`,
      },
    );
  }
  const object = { ...stored, spec };
  note(planner, 'network', spec.name, 'update', { kind: 'network', action: 'update', object });
}

function applyService(planner: Planner, wished: ServiceSpec): void {
  const { view, meta, origin } = planner;
  const stored = view.serviceByName(wished.name);
  checkOwner('service', stored?.spec, wished);
  const spec = withRestarts(wished, stored);
  if (stored?.removing) {
    planner.beingRemoved.push(spec.name);
    return;
  }
  if (stored === undefined) {
    const object = createService(meta(), spec, origin());
    const change: Change = { kind: 'service', action: 'create', object };
    return note(planner, 'service', spec.name, 'create', change, { service: askedOf(object) });
  }
  const isSame = isDeepStrictEqual(stored.spec, spec);
  if (isSame && stored.stopped !== true) {
    return note(planner, 'service', spec.name, 'keep', undefined, { service: askedOf(stored) });
  }
  const { stopped, ...started } = stored;
  const object = isSame ? { ...started, changedBy: planner.by } : changeService(started, spec, origin());
  const change: Change = { kind: 'service', action: 'update', object };
  const differences = specDifferences(stored.spec, spec);
  if (stopped === true) differences.push('stopped: starts again');
  note(planner, 'service', spec.name, 'update', change, { service: askedOf(object), differences });
}

/** The services, those with the replicas they have now that are to keep their scale. Throws `failed_precondition`. */
function withKeptScale(
  view: View,
  { name, keepsScale = [] }: ApplicationSpec,
  services: readonly ServiceSpec[],
): readonly ServiceSpec[] {
  const kept = new Set(keepsScale);
  const scaled = services.map((spec) => {
    const stored = kept.has(spec.name) ? view.serviceByName(spec.name)?.spec : undefined;
    const isScale = stored?.mode.kind === 'replicated' && spec.mode.kind === 'replicated';
    return isScale && whySingle(spec) === undefined ? { ...spec, mode: stored.mode } : spec;
  });
  const changed = scaled.filter((spec, index) => spec !== services[index]);
  const fault = changed.map((spec) => pairingFault(spec, scaled)).find((reason) => reason !== undefined);
  if (fault === undefined) return scaled;
  throw new ShoalError('failed_precondition', `Cannot apply ${name} with the scale that it has: ${fault}`, {
    next: 'Nothing was changed. Scale both, or write replicas in the file.',
  });
}

/** What the caller has asked for, and is to wait for. */
function askedOf(service: Service): ApplyResult['changes'][number]['service'] {
  const { id, spec } = service;
  const { version } = currentVersion(service);
  return { id, version, ...(spec.mode.kind === 'replicated' && { replicas: spec.mode.replicas }) };
}

/** The spec with the restarts that the service has had: they are no wish that a file could take back. */
function withRestarts(wished: ServiceSpec, stored: Service | undefined): ServiceSpec {
  const forceUpdate = Math.max(stored?.spec.task.forceUpdate ?? 0, wished.task.forceUpdate);
  return { ...wished, task: { ...wished.task, forceUpdate } };
}

/** Removes what the application does not have any more, or leaves its services, with the networks that they use, and names them. */
function removeOthers(
  planner: Planner,
  spec: Pick<ApplicationSpec, 'name' | 'services' | 'networks'>,
  removeOrphans: boolean,
): void {
  const { view } = planner;
  const services = new Set(spec.services.map(({ name }) => name));
  const networks = new Set(spec.networks.map(({ name }) => name));
  const faults = new Faults();
  const others = faults.filter(
    'service',
    view.services.values(),
    ({ spec: { application, name }, removing }) =>
      application === spec.name && !services.has(name) && !removing,
  );
  for (const service of others) {
    const { name, task } = service.spec;
    if (removeOrphans) {
      const object = { ...service, changedBy: planner.by, removing: true };
      note(planner, 'service', name, 'remove', { kind: 'service', action: 'update', object });
    } else {
      note(planner, 'service', name, 'orphan');
      for (const network of task.networks) networks.add(network.name);
    }
  }
  const doomed = faults.filter(
    'network',
    view.networks.values(),
    (network) =>
      network.spec.application === spec.name && !networks.has(network.spec.name) && !network.removing,
  );
  if (doomed.length > 0) checkUnusedByOthers(view, spec.name, doomed);
  for (const network of doomed) {
    const { name } = network.spec;
    const object = { ...network, removing: true };
    note(planner, 'network', name, 'remove', { kind: 'network', action: 'update', object });
  }
}

/** A network that another application uses stays until that one has gone, and with it all of its own application. */
function checkUnusedByOthers(view: View, application: string, networks: Network[]): void {
  const users = usersByName(view, 'network');
  const reasons: string[] = [];
  const others = new Set<string>();
  for (const { spec } of networks) {
    const using = (users.get(spec.name) ?? []).filter(
      (user) => user.application !== application && !user.isLeaving,
    );
    if (using.length === 0) continue;
    reasons.push(`${using.map(({ service }) => service).join(', ')} on network ${spec.name}`);
    for (const user of using) others.add(user.application);
  }
  if (reasons.length === 0) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot remove networks of ${application} that other applications use: ${reasons.join('; ')}`,
    {
      next: `Nothing was changed. Run ${[...others].map((name) => `\`shoal down -p ${name}\``).join(', ')} first.`,
    },
  );
}
