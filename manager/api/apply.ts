import { isDeepStrictEqual } from 'node:util';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { Network, NetworkSpec } from '../../src/spec/network.ts';
import type { ObjectMeta } from '../../src/spec/object.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { ApplyResult, ChangeAction } from '../../src/wire/api.ts';
import type { Change, View } from '../store/objects.ts';

export interface ApplyPlan {
  /** What a person is told, in the order of the specs. */
  changes: ApplyResult['changes'];
  /** What is written, all of it in one transaction. */
  group: Change[];
  /** Names that are still being removed and would have to be made anew: wait for them. */
  beingRemoved: string[];
}

interface Planner extends ApplyPlan {
  view: View;
  meta: () => ObjectMeta;
}

/** What makes the stored application the wished one. Throws `failed_precondition` for what cannot change in place. */
export function planApply(view: View, spec: ApplicationSpec, now: number, random: Random): ApplyPlan {
  const meta = () => ({ id: random.id(), createdAt: now, updatedAt: now, revision: 0 });
  const planner: Planner = { changes: [], group: [], beingRemoved: [], view, meta };
  for (const network of spec.networks) applyNetwork(planner, network);
  const simple = [
    ['volume', spec.volumes, view.volumes],
    ['secret', spec.secrets, view.secrets],
    ['config', spec.configs, view.configs],
  ] as const;
  for (const [kind, wished, stored] of simple) {
    const names = new Set([...stored.values()].map(({ spec }) => spec.name));
    for (const spec of wished) {
      // Content never changes under a name, so what is there is what is wished.
      if (names.has(spec.name)) note(planner, kind, spec.name, 'keep');
      else
        note(planner, kind, spec.name, 'create', {
          kind,
          action: 'create',
          object: { ...meta(), spec },
        } as Change);
    }
  }
  for (const service of spec.services) applyService(planner, service);
  removeOthers(planner, spec);
  const { changes, group, beingRemoved } = planner;
  return { changes, group, beingRemoved };
}

/** What removes an application: its services and networks are marked, and go when their tasks are gone. Volumes stay. */
export function planRemove(view: View, application: string): ApplyPlan {
  const planner: Planner = {
    changes: [],
    group: [],
    beingRemoved: [],
    view,
    meta: () => {
      throw new ShoalError('internal', 'Invariant broken: a removal makes no object');
    },
  };
  removeOthers(planner, { name: application, services: [], networks: [] });
  const { changes, group, beingRemoved } = planner;
  return { changes, group, beingRemoved };
}

function note(
  planner: Planner,
  kind: ApplyResult['changes'][number]['kind'],
  name: string,
  action: ChangeAction,
  change?: Change,
): void {
  planner.changes.push({ kind, name, action });
  if (change !== undefined) planner.group.push(change);
}

/** Names are the cluster's: `name:` in a Compose file, or an underscore in an unlucky place, can make two applications meet. */
function checkOwner(
  kind: string,
  stored: { application: string } | undefined,
  wished: { name: string; application: string },
): void {
  if (stored === undefined || stored.application === wished.application) return;
  throw new ShoalError(
    'already_exists',
    `Cannot make ${kind} ${wished.name}: ${stored.application} has one of this name`,
    {
      next: 'Choose another name for it.',
    },
  );
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
  if (stored.spec.subnet !== spec.subnet) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot change the subnet of network ${spec.name} while it is in use`,
      {
        next: `Run \`shoal down\` for ${spec.application}, and then \`shoal up\`.`,
      },
    );
  }
  const object = { ...stored, spec };
  note(planner, 'network', spec.name, 'update', { kind: 'network', action: 'update', object });
}

function applyService(planner: Planner, spec: ServiceSpec): void {
  const { view, meta } = planner;
  const stored = view.serviceByName(spec.name);
  checkOwner('service', stored?.spec, spec);
  if (stored?.removing) {
    planner.beingRemoved.push(spec.name);
    return;
  }
  if (stored === undefined) {
    const object: Service = { ...meta(), spec, specVersion: 1, dependenciesMet: false, removing: false };
    return note(planner, 'service', spec.name, 'create', { kind: 'service', action: 'create', object });
  }
  if (isDeepStrictEqual(stored.spec, spec)) {
    // What an update was rolled back to is now what is wished: nothing has failed any more.
    const settled = stored.updateStatus?.state === 'rollback_completed';
    const object = { ...stored, updateStatus: undefined };
    const change: Change = { kind: 'service', action: 'update', object };
    return note(planner, 'service', spec.name, 'keep', settled ? change : undefined);
  }
  const object = changeService(stored, spec);
  note(planner, 'service', spec.name, 'update', { kind: 'service', action: 'update', object });
}

/** The service with another spec. Only another task template makes a new version, which rolls. */
export function changeService(stored: Service, spec: ServiceSpec): Service {
  if (isDeepStrictEqual(stored.spec.task, spec.task)) return { ...stored, spec };
  return {
    ...stored,
    spec,
    previousSpec: stored.spec,
    specVersion: stored.specVersion + 1,
    // The update that this status tells of is overtaken.
    updateStatus: undefined,
  };
}

function removeOthers(planner: Planner, spec: Pick<ApplicationSpec, 'name' | 'services' | 'networks'>): void {
  const { view } = planner;
  const services = new Set(spec.services.map(({ name }) => name));
  const networks = new Set(spec.networks.map(({ name }) => name));
  for (const service of view.services.values()) {
    const { application, name } = service.spec;
    if (application !== spec.name || services.has(name) || service.removing) continue;
    const object = { ...service, removing: true };
    note(planner, 'service', name, 'remove', { kind: 'service', action: 'update', object });
  }
  for (const network of view.networks.values()) {
    const { application, name } = network.spec;
    if (application !== spec.name || networks.has(name) || network.removing) continue;
    const object = { ...network, removing: true };
    note(planner, 'network', name, 'remove', { kind: 'network', action: 'update', object });
  }
}
