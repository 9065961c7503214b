import type { Service, ServiceVersion } from '../../spec/service.ts';
import { versionsMax } from '../../spec/versions.ts';
import { ShoalError } from '../../util/errors.ts';
import { agesOf } from '../ages.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';
import { applicationName, pickServices } from '../reference.ts';

interface Row extends ServiceVersion {
  service: string;
  /** A rollback returns to it, by default or when it is named. */
  isTarget: boolean;
  isEarlierTarget: boolean;
}

function rowsOf({ spec, versions, rollbackTarget, earlierTargets = [] }: Service): Row[] {
  return versions.map((version) => ({
    service: spec.name,
    ...version,
    isTarget: version.version === rollbackTarget?.version,
    isEarlierTarget: earlierTargets.some((target) => target.version === version.version),
  }));
}

function noteOf({ version, failure, isTarget, isEarlierTarget, restores }: Row): string {
  return [
    ...(restores === undefined ? [] : [`back to version ${restores}`]),
    ...(failure === undefined ? [] : [failure]),
    ...(isTarget ? ['a rollback returns to it'] : []),
    ...(isEarlierTarget ? [`\`rollback --to ${version}\` returns to it`] : []),
  ].join('; ');
}

const causes: Record<ServiceVersion['cause'], string> = {
  up: 'up',
  restart: 'restart',
  rollback: 'rollback',
  failure: 'failed update',
  dependency: 'restart with a dependency',
};

export const command: Command = {
  name: 'service history',
  summary: `Show the last ${versionsMax} versions of services: who made them, and what became of them.`,
  positionals: '[SERVICE...]',
  positionalsMax: 1000,
  options: { ...applicationOptions, json: { help: 'Print JSON' } },
  examples: ['shoal service history web', 'shoal service history -p guestbook --json'],
  async run(context, parsed) {
    const application = await applicationName(context, parsed);
    const names = parsed.positionals;
    if (application === undefined && names.length === 0) {
      throw new ShoalError('invalid_argument', 'Cannot tell whose history to show: no Compose file here', {
        next: 'Name services, or the application with -p.',
      });
    }
    const client = await context.client();
    const query =
      application === undefined || names.length > 0 ? '' : `?application=${encodeURIComponent(application)}`;
    const services = await client.request<Service[]>('GET', `/services${query}`);
    const picked = names.length > 0 ? pickServices(services, application, names) : services;
    const age = await agesOf(client);
    printList(context.output, parsed.flag('json'), picked.flatMap(rowsOf), {
      header: ['SERVICE', 'VERSION', 'STATE', 'MADE', 'BY', 'CAUSE', 'NOTE'],
      row: (row) => [
        row.service,
        String(row.version),
        row.state,
        age(row.createdAt),
        row.by ?? 'shoal',
        causes[row.cause],
        noteOf(row),
      ],
    });
    return exitCodes.done;
  },
};
