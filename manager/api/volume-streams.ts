import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { ApiContext } from './context.ts';
import { bridged } from './exec.ts';
import { findNode } from './objects.ts';
import type { UpgradeRoute } from './upgrade.ts';
import { checkNotMoving, findVolume } from './volume-home.ts';

/** Backups of volumes and what they are made of again: the caller's connection and the host's, joined frame by frame. */
export function volumeStreamRoutes(context: ApiContext, prefix: string): UpgradeRoute[] {
  return (['backup', 'restore'] as const).map((what) => ({
    pattern: `${prefix}/volumes/:ref/${what}`,
    access: 'operator',
    audited: true,
    messageBytesMax: 'frame',
    prepare: async (call) => {
      const volume = findVolume(context.database.view, call.parameters.ref!);
      const { name, node } = placeOf(context, volume, call.query.get('node'));
      if (what === 'restore') checkNotMoving(volume, `Cannot restore volume ${name}`);
      call.objects.push(`${what} volume ${name} on ${nodeName(node)}`);
      const request =
        what === 'backup'
          ? ({ kind: 'export-volume', name } as const)
          : ({ kind: 'import-volume', name, id: volume.id } as const);
      return bridged(context, await context.agents.openStream(node.id, request));
    },
  }));
}

/** The node that is asked for, else the one that the volume is on. */
function placeOf(
  { database }: ApiContext,
  { spec, home, nodeIds = [] }: Volume,
  asked: string | null,
): { name: string; node: Node } {
  const { name } = spec;
  if (spec.driverOptions !== undefined) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot read volume ${name}: it is what its driver_opts mount`,
    );
  }
  const only = nodeIds.length === 1 ? nodeIds[0] : undefined;
  const wanted = asked ?? home?.nodeId ?? only;
  if (wanted !== undefined && (asked !== null || database.view.nodes.has(wanted))) {
    return { name, node: findNode(database.view, wanted) };
  }
  throw new ShoalError(
    'failed_precondition',
    `Cannot tell which node is meant: volume ${name} is on no one node`,
    {
      next: 'Name one, as `shoal volume ls` shows them.',
    },
  );
}
