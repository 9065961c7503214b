import { currentVersion } from '../../spec/versions.ts';
import type { ServiceInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { applicationOptions } from '../options.ts';
import { printList } from '../output.ts';
import { applicationName, noApplication, pickServices } from '../reference.ts';
import { describePort } from '../tasks.ts';

const jsonOption = { json: { help: 'Print JSON' } };

export const ls: Command = {
  name: 'service ls',
  summary: 'List services: what each is asked to be, and how far it is.',
  options: { ...applicationOptions, ...jsonOption },
  examples: ['shoal service ls', 'shoal service ls -p shop --json'],
  async run(context, parsed) {
    const application = await applicationName(context, parsed);
    const query = new URLSearchParams({
      ...(application !== undefined && { application }),
      progress: 'true',
    });
    const path = `/services?${query.toString()}`;
    const services = await (await context.client()).request<ServiceInfo[]>('GET', path);
    if (application !== undefined && services.length === 0) throw noApplication(application);
    printList(context.output, parsed.flag('json'), services, {
      header: ['NAME', 'MODE', 'SERVING', 'UPDATED', 'VERSION', 'STATE', 'IMAGE', 'PORTS', 'MESSAGE'],
      row: (service) => {
        const { spec, progress, endpoint } = service;
        return [
          spec.name,
          spec.mode.kind,
          `${progress.serving}/${progress.desired}`,
          `${progress.running}/${progress.desired}`,
          `v${currentVersion(service).version}`,
          progress.state,
          spec.task.container.image,
          (endpoint?.ports ?? []).map(describePort).join(','),
          messageOf(service),
        ];
      },
    });
    return exitCodes.done;
  },
};

function messageOf({ progress, updateStatus }: ServiceInfo): string {
  return progress.failure ?? (progress.state === 'updating' ? (updateStatus?.message ?? '') : '');
}

export const inspect: Command = {
  name: 'service inspect',
  summary: 'Show everything that is known of services, as JSON.',
  positionals: 'SERVICE...',
  positionalsMin: 1,
  positionalsMax: 100,
  options: applicationOptions,
  examples: ['shoal service inspect web', 'shoal service inspect shop_web'],
  async run(context, parsed) {
    const client = await context.client();
    const services = await client.request<ServiceInfo[]>('GET', '/services?progress=true');
    const found = pickServices(services, await applicationName(context, parsed), parsed.positionals);
    context.output.print(JSON.stringify(found, null, 2));
    return exitCodes.done;
  },
};
