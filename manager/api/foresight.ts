import type { Network } from '../../src/spec/network.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { addressesInUse } from '../allocator/addresses.ts';
import { planNetworks } from '../allocator/networks.ts';
import { once, type Cursors } from '../allocator/range.ts';
import { planServices } from '../allocator/services.ts';
import { whyNowhere } from '../scheduler/foresight.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, View } from '../store/objects.ts';
import { trialView } from '../store/trial-view.ts';

/**
 * Refuses changes of an application of which it can be told from what is stored that they cannot come to anything: subnets, ports
 * and addresses that are not to be had, placement that no host of the cluster meets. The allocator and the scheduler are
 * asked, with everything as it would be. Throws `failed_precondition`.
 */
export function checkForesight(view: View, application: string, group: readonly Change[]): void {
  const objects = group.flatMap((change) =>
    (change.kind === 'service' || change.kind === 'network') && !change.object.removing
      ? [change.object]
      : [],
  );
  if (objects.length === 0) return;
  const trial = allocated(trialView(view, group));
  const addresses = once(() => addressesInUse(trial, new Map(), new Faults()));
  const refusals = objects.flatMap(({ id }) => refusalsOf(id, view, trial, addresses));
  if (refusals.length === 0) return;
  const more = refusals.length > toldMax ? `; and ${refusals.length - toldMax} more` : '';
  throw new ShoalError(
    'failed_precondition',
    `Cannot apply ${application}: ${refusals.slice(0, toldMax).join('; ')}${more}`,
    { next: 'Nothing was changed. See `shoal node ls` for the nodes and what they have.' },
  );
}

/** Of every network, from one pass over all tasks. */
type Addresses = ReturnType<typeof addressesInUse>;

/** Refusals that are told at once. */
const toldMax = 5;

/** Why what the object will be cannot be had; `trial` is the view with all changes. */
function refusalsOf(id: string, view: View, trial: View, addresses: () => Addresses): string[] {
  const found = trial.networks.get(id) ?? trial.services.get(id);
  const before = view.networks.get(id) ?? view.services.get(id);
  if (found === undefined) return [];
  const reason =
    newFailure(found, before) ??
    addressFailure(found, before, trial, addresses) ??
    (isService(found) && isPlacedAnew(found, before) ? whyNowhere(found.spec, trial) : undefined);
  return reason === undefined ? [] : [`${nameOf(found)}: ${reason}`];
}

/** The view with what the allocator would write for its networks and services. */
function allocated(view: View): View {
  const cursors: Cursors = new Map();
  const withNetworks = trialView(view, planNetworks(view, cursors, new Faults()).flat());
  return trialView(withNetworks, planServices(withNetworks, cursors, new Faults()).flat());
}

function isService(object: Service | Network): object is Service {
  return 'specVersion' in object;
}

function nameOf(object: Service | Network): string {
  return `${isService(object) ? 'service' : 'network'} ${object.spec.name}`;
}

/** Why it could not be allocated; one that had the very same failure before may be changed all the same. */
function newFailure(
  { allocationError }: Service | Network,
  before: Service | Network | undefined,
): string | undefined {
  return allocationError === before?.allocationError ? undefined : allocationError;
}

/** Why a fixed address that the service did not ask for before is not to be had. */
function addressFailure(
  found: Service | Network,
  before: Service | Network | undefined,
  trial: View,
  addresses: () => Addresses,
): string | undefined {
  if (!isService(found)) return undefined;
  const asked = fixedAddresses(found.spec);
  const known = new Set(
    before !== undefined && isService(before) ? fixedAddresses(before.spec).map(textOf) : [],
  );
  const fresh = asked.filter((address) => !known.has(textOf(address)));
  if (fresh.length === 0) return undefined;
  return fresh
    .map(({ network, address }) =>
      addresses()
        .get(trial.networkByName(network)?.id ?? '')
        ?.whyNot(address),
    )
    .find((reason) => reason !== undefined);
}

function fixedAddresses({ task }: ServiceSpec): { network: string; address: string }[] {
  return task.networks.flatMap(({ name, address }) =>
    address === undefined ? [] : [{ network: name, address }],
  );
}

function textOf({ network, address }: { network: string; address: string }): string {
  return `${network} ${address}`;
}

/** Its tasks look for nodes: it is new, or another version. */
function isPlacedAnew({ specVersion }: Service, before: Service | Network | undefined): boolean {
  return before === undefined || !isService(before) || before.specVersion !== specVersion;
}
